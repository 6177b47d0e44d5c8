package dissect

import "slices"

// Records are the records of a stretch of packets, in order, without numbers: those are given by Numbering, when the
// stretches of several dissectors are put in order. Their memory is used again after Reset. The zero value is ready.
type Records struct {
	order        []tag // what comes next: of each kind, the next one
	wholes       []whole
	exchanges    []exchange
	others       []record
	given        given
	marks        []mark // where several dissectors work together
	frames       pool[Frame]
	transactions pool[Transaction]
	conns        pool[connUpdate]
	fields       []FieldValue
	raw          []byte
	packets      []int64
	counts       Counts
	counted      bool
}

// tag tells where a record stands.
type tag uint8

const (
	aWhole tag = iota
	anExchange
	another
)

// given counts what was handed on.
type given struct{ records, wholes, exchanges, others int }

// record is anything else that a sink is told, or that Numbering has to know.
type record interface {
	// give numbers the record and hands it to the sink.
	give(n *Numbering)
}

// Reset forgets the records; the slices of frames that were handed out may be overwritten from now on.
func (r *Records) Reset() {
	clear(r.others)
	r.order, r.wholes, r.exchanges, r.others, r.marks = r.order[:0], r.wholes[:0], r.exchanges[:0], r.others[:0], r.marks[:0]
	r.given = given{}
	r.frames.n, r.transactions.n, r.conns.n = 0, 0, 0
	if r.counted {
		r.counts, r.counted = Counts{Answers: r.counts.Answers[:0]}, false
	}
	r.fields, r.raw, r.packets = reuse(r.fields), reuse(r.raw), reuse(r.packets)
}

// maxReuse bounds the memory, in elements, that is kept to be used again.
const maxReuse = 1 << 20

func reuse[T any](s []T) []T {
	if cap(s) > maxReuse {
		return nil
	}
	return s[:0]
}

// Empty reports whether there is nothing to hand on.
func (r *Records) Empty() bool { return len(r.order) == 0 && !r.counted }

func (d *Dissector) add(x record) {
	r := d.next(another)
	r.others = append(r.others, x)
}

// addWhole returns room for the record of a usual packet, which is to be filled in at once.
func (d *Dissector) addWhole() *whole {
	r := d.next(aWhole)
	r.wholes = longer(r.wholes)
	return &r.wholes[len(r.wholes)-1]
}

// addExchange returns room for the record of a usual transaction, which is to be filled in at once.
func (d *Dissector) addExchange() *exchange {
	r := d.next(anExchange)
	r.exchanges = longer(r.exchanges)
	return &r.exchanges[len(r.exchanges)-1]
}

// longer returns a list with one element more, which may hold anything.
func longer[T any](s []T) []T {
	if n := len(s); n < cap(s) {
		return s[:n+1]
	}
	var zero T
	return append(s, zero)
}

// next notes that such a record comes now.
func (d *Dissector) next(k tag) *Records {
	r := d.rec
	if d.shared != nil && (len(r.marks) == 0 || r.marks[len(r.marks)-1].moment != d.moment) {
		r.marks = append(r.marks, mark{d.moment, len(r.order)})
	}
	r.order = append(r.order, k)
	return r
}

// keepRaw copies bytes.
func (r *Records) keepRaw(b []byte) []byte {
	at := len(r.raw)
	r.raw = append(r.raw, b...)
	return r.raw[at:len(r.raw):len(r.raw)]
}

// room returns room for the packet numbers of a frame.
func (r *Records) room(f *Frame, n int) []int64 {
	if n <= len(f.one) {
		return f.one[:0]
	}
	at := len(r.packets)
	r.packets = slices.Grow(r.packets, n)[:at+n]
	return r.packets[at : at : at+n]
}

// fieldsOf returns room for the fields of a frame.
func (r *Records) fieldsOf(n int) []FieldValue {
	at := len(r.fields)
	r.fields = slices.Grow(r.fields, n)[:at+n]
	return r.fields[at : at : at+n]
}

// pool hands out zero values, each of which is used again after n was set back.
type pool[T any] struct {
	list []*T
	n    int
}

const slabSize = 64

func (p *pool[T]) get() *T {
	if p.n == len(p.list) {
		slab := make([]T, slabSize)
		p.list = slices.Grow(p.list, slabSize)
		for i := range slab {
			p.list = append(p.list, &slab[i])
		}
	}
	p.n++
	return p.list[p.n-1]
}

// Numbering gives records their numbers, and hands them to a sink. It is not safe for concurrent use.
type Numbering struct {
	stock                            shelf[uint32] // memory of connections that have ended
	sink                             Sink
	framesOnly                       bool // transactions have no numbers
	frames, transactions, violations int64
	comers                           map[string]*comer

	// What a sink is told of usual packets and transactions stands here.
	frame       Frame
	fields      [mostFields]FieldValue
	transaction Transaction
}

// mostFields is enough for the fields of any packet.
const mostFields = 16

// NewNumbering returns a numbering that starts at 1, of what dissectors with these options tell.
func NewNumbering(sink Sink, opts Options) *Numbering {
	return &Numbering{sink: sink, framesOnly: opts.FramesOnly}
}

// Give hands on all records.
func (n *Numbering) Give(r *Records) {
	n.hand(r, len(r.order))
	n.count(r)
}

