package dissect

import (
	"fmt"
	"strconv"

	"github.com/nubishark/nubishark/protocol"
)

// event is a record that waits until its connection is known to be NUBISON.
type event struct {
	frame       *Frame
	transaction *transaction
	violation   *Violation
}

func (c *Conn) emit(e event) {
	switch c.standing {
	case confirmed:
		c.out(e)
	case undecided:
		c.held = append(c.held, e)
	}
}

func (c *Conn) emitFrame(f *Frame)             { c.emit(event{frame: f}) }
func (c *Conn) emitTransaction(t *transaction) { c.emit(event{transaction: t}) }
func (c *Conn) emitViolation(v *Violation)     { c.caution(v); c.emit(event{violation: v}) }

// out numbers a record and hands it to the sink.
func (c *Conn) out(e event) {
	switch {
	case e.frame != nil:
		c.outFrame(e.frame)
	case e.transaction != nil:
		t := e.transaction
		c.number(t)
		t.From = c.sideOf(t.dir)
		t.Device = c.device
		if t.answer != nil {
			t.Response = t.answer.Number
		}
		c.transactions++
		rec := t.Transaction
		c.d.sink.Transaction(&rec)
	default:
		c.outViolation(e.violation)
	}
}

func (c *Conn) outFrame(f *Frame) {
	d := c.d
	d.frameNo++
	f.Number = d.frameNo
	f.From = c.sideOf(f.dir)
	if t := f.tx; t != nil {
		c.number(t)
		f.Transaction = t.Number
		if f.request {
			t.Request = f.Number
		} else {
			t.Response = f.Number
		}
		f.tx = nil
	}
	c.frames++
	d.sink.Frame(f)
	c.feel(f)
}

func (c *Conn) outViolation(v *Violation) {
	d := c.d
	d.violationNo++
	v.Number = d.violationNo
	v.From = c.sideOf(v.dir)
	if v.device {
		v.From = protocol.Device
	}
	switch {
	case v.about != nil:
		v.Frame = v.about.Number
		v.about = nil
	case v.tx != nil:
		v.Frame = v.tx.Request
	}
	v.tx = nil
	v.Blame = c.blame(v)
	if v.Severity() != protocol.Note {
		c.violations++
	}
	d.sink.Violation(v)
}

// blame resolves whose fault a violation is.
func (c *Conn) blame(v *Violation) protocol.Side {
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

func (c *Conn) number(t *transaction) {
	if t.Number == 0 {
		c.d.transactionNo++
		t.Number = c.d.transactionNo
	}
}

// about makes the record of a violation by a packet.
func (h *half) about(f *Frame, r *protocol.Rule, message string) *Violation {
	v := &Violation{Rule: r, Conn: h.c, dir: f.dir, about: f, Reason: reasonOf(r), Packets: f.Packets, Time: f.Time, Offset: f.Offset, Length: int64(f.Length), Message: message, Hint: r.Hint}
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
	b = f.Raw[:min(len(f.Raw), maxBytes)]
	for i := range f.Fields {
		v := &f.Fields[i]
		if from, to := v.At, min(v.At+len(v.Value), len(b)); v.Secret && from < to {
			secret = append(secret, [2]int{from, to})
		}
	}
	return b, secret
}

// noResponse makes the record of a request that nobody answered.
func (c *Conn) noResponse(h *half, t *transaction, timeout bool) *Violation {
	name := protocol.Name(t.Letter)
	why := "the connection ended first"
	if timeout {
		why = fmt.Sprintf("within %v", c.d.opts.timeout())
	}
	v := &Violation{Rule: protocol.NoResponse, Conn: c, dir: h.dir, tx: t, Time: t.RequestTime, Length: int64(t.size), Hint: protocol.NoResponse.Hint}
	v.Packets, v.Offset, v.Caveat = t.frame.Packets, t.frame.Offset, t.doubt
	v.Bytes, v.Secret = excerpt(t.frame)
	v.Message = fmt.Sprintf("the %s with session ID %s was not answered: %s", name, quote(t.SessionID), why)
	if timeout {
		v.Message = fmt.Sprintf("the %s with session ID %s was not answered %s", name, quote(t.SessionID), why)
	}
	v.Reason, v.Evidence = t.Reason, t.Evidence
	v.Message += t.proof(c.sideOf(1 - h.dir))
	if hint := hints[t.Reason]; hint != "" {
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
	return fmt.Sprintf("%d bytes that start with %02x stand where a packet should start", v.Length, v.Bytes[0])
}

// reportJunk reports a run that was too long to be kept.
func (h *half) reportJunk(j junk) {
	v := &Violation{Rule: protocol.UnknownType, Conn: h.c, dir: h.dir, Packets: j.packets, Time: j.time, Offset: j.start, Length: j.end - j.start, Bytes: j.bytes, Hint: protocol.UnknownType.Hint}
	v.Message = unknownMessage(v)
	h.c.emitViolation(v)
}

// place makes the record of a violation by the bytes [from, to).
func (h *half) place(r *protocol.Rule, from, to int64) *Violation {
	v := &Violation{Rule: r, Conn: h.c, dir: h.dir, Offset: from, Length: to - from, Hint: r.Hint}
	v.Packets, v.Time = h.packets(nil, from, to)
	v.Packets = v.Packets[:min(len(v.Packets), maxPackets)]
	v.Bytes = append([]byte(nil), h.at(from)[:min(to-from, maxBytes)]...)
	return v
}

func (c *Conn) noteGap(h *half, off, n, time, packet int64) {
	r := protocol.CaptureGap
	v := &Violation{Rule: r, Conn: c, dir: h.dir, Offset: off, Length: n, Time: time, Packets: []int64{packet}, Hint: r.Hint}
	v.Message = fmt.Sprintf("%d bytes at stream offset %d were never captured", n, off)
	c.emitViolation(v)
}

func (c *Conn) noteMidstream() {
	r := protocol.CaptureMidstream
	v := &Violation{Rule: r, Conn: c, dir: c.DeviceDir, Time: c.start, Hint: r.Hint, device: true}
	v.Message = "the connection was open before the capture started"
	c.emitViolation(v)
}

func (c *Conn) emitStream() {
	one := c.oneSided(0) || c.oneSided(1)
	if one {
		c.d.OneSided++
	}
	c.d.sink.Stream(&Stream{
		OneSided: one,
		Conn:     c, Client: c.Addr[0], Server: c.Addr[1], Device: c.device, Start: c.start, End: c.last, State: c.state,
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
