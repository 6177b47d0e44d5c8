package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// nanosResol is if_tsresol of what is written: 10^-9 seconds.
const nanosResol = 9

// PcapngWriter writes a pcapng file of one section, little endian, with times
// in nanoseconds and one interface for each link type, described when
// its first packet comes. It must not be shared between goroutines.
type PcapngWriter struct {
	w     *bufio.Writer
	links []LinkType
	stats Stats
	block []byte
}

// NewPcapngWriter begins a pcapng file. Output is buffered: call Close. An
// error of w comes from the next call that meets it.
func NewPcapngWriter(w io.Writer) *PcapngWriter {
	p := &PcapngWriter{w: bufio.NewWriterSize(w, writeBuffer)}
	p.begin(blockSection)
	p.u32(sectionMagic)
	p.u16(1)
	p.u16(0)
	p.u64(^uint64(0)) // the section's length is not known
	_ = p.end()       // bufio returns a failure again later
	return p
}

// Write writes one packet and keeps none of it; Number is ignored. It fails for
// times before 1970.
func (w *PcapngWriter) Write(p Packet) error {
	if p.Time < 0 {
		return fmt.Errorf("write pcapng: time %d ns does not fit the format", p.Time)
	}
	id := w.iface(p.Link)
	w.begin(blockEnhanced)
	w.u32(id)
	w.u32(uint32(p.Time >> 32))
	w.u32(uint32(p.Time))
	w.u32(uint32(len(p.Data)))
	w.u32(uint32(max(p.WireLen, len(p.Data))))
	w.block = append(w.block, p.Data...)
	return w.end()
}

// SetStats keeps what Close writes as statistics of the first interface: only
// Received, Dropped and Known count.
func (w *PcapngWriter) SetStats(s Stats) { w.stats = s }

// Close writes the statistics, if there are any, and ends the file. It does
// not close the underlying writer.
func (w *PcapngWriter) Close() error {
	if w.stats.Known && len(w.links) > 0 {
		w.begin(blockStats)
		w.u32(0)
		w.u64(0) // no time: time comes from packets
		w.option64(optionReceived, w.stats.Received)
		w.option64(optionDropped, w.stats.Dropped)
		w.u32(optionEnd)
		_ = w.end() // Flush returns a failure again
	}
	w.stats = Stats{}
	return w.w.Flush()
}

// iface returns the interface of a link type, described at its first use.
func (w *PcapngWriter) iface(link LinkType) uint32 {
	for i, l := range w.links {
		if l == link {
			return uint32(i)
		}
	}
	w.links = append(w.links, link)
	w.begin(blockInterface)
	w.u16(uint16(link))
	w.u16(0)
	w.u32(0) // no snap length
	w.u16(optionResol)
	w.u16(1)
	w.u32(nanosResol)
	w.u32(optionEnd)
	_ = w.end() // bufio returns a failure again later
	return uint32(len(w.links) - 1)
}

func (w *PcapngWriter) u16(v uint16) { w.block = binary.LittleEndian.AppendUint16(w.block, v) }
func (w *PcapngWriter) u32(v uint32) { w.block = binary.LittleEndian.AppendUint32(w.block, v) }
func (w *PcapngWriter) u64(v uint64) { w.block = binary.LittleEndian.AppendUint64(w.block, v) }

func (w *PcapngWriter) option64(code uint16, v uint64) {
	w.u16(code)
	w.u16(8)
	w.u64(v)
}

func (w *PcapngWriter) begin(kind uint32) {
	w.block = w.block[:0]
	w.u32(kind)
	w.u32(0) // the length, when it is known
}

// end pads the block, sets its length on both sides and writes it.
func (w *PcapngWriter) end() error {
	for len(w.block)%4 != 0 {
		w.block = append(w.block, 0)
	}
	n := uint32(len(w.block) + 4)
	w.u32(n)
	binary.LittleEndian.PutUint32(w.block[4:], n)
	_, err := w.w.Write(w.block)
	return err
}
