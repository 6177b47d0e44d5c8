package dissect

import (
	"unsafe"

	"github.com/nubishark/nubishark/internal/prefetch"
	"github.com/nubishark/nubishark/protocol"
)

// Most records are of packets and transactions with which nothing is the matter. They wait for their turn as what cannot be
// concluded again: a line of the cache, where a Frame with its fields takes ten. The sink is told the whole record, made in
// memory that is near the processor because the one before stood there.

// whole is the record of a packet that came whole, in one segment, and broke no rule.
type whole struct {
	conn                 *Conn
	raw                  []byte // lent until the records are reset
	offset, time, packet int64
	slot                 int32 // of the transaction
	form                 uint8
	dir                  uint8
	from                 protocol.Side
	asked                byte // the letter of the request that it answers, 0 for a request
}

// Form is a layout with its tail or without it. All fields but the last one have a size that is known.
type Form struct {
	// Row is the form's place in Forms.
	Row    int
	Layout *protocol.Layout
	// Fields must not be changed; At is where each of them starts in the packet (bytes).
	Fields []protocol.Field
	At     []int
}

// forms are two for each layout: at twice its row the one without the tail.
var forms = func() (list []Form) {
	for i, l := range protocol.Layouts {
		list = append(list, formOf(2*i, l, l.Fields), formOf(2*i+1, l, l.Whole()))
	}
	return list
}()

// Forms returns all forms by their rows. They must not be changed.
func Forms() []Form { return forms }

func formOf(row int, l *protocol.Layout, fields []protocol.Field) Form {
	k := Form{Row: row, Layout: l, Fields: fields, At: make([]int, len(fields))}
	for i := range fields[1:] {
		k.At[i+1] = k.At[i] + fields[i].Size
	}
	return k
}

// cut fills in the fields of a packet that is whole. The one whose size is told by the packet is the last one. Here, as wherever
// such records are filled in, each part is written by itself, because one written to be copied at once is waited for; and a
// pointer that is there already is not written, because the garbage collector wants to know of each.
func (k *Form) cut(list []FieldValue, raw []byte) {
	for i := range k.Fields {
		v := &list[i]
		put(&v.Field, &k.Fields[i])
		v.At, v.Value, v.Complete = k.At[i], k.Value(i, raw), true
	}
}

// Value is the i-th field of a packet of this form, a part of it.
func (k *Form) Value(i int, raw []byte) []byte {
	from, to := k.At[i], len(raw)
	if size := k.Fields[i].Size; size > 0 {
		to = from + size
	}
	return raw[from:to:to]
}

// put writes a pointer where another one stands.
func put[T any](at **T, p *T) {
	if *at != p {
		*at = p
	}
}

// give makes the frame for each such packet in the same place, all of it, because the sink may have changed the one before.
func (w *whole) give(n *Numbering) {
	f, k, raw := &n.frame, &forms[w.form], w.raw
	f.Conn, f.Packets, f.Layout, f.SessionID, f.Holes, f.Violations, f.Raw, f.cell, f.fields, f.form = w.conn, f.one[:], k.Layout, raw[1:protocol.HeaderSize], nil, nil, raw, nil, n.fields[:0], k
	f.From, f.Time, f.Offset, f.Length, f.Letter, f.RequestLetter, f.Missing, f.Transaction = w.from, w.time, w.offset, len(raw), raw[0], w.asked, 0, 0
	f.dir, f.role, f.truncated, f.slot, f.one[0], f.cut = w.dir, asRequest, false, w.slot, w.packet, false
	if w.asked != 0 {
		f.role = asResponse
	}
	f.give(n)
}

// ahead is the number of records that are looked up at once.
const ahead = 16

// approach asks for what records need that come soon: each is of another connection, which was last near the processor long ago.
func approach(wholes []whole) {
	for i := range wholes {
		w := &wholes[i]
		prefetch.Eight(unsafe.Pointer(w.conn), unsafe.Pointer(&w.raw[0]), unsafe.Pointer(&w.raw[len(w.raw)-1]), unsafe.Pointer(w))
	}
}

// meet asks for what is found by what approach has brought near.
func meet(exchanges []exchange) {
	for i := range exchanges {
		x := &exchanges[i]
		if done := x.conn.done[x.dir&1]; int(x.remember) < len(done) && x.remember >= 0 {
			prefetch.One(unsafe.Pointer(&done[x.remember]))
		}
		if d := x.conn.device; d != "" {
			prefetch.One(unsafe.Pointer(unsafe.StringData(d)))
		}
	}
}

// exchange is the record of a transaction that was answered as it should be.
type exchange struct {
	conn                      *Conn
	id                        sid
	requestTime, responseTime int64
	slot, remember            int32
	letter, dir               uint8
	from                      protocol.Side
}

func (a *exchange) give(n *Numbering) {
	t := &n.transaction
	t.Conn, t.Letter, t.From, t.Device, t.State = a.conn, a.letter, a.from, a.conn.device, Answered
	t.RequestTime, t.ResponseTime, t.ErrorCode, t.HasError = a.requestTime, a.responseTime, 0, false
	t.id, t.dir, t.slot, t.remember = a.id, a.dir, a.slot, a.remember
	t.Reason, t.paired = NoReason, false
	put(&t.request, nil)
	put(&t.response, nil)
	put(&t.kept, nil)
	if t.Evidence != nil {
		t.Evidence = nil
	}
	if len(t.SessionID) != len(t.id) || &t.SessionID[0] != &t.id[0] {
		t.SessionID = t.id[:]
	}
	t.give(n)
}

// usual reports whether an answer tells all of the transaction that is over.
func (t *transaction) usual() bool {
	return t.state == Answered && t.request == nil && t.answer == nil && !t.hasError && t.reason == NoReason
}

// outWhole lets the record of a usual packet out: a response to a request with a letter, or a request.
func (c *Dialogue) outWhole(dir int, l *protocol.Layout, tail bool, b []byte, w *Whole, slot int32, asked byte) {
	c.frames++
	if c.d.opts.Brief {
		c.feel(dir, b[0], w.Time)
		c.d.rec.countFrame(b[0])
		return
	}
	c.update()
	c.feel(dir, b[0], w.Time)
	x := c.d.addWhole()
	x.conn, x.raw, x.offset, x.time, x.packet = c.conn, b, w.Offset, w.Time, w.Packet
	x.slot, x.form, x.dir, x.from, x.asked = slot, uint8(2*l.Row()), uint8(dir), c.sideOf(dir), asked
	if tail {
		x.form++
	}
}

// outAnswer lets the record of a usual transaction out; remember is its place among the finished ones.
func (c *Dialogue) outAnswer(t *transaction, remember int32) {
	c.transactions++
	c.update()
	x := c.d.addExchange()
	x.conn, x.id, x.requestTime, x.responseTime = c.conn, t.id, t.requestTime, t.responseTime
	x.slot, x.remember, x.letter, x.dir, x.from = t.slot, remember, t.letter, t.dir, c.sideOf(int(t.dir))
}
