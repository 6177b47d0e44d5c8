package dissect

import (
	"fmt"
	"math"
	"slices"

	"github.com/nubishark/nubishark/protocol"
)

// unclaimed is a response to no request that came while exactly one request was outstanding.
type unclaimed struct {
	request  *transaction
	h        *half  // of the response
	response *Frame // a copy
	tx       *transaction
	blamable bool
}

// follow says what is to be done once a packet was emitted.
type follow uint8

const (
	nothing   follow = iota
	answering        // the transaction is over
	giveUpOld        // the transaction is given up: another took its place
	orphaned         // the response answers nothing
	cameLate         // the response's request counts as unanswered
)

// pair gives a packet its place in a transaction, and notes what follows from it after the packet itself.
func (h *half) pair(s *settled) {
	switch {
	case len(s.SessionID) == protocol.SessionIDSize && s.truncated && s.Letter == 'R' && h.requestLetter(s.Raw) != 0:
		h.checkStatus(s)
	case len(s.SessionID) < protocol.SessionIDSize || s.truncated || !s.legal:
	case s.Letter == 'R':
		h.pairResponse(s)
	default:
		h.pairRequest(s)
	}
}

// after does what follows from a packet that was emitted.
func (h *half) after(s *settled) {
	switch c := h.c; s.then {
	case answering:
		c.answered(h.peer.spot, s.old)
	case giveUpOld:
		c.unanswered(h, s.old, false)
	case orphaned:
		c.orphan(h, s.Frame, s.old, s.blamable)
	case cameLate:
		c.answeredLate(h.peer, s.Frame, s.since)
	}
}

// answered ends a transaction that was answered.
func (c *Dialogue) answered(requester *spot, t *transaction) {
	c.conclusion(requester, t)
	c.claimFailed(t)
	c.release(t)
}

// conclusion tells of a transaction that was answered.
func (c *Dialogue) conclusion(requester *spot, t *transaction) {
	requester.requests.finish(t)
	c.tellRequest(t.id)
	c.emitTransaction(t, requester.requests.done.remember(t, &c.d.stock))
}

func (h *half) pairRequest(s *settled) {
	c := h.c
	id := sid(s.SessionID)
	t := c.newTransaction(id, h.dir)
	t.letter, t.requestTime = s.Letter, s.Time
	c.checkLogin(s)
	c.checkToken(s)
	if p, _, ok := h.requests.done.find(id); ok {
		s.blameFor(protocol.SessionIDReused, "the %s reuses session ID %s of a finished %s transaction", protocol.Name(s.Letter), quote(s.SessionID), protocol.Name(p.letter()))
	}
	t.keep(s.Frame)
	if old := h.requests.find(id); old != nil {
		h.collide(s, t, old)
	}
	for i, f := range s.faults {
		if i > 0 {
			t.why += ", "
		}
		t.why += f.rule.ID
	}
	if b := s.Named("access_token"); len(b) == protocol.TokenSize {
		t.token = token(b)
	}
	t.faults = len(s.faults)
	if !h.segStart(s.Offset) {
		t.doubt = h.unproved
	}
	s.role, s.slot = asRequest, t.slot
	t.excused = h.early[id] && !c.gapless()
	if t.faint = h.faint; t.faint {
		c.guesses = true
	} else {
		c.trust(&t.token)
	}
	h.enqueue(t)
}

// trust takes requests that wait and carry the token of one that is beyond doubt for what they seem to be.
func (c *Dialogue) trust(t *token) {
	if c.guesses {
		c.spots[0].requests.trust(t)
		c.spots[1].requests.trust(t)
	}
}

// enqueue makes a request wait for its answer.
func (h *half) enqueue(t *transaction) {
	if h.requests.n >= maxOutstanding {
		oldest := h.requests.oldest()
		oldest.excused = true
		h.c.unanswered(h, oldest, false)
	}
	h.c.ackedBefore(t)
	h.requests.push(t)
	h.c.changes++
	h.c.tellRequest(t.id)
}

