package dissect

import "github.com/nubishark/nubishark/protocol"

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

// cut appends the fields of a packet that is whole. The one whose size is told by the packet is the last one.
func (k *form) cut(list []FieldValue, raw []byte) []FieldValue {
	for i := range k.fields {
		v := &k.fields[i]
		from, to := k.at[i], len(raw)
		if v.Size > 0 {
			to = from + v.Size
		}
		list = append(list, FieldValue{Field: v, At: from, Value: raw[from:to:to], Complete: true})
	}
	return list
}

func (w *whole) give(n *Numbering) {
	f, k := &n.frame, &forms[w.form]
	n.fields = k.cut(n.fields[:0], w.raw)
	*f = Frame{
		Conn: w.conn, From: w.from, Time: w.time, Offset: w.offset, Length: len(w.raw), Letter: w.raw[0], Layout: k.layout,
		RequestLetter: w.asked, SessionID: w.raw[1:protocol.HeaderSize], Fields: n.fields, Raw: w.raw,
		dir: w.dir, role: asRequest, slot: w.slot,
	}
	if w.asked != 0 {
		f.role = asResponse
	}
	f.one[0] = w.packet
	f.Packets = f.one[:]
	f.give(n)
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
	*t = Transaction{
		Conn: a.conn, Letter: a.letter, From: a.from, Device: a.conn.device, State: Answered,
		RequestTime: a.requestTime, ResponseTime: a.responseTime,
		id: a.id, dir: a.dir, slot: a.slot, remember: a.remember,
	}
	t.SessionID = t.id[:]
	t.give(n)
}

// usual reports whether an answer tells all of the transaction that is over.
func (t *transaction) usual() bool {
	return t.state == Answered && t.request == nil && t.answer == nil && !t.hasError && t.reason == NoReason
}

// outWhole lets the record of a usual packet out: a response to a request with a letter, or a request.
func (c *Dialogue) outWhole(h *half, l *protocol.Layout, tail bool, w write, slot int32, asked byte) {
	c.frames++
	if c.d.opts.Brief {
		c.d.rec.countFrame(w.b[0])
		return
	}
	c.update()
	c.feel(h.dir, w.b[0], w.time)
	x := c.d.addWhole()
	*x = whole{
		conn: c.conn, raw: w.b, offset: w.offset, time: w.time, packet: w.packet, slot: slot,
		form: uint8(2 * l.Row()), dir: uint8(h.dir), from: c.sideOf(h.dir), asked: asked,
	}
	if tail {
		x.form++
	}
}

// outAnswer lets the record of a usual transaction out; remember is its place among the finished ones.
func (c *Dialogue) outAnswer(t *transaction, remember int32) {
	c.transactions++
	c.update()
	*c.d.addExchange() = exchange{
		conn: c.conn, id: t.id, requestTime: t.requestTime, responseTime: t.responseTime, slot: t.slot, remember: remember,
		letter: t.letter, dir: t.dir, from: c.sideOf(int(t.dir)),
	}
}
