package reassembly

import (
	"encoding/binary"
	"net/netip"

	"github.com/nubishark/nubishark/capture"
)

// segment is a TCP segment found in a packet.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
	payload  []byte // captured bytes
	length   int    // bytes on the wire
}

const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagPSH = 8
	flagACK = 16
)

func be16(b []byte) int { return int(binary.BigEndian.Uint16(b)) }

// network strips the link header: it returns the IP packet, or nil.
func network(link capture.LinkType, b []byte) []byte {
	switch link {
	case 1:
		if len(b) < 14 {
			return nil
		}
		return ether(be16(b[12:]), b[14:])
	case 113:
		if len(b) < 16 {
			return nil
		}
		return ether(be16(b[14:]), b[16:])
	case 276:
		if len(b) < 20 {
			return nil
		}
		return ether(be16(b), b[20:])
	case 101, 12, 14, 228, 229:
		return b
	case 0, 108:
		if len(b) < 4 {
			return nil
		}
		return b[4:]
	case 9, 50:
		return ppp(b)
	case 51:
		return pppoe(b)
	case 239:
		return nflog(b)
	case 105:
		return wifi(b)
	case 127:
		return radiotap(b)
	}
	return nil
}

func ether(kind int, b []byte) []byte {
	for range 4 {
		switch kind {
		case 0x0800, 0x86dd:
			return b
		case 0x8100, 0x88a8, 0x9100:
			if len(b) < 4 {
				return nil
			}
			kind, b = be16(b[2:]), b[4:]
		case 0x8864:
			return pppoe(b)
		default:
			return nil
		}
	}
	return nil
}

func pppoe(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	return ppp(b[6:])
}

func ppp(b []byte) []byte {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 3 {
		b = b[2:]
	}
	switch {
	case len(b) >= 2 && b[0] == 0 && (b[1] == 0x21 || b[1] == 0x57):
		return b[2:]
	case len(b) >= 1 && (b[0] == 0x21 || b[0] == 0x57):
		return b[1:]
	}
	return nil
}

func nflog(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	for b = b[4:]; len(b) >= 4; {
		n, kind := int(binary.LittleEndian.Uint16(b)), binary.LittleEndian.Uint16(b[2:])
		if n < 4 {
			return nil
		}
		if kind&0x7fff == 9 {
			return b[4:min(n, len(b))]
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}

func radiotap(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if n > len(b) {
		return nil
	}
	return wifi(b[n:])
}

func wifi(b []byte) []byte {
	if len(b) < 24 || b[0]&0x0c != 8 || b[0]&0x40 != 0 || b[1]&0x40 != 0 {
		return nil
	}
	n := 24
	if b[1]&3 == 3 {
		n += 6
	}
	if b[0]&0x80 != 0 {
		n += 2
		if b[1]&0x80 != 0 {
			n += 4
		}
	}
	if len(b) < n+8 || b[n] != 0xaa || b[n+1] != 0xaa {
		return nil
	}
	return ether(be16(b[n+6:]), b[n+8:])
}

// ipPacket is what an IP header says.
type ipPacket struct {
	src, dst netip.Addr
	proto    byte
	body     []byte // captured
	length   int    // on the wire
	frag     bool
	more     bool
	offset   int
	id       uint32
}

// parseIP reads an IPv4 or IPv6 header. missing is the number of bytes that the capture cut.
func parseIP(b []byte, missing int) (p ipPacket, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b, missing)
	case 6:
		return parseIPv6(b, missing)
	}
	return p, false
}

func parseIPv4(b []byte, missing int) (p ipPacket, ok bool) {
	h, total := int(b[0]&15)*4, be16(b[2:])
	if total == 0 {
		total = len(b) + missing
	}
	if h < 20 || total < h || len(b) < h {
		return p, false
	}
	p.src, p.dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	p.proto, p.length = b[9], total-h
	p.body = b[h:min(len(b), total)]
	f := be16(b[6:])
	p.more, p.offset = f&0x2000 != 0, f&0x1fff*8
	p.frag, p.id = p.more || p.offset > 0, uint32(be16(b[4:]))
	return p, true
}

func parseIPv6(b []byte, missing int) (p ipPacket, ok bool) {
	if len(b) < 40 {
		return p, false
	}
	total := be16(b[4:])
	if total == 0 {
		total = len(b) + missing - 40
	}
	p.src, p.dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	p.proto, p.length = b[6], total
	p.body = b[40:min(len(b), 40+total)]
	for range 16 {
		n := 0
		switch p.proto {
		case 0, 43, 60, 135, 139, 140:
			if len(p.body) >= 2 {
				n = int(p.body[1])*8 + 8
			}
		case 51:
			if len(p.body) >= 2 {
				n = int(p.body[1])*4 + 8
			}
		case 44:
			if len(p.body) < 8 {
				return p, false
			}
			f := be16(p.body[2:])
			p.offset, p.more = f&^7, f&1 != 0
			p.frag = p.more || p.offset > 0
			p.id = binary.BigEndian.Uint32(p.body[4:])
			n = 8
		default:
			return p, true
		}
		if n == 0 || n > len(p.body) || n > p.length {
			return p, false
		}
		frag := p.proto == 44
		p.proto, p.body, p.length = p.body[0], p.body[n:], p.length-n
		if frag && p.frag {
			return p, true
		}
	}
	return p, false
}

// parseTCP reads a TCP header. Options never matter.
func parseTCP(p *ipPacket) (s segment, ok bool) {
	b := p.body
	if len(b) < 20 {
		return s, false
	}
	h := int(b[12]>>4) * 4
	if h < 20 || h > p.length {
		return s, false
	}
	s.src, s.dst = netip.AddrPortFrom(p.src, uint16(be16(b))), netip.AddrPortFrom(p.dst, uint16(be16(b[2:])))
	s.seq, s.ack, s.flags = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]
	s.payload, s.length = b[min(h, len(b)):], p.length-h
	return s, true
}
