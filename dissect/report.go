package dissect

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nubishark/nubishark/protocol"
)

// emit lets a record out, or holds it until the connection is known to be NUBISON.
func (c *Dialogue) emit(x record) {
	switch c.standing {
	case confirmed:
		c.out(x)
	case undecided:
		switch y := x.(type) { // what is held outlives the memory that is used again
		case *Frame:
			x = y.Clone()
		case *Transaction:
			z := *y
			z.SessionID = z.id[:]
			x = &z
		}
		c.held = append(c.held, x)
	}
}

func (c *Dialogue) emitFrame(f *Frame)         { c.emit(f) }
func (c *Dialogue) emitViolation(v *Violation) { c.caution(v); c.emit(v) }

// emitTransaction emits a transaction that is over; remember is its place among the finished ones, -1 if it
// has none.
func (c *Dialogue) emitTransaction(t *transaction, remember int32) {
	if c.d.opts.Brief && c.standing == confirmed && t.state == Answered && t.request == nil {
		c.transactions++
		c.d.rec.countAnswer(t.letter, t.responseTime-t.requestTime)
		return
	}
	if c.standing == confirmed && t.usual() {
		if c.d.opts.FramesOnly {
			c.transactions++
			return
		}
		c.outAnswer(t, remember)
		return
	}
	x := c.d.rec.transactions.get()
	c.record(t, x)
	x.remember = remember
	c.emit(x)
}

// record fills in the record of a transaction.
func (c *Dialogue) record(t *transaction, x *Transaction) {
	*x = Transaction{
		Conn: c.conn, Letter: t.letter, State: t.state, RequestTime: t.requestTime, ResponseTime: t.responseTime,
		ErrorCode: t.errorCode, HasError: t.hasError, Reason: t.reason, Evidence: t.evidence,
		id: t.id, dir: t.dir, slot: t.slot, remember: -1, request: t.request,
	}
	x.SessionID = x.id[:]
	x.paired = c.d.opts.Brief && (t.state == Failed || t.state == Answered)
	if t.answer != nil {
		x.response = t.answer.numbered()
	}
}

// update tells what is known of the connection, where that is more than was told.
func (c *Dialogue) update() {
	if c.changed {
		c.changed = false
		u := c.d.rec.conns.get()
		*u = connUpdate{c.conn, int(c.deviceDir), c.device}
		c.d.add(u)
	}
}

// out completes a record by what is known of its connection now, and lets it out.
func (c *Dialogue) out(x record) {
	c.update()
	switch x := x.(type) {
	case *Frame:
		c.frames++
		c.feel(int(x.dir), x.Letter, x.Time)
		if c.d.opts.Brief {
			c.d.rec.countFrame(x.Letter)
			return
		}
		x.From = c.sideOf(int(x.dir))
	case *Transaction:
		c.transactions++
		x.From, x.Device = c.sideOf(int(x.dir)), c.device
	case *Violation:
		c.complete(x)
	}
	c.d.add(x)
}

func (r *Records) countFrame(letter byte) {
	r.counts.Frames[letter]++
	r.counted = true
}

func (r *Records) countAnswer(letter byte, latency int64) {
	r.counts.Answers = append(r.counts.Answers, Answer{latency, letter})
	r.counted = true
}

// complete settles which side a violation is by, and whose fault it is.
func (c *Dialogue) complete(v *Violation) {
	v.From = c.sideOf(v.dir)
	if v.device {
		v.From = protocol.Device
	}
	v.Blame = c.blame(v)
	if v.Severity() != protocol.Note {
		c.violations++
	}
}

// blame resolves whose fault a violation is.
func (c *Dialogue) blame(v *Violation) protocol.Side {
	if v.Blame != protocol.Unknown {
		return v.Blame
	}
	switch v.Rule.Blame {
	case protocol.Capture:
		return protocol.Unknown
	case protocol.Responder:
		if v.Network() {
			return protocol.Unknown
		}
		if v.Rule == protocol.NoResponse {
			if v.closer {
				return v.From
			}
			return v.From.Other()
		}
	}
	return v.From
}

// about makes the record of a violation by a packet.
func (h *half) about(f *Frame, r *protocol.Rule, message string) *Violation {
	v := &Violation{Rule: r, Conn: h.c.conn, dir: int(f.dir), about: f.numbered(), Reason: reasonOf(r), Packets: slices.Clone(f.Packets), Time: f.Time, Offset: f.Offset, Length: int64(f.Length), Message: message, Hint: r.Hint}
	v.unmatched = f.Letter == 'R' && f.RequestLetter == 0
	v.Bytes, v.Secret = excerpt(f)
	if code, ok := f.ErrorCode(); ok && r.Blame == protocol.ByCode {
		v.Code = code
		if e, listed := protocol.LookupError(code); listed {
			v.Blame, v.Hint = e.Blame, e.Hint
		}
	}
	return v
}

// reasonOf is the reason that a rule tells by itself.
func reasonOf(r *protocol.Rule) Reason {
	if r == protocol.LateResponse {
		return AnsweredLate
	}
	return NoReason
}

// excerpt returns a packet's first bytes and the places of its secrets in them.
func excerpt(f *Frame) (b []byte, secret [][2]int) {
	b = slices.Clone(f.Raw[:min(len(f.Raw), maxBytes)])
	fields := f.Fields()
	for i := range fields {
		if from, to, ok := secretIn(&fields[i], len(b)); ok {
			secret = append(secret, [2]int{from, to})
		}
	}
	return b, secret
}

