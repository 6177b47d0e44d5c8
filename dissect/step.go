package dissect

import "github.com/nubishark/nubishark/protocol"

// step settles one thing at the boundary and reports whether it did.
func (h *half) step() bool {
	if len(h.buf) == 0 || len(h.buf) < maxWait && h.peer.mayHide(h.segs[0].packet) {
		return false // what the peer said may be behind its hole
	}
	if h.passGap() {
		return true
	}
	if h.adrift != inStep {
		return h.resync()
	}
	if len(protocol.ByLetter(h.buf[0])) == 0 {
		return h.loseStep()
	}
	if h.faint && h.isRest() {
		return h.loseStep()
	}
	if h.buf[0] != 'R' && h.c.forced == 0 && len(h.buf) < maxWait && h.peer.answersBefore(h) {
		return false // what the answer does is to be known first
	}
	if h.fast() {
		return true
	}
	if h.buf[0] == 'R' {
		h.foresee()
	}
	if h.buf[0] == 'R' && h.holds() {
		return false
	}
	return h.reason()
}

// foresee makes the token known that a login's answer hands out, even while it is open whether the answer has a
// tail: another connection may use it at once.
func (h *half) foresee() {
	const end = protocol.StatusAt + 1 + protocol.TokenSize
	if h.foreseen > h.pos || len(h.buf) < end || h.buf[protocol.StatusAt] != 1 {
		return
	}
	id := sid(h.buf[1:protocol.HeaderSize])
	if t := h.peer.requests.find(id); t != nil && t.letter == 'L' {
		h.handOut(h.buf, h.pos)
	}
}

// handOut makes the token known that a login's answer at an offset hands out.
func (h *half) handOut(b []byte, at int64) {
	if t := token(b[protocol.StatusAt+1:]); isWord(t[:]) {
		h.foreseen = at + 1
		h.c.d.issue(t, h.c.device, false)
	}
}

// passGap goes on behind a gap that stands at the boundary.
func (h *half) passGap() bool {
	if len(h.buf) == 0 || !h.gaps {
		return false
	}
	g, ok := h.gapAt(h.pos)
	if !ok {
		return false
	}
	h.flushJunk()
	h.doubtStarts(g.artefact())
	h.advance(g.end)
	h.behindGap, h.adrift = g.end, quietly
	return true
}

// loseStep goes on out of step: what stands at the boundary is no packet.
func (h *half) loseStep() bool {
	h.adrift = loudly
	if h.shaky || h.faint {
		h.adrift = quietly
	}
	h.scanned, h.missed = h.pos, h.pos+1
	return h.resync()
}

// fast settles the usual packet: one of a single size whose end is the write end. To a login nothing was said yet, as there is no token that
// would prove it.
func (h *half) fast() bool {
	list := protocol.ByLetter(h.buf[0])
	l := list[0]
	sh := l.Shape()
	if h.faint || len(list) > 1 || len(l.Tail) > 0 || !sh.HasToken && len(h.peer.buf) > 0 || len(h.segs) != 1 || h.gaps || len(h.buf) < sh.Fixed {
		return false
	}
	n := sh.Fixed
	if sh.LengthWidth > 0 {
		n += number(h.buf[sh.LengthAt:], sh.LengthWidth, h.c.d.opts.LittleEndian)
	}
	if n != len(h.buf) || !h.segs[0].push {
		return false
	}
	c := candidate{layout: l, end: h.pos + int64(n)}
	if sh.HasToken {
		c.token = h.buf[protocol.TokenAt : protocol.TokenAt+protocol.TokenSize]
	}
	h.accept(&c, fit)
	return true
}

// holds reports whether a response has to wait for its request to be seen.
func (h *half) holds() bool {
	if len(h.buf) < protocol.HeaderSize {
		return false
	}
	if _, gap := h.gapIn(h.pos, h.pos+protocol.HeaderSize); gap {
		return false // what is not known of its session ID will not come any more
	}
	id := sid(h.buf[1:protocol.HeaderSize])
	p := h.peer
	x := p.requestWith(id[:], 1)
	if x >= 0 && h.c.forced == 0 && (h.waits() || h.outlasts(p)) {
		if s := &p.segs[p.holding(x)]; !s.gap && s.packet < h.segs[0].packet {
			return true // a request with its session ID came before it
		}
	}
	if _, ok := p.doubtful[id]; ok || p.requests.letterOf(id) != 0 || h.c.forced > 1 {
		return false
	}
	if p.ended != running && (len(p.buf) == 0 || h.c.forced > 0) {
		return len(p.buf) > 0 && p.asks(id[:])
	}
	if h.waits() {
		return true // as long as there is something that may hold its request, or may yet come
	}
	return p.mayHide(h.segs[0].packet) || x >= 0 && h.outlasts(p)
}

// outlasts reports whether a response waits for longer than a second for a request that stands among the peer's bytes which are not settled:
// their wait ends by itself, unless a response stands there, too, or what stands there waits for this one.
func (h *half) outlasts(p *half) bool {
	return p.ended == running && len(h.buf) < maxWait && (p.adrift != inStep || p.buf[0] != 'R' && !h.answersBefore(p))
}

