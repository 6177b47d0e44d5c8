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

// form is a layout with its tail or without it.
type form struct {
	layout *protocol.Layout
	fields []protocol.Field
	at     []int // where each starts
}

// forms are two for each layout: at twice its row the one without the tail.
var forms = func() (list []form) {
	for _, l := range protocol.Layouts {
		list = append(list, formOf(l, l.Fields), formOf(l, l.Whole()))
	}
	return list
}()

func formOf(l *protocol.Layout, fields []protocol.Field) form {
	k := form{layout: l, fields: fields, at: make([]int, len(fields))}
	for i := range fields[1:] {
		k.at[i+1] = k.at[i] + fields[i].Size
	}
	return k
}

// cut fills in the fields of a packet that is whole. The one whose size is told by the packet is the last one. Here, as wherever
// such records are filled in, each part is written by itself, because one written to be copied at once is waited for; and a
// pointer that is there already is not written, because the garbage collector wants to know of each.
func (k *form) cut(list []FieldValue, raw []byte) {
	for i, from := range k.at {
		to := len(raw)
		if size := k.fields[i].Size; size > 0 {
			to = from + size
		}
		v := &list[i]
		put(&v.Field, &k.fields[i])
		v.At, v.Value, v.Complete = from, raw[from:to:to], true
	}
}

// put writes a pointer where another one stands.
func put[T any](at **T, p *T) {
	if *at != p {
		*at = p
	}
}

// lent is a Frame that a sink is told again and again, for packets of one form.
type lent struct {
	Frame
	fields []FieldValue
}

// lend returns the frame for packets of a form, as empty as the sink got it.
func (n *Numbering) lend(at uint8) *lent {
	if n.lent == nil {
		n.lent = make([]lent, len(forms))
		for i := range n.lent {
			n.lent[i].fields = make([]FieldValue, len(forms[i].fields))
		}
	}
	f := &n.lent[at]
	put(&f.Layout, forms[at].layout)
	put(&f.cell, nil)
	if len(f.Packets) != 1 || &f.Packets[0] != &f.one[0] {
		f.Packets = f.one[:]
	}
	if len(f.Fields) != len(f.fields) || &f.Fields[0] != &f.fields[0] {
		f.Fields = f.fields
	}
	if f.Holes != nil || f.Violations != nil {
		f.Holes, f.Violations = nil, nil
	}
	f.Missing, f.Transaction, f.truncated = 0, 0, false
	return f
}

func (w *whole) give(n *Numbering) {
	f := n.lend(w.form)
	forms[w.form].cut(f.fields, w.raw)
	f.Conn, f.From, f.Time, f.Offset, f.Length = w.conn, w.from, w.time, w.offset, len(w.raw)
	f.Letter, f.RequestLetter, f.SessionID, f.Raw = w.raw[0], w.asked, w.raw[1:protocol.HeaderSize], w.raw
	f.dir, f.role, f.slot, f.one[0] = w.dir, asRequest, w.slot, w.packet
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
