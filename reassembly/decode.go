package reassembly

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"unsafe"

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

// Segment is a TCP segment that was found in a packet. There is one for each packet on its way, so it is small.
type Segment struct {
	f   *flow  // what Find found
	tag uint64 // a hash of the endpoints, 0 while it was not asked for
	// Length is the payload's length on the wire.
	Length   int
	Seq, Ack uint32
	id       uint32    // IP's identification, and TCP's checksum
	at       uint32    // where the payload stands in the data that Look was given, 0 if that has not found it
	back     Direction // 0 if the source is the first of the endpoints, in an order that is the same for both directions
	d        Direction // once Quick or Slow has looked at it
	easy     bool      // nothing about it by itself speaks against Quick
	Flags    byte
	// Broken tells that the header's length is not possible: ports and sequence numbers are all
	// that there is.
	Broken bool

	// Payload holds the captured bytes, Length at most; it belongs to the packet, or, after IP
	// defragmentation, to nobody else.
	Payload []byte
	// from and to are the endpoints: of IPv4 the address and the port in 48 bits, of IPv6 the port.
	from, to uint64
	// six are the addresses of IPv6, the source's first; nil for IPv4. They belong to the packet.
	six *[32]byte
}

// judge notes whether Quick may take in the segment, as far as it depends on that alone.
func (s *Segment) judge(captured int) {
	s.easy = !s.Broken && s.Flags&(FlagSYN|FlagFIN|FlagRST) == 0 && s.Length <= min(captured, maxEthernet)
}

// V6 tells IPv6.
func (s *Segment) V6() bool { return s.six != nil }

// Addr returns the source, the destination.
func (s *Segment) Addr() (src, dst netip.AddrPort) {
	if s.six != nil {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.six[:16])), uint16(s.from)), netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.six[16:])), uint16(s.to))
	}
	return addrPort4(s.from), addrPort4(s.to)
}

func addrPort4(e uint64) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(e >> 40), byte(e >> 32), byte(e >> 24), byte(e >> 16)}), uint16(e))
}

// SetAddr sets the source and the destination, both of IPv4 or both of IPv6.
func (s *Segment) SetAddr(src, dst netip.AddrPort) {
	if !src.Addr().Is4() {
		x, y := src.Addr().As16(), dst.Addr().As16()
		s.six = (*[32]byte)(append(x[:], y[:]...))
		s.from, s.to = uint64(src.Port()), uint64(dst.Port())
	} else {
		x, y := src.Addr().As4(), dst.Addr().As4()
		s.six = nil
		s.from, s.to = endpoint4(x[:], src.Port()), endpoint4(y[:], dst.Port())
	}
	s.locate()
}

// Decoder finds TCP segments. It keeps the IP fragments that wait for others; the zero value
// is ready. It is not safe for concurrent use.
type Decoder struct {
	frags defragmenter
}

// Decode finds the TCP segment in a packet and reports whether there is one. Of nested
// packets the innermost counts, as with Wireshark's tcp.stream.
func (d *Decoder) Decode(p *capture.Packet, s *Segment) bool {
	var is [1]bool
	if Look(p.Data, []capture.Ref{{Len: uint32(len(p.Data)), Link: p.Link}}, unsafe.Slice(s, 1), is[:]) > 0 {
		s.Fill(p.Data)
		return true
	}
	return d.network(network(p.Link, p.Data), p.WireLen-len(p.Data), p.Time, s, 0)
}

