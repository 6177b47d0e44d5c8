package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// nanosResol is if_tsresol of what is written: 10^-9 seconds.
const nanosResol = 9

// Application is what the section headers of written files name as their maker (shb_userappl).
const Application = "nubishark"

// Interface describes where packets come from, as far as that is known.
type Interface struct {
	// Name is the system's name, such as eth0; Filter the capture filter that was in force.
	Name, Filter string
	Link         LinkType
	// SnapLen is the greatest number of bytes captured of a packet, 0 for all.
	SnapLen int
}

// PcapngWriter writes a pcapng file of one section, little endian, with times
// in nanoseconds. Interfaces are described in advance by AddInterface, or, one for each
// link type, when the first packet comes. It must not be shared between goroutines.
type PcapngWriter struct {
	w      *bufio.Writer
	ifaces []Interface
	stats  []Stats
	block  []byte
	size   int64
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
	p.optionText(optionApplication, Application)
	p.u32(optionEnd)
	_ = p.end() // bufio returns a failure again later
	return p
}

// Size is the number of bytes written so far, buffered ones included.
func (w *PcapngWriter) Size() int64 { return w.size }

// AddInterface describes an interface. Its number is that of the call, from 0.
func (w *PcapngWriter) AddInterface(i Interface) {
	w.ifaces = append(w.ifaces, i)
	w.stats = append(w.stats, Stats{})
	w.begin(blockInterface)
	w.u16(uint16(i.Link))
	w.u16(0)
	w.u32(uint32(i.SnapLen))
	w.optionText(optionName, i.Name)
	w.u16(optionResol)
	w.u16(1)
	w.u32(nanosResol)
	if i.Filter != "" {
		w.optionText(optionFilter, "\x00"+i.Filter) // 0: in the language of libpcap
	}
	w.u32(optionEnd)
	_ = w.end() // bufio returns a failure again later
}

// Write writes one packet and keeps none of it; Number is ignored. It fails for
// times before 1970. The packet's interface is the one of its Iface, if that was described and has its link type.
func (w *PcapngWriter) Write(p Packet) error { return w.WriteComment(p, "") }

// WriteComment writes a packet with a comment, which Wireshark shows beside it; none if it is "".
func (w *PcapngWriter) WriteComment(p Packet, comment string) error {
	if p.Time < 0 {
		return fmt.Errorf("write pcapng: time %d ns does not fit the format", p.Time)
	}
	id := w.iface(p)
	w.begin(blockEnhanced)
	w.u32(uint32(id))
	w.stamp(p.Time)
	w.u32(uint32(len(p.Data)))
	w.u32(uint32(max(p.WireLen, len(p.Data))))
	w.block = append(w.block, p.Data...)
	w.pad()
	if comment != "" {
		w.optionText(optionComment, comment)
		w.u32(optionEnd)
	}
	return w.end()
}

// Mark notes that the capture's clock stood at a time (ns) when the next packet had not come yet: a Reader gives
// it back as a Ref without a packet. Other programs take it for statistics without counts.
func (w *PcapngWriter) Mark(time int64) error {
	if len(w.ifaces) == 0 {
		return nil
	}
	w.begin(blockStats)
	w.u32(0)
	w.stamp(time)
	w.u16(optionEndTime)
	w.u16(8)
	w.stamp(time)
	w.u32(optionEnd)
	return w.end()
}

// SetStats keeps what Close writes as statistics of the first interface: only
// Received, Dropped and Known count.
func (w *PcapngWriter) SetStats(s Stats) { w.SetInterfaceStats(0, s) }

// SetInterfaceStats does so for the interface with a number; it must be described by the time of Close.
func (w *PcapngWriter) SetInterfaceStats(id int, s Stats) {
	for len(w.stats) <= id {
		w.stats = append(w.stats, Stats{})
	}
	w.stats[id] = s
}

// Flush hands what is buffered to the underlying writer.
func (w *PcapngWriter) Flush() error { return w.w.Flush() }

// Close writes the statistics, if there are any, and ends the file. It does
// not close the underlying writer.
func (w *PcapngWriter) Close() error {
	for id, s := range w.stats {
		if !s.Known || id >= len(w.ifaces) {
			continue
		}
		w.begin(blockStats)
		w.u32(uint32(id))
		w.u64(0) // no time: time comes from packets
		w.option64(optionReceived, s.Received)
		w.option64(optionDropped, s.Dropped)
		w.u32(optionEnd)
		_ = w.end() // Flush returns a failure again
	}
	w.stats = nil
	return w.w.Flush()
}

// iface returns the number of a packet's interface. One that was not described is, by its link type.
func (w *PcapngWriter) iface(p Packet) int {
	if p.Iface < len(w.ifaces) && w.ifaces[p.Iface].Link == p.Link {
		return p.Iface
	}
	for i := range w.ifaces {
		if w.ifaces[i].Link == p.Link {
			return i
		}
	}
	stats := w.stats
	w.AddInterface(Interface{Link: p.Link})
	if len(stats) >= len(w.ifaces) { // told before the interface was
		w.stats = stats
	}
	return len(w.ifaces) - 1
}

func (w *PcapngWriter) u16(v uint16) { w.block = binary.LittleEndian.AppendUint16(w.block, v) }
func (w *PcapngWriter) u32(v uint32) { w.block = binary.LittleEndian.AppendUint32(w.block, v) }
func (w *PcapngWriter) u64(v uint64) { w.block = binary.LittleEndian.AppendUint64(w.block, v) }

// stamp appends a time in the format's two halves.
func (w *PcapngWriter) stamp(ns int64) {
	w.u32(uint32(ns >> 32))
	w.u32(uint32(ns))
}

func (w *PcapngWriter) option64(code uint16, v uint64) {
	w.u16(code)
	w.u16(8)
	w.u64(v)
}

// maxOption bounds the text of an option.
const maxOption = 4096

func (w *PcapngWriter) optionText(code uint16, s string) {
	if s == "" {
		return
	}
	s = s[:min(len(s), maxOption)]
	w.u16(code)
	w.u16(uint16(len(s)))
	w.block = append(w.block, s...)
	w.pad()
}

func (w *PcapngWriter) pad() {
	for len(w.block)%4 != 0 {
		w.block = append(w.block, 0)
	}
}

func (w *PcapngWriter) begin(kind uint32) {
	w.block = w.block[:0]
	w.u32(kind)
	w.u32(0) // the length, when it is known
}

// end pads the block, sets its length on both sides and writes it.
func (w *PcapngWriter) end() error {
	w.pad()
	n := uint32(len(w.block) + 4)
	w.u32(n)
	binary.LittleEndian.PutUint32(w.block[4:], n)
	w.size += int64(len(w.block))
	_, err := w.w.Write(w.block)
	return err
}