// collide deals with a request whose session ID another one has that waits for its answer.
func (h *half) collide(s *settled, t, old *transaction) {
	old.excused, s.old = true, old
	same := t.repeats(old)
	switch {
	case h.c.explained(h, old):
		// Its answer may be among what was not captured: then this request is in order.
		if !same {
			s.then = giveUpOld
		}
	case same:
		known := ""
		if t.lacking || old.lacking {
			known = " as far as it was captured"
		}
		s.blameFor(protocol.RequestRepeated, "the %s with session ID %s is sent again, byte for byte%s, before its answer", protocol.Name(s.Letter), quote(s.SessionID), known)
	default:
		s.blameFor(protocol.SessionIDCollision, "the %s uses session ID %s while a %s with it is not answered yet", protocol.Name(s.Letter), quote(s.SessionID), protocol.Name(old.letter))
		s.then = giveUpOld
	}
}

func (h *half) pairResponse(s *settled) {
	c, p := h.c, h.peer
	id := sid(s.SessionID)
	h.checkStatus(s)
	t := p.requests.find(id)
	if t == nil {
		if f, ok := p.doubtful[id]; ok && f != nil {
			delete(p.doubtful, id)
			t = c.lateRequest(f)
		}
	}
	if t != nil && s.Time >= c.lateFrom(t) && int(t.dir) == p.dir {
		t.reason, t.evidence = AnsweredLate, slices.Clone(s.Packets)
		c.unanswered(p, t, true)
		t = nil
	}
	if t == nil {
		h.pairPast(s, id)
		return
	}
	s.RequestLetter = t.letter
	s.role, s.slot = asResponse, t.slot
	t.responseTime = s.Time
	c.conclude(t, s.Frame)
	h.checkFailure(s, t)
	if t.letter == 'L' && t.state == Answered {
		c.loggedIn(s.Named("access_token"), s.Time)
	}
	if t.letter == 'O' && t.state == Answered {
		c.loggedOut(t)
	}
	s.then, s.old = answering, t
}

// lateFrom is the time from which an answer to the request is late.
func (c *Dialogue) lateFrom(t *transaction) int64 {
	at := t.requestTime + c.d.timeout
	if at < t.requestTime {
		return math.MaxInt64 // never
	}
	return at
}

// conclude gives the transaction the state that its response tells. Of one whose status was never captured it is only known that it came.
func (c *Dialogue) conclude(t *transaction, f *Frame) {
	t.state = Failed
	if st, ok := f.Status(); ok && st == 1 || !ok && len(f.Holes) > 0 {
		t.state = Answered
	}
	t.errorCode, t.hasError = f.ErrorCode()
}

// lateRequest makes a transaction of a damaged request that was answered all the same.
func (c *Dialogue) lateRequest(f *Frame) *transaction {
	t := c.newTransaction(sid(f.SessionID), int(f.dir))
	t.excused, t.letter, t.requestTime, t.request = true, f.Letter, f.Time, f.numbered()
	t.keep(f)
	c.ackedBefore(t)
	c.spots[f.dir].requests.push(t)
	return t
}

