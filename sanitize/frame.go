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
	stampSize    = 12 // of the TCP option that tells packets apart
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

// frame writes the nth packet's segment as an Ethernet frame, and returns it as far as it was captured, and its length on the wire.
func (r *rewriter) frame(n uint32, s *reassembly.Segment, payload []byte, src, dst netip.AddrPort) (b []byte, wire int) {
	from, to := r.number(src.Addr()), r.number(dst.Addr())
	b = ether(ether(make([]byte, 0, 80+len(payload)), to), from)
	size := tcpSize + stampSize + s.Length
	if s.V6 {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, fits(size))
		b = append(b, 6, 64)
		b = ip6(ip6(b, from), to)
	} else {
		b = append(b, 0x08, 0x00, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, fits(20+size))
		b = binary.BigEndian.AppendUint16(b, uint16(s.ID()>>16))
		b = append(b, 0x40, 0, 64, 6, 0, 0)
		b = ip4(ip4(b, from), to)
		header := b[etherSize:]
		binary.BigEndian.PutUint16(header[10:], ^fold(sum(0, header)))
	}
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, s.SrcPort)
	b = binary.BigEndian.AppendUint16(b, s.DstPort)
	b = binary.BigEndian.AppendUint32(b, s.Seq)
	b = binary.BigEndian.AppendUint32(b, s.Ack)
	words := byte((tcpSize + stampSize) / 4)
	if s.Broken {
		words = 1 // as impossible as it was
	}
	b = append(b, words<<4, s.Flags, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 8, 10)
	b = binary.BigEndian.AppendUint32(b, s.ID())
	if s.ID() != 0 {
		n = 0 // what told it from others tells it still
	}
	b = binary.BigEndian.AppendUint32(b, n)
	b = append(b, payload...)
	if len(payload) == s.Length {
		addresses := b[start-8 : start]
		if s.V6 {
			addresses = b[start-32 : start]
		}
		total := sum(sum(uint32(6)+uint32(size), addresses), b[start:])
		binary.BigEndian.PutUint16(b[start+16:], ^fold(total))
	}
	return b, len(b) - len(payload) + s.Length
}

// fits is a length for a header; 0 where it has no room, as segmentation offload leaves it.
func fits(n int) uint16 {
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
