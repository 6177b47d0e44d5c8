package reassembly

import (
	"encoding/binary"
	"net/netip"

	"github.com/nubishark/nubishark/capture"
)

// The flags of a TCP header (RFC 9293, 3.1).
const (
	FlagFIN = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
)

// Segment is a TCP segment that was found in a packet.
type Segment struct {
	// Src and Dst are the addresses in network order; IPv4 has the first four bytes.
	Src, Dst [16]byte
	// SrcPort and DstPort are the TCP ports.
	SrcPort, DstPort uint16
	// V6 tells IPv6.
	V6    bool
	Flags byte
	// Broken tells that the header's length is not possible: ports and sequence numbers are all
	// that there is.
	Broken   bool
	Seq, Ack uint32
	// Payload holds the captured bytes; it belongs to the packet, or, after IP
	// defragmentation, to nobody else. Length is the payload's length on the wire, never less.
	Payload []byte
	Length  int

	// What Find found, while the table has not changed since.
	f       *flow
	version uint32
	d       Direction
	id      uint32 // IP's identification, and TCP's checksum
}

// Addr returns the source, the destination.
func (s *Segment) Addr() (src, dst netip.AddrPort) {
	return addrPort(&s.Src, s.SrcPort, s.V6), addrPort(&s.Dst, s.DstPort, s.V6)
}

func addrPort(a *[16]byte, port uint16, v6 bool) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(netip.AddrFrom16(*a), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[:4])), port)
}

// Decoder finds TCP segments. It keeps the IP fragments that wait for others; the zero value
// is ready. It is not safe for concurrent use.
type Decoder struct {
	frags defragmenter
}

// Decode finds the TCP segment in a packet and reports whether there is one. Of nested
// packets the innermost counts, as with Wireshark's tcp.stream.
func (d *Decoder) Decode(p *capture.Packet, s *Segment) bool {
	n := network(p.Link, p.Data)
	if n == nil {
		ip := unwrapLink(p.Link, p.Data)
		return ip != nil && d.network(ip, 0, p.Time, s, 0)
	}
	if len(n) > 0 && n[0]>>4 != 4 && n[0]>>4 != 6 {
		return false
	}
	return d.network(n, p.WireLen-len(p.Data), p.Time, s, 0)
}

// maxNesting bounds tunnels in tunnels.
const maxNesting = 4

// network decodes an IP packet; cut is how many bytes the capture left out of it.
func (d *Decoder) network(b []byte, cut int, time int64, s *Segment, depth int) bool {
	var p ipPacket
	if !p.parse(b, cut) {
		return false
	}
	if p.frag && !d.frags.add(&p, time) {
		return false
	}
	if p.proto == protoTCP {
		return s.parse(&p)
	}
	if depth < maxNesting && tunnels(&p) {
		if inner := unwrapTunnel(&p); inner != nil {
			return d.network(inner, 0, time, s, depth+1)
		}
	}
	return false
}

func be16(b []byte) int { return int(binary.BigEndian.Uint16(b)) }

// The IP protocol numbers that are looked at.
const (
	protoHopByHop = 0
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAuth     = 51
	protoDestOpts = 60
	protoMobility = 135
	protoHIP      = 139
	protoShim6    = 140
)

// ipPacket is what an IP header says.
type ipPacket struct {
	src, dst [16]byte
	v6       bool
	proto    byte
	frag     bool
	more     bool
	offset   int
	id       uint32
	body     []byte // captured
	length   int    // of body on the wire
	raw      []byte // the packet from its header on, as captured
}

// parse reads an IPv4 or IPv6 header and reports whether it is one.
func (p *ipPacket) parse(b []byte, cut int) bool {
	if len(b) < 20 {
		return false
	}
	p.raw = b
	switch b[0] >> 4 {
	case 4:
		return p.parseIPv4(b, cut)
	case 6:
		p.v6 = true
		return p.parseIPv6(b, cut)
	}
	return false
}

// parseIPv4 reads a header (RFC 791). Segmentation offload leaves a total length of 0: then the
// packet's own length counts.
func (p *ipPacket) parseIPv4(b []byte, cut int) bool {
	h, total := int(b[0]&15)*4, be16(b[2:])
	if total == 0 {
		total = len(b) + cut
	}
	if h < 20 || total < h || len(b) < h {
		return false
	}
	copy(p.src[:4], b[12:16])
	copy(p.dst[:4], b[16:20])
	p.proto, p.length = b[9], total-h
	p.body = b[h:min(len(b), total)]
	if f := be16(b[6:]); f&0x3fff != 0 {
		p.frag, p.more, p.offset, p.id = true, f&0x2000 != 0, f&0x1fff*8, uint32(be16(b[4:]))
	}
	return true
}

// maxExtensions bounds the extension headers of an IPv6 packet.
const maxExtensions = 16

// parseIPv6 reads a header and its extensions (RFC 8200).
func (p *ipPacket) parseIPv6(b []byte, cut int) bool {
	if len(b) < 40 {
		return false
	}
	total := be16(b[4:])
	if total == 0 {
		total = len(b) + cut - 40
	}
	copy(p.src[:], b[8:24])
	copy(p.dst[:], b[24:40])
	p.proto, p.length = b[6], total
	p.body = b[40:min(len(b), 40+total)]
	for range maxExtensions {
		n, known := p.extension()
		if !known {
			return true
		}
		if n == 0 || n > len(p.body) || n > p.length {
			return false
		}
		last := p.proto == protoFragment && p.frag
		p.proto, p.body, p.length = p.body[0], p.body[n:], p.length-n
		if last {
			return true
		}
	}
	return false
}

// extension returns the size of the extension header at the front of the body, 0 if it is cut,
// and whether there is one.
func (p *ipPacket) extension() (n int, known bool) {
	switch p.proto {
	case protoHopByHop, protoRouting, protoDestOpts, protoMobility, protoHIP, protoShim6:
		if len(p.body) >= 2 {
			n = int(p.body[1])*8 + 8
		}
	case protoAuth:
		if len(p.body) >= 2 {
			n = int(p.body[1])*4 + 8
		}
	case protoFragment:
		if len(p.body) >= 8 {
			f := be16(p.body[2:])
			p.offset, p.more = f&^7, f&1 != 0
			p.frag = p.more || p.offset > 0
			p.id = binary.BigEndian.Uint32(p.body[4:])
			n = 8
		}
	default:
		return 0, false
	}
	return n, true
}

// parse reads a TCP header (RFC 9293, 3.1). Options never matter, so bad ones do no harm.
func (s *Segment) parse(p *ipPacket) bool {
	b := p.body
	if len(b) < 20 || p.length < 20 {
		return false
	}
	s.Src, s.Dst, s.V6 = p.src, p.dst, p.v6
	s.SrcPort, s.DstPort = uint16(be16(b)), uint16(be16(b[2:]))
	s.Seq, s.Ack, s.Flags = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]
	s.id = uint32(be16(b[16:]))
	if !p.v6 {
		s.id |= uint32(be16(p.raw[4:])) << 16
	}
	h := int(b[12]>>4) * 4
	s.Broken = h < 20 || h > p.length
	if s.Broken {
		s.Payload, s.Length = nil, 0
		return true
	}
	s.Payload, s.Length = b[min(h, len(b)):], p.length-h
	return true
}