// pairPast deals with a response to no outstanding request.
func (h *half) pairPast(s *settled, id sid) {
	c, p := h.c, h.peer
	if past, at, ok := p.requests.done.find(id); ok {
		s.RequestLetter = past.letter()
		s.role, s.slot = asLate, at
		switch {
		case past.state() == Unanswered && s.Time < past.time(c.start)+c.d.timeout:
			// It was settled too late for a connection that had ended: nobody's fault.
		case past.state() != Unanswered && (p.stalled || p.gaps && p.gapTime >= past.time(c.start)):
			// The request may have been sent again among what was not captured.
		case past.state() == Unanswered:
			s.blameSince(past.time(c.start), protocol.LateResponse, "the answer to %s %s came after it had counted as unanswered", protocol.Name(past.letter()), quote(s.SessionID))
			s.then, s.since = cameLate, past.time(c.start)
		default:
			s.blameFor(protocol.DuplicateResponse, "%s %s was answered before", protocol.Name(past.letter()), quote(s.SessionID))
		}
		h.checkFailure(s, nil)
		return
	}
	t := c.newTransaction(id, p.dir)
	t.state, t.responseTime = Orphan, s.Time
	t.errorCode, t.hasError = s.ErrorCode()
	_, doubtful := p.doubtful[id]
	blamable := c.gapless() && !doubtful
	h.checkFailure(s, nil)
	if one := p.requests.waitingAt(s.Time); blamable && one != nil && len(c.unclaimed) < maxUnclaimed {
		one.claimed = true
		s.numbered()
		c.unclaimed = append(c.unclaimed, &unclaimed{request: one, h: h, response: s.Clone(), tx: t, blamable: blamable})
		return
	}
	s.numbered()
	s.role, s.slot = asResponse, t.slot
	s.then, s.old, s.blamable = orphaned, t, blamable
}

// orphan emits a response to no request.
func (c *Dialogue) orphan(h *half, f *Frame, t *transaction, blamable bool) {
	h.peer.cameEarly(t.id)
	if !blamable { // it may be the answer to any of them
		h.peer.requests.excuse()
	}
	if blamable {
		c.emitViolation(h.about(f, protocol.OrphanResponse, fmt.Sprintf("no request with session ID %s was sent on this connection", quote(f.SessionID))))
	}
	t.answer = f
	c.emitTransaction(t, -1)
	c.release(t)
}

// maxUnclaimed bounds the responses of a connection that wait to be claimed.
const maxUnclaimed = 64

// claimOf takes out the response that may have been meant for a request, nil if there is none.
func (c *Dialogue) claimOf(t *transaction) *unclaimed {
	for i, u := range c.unclaimed {
		if u.request == t {
			c.unclaimed = slices.Delete(c.unclaimed, i, i+1)
			return u
		}
	}
	return nil
}

// claimFailed tells that a request was answered, so that a response that might have been meant
// for it is an orphan after all.
func (c *Dialogue) claimFailed(t *transaction) {
	if u := c.claimOf(t); u != nil {
		c.orphan(u.h, u.response, u.tx, u.blamable)
	}
}

// claim makes an unanswered request and the response that did not echo its session ID one transaction.
func (c *Dialogue) claim(h *half, t *transaction) bool {
	u := c.claimOf(t)
	if u == nil {
		return false
	}
	t.responseTime = u.response.Time
	c.conclude(t, u.response)
	switch {
	case t.state == Answered && t.letter == 'L':
		c.loggedIn(u.response.Named("access_token"), u.response.Time)
	case t.state == Answered && t.letter == 'O':
		c.loggedOut(t)
	}
	t.answer = u.response
	h.requests.finish(t)
	c.tellRequest(t.id)
	c.emitViolation(u.h.about(u.response, protocol.SessionIDNotEchoed, fmt.Sprintf("the answer carries session ID %s, but the only request that waited had %s", quote(u.response.SessionID), quote(t.id[:]))))
	c.emitTransaction(t, h.requests.done.remember(t, &c.d.stock))
	c.release(u.tx)
	c.release(t)
	return true
}

// unanswered gives up a request.
func (c *Dialogue) unanswered(h *half, t *transaction, timeout bool) {
	if t.state != Outstanding || c.claim(h, t) {
		return
	}
	t.state = Unanswered
	c.explain(h, t, timeout)
	h.requests.finish(t)
	c.tellRequest(t.id)
	if !t.excused && !t.faint && t.faults == 0 && !c.explained(h, t) {
		c.emitViolation(c.noResponse(h, t, timeout))
	}
	if at := h.requests.done.remember(t, &c.d.stock); t.mayComeLate() {
		c.holdBack(t, at)
	} else {
		c.emitTransaction(t, at)
	}
	c.release(t)
}

