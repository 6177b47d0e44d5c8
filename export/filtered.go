package export

import (
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/filter"
)

// Filtered lets only what fits a filter through to a Writer: packets, and bytes that are no packet, by themselves; a
// transaction with its request or its response, a violation with its packet, a connection with any of these.
//
// What is known of a packet only once its transaction is over makes it wait for that, and all that comes behind it, up to
// maxHeld records.
type Filtered struct {
	Writer
	filter *filter.Filter
	waits  bool

	queue  []*waiting
	first  int                                   // of the queue
	frames map[int64]*waiting                    // those of the queue by number
	open   map[*dissect.Conn]map[int64]*exchange // transactions that are not over, by number
	newest int64                                 // the highest number of a transaction so far
	past   pastRequests
	shown  window
	conns  map[*dissect.Conn]bool

	// Shown counts the records that fitted, Packets and Of the NUBISON packets that did and all of them.
	Shown, Packets, Of int64
}

// maxHeld bounds the records that wait.
const maxHeld = 1 << 16

// waiting is a record in the queue.
type waiting struct {
	frame       *dissect.Frame
	transaction *dissect.Transaction
	violation   *dissect.Violation
	stream      *dissect.Stream
	note        *dissect.Note
	with        *exchange // of a frame
	more        []*dissect.Violation
}

// exchange is what is known of a transaction.
type exchange struct {
	over              bool
	tx                *dissect.Transaction
	request, response int64 // the capture packets with the last bytes
	asked             int64 // time of the request (ns) where its transaction was over before the response
}

// NewFiltered returns a Writer that shows what fits.
func NewFiltered(w Writer, f *filter.Filter) *Filtered {
	s := &Filtered{
		Writer: w, filter: f, frames: make(map[int64]*waiting), open: make(map[*dissect.Conn]map[int64]*exchange), conns: make(map[*dissect.Conn]bool),
	}
	for i := range accessors {
		s.waits = s.waits || accessors[i].later && f.Uses(i)
	}
	return s
}

// Frame implements dissect.Sink.
func (s *Filtered) Frame(f *dissect.Frame) {
	s.Of++
	x := &waiting{frame: f}
	if s.waits {
		x.frame = f.Clone() // it was lent
		x.with = s.exchange(f)
		s.frames[f.Number] = x
	}
	s.add(x)
}

// exchange notes a packet as a part of its transaction. It returns nil for one that is a part of none; of one that was over
// before, the request is known.
func (s *Filtered) exchange(f *dissect.Frame) *exchange {
	if f.Transaction == 0 || len(f.Packets) == 0 {
		return nil
	}
	list := s.open[f.Conn]
	e := list[f.Transaction]
	if e == nil {
		if f.Transaction <= s.newest {
			old := s.past.packets[f.Transaction]
			return &exchange{over: true, request: old.packet, asked: old.time}
		}
		if list == nil {
			list = make(map[int64]*exchange)
			s.open[f.Conn] = list
		}
		e = &exchange{}
		list[f.Transaction] = e
		s.newest = f.Transaction
	}
	if last := f.Packets[len(f.Packets)-1]; f.Letter == 'R' {
		e.response = last
	} else {
		e.request = last
	}
	return e
}

// Transaction implements dissect.Sink.
func (s *Filtered) Transaction(t *dissect.Transaction) {
	if s.waits {
		t = t.Clone() // it was lent
	}
	if list := s.open[t.Conn]; list != nil {
		if e := list[t.Number]; e != nil {
			e.over, e.tx = true, t
			delete(list, t.Number)
			s.past.add(t.Number, pastRequest{e.request, t.RequestTime})
		}
	}
	s.add(&waiting{transaction: t})
}

// Violation implements dissect.Sink.
func (s *Filtered) Violation(v *dissect.Violation) {
	if x := s.frames[v.Frame]; x != nil && v.Frame != 0 {
		x.attach(v)
	}
	s.add(&waiting{violation: v})
}

// attach adds a violation that the packet did not know of when it was settled.
func (x *waiting) attach(v *dissect.Violation) {
	for _, r := range x.frame.Violations {
		if r == v.Rule {
			return
		}
	}
	x.more = append(x.more, v)
}

// Stream implements dissect.Sink.
func (s *Filtered) Stream(c *dissect.Stream) {
	for _, e := range s.open[c.Conn] {
		e.over = true
	}
	delete(s.open, c.Conn)
	s.add(&waiting{stream: c})
}

