package capture

import "math/bits"

// The magic numbers of pcap files, as the writer's byte order has them.
const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34 // Kuznetzov's: packet headers of 24 bytes
)

// pcap is a classic capture file (draft-ietf-opsawg-pcap).
type pcap struct {
	order  byteOrder
	link   LinkType
	scale  int64 // ns per unit of the sub-second field
	header int   // size of a packet header
	swap   bool  // captured and wire length stand the other way round (before version 2.3)
	either bool  // version 2.3: some writers swapped them
}

// newPcap reads a file header. ok tells that the magic is pcap's; f is nil if the header is cut.
func newPcap(b []byte) (f *pcap, ok bool) {
	for _, order := range []byteOrder{{big: false}, {big: true}} {
		f := &pcap{order: order, scale: 1000, header: pcapHeader}
		switch order.u32(b) {
		case magicMicro:
		case magicNano:
			f.scale = 1
		case magicModified:
			f.header = 24
		default:
			continue
		}
		if len(b) < 24 {
			return nil, true
		}
		major, minor := order.u16(b[4:]), order.u16(b[6:])
		f.swap = major < 2 || major == 2 && minor < 3
		f.either = major == 2 && minor == 3
		f.link = LinkType(order.u32(b[20:]))
		return f, true
	}
	return nil, false
}

// pcapHeader is the size of a packet header; Kuznetzov's is longer at its end.
const pcapHeader = 16

// records implements format.
func (f *pcap) records(b *Batch, r *Reader) (at, need int, what string) {
	for {
		if at = f.usual(b, at, r); len(b.Data)-at < f.header {
			return at, f.header, ""
		}
		h := b.Data[at:]
		caplen, wire := f.order.u32(h[8:]), f.order.u32(h[12:])
		if f.swap || f.either && caplen > wire {
			caplen, wire = wire, caplen
		}
		if caplen > maxRecord {
			return at, 0, "a packet's length is out of all bounds"
		}
		n := f.header + int(caplen)
		if len(h) < n {
			return at, n, ""
		}
		r.number++
		b.Refs = append(b.Refs, Ref{
			Number: r.number, Time: int64(f.order.u32(h))*second + int64(f.order.u32(h[4:]))*f.scale, Link: f.link,
			Off: uint32(at + f.header), Len: caplen, WireLen: max(min(wire, maxWireLen), caplen),
		})
		at += n
	}
}

// usual takes the records from at on as long as nothing is special about them, and returns where they end. All packets pass
// here one by one, so it looks at nothing twice, calls nothing, and writes each reference where it stays.
func (f *pcap) usual(b *Batch, at int, r *Reader) int {
	if f.header != pcapHeader || f.swap || f.either {
		return at
	}
	b.grow(at, pcapUsual)
	data, number, scale, link, order := b.Data, r.number, f.scale, f.link, f.order
	refs := b.Refs[len(b.Refs):cap(b.Refs)]
	for i := range refs {
		if len(data)-at < pcapHeader {
			break
		}
		h := (*[pcapHeader]byte)(data[at:])
		time, sizes := order.u64(h[:]), order.u64(h[8:]) // two numbers each, the first in the lower half
		if order.big {
			time, sizes = bits.RotateLeft64(time, 32), bits.RotateLeft64(sizes, 32)
		}
		caplen, wire := uint32(sizes), uint32(sizes>>32)
		start := at + pcapHeader
		if caplen > maxRecord || len(data)-start < int(caplen) {
			break
		}
		at = start + int(caplen)
		number++
		ref := &refs[i]
		ref.Number = number
		ref.Time = int64(uint32(time))*second + int64(time>>32)*scale
		ref.Off, ref.Len, ref.WireLen = uint32(start), caplen, max(min(wire, maxWireLen), caplen)
		ref.Link, ref.Iface = link, 0
	}
	b.Refs = b.Refs[:len(b.Refs)+int(number-r.number)]
	r.number = number
	return at
}

// pcapUsual is what a record takes at least, if most are usual: an acknowledgement without payload is longer.
const pcapUsual = 64