// hand hands on the records up to a place, those before it that were not yet.
func (n *Numbering) hand(r *Records, to int) {
	g := &r.given
	if g.records == 0 {
		approach(r.wholes[:min(len(r.wholes), ahead)])
	}
	for ; g.records < to; g.records++ {
		switch r.order[g.records] {
		case aWhole:
			if g.wholes%ahead == 0 {
				approach(r.wholes[min(g.wholes+ahead, len(r.wholes)):min(g.wholes+2*ahead, len(r.wholes))])
				meet(r.exchanges[g.exchanges:min(g.exchanges+ahead, len(r.exchanges))])
			}
			g.wholes++
			r.wholes[g.wholes-1].give(n)
		case anExchange:
			g.exchanges++
			r.exchanges[g.exchanges-1].give(n)
		default:
			g.others++
			r.others[g.others-1].give(n)
		}
	}
}

func (n *Numbering) count(r *Records) {
	if !r.counted {
		return
	}
	if c, ok := n.sink.(Counter); ok {
		c.Count(&r.counts)
	}
}

// numbers are those of a transaction that is not over.
type numbers struct{ transaction, request, response int64 }

// numbersOf returns the numbers in a slot of the connection.
func (c *Conn) numbersOf(slot int32) *numbers {
	if slot == 0 {
		return &c.first
	}
	for int(slot) > len(c.open) {
		c.open = append(c.open, numbers{})
	}
	return &c.open[slot-1]
}

// remember keeps the number of a finished transaction where the requester's table has it. Of a number it is the lower half: those of the
// last 4,294,967,296 transactions can be told.
func (n *Numbering) remember(c *Conn, dir uint8, at int32, number int64) {
	done := &c.done[dir]
	for int(at) >= len(*done) {
		if len(*done) == cap(*done) {
			bigger := n.stock.get(max(8, 2*cap(*done)))[:len(*done)]
			copy(bigger, *done)
			n.stock.put(*done)
			*done = bigger
		}
		*done = append(*done, 0)
	}
	(*done)[at] = uint32(number)
}

// remembered returns the number of a finished transaction.
func (n *Numbering) remembered(c *Conn, dir uint8, at int32) int64 {
	lower := c.done[dir][at]
	return n.transactions - int64(uint32(n.transactions)-lower)
}

// role says what a frame is to a transaction.
type role uint8

const (
	alone      role = iota // it is part of none
	asRequest              // of the one in its slot
	asResponse             // of the one in its slot
	asLate                 // a response to one that is over
)

func (f *Frame) give(n *Numbering) {
	n.frames++
	f.Number = n.frames
	switch {
	case f.role == asRequest && n.framesOnly:
		*f.Conn.numbersOf(f.slot) = numbers{request: f.Number} // a violation may ask for it
	case n.framesOnly:
	default:
		n.place(f)
	}
	if f.cell != nil {
		*f.cell = f.Number
	}
	n.sink.Frame(f)
}

// place tells a frame which transaction it is part of.
func (n *Numbering) place(f *Frame) {
	switch f.role {
	case asRequest:
		n.transactions++
		*f.Conn.numbersOf(f.slot) = numbers{transaction: n.transactions, request: f.Number}
		f.Transaction = n.transactions
	case asResponse:
		t := f.Conn.numbersOf(f.slot)
		n.number(t)
		t.response = f.Number
		f.Transaction = t.transaction
	case asLate:
		f.Transaction = n.remembered(f.Conn, 1-f.dir, f.slot)
	}
}

// number gives a transaction its number, if it has none.
func (n *Numbering) number(t *numbers) {
	if t.transaction == 0 {
		n.transactions++
		t.transaction = n.transactions
	}
}

func (t *Transaction) give(n *Numbering) {
	if n.framesOnly {
		n.sink.Transaction(t)
		return
	}
	k := t.kept
	if k == nil {
		k = t.Conn.numbersOf(t.slot)
		n.number(k)
	}
	t.Number, t.Request, t.Response = k.transaction, k.request, k.response
	if t.request != nil {
		t.Request = *t.request
	}
	if t.response != nil {
		t.Response = *t.response
	}
	*k = numbers{}
	if t.remember >= 0 {
		n.remember(t.Conn, t.dir, t.remember, t.Number)
	}
	n.sink.Transaction(t)
}

func (v *Violation) give(n *Numbering) {
	n.violations++
	v.Number = n.violations
	switch {
	case v.about != nil:
		v.Frame = *v.about
	case v.slot > 0:
		v.Frame = v.Conn.numbersOf(v.slot - 1).request
	}
	v.about = nil
	n.sink.Violation(v)
}

func (s *Stream) give(n *Numbering) {
	for _, done := range s.Conn.done {
		n.stock.put(done)
	}
	s.Conn.first, s.Conn.open, s.Conn.done = numbers{}, nil, [2][]uint32{}
	n.sink.Stream(s)
}

// connUpdate tells what is known of a connection from here on.
type connUpdate struct {
	conn      *Conn
	deviceDir int
	device    string
}

func (u *connUpdate) give(*Numbering) {
	u.conn.DeviceDir, u.conn.device = u.deviceDir, u.device
	u.conn.write()
}

// call is something to be done between records.
type call func()

func (f call) give(*Numbering) { f() }

// Tell does something when the records so far have been handed on.
func (d *Dissector) Tell(do func()) {
	d.add(call(do))
	d.flush()
}
