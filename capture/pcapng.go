package capture

import (
	"encoding/binary"
	"math"
	"math/bits"
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

// The options that are read or written, of interface descriptions and statistics.
const (
	optionEnd      = 0
	optionResol    = 9
	optionOffset   = 14
	optionReceived = 4
	optionDropped  = 5
)

// maxInterfaces bounds the interfaces of a section.
const maxInterfaces = 1 << 16

// pcapng is the state of the section that is being read.
type pcapng struct {
	order      binary.ByteOrder
	interfaces []iface
	totals     []ifaceTotals
}

// iface is an interface description.
type iface struct {
	link   LinkType
	snap   uint32
	tsres  byte // if_tsresol: a negative power of 10, or of 2 with the top bit set
	offset int64
	total  int // index in totals
}

// ifaceTotals are the latest statistics of an interface: they count from its start.
type ifaceTotals struct{ received, dropped uint64 }

func (f *pcapng) next(b []byte, at int, batch *Batch, r *Reader) (n, need int, what string) {
	if len(b) < 12 {
		return 0, 12, ""
	}
	section := binary.LittleEndian.Uint32(b) == blockSection
	if section {
		switch uint32(sectionMagic) {
		case binary.LittleEndian.Uint32(b[8:]):
			f.order = binary.LittleEndian
		case binary.BigEndian.Uint32(b[8:]):
			f.order = binary.BigEndian
		default:
			return 0, 0, "a section header has no byte-order magic"
		}
	}
	if f.order == nil {
		return 0, 0, "a block stands before the section header"
	}
	size := f.order.Uint32(b[4:])
	if size < 12 || size%4 != 0 || size > maxRecord {
		return 0, 0, "a block's length is not valid"
	}
	n = int(size)
	if len(b) < n {
		return 0, n, ""
	}
	if f.order.Uint32(b[n-4:]) != size {
		return 0, 0, "a block's two lengths differ"
	}
	if section {
		f.interfaces = f.interfaces[:0]
		return n, 0, ""
	}
	return n, 0, f.block(f.order.Uint32(b), b[8:n-4], at+8, batch, r)
}

func (f *pcapng) block(kind uint32, b []byte, at int, batch *Batch, r *Reader) (what string) {
	switch kind {
	case blockInterface:
		return f.describe(b)
	case blockEnhanced:
		return f.packet(b, at, 4, batch, r)
	case blockPacket:
		return f.packet(b, at, 2, batch, r)
	case blockSimple:
		return f.simple(b, at, batch, r)
	case blockStats:
		f.statistics(b, r)
	}
	return ""
}

func (f *pcapng) describe(b []byte) string {
	if len(b) < 8 || len(f.interfaces) >= maxInterfaces {
		return "an interface description is not valid"
	}
	i := iface{link: LinkType(f.order.Uint16(b)), snap: f.order.Uint32(b[4:]), tsres: 6, total: len(f.totals)}
	f.options(b[8:], func(code uint16, v []byte) {
		switch {
		case code == optionResol && len(v) >= 1:
			i.tsres = v[0]
		case code == optionOffset && len(v) >= 8:
			i.offset = int64(f.order.Uint64(v))
		}
	})
	f.interfaces = append(f.interfaces, i)
	f.totals = append(f.totals, ifaceTotals{})
	return ""
}

// options calls do with each option.
func (f *pcapng) options(b []byte, do func(code uint16, value []byte)) {
	for len(b) >= 4 {
		code, n := f.order.Uint16(b), int(f.order.Uint16(b[2:]))
		if code == optionEnd || 4+n > len(b) {
			return
		}
		do(code, b[4:4+n])
		b = b[min(len(b), 4+(n+3)&^3):]
	}
}

// packet reads an enhanced packet block, or an obsolete one; width is the size of its interface number.
func (f *pcapng) packet(b []byte, at, width int, batch *Batch, r *Reader) string {
	if len(b) < 20 {
		return "a packet block is too short"
	}
	id := int(f.order.Uint16(b))
	if width == 4 {
		id = int(min(f.order.Uint32(b), math.MaxInt32))
	}
	if id >= len(f.interfaces) {
		return "a packet names an interface that was not described"
	}
	caplen, wire := f.order.Uint32(b[12:]), f.order.Uint32(b[16:])
	if int64(caplen) > int64(len(b)-20) {
		return "a packet is longer than its block"
	}
	i := &f.interfaces[id]
	ticks := uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
	r.add(batch, at+20, int(caplen), int(min(wire, 1<<30)), i.time(ticks), i.link)
	return ""
}

func (f *pcapng) simple(b []byte, at int, batch *Batch, r *Reader) string {
	if len(b) < 4 || len(f.interfaces) == 0 {
		return "a simple packet block is not valid"
	}
	i := &f.interfaces[0]
	wire := f.order.Uint32(b)
	n := min(int64(wire), int64(len(b)-4))
	if i.snap > 0 {
		n = min(n, int64(i.snap))
	}
	r.add(batch, at+4, int(n), int(min(wire, 1<<30)), 0, i.link)
	return ""
}

func (f *pcapng) statistics(b []byte, r *Reader) {
	if len(b) < 12 || int64(f.order.Uint32(b)) >= int64(len(f.interfaces)) {
		return
	}
	t := &f.totals[f.interfaces[f.order.Uint32(b)].total]
	was := *t
	f.options(b[12:], func(code uint16, v []byte) {
		switch {
		case len(v) < 8:
		case code == optionReceived:
			t.received = f.order.Uint64(v)
		case code == optionDropped:
			t.dropped = f.order.Uint64(v)
		}
	})
	r.stats.Known = true
	r.stats.Received += t.received - was.received
	r.stats.Dropped += t.dropped - was.dropped
}

// time converts a number of ticks to nanoseconds, exactly where the result fits.
func (i *iface) time(ticks uint64) int64 {
	var ns uint64
	e := uint(i.tsres & 0x7f)
	switch {
	case i.tsres&0x80 != 0:
		hi, lo := bits.Mul64(ticks, 1e9)
		switch {
		case e == 0:
			ns = lo
		case e < 64:
			ns = hi<<(64-e) | lo>>e
		case e < 128:
			ns = hi >> (e - 64)
		}
	case e <= 9:
		ns = ticks * pow10(9-e)
	case e-9 <= 19:
		ns = ticks / pow10(e-9)
	}
	return int64(ns) + i.offset*1e9
}

func pow10(n uint) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
