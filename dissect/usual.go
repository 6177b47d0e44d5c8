package dissect

import "github.com/nubishark/nubishark/protocol"

// usual settles a packet that came whole in one write, on a connection where nothing is in doubt, from the bytes where
// they are, and reports whether it did. It concludes what the long way would; whatever is not usual goes that way.
func (c *Dialogue) usual(h *half, b []byte, p *Part) bool {
	q := h.peer
	if !p.Push || p.More || len(b) <= protocol.StatusAt || !c.calm(h) {
		return false
	}
	switch {
	case len(h.buf) > 0 && len(q.buf) > 0:
		return false
	case len(h.buf) > 0:
		if !c.follows(h, b) {
			return false
		}
	case len(q.buf) > 0:
		if !c.answersBare(h, b, p) {
			return false
		}
	}
	w := write{b, p.Offset, p.Time, p.Packet}
	if b[0] == 'R' {
		return c.usualResponse(h, w)
	}
	return c.usualRequest(h, w)
}

// Touch reads what bytes of the connection need, so that it is near the processor when they come. It returns a number that
// means nothing.
func (c *Dialogue) Touch(b []byte) int64 {
	x, y := &c.half[0], &c.half[1]
	return c.deadline + int64(c.deviceDir) + c.pulse.heard + x.pos + y.pos + x.lastTime + y.lastTime + int64(x.requests.n+y.requests.n) +
		x.requests.done.start + y.requests.done.start + int64(b[len(b)-1])
}

// TouchID does so with what the session ID in the bytes leads to.
func (c *Dialogue) TouchID(b []byte) (n int64) {
	if len(b) < protocol.HeaderSize {
		return 0
	}
	id := sid(b[1:protocol.HeaderSize]).word()
	for i := range c.half {
		r := &c.half[i].requests
		if len(r.done.index) > 0 {
			n += int64(r.done.index[hash(id)&uint64(len(r.done.index)-1)])
		}
		if r.last != nil {
			n += int64(r.last.slot)
		}
	}
	return n
}

// write is a packet that came whole in one segment.
type write struct {
	b                    []byte
	offset, time, packet int64
}

// calm reports whether nothing is in doubt on the connection.
func (c *Dialogue) calm(h *half) bool {
	q := h.peer
	return c.standing == confirmed && c.sideKnown && h.adrift == inStep && (q.adrift == inStep || len(q.buf) == 0) &&
		!h.gaps && !q.gaps && !h.stalled && !q.stalled && h.ended == running && q.ended == running && !h.silent && !q.silent &&
		len(c.unclaimed) == 0 && !c.uncertain
}

// pending returns the one write that waits in a direction.
func (h *half) pending() (w write, ok bool) {
	if len(h.segs) != 1 || !h.segs[0].push || len(h.buf) <= protocol.StatusAt {
		return w, false
	}
	s := &h.segs[0]
	return write{h.buf, h.pos, s.time, s.packet}, s.start == h.pos
}

// follows settles a response that waits to see whether its optional tail comes: a packet with a known token
// comes instead.
func (c *Dialogue) follows(h *half, b []byte) bool {
	w, ok := h.pending()
	if !ok || w.b[0] != 'R' || len(b) < protocol.TokenAt+protocol.TokenSize {
		return false
	}
	if ls := protocol.ByLetter(b[0]); len(ls) != 1 || !ls[0].Shape().HasToken || !c.tokens.has(token(b[protocol.TokenAt:])) {
		return false
	}
	t, l := c.answeredBy(h, w)
	if t == nil || len(l.Tail) == 0 || len(w.b) != l.Shape().Fixed {
		return false
	}
	w.b = c.d.rec.keepRaw(w.b)
	c.respond(h, t, l, false, w)
	h.passed(w)
	return true
}

