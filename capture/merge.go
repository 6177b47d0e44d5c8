package capture

import (
	"errors"
	"io"
)

// maxRefs bounds a merged batch where packets have no bytes.
const maxRefs = blockSize / 16

// merged is several captures as one, in the order of their times; of equal times, the
// capture that was named first goes first.
type merged struct {
	inputs []*input
	ifaces []Interface
	number int64
	err    error
}

// input is one of the captures with its batch that is being used up.
type input struct {
	r    *Reader
	b    Batch
	next int
	done bool
	ids  []int // of its interfaces among all
}

func merge(list []*Reader) *merged {
	m := &merged{}
	for _, r := range list {
		m.inputs = append(m.inputs, &input{r: r})
	}
	return m
}

// Next implements Source. Damage in one file is reported when all are read.
func (m *merged) Next(b *Batch) error {
	b.Data, b.Refs = b.Data[:0], b.Refs[:0]
	for len(b.Data) < blockSize && len(b.Refs) < maxRefs {
		in := m.first()
		if in == nil {
			break
		}
		p := in.b.Refs[in.next]
		in.next++
		if p.Number == 0 { // a mark of the clock: all that is to come is later
			b.Refs = append(b.Refs, Ref{Time: p.Time, Off: uint32(len(b.Data))})
			continue
		}
		m.number++
		off := uint32(len(b.Data))
		b.Data = append(b.Data, in.b.Data[p.Off:p.Off+p.Len]...)
		p.Off, p.Number, p.Iface = off, m.number, m.iface(in, p.Iface)
		b.Refs = append(b.Refs, p)
	}
	if len(b.Refs) > 0 {
		return nil
	}
	err := m.err
	m.err = nil
	if err == nil {
		return io.EOF
	}
	return err
}

// iface numbers an interface of an input among those of all.
func (m *merged) iface(in *input, of uint16) uint16 {
	id := int(of)
	for len(in.ids) <= id {
		in.ids = append(in.ids, -1)
	}
	if in.ids[id] < 0 {
		in.ids[id] = len(m.ifaces)
		var x Interface
		if list := in.r.Interfaces(); id < len(list) {
			x = list[id]
		} else if in.next > 0 {
			x.Link = in.b.Refs[in.next-1].Link
		}
		m.ifaces = append(m.ifaces, x)
	}
	return ifaceNumber(in.ids[id])
}

// Interfaces are those of the packets so far.
func (m *merged) Interfaces() []Interface { return m.ifaces }

// first returns the input with the earliest next packet, nil if there is none.
func (m *merged) first() *input {
	var best *input
	for _, in := range m.inputs {
		m.refill(in)
		if !in.done && (best == nil || in.b.Refs[in.next].Time < best.b.Refs[best.next].Time) {
			best = in
		}
	}
	return best
}

func (m *merged) refill(in *input) {
	for !in.done && in.next >= len(in.b.Refs) {
		in.next = 0
		if err := in.r.Next(&in.b); err != nil {
			in.done = true
			if !errors.Is(err, io.EOF) {
				m.err = errors.Join(m.err, err)
			}
		}
	}
}

// Stats implements Source: the sum of all files, and no size where one is unknown.
func (m *merged) Stats() Stats {
	var s Stats
	sized := true
	for _, in := range m.inputs {
		t := in.r.Stats()
		s.Received += t.Received
		s.Dropped += t.Dropped
		s.Known = s.Known || t.Known
		s.Read += t.Read
		s.Size += t.Size
		sized = sized && t.Size > 0
	}
	if !sized {
		s.Size = 0
	}
	return s
}

// Close implements Source.
func (m *merged) Close() error {
	var err error
	for _, in := range m.inputs {
		err = errors.Join(err, in.r.Close())
	}
	return err
}
