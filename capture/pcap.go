package capture

import "encoding/binary"

// The magic numbers of pcap files, as the writer's byte order has them.
const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34 // Kuznetzov's: packet headers of 24 bytes
)

// pcap is a classic capture file (draft-ietf-opsawg-pcap).
type pcap struct {
	order  binary.ByteOrder
	link   LinkType
	scale  int64 // ns per unit of the sub-second field
	header int   // size of a packet header
	swap   bool  // captured and wire length stand the other way round (before version 2.3)
	either bool  // version 2.3: some writers swapped them
}

// newPcap reads a file header. ok tells that the magic is pcap's; f is nil if the header is cut.
func newPcap(b []byte) (f *pcap, ok bool) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		f := &pcap{order: order, scale: 1000, header: 16}
		switch order.Uint32(b) {
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
		major, minor := order.Uint16(b[4:]), order.Uint16(b[6:])
		f.swap = major < 2 || major == 2 && minor < 3
		f.either = major == 2 && minor == 3
		f.link = LinkType(order.Uint32(b[20:]))
		return f, true
	}
	return nil, false
}

func (f *pcap) next(b []byte, at int, batch *Batch, r *Reader) (n, need int, what string) {
	if len(b) < f.header {
		return 0, f.header, ""
	}
	caplen, wire := f.order.Uint32(b[8:]), f.order.Uint32(b[12:])
	if f.swap || f.either && caplen > wire {
		caplen, wire = wire, caplen
	}
	if caplen > maxRecord {
		return 0, 0, "a packet's length is out of all bounds"
	}
	n = f.header + int(caplen)
	if len(b) < n {
		return 0, n, ""
	}
	sec, sub := int64(f.order.Uint32(b)), int64(f.order.Uint32(b[4:]))
	r.add(batch, at+f.header, int(caplen), int(min(wire, maxWireLen)), sec*1e9+sub*f.scale, f.link)
	return n, 0, ""
}