// noResponse makes the record of a request that nobody answered.
func (c *Dialogue) noResponse(h *half, t *transaction, timeout bool) *Violation {
	name := protocol.Name(t.letter)
	why := "the connection ended first"
	if timeout {
		why = fmt.Sprintf("within %v", c.d.opts.timeout())
	}
	v := &Violation{Rule: protocol.NoResponse, Conn: c.conn, dir: h.dir, slot: t.slot + 1, Time: t.requestTime, Length: int64(t.size), Hint: protocol.NoResponse.Hint}
	v.Packets, v.Offset, v.Bytes, v.Caveat = slices.Clone(t.packets), t.offset, slices.Clone(t.raw), t.doubt
	for _, s := range t.secret {
		if s[0] < s[1] {
			v.Secret = append(v.Secret, s)
		}
	}
	v.Message = fmt.Sprintf("the %s with session ID %s was not answered: %s", name, quote(t.id[:]), why)
	if timeout {
		v.Message = fmt.Sprintf("the %s with session ID %s was not answered %s", name, quote(t.id[:]), why)
	}
	v.Reason, v.Evidence = t.reason, t.evidence
	v.Message += t.proof(c.sideOf(1 - h.dir))
	if hint := hints[t.reason]; hint != "" {
		v.Hint = hint
	}
	v.closer = !timeout && c.closer == h.dir
	return v
}

// reportPiece reports 1 to 8 bytes that are no packet.
func (h *half) reportPiece(p piece) {
	n := p.end - p.start
	rule, format := protocol.ShortPacket, "%d byte%s sent as a write of %s own, fewer than the 9 of the shortest packet"
	own := "their"
	if n == 1 {
		own = "its"
	}
	if p.stray {
		v := h.place(protocol.StrayBytes, p.start, p.end)
		v.Message = fmt.Sprintf("%d byte%s that belong to no packet follow one in the same segment", n, plural(int(n)))
		h.c.emitViolation(v)
		return
	}
	v := h.place(rule, p.start, p.end)
	v.Message = fmt.Sprintf(format, n, plural(int(n)), own)
	h.c.emitViolation(v)
}

// reportUnknown reports a run of bytes that is no packet.
func (h *half) reportUnknown(from, to int64) {
	v := h.place(protocol.UnknownType, from, to)
	v.Message = unknownMessage(v)
	h.c.emitViolation(v)
}

func unknownMessage(v *Violation) string {
	if v.Length == 1 {
		return fmt.Sprintf("1 byte, %02x, stands where a packet should start", v.Bytes[0])
	}
	return fmt.Sprintf("%d bytes that start with %02x stand where a packet should start", v.Length, v.Bytes[0])
}

// reportJunk reports a run that was too long to be kept.
func (h *half) reportJunk(j *junk) {
	v := &Violation{Rule: protocol.UnknownType, Conn: h.c.conn, dir: h.dir, Packets: j.packets, Time: j.time, Offset: j.start, Length: j.end - j.start, Bytes: j.bytes, Hint: protocol.UnknownType.Hint}
	v.Message = unknownMessage(v)
	h.c.emitViolation(v)
}

// place makes the record of a violation by the bytes [from, to).
func (h *half) place(r *protocol.Rule, from, to int64) *Violation {
	v := &Violation{Rule: r, Conn: h.c.conn, dir: h.dir, Offset: from, Length: to - from, Hint: r.Hint}
	v.Packets, v.Time = h.packets(nil, from, to)
	v.Packets = v.Packets[:min(len(v.Packets), maxPackets)]
	v.Bytes = append([]byte(nil), h.at(from)[:min(to-from, maxBytes)]...)
	return v
}

func (c *Dialogue) noteGap(h *half, off, n, time, packet int64) {
	r := protocol.CaptureGap
	v := &Violation{Rule: r, Conn: c.conn, dir: h.dir, Offset: off, Length: n, Time: time, Packets: []int64{packet}, Hint: r.Hint}
	v.Message = fmt.Sprintf("%d bytes at stream offset %d were never captured", n, off)
	c.emitViolation(v)
}

func (c *Dialogue) noteMidstream() {
	r := protocol.CaptureMidstream
	v := &Violation{Rule: r, Conn: c.conn, dir: int(c.deviceDir), Time: c.start, Hint: r.Hint, device: true}
	v.Message = "the connection was open before the capture started"
	c.emitViolation(v)
}

func (c *Dialogue) emitStream() {
	one := c.oneSided(0) || c.oneSided(1)
	if one {
		c.d.OneSided++
	}
	c.out(&Stream{
		OneSided: one,
		Conn:     c.conn, Client: c.conn.Addr[0], Server: c.conn.Addr[1], Device: c.device, Start: c.start, End: max(c.last, c.spots[0].lastTime, c.spots[1].lastTime), State: c.state,
		Frames: c.frames, Transactions: c.transactions, Violations: c.violations, Missing: c.missing,
	})
}

// quote shows a session ID in a message.
func quote(b []byte) string { return strconv.QuoteToASCII(string(b)) }

// maxDoubtful bounds the session IDs that damaged or unknown bytes may have carried.
const maxDoubtful = 256

// doubt remembers that bytes at x may have been a request: what echoes their session ID is no
// orphan to blame anyone for.
func (h *half) doubt(x int64, f *Frame) {
	b := h.at(x)
	if len(b) < protocol.HeaderSize {
		return
	}
	if h.doubtful == nil || len(h.doubtful) >= maxDoubtful {
		h.doubtful = make(map[sid]*Frame)
	}
	h.doubtful[sid(b[1:protocol.HeaderSize])] = f
}

// doubtAll does so at every place in [from, to) where a write starts.
func (h *half) doubtAll(from, to int64) {
	if from >= to {
		return
	}
	h.doubt(from, nil)
	for i := h.holding(from); i < len(h.segs) && h.segs[i].start < to; i++ {
		if s := &h.segs[i]; s.start > from && !s.gap {
			h.doubt(s.start, nil)
		}
	}
}