// answersBare settles a request that waits to see whether its optional tail comes: its answer comes instead.
func (c *Dialogue) answersBare(h *half, b []byte, p *Part) bool {
	q := h.peer
	w, ok := q.pending()
	if !ok || b[0] != 'R' || string(b[1:protocol.HeaderSize]) != string(w.b[1:protocol.HeaderSize]) || w.packet >= p.Packet || c.d.now-p.Time >= second {
		return false
	}
	l := c.requestLayout(q, w.b)
	if l == nil || len(l.Tail) == 0 || len(w.b) != l.Shape().Fixed || !c.unsuspicious(q, w.b) {
		return false
	}
	w.b = c.d.rec.keepRaw(w.b)
	c.request(q, l, false, w)
	q.passed(w)
	return true
}

// usualBare settles the one packet that waits to see whether its optional tail comes, because it was waited for long enough.
func (c *Dialogue) usualBare() bool {
	h := &c.half[0]
	if len(h.buf) == 0 {
		h = h.peer
	}
	w, ok := h.pending()
	if !ok || len(h.peer.buf) > 0 || !c.calm(h) || c.d.now < max(h.lastTime, w.time)+second {
		return false
	}
	if w.b[0] == 'R' {
		t, l := c.answeredBy(h, w)
		if t == nil || len(l.Tail) == 0 || len(w.b) != l.Shape().Fixed {
			return false
		}
		w.b = c.d.rec.keepRaw(w.b)
		c.respond(h, t, l, false, w)
	} else {
		l := c.requestLayout(h, w.b)
		if l == nil || len(l.Tail) == 0 || len(w.b) != l.Shape().Fixed || !c.unsuspicious(h, w.b) {
			return false
		}
		w.b = c.d.rec.keepRaw(w.b)
		c.request(h, l, false, w)
	}
	h.passed(w)
	return true
}

// requestLayout returns the layout of a request that this side may send and that carries a token, nil if it is none.
func (c *Dialogue) requestLayout(h *half, b []byte) *protocol.Layout {
	ls := protocol.ByLetter(b[0])
	if len(ls) != 1 || !ls[0].Shape().HasToken || len(b) < ls[0].Shape().Fixed || ls[0].From != c.sideOf(h.dir) {
		return nil
	}
	return ls[0]
}

func (c *Dialogue) usualRequest(h *half, w write) bool {
	l := c.requestLayout(h, w.b)
	if l == nil {
		return false
	}
	sh := l.Shape()
	n, tail := sh.Fixed, false
	switch {
	case sh.LengthWidth > 0 && len(l.Tail) > 0:
		return false
	case sh.LengthWidth > 0:
		n += h.number(w.b[sh.LengthAt:], sh.LengthWidth, c.d.opts.LittleEndian)
	case sh.TailLengthWidth > 0 && len(w.b) == n:
		return h.await(w)
	case sh.TailLengthWidth > 0:
		n, tail = tailEnd(sh, w.b), true
	case len(l.Tail) > 0:
		return false
	}
	if n != len(w.b) || !c.unsuspicious(h, w.b) {
		return false
	}
	c.request(h, l, tail, w)
	h.passed(w)
	return true
}

// tailEnd is where the tail of a packet ends, 0 where another reading of the packet may be better confirmed.
func tailEnd(sh *protocol.Shape, b []byte) int {
	x := sh.Fixed
	if sh.TailLengthWidth != 1 || isLetter(b[x]) {
		return 0
	}
	for k := 1; k <= maxStray && x+k < len(b); k++ {
		if mayMatch(b[x+k:]) {
			return 0
		}
	}
	if len(b) >= x+2 {
		for _, n := range [2]int{int(b[x]) | int(b[x+1])<<8, int(b[x])<<8 | int(b[x+1])} {
			if y := x + 2 + n; y < len(b) && mayMatch(b[y:]) {
				return 0
			}
		}
	}
	return x + sh.TailFixed + int(b[x])
}

func isLetter(c byte) bool { return len(protocol.ByLetter(c)) > 0 }

// mayMatch reports whether there are enough bytes for a strong match.
func mayMatch(b []byte) bool {
	if b[0] == 'R' {
		return len(b) >= protocol.HeaderSize
	}
	return isLetter(b[0]) && len(b) >= protocol.TokenAt+protocol.TokenSize
}