// waits reports whether a response was held for less than a second yet, or something else is to be
// tried first.
func (h *half) waits() bool {
	if h.c.d.now-h.heldSince() < second {
		return true
	}
	h.c.waited = h.c.waited || h.c.patient
	return h.c.patient
}

// heldSince is when the session ID of the packet at the boundary was complete.
func (h *half) heldSince() int64 {
	x := min(h.pos+protocol.HeaderSize, h.seen()) - 1
	return h.segs[min(h.holding(x), len(h.segs)-1)].time
}

// reason lets the candidates compete for the packet at the boundary.
func (h *half) reason() bool {
	var r reply
	if len(h.buf) >= protocol.HeaderSize && h.buf[0] != 'R' {
		r = h.reply(sid(h.buf[1:protocol.HeaderSize]))
	}
	if len(h.buf) <= maxStray {
		return h.shortEnd()
	}
	var space [16]candidate
	list := h.candidates(space[:0], r)
	if h.tooEarly(list, r) {
		r = reply{}
		list = h.candidates(space[:0], r)
	}
	if h.faint {
		list = h.faithful(list)
	}
	c, g, v := h.choose(list, r)
	if (g == none || c.kind != vendor) && h.shortWrites(r) {
		return true
	}
	if h.ended == fileEnded && v == settle && g == none && h.goesOn(list) {
		v = giveUp // what the capture's end cut off proves nothing
	}
	switch v {
	case settle:
		if gap, ok := h.gapIn(h.pos, c.end); ok && g == none && h.inner(c) {
			h.dropTo(gap.start) // what the gap took makes the packet seem to reach over the one that stands behind it
			return true
		}
		h.accept(c, g)
		return true
	case wait:
		return h.cutByGap(list)
	}
	return h.abandon(list)
}

// goesOn reports whether a vendor's reading ends behind the bytes seen, and no packet stands in it beyond doubt.
func (h *half) goesOn(list []candidate) bool {
	for i := range list {
		if c := &list[i]; c.kind == vendor && (c.end < 0 || c.end > h.seen()) && h.firstStrong(c.token) < 0 {
			return true
		}
	}
	return false
}

// cutByGap gives up a packet whose end cannot be known because a gap hides it.
func (h *half) cutByGap(list []candidate) bool {
	g, ok := h.gapIn(h.pos, h.seen())
	if !ok {
		return false
	}
	for i := range list {
		if list[i].kind == vendor && list[i].end >= 0 && list[i].end > g.start {
			return false
		}
	}
	h.dropTo(g.start)
	return true
}

// dropTo moves on quietly: nobody is to blame for what was there.
func (h *half) dropTo(x int64) {
	h.doubt(h.pos, nil)
	h.advance(max(x, h.pos+1))
	h.adrift = quietly
}

// abandon deals with a boundary at which no reading can be confirmed any more.
func (h *half) abandon(list []candidate) bool {
	if g, ok := h.gapIn(h.pos, h.seen()); ok {
		h.dropTo(g.start)
		return true
	}
	switch {
	case h.ended == fileEnded:
		h.doubt(h.pos, nil)
		h.advance(h.seen())
	case h.over() && h.faint:
		h.dropTo(h.seen())
	case h.over() && len(h.buf) >= protocol.HeaderSize:
		h.truncate(h.seen(), list)
	default:
		return h.loseStep()
	}
	return true
}

// shortEnd settles 1 to 8 bytes after which nothing came.
func (h *half) shortEnd() bool {
	if _, gap := h.gapIn(h.pos, h.seen()); gap || h.ended == fileEnded || h.faint && h.over() {
		h.dropTo(h.seen())
		return true
	}
	if !h.over() {
		return false
	}
	h.reportSkipped(h.pos, h.seen())
	h.advance(h.seen())
	return true
}

// shortWrites settles writes of 1 to 8 bytes that start with a letter and never became a packet.
func (h *half) shortWrites(r reply) bool {
	if _, gap := h.gapIn(h.pos, h.seen()); gap || h.faint {
		return false
	}
	x := h.firstStrong(nil)
	if x < 0 || r.there && r.seen != h.pos || !h.lettersOnly(x) {
		return false
	}
	h.reportSkipped(h.pos, x)
	h.advance(x)
	return true
}

// lettersOnly reports whether [pos, x) consists of short writes that each start with a letter.
func (h *half) lettersOnly(x int64) bool {
	if x-h.pos <= maxStray {
		return h.writeEnd(x)
	}
	start := h.pos
	for i := range h.segs {
		s := &h.segs[i]
		if s.end > x {
			break
		}
		if !s.push {
			continue
		}
		if s.end-start > maxStray || len(protocol.ByLetter(h.at(start)[0])) == 0 {
			return false
		}
		start = s.end
	}
	return start == x
}

// closeAt settles what it can of the bytes before x, because nothing behind x helps.
func (h *half) closeAt(x int64) {
	for h.pos < x && len(h.buf) > 0 && h.step() {
	}
	if h.pos < x {
		h.dropTo(x)
	}
}