// explained reports whether the capture itself may be why a request has no answer.
func (c *Dialogue) explained(h *half, t *transaction) bool {
	p := h.peer
	return c.oneSided(p.dir) || c.unseenAnswer(p, t) || p.stalled || p.lacks() || p.gaps && p.gapTime >= t.requestTime || !p.fromStart && p.seen() == 0 && c.heard != nil && c.heard[p.dir] == 0
}

// unseenAnswer reports whether the answer may be among bytes that a direction whose start was not captured had sent before its
// first byte that was.
func (c *Dialogue) unseenAnswer(p *half, t *transaction) bool {
	return !p.fromStart && c.before != nil && c.before[p.dir] > 0 && (p.began == 0 || t.requestTime <= p.began)
}

// peerEnded gives up the requests of a direction once all that its ended peer had sent is settled.
func (c *Dialogue) peerEnded(h *half) {
	if p := h.peer; p.ended == finished && !p.drained && len(p.buf) == 0 && c.standing != rejected && !c.finished {
		p.drained = true
		c.failRequests(h)
	}
}

// failRequests gives up all requests of a direction, because its peer ended.
func (c *Dialogue) failRequests(h *half) {
	for t := h.requests.oldest(); t != nil; t = h.requests.oldest() {
		c.unanswered(h, t, false)
	}
}

// finish ends the connection.
func (c *Dialogue) finish() {
	if c.finished {
		return
	}
	c.finished = true
	c.d.unlink(c)
	if c.standing == confirmed {
		for i := range c.half {
			h := &c.half[i]
			h.flushJunk()
			if c.half[0].ended == fileEnded || c.half[1].ended == fileEnded {
				c.leavePending(h)
			} else {
				c.failRequests(h)
			}
		}
		c.letGo(math.MaxInt64)
		c.emitStream()
	}
	c.forgetTimer()
	c.held, c.late, c.tokens = nil, nil, tokens{}
	for i := range c.half {
		h := &c.half[i]
		h.requests.done.release(&c.d.stock)
		c.releaseAll(&h.requests)
		h.rest()
		h.doubtful = nil
	}
}

// leavePending emits requests that the capture's end left without an answer.
func (c *Dialogue) leavePending(h *half) {
	for t := h.requests.oldest(); t != nil; t = h.requests.oldest() {
		if c.claim(h, t) {
			continue
		}
		t.state, t.reason = Pending, CaptureEnded
		h.requests.finish(t)
		c.tellRequest(t.id)
		c.emitTransaction(t, -1)
		c.release(t)
	}
}

// checkStatus raises a status that the protocol does not have.
func (h *half) checkStatus(s *settled) {
	if st, ok := s.Status(); ok && st > 1 {
		s.blameFor(protocol.BadStatus, "the status is %02x, neither 00 nor 01", st)
	}
}

// checkFailure raises a failure response, and a code that the protocol does not list.
func (h *half) checkFailure(s *settled, t *transaction) {
	if st, ok := s.Status(); !ok || st != 0 || s.RequestLetter == 'O' {
		return
	}
	name := "request"
	if s.RequestLetter != 0 {
		name = protocol.Name(s.RequestLetter)
	}
	code, has := s.ErrorCode()
	if !has && s.RequestLetter == 0 && h.side() == protocol.Server {
		return // only a failed logout has no code
	}
	if !has {
		s.blameFor(protocol.ErrorResponse, "the %s failed, with no error code", name)
		return
	}
	e, listed := protocol.LookupError(code)
	why := ""
	if t != nil && len(t.why) > 0 {
		why = "; the request broke " + t.why
	}
	s.blameFor(protocol.ErrorResponse, "the %s failed with error 0x%04x: %s%s", name, code, e.Meaning, why)
	if !listed {
		s.blameFor(protocol.UnknownErrorCode, "error code 0x%04x is not in the protocol's list", code)
	}
}
