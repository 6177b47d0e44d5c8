package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// writeBuffer is how much a writer gathers before it writes, in bytes.
const writeBuffer = 64 << 10

// PcapWriter writes a pcap file: one link type, in the byte order of little
// endian. It must not be shared between goroutines.
type PcapWriter struct {
	w     *bufio.Writer
	link  LinkType
	scale int64 // nanoseconds in a unit of the file
	head  []byte
}

// NewPcapWriter begins a pcap file for packets of one link type. nanos keeps
// times to the nanosecond, which some old programs cannot read; otherwise
// they are cut to microseconds. Output is buffered: call Close. An error of w
// comes from the next call that meets it.
func NewPcapWriter(w io.Writer, link LinkType, nanos bool) *PcapWriter {
	p := &PcapWriter{w: bufio.NewWriterSize(w, writeBuffer), link: link, scale: 1000}
	magic := uint32(magicMicro)
	if nanos {
		p.scale, magic = 1, magicNano
	}
	_, _ = p.w.Write(pcapFileHeader(magic, link)) // bufio returns a failure again later
	return p
}

// pcapFileHeader makes a file header of version 2.4, little-endian.
func pcapFileHeader(magic uint32, link LinkType) []byte {
	h := binary.LittleEndian.AppendUint32(nil, magic)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, 0, 0, 0, 0, 0, 0, 0, 0)
	h = binary.LittleEndian.AppendUint32(h, 262144)
	return binary.LittleEndian.AppendUint32(h, uint32(link))
}

// Write writes one packet and keeps none of it; Number is ignored. It fails for
// another link type and for times before 1970 or after 2106.
func (w *PcapWriter) Write(p Packet) error {
	sec := p.Time / second
	switch {
	case p.Link != w.link:
		return fmt.Errorf("write pcap: a packet of link type %d in a file of link type %d", p.Link, w.link)
	case p.Time < 0 || sec > math.MaxUint32:
		return fmt.Errorf("write pcap: time %d ns does not fit the format", p.Time)
	}
	h := binary.LittleEndian.AppendUint32(w.head[:0], uint32(sec))
	h = binary.LittleEndian.AppendUint32(h, uint32(p.Time%second/w.scale))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(p.Data)))
	h = binary.LittleEndian.AppendUint32(h, uint32(max(p.WireLen, len(p.Data))))
	w.head = h
	_, _ = w.w.Write(h) // bufio returns a failure again below
	_, err := w.w.Write(p.Data)
	return err
}

// Flush hands on what is buffered.
func (w *PcapWriter) Flush() error { return w.w.Flush() }

// Close ends the file. It does not close the underlying writer.
func (w *PcapWriter) Close() error { return w.w.Flush() }
