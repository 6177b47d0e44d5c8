package capture

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The block types that are read (draft-ietf-opsawg-pcapng); all others are skipped.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockStats     = 5
	blockEnhanced  = 6
)

// sectionMagic tells the byte order of a section.
const sectionMagic = 0x1a2b3c4d

// The options that are read or written.
const (
	optionEnd         = 0
	optionComment     = 1
	optionApplication = 4 // of a section
	optionName        = 2 // of an interface
	optionResol       = 9
	optionFilter      = 11
	optionOffset      = 14
	optionEndTime     = 3 // of statistics
	optionReceived    = 4
	optionDropped     = 5 // by the interface
	optionOSDropped   = 7 // by the system
	optionDropCount   = 4 // of a packet: lost since the one before
)

// The sizes of an enhanced packet block: what stands before its packet, and the block without packet and options.
const (
	enhancedHead = 28
	enhancedSize = enhancedHead + 4
)

// maxInterfaces bounds the interfaces of a section.
const maxInterfaces = 1 << 16

// pcapng is the state of the section that is being read.
type pcapng struct {
	order      byteOrder
	begun      bool // there was a section header
	interfaces []iface
	totals     []ifaceTotals
	// base is the number of interfaces of the sections before.
	base int
	// marked tells that the section is one of ours: statistics without counts are marks of the clock.
	marked bool
}

// iface is an interface description.
type iface struct {
	link  LinkType
	snap  uint32
	clock clock
	total int // index in totals
	// number is the one that the interface has among those of all sections.
	number uint16
}

// ifaceTotals are the latest statistics of an interface: they count from its start. Packets tell of some that were lost before
// them, too: between is their sum.
type ifaceTotals struct{ received, dropped, between uint64 }

// lost is what is known to be dropped: the statistics count what packets tell, too.
func (t *ifaceTotals) lost() uint64 { return max(t.dropped, t.between) }

// records implements format.
func (f *pcapng) records(batch *Batch, r *Reader) (at, need int, what string) {
	for {
		at = f.usual(batch, at, r)
		b := batch.Data[at:]
		if len(b) < 12 {
			return at, 12, ""
		}
		kind := f.order.u32(b)
		if binary.LittleEndian.Uint32(b) == blockSection { // which reads the same in either order
			if what := f.begin(b[8:]); what != "" {
				return at, 0, what
			}
		}
		if !f.begun {
			return at, 0, "a block stands before the section header"
		}
		size := f.order.u32(b[4:])
		if size < 12 || size%4 != 0 || size > maxRecord {
			return at, 0, "a block's length is not valid"
		}
		n := int(size)
		if len(b) < n {
			return at, n, ""
		}
		if f.order.u32(b[n-4:]) != size {
			return at, 0, "a block's two lengths differ"
		}
		if what := f.block(kind, b[8:n-4], at+8, batch, r); what != "" {
			return at, 0, what
		}
		at += n
	}
}

// usual takes the enhanced packet blocks from at on as long as nothing is special about them, such as options, and returns
// where they end. It keeps to itself what it counts, calls nothing as a rule, and writes each reference where it stays.
func (f *pcapng) usual(b *Batch, at int, r *Reader) int {
	if len(b.Data)-at < enhancedSize || f.order.u32(b.Data[at:]) != blockEnhanced {
		return at
	}
	b.grow(at, enhancedSize+pcapUsual)
	data, number, order, ifaces := b.Data, r.number, f.order, f.interfaces
	refs := b.Refs[len(b.Refs):cap(b.Refs)]
	for i := range refs {
		if len(data)-at < enhancedSize {
			break
		}
		h := data[at : at+enhancedHead : at+enhancedHead]
		size, id, caplen, wire := order.u32(h[4:]), order.u32(h[8:]), order.u32(h[20:]), order.u32(h[24:])
		end := at + int(size)
		if order.u32(h) != blockEnhanced || caplen > maxRecord || size > maxRecord || size != enhancedSize+(caplen+3)&^3 ||
			end > len(data) || uint64(id) >= uint64(len(ifaces)) || order.u32(data[end-4:]) != size {
			break
		}
		in := &ifaces[id]
		number++
		ref := &refs[i]
		ref.Number = number
		ref.Time = in.clock.nanos(uint64(order.u32(h[12:]))<<32 | uint64(order.u32(h[16:])))
		ref.Off, ref.Len, ref.WireLen = uint32(at+enhancedHead), caplen, max(min(wire, maxWireLen), caplen)
		ref.Link, ref.Iface = in.link, in.number
		at = end
	}
	b.Refs = b.Refs[:len(b.Refs)+int(number-r.number)]
	r.number = number
	return at
}

