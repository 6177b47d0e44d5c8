package capture

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

// records implements format. It is the place where all packets pass one by one, so it keeps to itself what it counts.
func (f *pcap) records(batch *Batch, r *Reader) (at, need int, what string) {
	data, refs, number := batch.Data, batch.Refs, r.number
	order, header, odd := f.order, f.header, f.swap || f.either
	for {
		if len(data)-at < header {
			need = header
			break
		}
		h := data[at : at+pcapHeader]
		caplen, wire := order.u32(h[8:]), order.u32(h[12:])
		if odd && (f.swap || caplen > wire) {
			caplen, wire = wire, caplen
		}
		if caplen > maxRecord {
			what = "a packet's length is out of all bounds"
			break
		}
		n := header + int(caplen)
		if len(data)-at < n {
			need = n
			break
		}
		number++
		refs = append(refs, Ref{
			Number: number, Time: int64(order.u32(h))*second + int64(order.u32(h[4:]))*f.scale, Link: f.link,
			Off: uint32(at + header), Len: caplen, WireLen: max(min(wire, maxWireLen), caplen),
		})
		at += n
	}
	batch.Refs, r.number = refs, number
	return at, need, what
}