// await keeps a packet whose optional tail may yet come.
func (h *half) await(w write) bool {
	if h.c.d.now-max(h.lastTime, w.time) >= second {
		return false
	}
	h.add(w.offset, w.b, segment{start: w.offset, end: w.offset + int64(len(w.b)), time: w.time, packet: w.packet, push: true})
	h.c.armBy(h.lastTime + second)
	return true
}

// unsuspicious reports whether a request breaks no rule that a request can break: its session ID is new, and
// its token the right one.
func (c *Dialogue) unsuspicious(h *half, b []byte) bool {
	r := &h.requests
	id, t := sid(b[1:protocol.HeaderSize]), token(b[protocol.TokenAt:])
	ss := &c.session
	if r.early != nil || r.n >= maxOutstanding || ss.ended != nil || r.find(id) != nil {
		return false
	}
	if _, _, known := r.done.find(id); known {
		return false
	}
	c.nameBy(t)
	if ss.loggedIn {
		return !ss.sure || ss.token == t
	}
	return !c.gapless() || c.d.isIssued(t)
}

// answeredBy returns the request that a successful response answers in time, and the response's layout; nil if it is
// not usual.
func (c *Dialogue) answeredBy(h *half, w write) (*transaction, *protocol.Layout) {
	t := h.peer.requests.find(sid(w.b[1:protocol.HeaderSize]))
	if t == nil || w.b[protocol.StatusAt] != 1 || w.time >= c.lateFrom(t) {
		return nil, nil
	}
	if t.letter == 'L' || t.letter == 'O' { // they change what holds for the connection
		return nil, nil
	}
	for _, l := range protocol.ByLetter('R') {
		if l.Outcome == protocol.Success && contains(l.Answers, t.letter) {
			return t, l
		}
	}
	return nil, nil
}

func (c *Dialogue) usualResponse(h *half, w write) bool {
	t, l := c.answeredBy(h, w)
	if t == nil {
		return false
	}
	sh := l.Shape()
	n, tail := sh.Fixed, false
	switch {
	case len(l.Tail) > 0 && len(w.b) == n:
		return h.await(w)
	case len(l.Tail) > 0 && len(w.b) > n:
		n, tail = tailEnd(sh, w.b), true
	}
	if n != len(w.b) {
		return false
	}
	c.respond(h, t, l, tail, w)
	h.passed(w)
	return true
}

// armBy arms a timer for something new that is waited for until a moment. What was waited for before has its timer.
func (c *Dialogue) armBy(at int64) {
	if c.deadline == 0 || at < c.deadline {
		c.arm()
	}
}

// passed moves the boundary behind a packet that was settled.
func (h *half) passed(w write) {
	h.pos = w.offset + int64(len(w.b))
	h.buf, h.segs = h.buf[:0], h.segs[:0]
	h.scanned = h.pos
	h.midWrite, h.shaky = false, false
	h.lastTime, h.latest = max(h.lastTime, w.time), max(h.latest, w.packet)
}

// request settles a request.
func (c *Dialogue) request(h *half, l *protocol.Layout, tail bool, w write) {
	t := c.newTransaction(sid(w.b[1:protocol.HeaderSize]), h.dir)
	t.letter, t.requestTime, t.size, t.offset = w.b[0], w.time, len(w.b), w.offset
	t.packets = append(t.packets, w.packet)
	t.raw = append(t.raw, w.b[:min(len(w.b), maxBytes)]...)
	if len(w.b) > maxBytes {
		t.hash = hashOf(w.b)
	}
	t.secret[0] = [2]int{protocol.TokenAt, protocol.TokenAt + protocol.TokenSize}
	t.token = token(w.b[protocol.TokenAt:])
	h.requests.push(t)
	c.changes++
	c.tellRequest(t.id)
	c.armBy(c.lateFrom(t))
	c.outWhole(h, l, tail, w, t.slot, 0)
	c.carry(t.token)
}

// respond settles the answer to a request.
func (c *Dialogue) respond(h *half, t *transaction, l *protocol.Layout, tail bool, w write) {
	t.responseTime, t.state = w.time, Answered
	c.outWhole(h, l, tail, w, t.slot, t.letter)
	c.answered(h.peer, t)
}