// begin finds the byte order of a section.
func (f *pcapng) begin(magic []byte) string {
	switch uint32(sectionMagic) {
	case binary.LittleEndian.Uint32(magic):
		f.order, f.begun = byteOrder{}, true
	case binary.BigEndian.Uint32(magic):
		f.order, f.begun = byteOrder{big: true}, true
	default:
		return "a section header has no byte-order magic"
	}
	return ""
}

// section begins a section: interfaces are numbered from 0 in each.
func (f *pcapng) section(b []byte) string {
	if len(b) < 16 {
		return "a section header is too short"
	}
	if major := f.order.u16(b[4:]); major != 1 {
		return fmt.Sprintf("pcapng version %d is unknown", major)
	}
	f.base += len(f.interfaces)
	f.interfaces, f.totals, f.marked = f.interfaces[:0], f.totals[:0], false
	f.options(b[16:], func(code uint16, v []byte) {
		f.marked = f.marked || code == optionApplication && string(v) == Application
	})
	return ""
}

func (f *pcapng) block(kind uint32, b []byte, at int, batch *Batch, r *Reader) (what string) {
	switch kind {
	case blockEnhanced:
		return f.packet(b, at, 4, batch, r)
	case blockSection:
		return f.section(b)
	case blockInterface:
		return f.describe(b, r)
	case blockPacket:
		return f.packet(b, at, 2, batch, r)
	case blockSimple:
		return f.simple(b, at, batch, r)
	case blockStats:
		f.statistics(b, batch, r)
	}
	return ""
}

func (f *pcapng) describe(b []byte, r *Reader) string {
	if len(b) < 8 || len(f.interfaces) >= maxInterfaces {
		return "an interface description is not valid"
	}
	i := iface{link: LinkType(f.order.u16(b)), snap: f.order.u32(b[4:]), total: len(f.totals), number: ifaceNumber(f.base + len(f.interfaces))}
	resol, offset := uint8(defaultResol), int64(0)
	described := Interface{Link: i.link, SnapLen: int(min(i.snap, math.MaxInt32))}
	whole := f.options(b[8:], func(code uint16, v []byte) {
		switch {
		case code == optionName:
			described.Name = string(v[:min(len(v), maxOption)])
		case code == optionFilter && len(v) > 1 && v[0] == 0:
			described.Filter = string(v[1:min(len(v), maxOption)])
		case code == optionResol && len(v) >= 1:
			resol = v[0]
		case code == optionOffset && len(v) >= 8:
			offset = int64(f.order.u64(v))
		}
	})
	if !whole { // the times of all its packets would be guesses
		return "an option runs over the end of its block"
	}
	i.clock = newClock(resol, offset)
	f.interfaces = append(f.interfaces, i)
	r.ifaces = append(r.ifaces, described)
	f.totals = append(f.totals, ifaceTotals{})
	return ""
}