// Note implements dissect.NoteSink.
func (s *Filtered) Note(n *dissect.Note) { s.add(&waiting{note: n}) }

// Close implements Writer.
func (s *Filtered) Close(t Totals) error {
	s.drain(0)
	t.Part = true
	t.Filtered, t.Fitting, t.FittingPackets, t.FramesInAll = true, s.Shown, s.Packets, s.Of
	return s.Writer.Close(t)
}

func (s *Filtered) add(x *waiting) {
	if !s.waits {
		s.pass(x)
		return
	}
	s.queue = append(s.queue, x)
	s.drain(maxHeld)
}

// drain lets go of what waits for nothing any more, and of the oldest beyond a number of records.
func (s *Filtered) drain(most int) {
	for s.first < len(s.queue) {
		x := s.queue[s.first]
		if x.with != nil && !x.with.over && len(s.queue)-s.first <= most {
			break
		}
		s.queue[s.first] = nil
		s.first++
		if x.frame != nil {
			delete(s.frames, x.frame.Number)
		}
		s.pass(x)
	}
	if s.first > len(s.queue)/2 {
		s.queue = append(s.queue[:0], s.queue[s.first:]...)
		s.first = 0
	}
}

// pass shows a record if it fits.
func (s *Filtered) pass(x *waiting) {
	switch {
	case x.frame != nil:
		if s.fits(x) {
			s.shown.add(x.frame.Number)
			s.Packets++
			s.show(x.frame.Conn)
			s.Writer.Frame(x.frame)
		}
	case x.transaction != nil:
		if t := x.transaction; s.shown.has(t.Request) || s.shown.has(t.Response) {
			s.show(t.Conn)
			s.Writer.Transaction(t)
		}
	case x.violation != nil:
		v := x.violation
		if s.shown.has(v.Frame) || v.Frame == 0 && s.filter.Match(&subject{conn: v.Conn, violation: v}) {
			s.show(v.Conn)
			s.Writer.Violation(v)
		}
	case x.stream != nil:
		if s.conns[x.stream.Conn] {
			delete(s.conns, x.stream.Conn)
			s.Writer.Stream(x.stream)
		}
	case x.note.Conn == nil || s.conns[x.note.Conn]:
		if next, ok := s.Writer.(dissect.NoteSink); ok {
			next.Note(x.note)
		}
	}
}

func (s *Filtered) show(c *dissect.Conn) {
	s.Shown++
	s.conns[c] = true
}

func (s *Filtered) fits(x *waiting) bool {
	about := &subject{conn: x.frame.Conn, frame: x.frame, more: x.more}
	if e := x.with; e != nil {
		about.tx, about.request, about.response, about.asked = e.tx, e.request, e.response, e.asked
	}
	return s.filter.Match(about)
}

// pastRequests remembers the capture packets with the requests of the latest transactions that are over.
type pastRequests struct {
	packets map[int64]pastRequest
	order   []int64
}

type pastRequest struct{ packet, time int64 }

func (p *pastRequests) add(tx int64, r pastRequest) {
	if p.packets == nil {
		p.packets = make(map[int64]pastRequest)
	}
	if len(p.order) >= maxHeld {
		for _, old := range p.order[:maxHeld/2] {
			delete(p.packets, old)
		}
		p.order = append(p.order[:0], p.order[maxHeld/2:]...)
	}
	p.packets[tx] = r
	p.order = append(p.order, tx)
}

// window remembers which of the latest packets were shown.
type window struct {
	bits []uint64
	last int64
}

// windowSize is the number of packets that are remembered: a transaction that lasted longer is not shown with its request.
const windowSize = 1 << 20

func (w *window) add(n int64) {
	if w.bits == nil {
		w.bits = make([]uint64, windowSize/64)
	}
	if n-w.last >= windowSize {
		clear(w.bits)
		w.last = n
	}
	for w.last < n {
		w.last++
		w.bits[w.last%windowSize/64] &^= 1 << (w.last % 64)
	}
	w.bits[n%windowSize/64] |= 1 << (n % 64)
}

func (w *window) has(n int64) bool {
	return n > 0 && w.bits != nil && n <= w.last && w.last-n < windowSize && w.bits[n%windowSize/64]>>(n%64)&1 == 1
}