// Look finds the segments in the most usual of packets, IPv4 in Ethernet without options and with all of the TCP header. It sets is for those
// that it finds, and returns how many there are. Endpoints and Payload are left for Fill. For the other packets, Decode is to be asked. All
// packets pass here one by one, so several fields of a header are looked at together, and the least is written.
func Look(data []byte, refs []capture.Ref, list []Segment, is []bool) (found int) {
	list, is = list[:len(refs)], is[:len(refs)]
	for i := range refs {
		r, s := &refs[i], &list[i]
		is[i] = false
		if r.Link != linkEthernet || r.Len < plainSize {
			continue
		}
		h := (*[plainSize]byte)(data[r.Off:])
		about, more := binary.LittleEndian.Uint64(h[12:]), binary.LittleEndian.Uint64(h[20:])
		if about&0xff_ff_ff != 0x45_00_08 || more&0xff_00_ff_3f != protoTCP<<24 { // EtherType, version and length; fragment, protocol
			continue
		}
		size, total := plainHeaders(h), plainSize-40+int(bits.ReverseBytes16(uint16(about>>32)))
		if size < plainSize || total < size || int(r.Len) < size {
			continue
		}
		s.Length, s.at, s.Flags, s.Broken = total-size, r.Off+uint32(size), h[47], false
		s.Seq, s.Ack = binary.BigEndian.Uint32(h[38:]), binary.BigEndian.Uint32(h[42:])
		s.id = uint32(bits.ReverseBytes16(uint16(about>>48)))<<16 | uint32(binary.BigEndian.Uint16(h[50:]))
		s.judge(int(r.Len) - size)
		addrs, ports := binary.BigEndian.Uint64(h[26:]), uint64(binary.BigEndian.Uint32(h[34:]))
		s.locate4(addrs>>32<<16|ports>>16, addrs<<32>>16|ports&0xffff)
		is[i] = true
		found++
	}
	return found
}

const plainSize = 14 + 20 + 20

// plainHeaders is the size of the headers of such a packet.
func plainHeaders(h *[plainSize]byte) int { return plainSize - 20 + int(h[46]&0xf0)>>2 }

// Fill fills in what Look has left out of a segment of a packet.
func (s *Segment) Fill(packet []byte) {
	if s.at == 0 {
		return
	}
	h := (*[plainSize]byte)(packet)
	s.at, s.six, s.f = 0, nil, nil
	s.from, s.to = endpoint4(h[26:], uint16(be16(h[34:]))), endpoint4(h[30:], uint16(be16(h[36:])))
	s.Payload = packet[plainHeaders(h):]
	s.Payload = s.Payload[:min(len(s.Payload), s.Length)]
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
	return depth < maxNesting && d.network(p.tunnelled(), 0, time, s, depth+1)
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
	protoIPIP     = 94
	protoEtherIP  = 97
	protoMobility = 135
	protoMPLS     = 137
	protoHIP      = 139
	protoShim6    = 140
)

// ipPacket is what an IP header says.
type ipPacket struct {
	addrs  []byte // the source's address and the destination's, one behind the other
	v6     bool
	proto  byte
	frag   bool
	more   bool
	offset int
	id     uint32
	body   []byte // captured
	length int    // of body on the wire
	raw    []byte // the packet from its header on, as captured
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
	p.addrs = b[12:20]
	p.proto, p.length = b[9], total-h
	p.body = b[h:min(len(b), total)]
	if f := be16(b[6:]); f&0x3fff != 0 {
		p.frag, p.more, p.offset, p.id = true, f&0x2000 != 0, f&0x1fff*8, uint32(be16(b[4:]))
	} else if p.proto == protoAuth { // RFC 4302, 3.1.1
		n, _ := p.extension()
		return p.skip(n)
	}
	return true
}

// skip goes on behind the extension header of n bytes at the front of the body. It reports whether that is possible.
func (p *ipPacket) skip(n int) bool {
	if n == 0 || n > len(p.body) || n > p.length {
		return false
	}
	p.proto, p.body, p.length = p.body[0], p.body[n:], p.length-n
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
	p.addrs = b[8:40]
	p.proto, p.length = b[6], total
	p.body = b[40:min(len(b), 40+total)]
	for range maxExtensions {
		n, known := p.extension()
		if !known {
			return true
		}
		last := p.proto == protoFragment && p.frag
		if !p.skip(n) {
			return false
		}
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
	s.f, s.at = nil, 0
	if p.v6 {
		s.six = (*[32]byte)(p.addrs)
		s.from, s.to = uint64(be16(b)), uint64(be16(b[2:]))
	} else {
		s.six = nil
		s.from, s.to = endpoint4(p.addrs, uint16(be16(b))), endpoint4(p.addrs[4:], uint16(be16(b[2:])))
	}
	s.locate()
	s.Seq, s.Ack, s.Flags = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]
	s.id = uint32(be16(b[16:]))
	if !p.v6 {
		s.id |= uint32(be16(p.raw[4:])) << 16
	}
	h := int(b[12]>>4) * 4
	s.Broken = h < 20 || h > p.length
	if s.Broken {
		s.Payload, s.Length = nil, 0
		s.judge(0)
		return true
	}
	s.Payload, s.Length = b[min(h, len(b)):], p.length-h
	s.judge(len(s.Payload))
	return true
}
