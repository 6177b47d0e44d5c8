package sanitize

import (
	"encoding/binary"
	"net/netip"

	"github.com/nubishark/nubishark/reassembly"
)

const (
	linkEthernet = 1
	etherSize    = 14
	tcpSize      = 20
	spareSize    = 4 // of a TCP option that nobody reads: it makes the checksum what it is to be
	etherLocal   = 0x88b5
)

// emptyFrame stands for a packet without a TCP segment (an EtherType for local experiments).
var emptyFrame = []byte{2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, etherLocal >> 8, etherLocal & 0xff}

// number numbers addresses in the order of their appearance.
func (r *rewriter) number(a netip.Addr) int {
	n, ok := r.addrs[a]
	if !ok {
		n = len(r.addrs) + 1
		r.addrs[a] = n
	}
	return n
}

// id numbers what tells packets apart that were captured twice: packets have the same number where they had the same ID, and 0
// where they had none. The ID itself holds a checksum of the payload, which would tell a right guess at it from a wrong one.
func (r *rewriter) id(s *reassembly.Segment) uint32 {
	old := s.ID()
	if old == 0 {
		return 0
	}
	n, ok := r.ids[old]
	if !ok {
		n = uint32(len(r.ids) + 1)
		if s.V6() { // it has the lower half only
			n = n%0xffff + 1
		}
		r.ids[old] = n
	}
	return n
}

// firstSeq is the first sequence number of every direction.
const firstSeq = 1 << 24

// since counts a sequence number from the first one of its direction: what stands in a header is no secret, but a damaged packet may have
// other bytes in its place.
func (r *rewriter) since(src, dst netip.AddrPort, seq uint32) uint32 {
	way := [2]netip.AddrPort{src, dst}
	first, ok := r.first[way]
	if !ok {
		first = seq
		r.first[way] = first
	}
	return seq - first + firstSeq
}

// ports returns the ports as they are; where a single segment has them, and no connection, they may be other bytes, too.
func (r *rewriter) ports(src, dst netip.AddrPort) (from, to uint16) {
	there, back := [2]netip.AddrPort{src, dst}, [2]netip.AddrPort{dst, src}
	c := r.conns[there]
	if c != nil && r.l.nubison[c.Stream] || r.l.segments[there]+r.l.segments[back] > 1 {
		return src.Port(), dst.Port()
	}
	if r.lone[there] == 0 {
		r.lone[there] = uint16(len(r.lone)%1000 + 2)
	}
	return r.lone[there], 1
}

func ether(b []byte, n int) []byte {
	b = append(b, 2, 0)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// ip4 is an address of those that are set aside for measurements (RFC 2544).
func ip4(b []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(b, 198<<24|18<<16|uint32(n)&0x1ffff)
}

// ip6 is an address of those that are set aside for documents (RFC 3849).
func ip6(b []byte, n int) []byte {
	b = append(b, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// frame writes a segment as an Ethernet frame, and returns it as far as it was captured, and its length on the wire.
func (r *rewriter) frame(s *reassembly.Segment, payload []byte, src, dst netip.AddrPort) (b []byte, wire int) {
	from, to := r.number(src.Addr()), r.number(dst.Addr())
	b = ether(ether(make([]byte, 0, 80+len(payload)), to), from)
	size := tcpSize + spareSize + s.Length
	id := r.id(s)
	if s.V6() {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, room(size))
		b = append(b, 6, 64)
		b = ip6(ip6(b, from), to)
	} else {
		b = append(b, 0x08, 0x00, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, room(20+size))
		b = binary.BigEndian.AppendUint16(b, uint16(id>>16))
		b = append(b, 0x40, 0, 64, 6, 0, 0)
		b = ip4(ip4(b, from), to)
		header := b[etherSize:]
		binary.BigEndian.PutUint16(header[10:], ^fold(sum(0, header)))
	}
	start := len(b)
	srcPort, dstPort := r.ports(src, dst)
	b = binary.BigEndian.AppendUint16(b, srcPort)
	b = binary.BigEndian.AppendUint16(b, dstPort)
	seq, ack := r.since(src, dst, s.Seq), uint32(0)
	if s.Flags&reassembly.FlagACK != 0 {
		ack = r.since(dst, src, s.Ack)
	}
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	words := byte((tcpSize + spareSize) / 4)
	if s.Broken {
		words = 1 // as impossible as it was
	}
	b = append(b, words<<4, s.Flags, 0xff, 0xff, byte(id>>8), byte(id), 0, 0, 253, 4) // an option for experiments (RFC 4727)
	spare := len(b)
	b = append(b, 0, 0)
	b = append(b, payload...)
	addresses := b[start-8 : start]
	if s.V6() {
		addresses = b[start-32 : start]
	}
	total := sum(sum(uint32(6)+uint32(size), addresses), b[start:])
	binary.BigEndian.PutUint16(b[spare:], ^fold(total))
	return b, len(b) - len(payload) + s.Length
}

// room is a length for a header; 0 where it has no room, as segmentation offload leaves it.
func room(n int) uint16 {
	if n > 0xffff {
		return 0
	}
	return uint16(n)
}

// sum adds up 16-bit words for a checksum (RFC 1071).
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
		s = s&0xffff + s>>16
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