// options calls do with each option and tells whether all of them fit into b.
func (f *pcapng) options(b []byte, do func(code uint16, value []byte)) bool {
	for len(b) >= 4 {
		code, n := f.order.u16(b), int(f.order.u16(b[2:]))
		if code == optionEnd {
			return true
		}
		if 4+n > len(b) {
			return false
		}
		do(code, b[4:4+n])
		b = b[min(len(b), 4+(n+3)&^3):]
	}
	return true
}

// packet reads an enhanced packet block, or an obsolete one; width is the size of its interface number.
func (f *pcapng) packet(b []byte, at, width int, batch *Batch, r *Reader) string {
	if len(b) < 20 {
		return "a packet block is too short"
	}
	id := int(f.order.u16(b))
	if width == 4 {
		id = int(min(f.order.u32(b), math.MaxInt32))
	}
	if id >= len(f.interfaces) {
		return "a packet names an interface that was not described"
	}
	caplen, wire := f.order.u32(b[12:]), f.order.u32(b[16:])
	if int64(caplen) > int64(len(b)-20) {
		return "a packet is longer than its block"
	}
	i := &f.interfaces[id]
	ticks := uint64(f.order.u32(b[4:]))<<32 | uint64(f.order.u32(b[8:]))
	r.number++
	batch.Refs = append(batch.Refs, Ref{
		Number: r.number, Time: i.clock.nanos(ticks), Off: uint32(at + 20), Len: caplen,
		WireLen: max(min(wire, maxWireLen), caplen), Link: i.link, Iface: i.number,
	})
	switch end := 20 + (int(caplen)+3)&^3; {
	case width == 2:
		if n := f.order.u16(b[2:]); n != math.MaxUint16 { // which stands for unknown
			f.lose(i, uint64(n), r)
		}
	case end < len(b):
		f.options(b[end:], func(code uint16, v []byte) {
			if code == optionDropCount && len(v) >= 8 {
				f.lose(i, f.order.u64(v), r)
			}
		})
	}
	return ""
}

// lose takes in packets that an interface lost before one.
func (f *pcapng) lose(i *iface, n uint64, r *Reader) {
	if n == 0 {
		return
	}
	t := &f.totals[i.total]
	was := t.lost()
	t.between += n
	r.stats.Dropped += t.lost() - was
}

func (f *pcapng) simple(b []byte, at int, batch *Batch, r *Reader) string {
	if len(b) < 4 || len(f.interfaces) == 0 {
		return "a simple packet block is not valid"
	}
	i := &f.interfaces[0]
	wire := f.order.u32(b)
	n := min(int64(wire), int64(len(b)-4))
	if i.snap > 0 {
		n = min(n, int64(i.snap))
	}
	r.number++
	batch.Refs = append(batch.Refs, Ref{
		Number: r.number, Off: uint32(at + 4), Len: uint32(n), WireLen: max(min(wire, maxWireLen), uint32(n)), Link: i.link, Iface: i.number,
	})
	return ""
}

func (f *pcapng) statistics(b []byte, batch *Batch, r *Reader) {
	if len(b) < 12 || int64(f.order.u32(b)) >= int64(len(f.interfaces)) {
		return
	}
	t := &f.totals[f.interfaces[f.order.u32(b)].total]
	was := *t
	known := false
	var now ifaceTotals
	f.options(b[12:], func(code uint16, v []byte) {
		switch {
		case len(v) < 8:
		case code == optionReceived:
			now.received, known = f.order.u64(v), true
		case code == optionDropped, code == optionOSDropped:
			now.dropped, known = now.dropped+f.order.u64(v), true
		}
	})
	if !known {
		if f.marked {
			ticks := uint64(f.order.u32(b[4:]))<<32 | uint64(f.order.u32(b[8:]))
			batch.Refs = append(batch.Refs, Ref{Time: f.interfaces[f.order.u32(b)].clock.nanos(ticks)})
		}
		return
	}
	now.between = was.between
	*t = now
	r.stats.Known = true
	r.stats.Received += t.received - was.received
	r.stats.Dropped += t.lost() - was.lost()
}
