package dissect

import (
	"fmt"
	"slices"

	"github.com/nubishark/nubishark/protocol"
)

// transaction is a Transaction with what pairing needs.
type transaction struct {
	Transaction
	id      sid
	hash    uint64
	size    int
	older   *transaction // an outstanding one with the same session ID
	frame   *Frame       // the request
	faults  int          // of the request: they explain a silence
	excused bool         // something else explains that it is not answered
	claimed bool         // a response to nothing may have been meant for it
	why     string
	doubt   protocol.Artefacts // what makes it uncertain that it is a request
	token   token
	dir     int
	answer  *Frame // the response that did not echo its session ID
}

// unclaimed is a response to no request that came while exactly one request was outstanding.
type unclaimed struct {
	request  *transaction
	h        *half // of the response
	response *Frame
	tx       *transaction
	blamable bool
}

// pair gives a packet its place in a transaction. The functions returned emit what follows from it,
// after the packet itself.
func (h *half) pair(s *settled) (after []func()) {
	switch {
	case len(s.SessionID) < protocol.SessionIDSize || s.truncated || !s.legal:
		return nil
	case s.Letter == 'R':
		return h.pairResponse(s)
	}
	return h.pairRequest(s)
}

func (h *half) pairRequest(s *settled) (after []func()) {
	c := h.c
	id := sid(s.SessionID)
	t := &transaction{id: id, hash: s.hash, size: s.Length}
	t.Transaction = Transaction{Conn: c, Letter: s.Letter, SessionID: s.SessionID, RequestTime: s.Time}
	c.checkLogin(s)
	c.checkToken(s)
	if p, ok := h.requests.done[id]; ok {
		s.blameFor(protocol.SessionIDReused, "the %s reuses session ID %s of a finished %s transaction", protocol.Name(s.Letter), quote(s.SessionID), protocol.Name(p.letter))
	}
	if old := h.requests.open[id]; old != nil {
		switch lost := c.explained(h, old); {
		case lost:
			// Its answer may be among what was not captured: then this request is in order.
			old.excused = true
			if old.hash != t.hash || old.size != t.size {
				after = append(after, func() { c.unanswered(h, old, false) })
			}
		case old.hash == t.hash && old.size == t.size:
			old.excused = true
			s.blameFor(protocol.RequestRepeated, "the %s with session ID %s is sent again, byte for byte, before its answer", protocol.Name(s.Letter), quote(s.SessionID))
		default:
			s.blameFor(protocol.SessionIDCollision, "the %s uses session ID %s while a %s with it is not answered yet", protocol.Name(s.Letter), quote(s.SessionID), protocol.Name(old.Letter))
			old.excused = true
			after = append(after, func() { c.unanswered(h, old, false) })
		}
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
	t.frame, t.faults = s.Frame, len(s.faults)
	if !h.segStart(s.Offset) {
		t.doubt = h.unproved
	}
	s.tx, s.request = t, true
	t.excused = h.requests.early[id] && !c.gapless()
	t.dir = h.dir
	if h.requests.n >= maxOutstanding {
		oldest := h.requests.oldest()
		oldest.excused = true
		c.unanswered(h, oldest, false)
	}
	h.requests.push(t)
	c.changes++
	return after
}

func (h *half) pairResponse(s *settled) (after []func()) {
	c, p := h.c, h.peer
	id := sid(s.SessionID)
	h.checkStatus(s)
	t := p.requests.open[id]
	if t == nil {
		if f, ok := p.doubtful[id]; ok && f != nil {
			delete(p.doubtful, id)
			t = c.lateRequest(f)
		}
	}
	if t != nil && s.Time >= c.lateFrom(t) && t.dir == p.dir {
		t.Reason, t.Evidence = AnsweredLate, s.Packets
		c.unanswered(p, t, true)
		t = nil
	}
	if t == nil {
		return h.pairPast(s, id)
	}
	s.RequestLetter = t.Letter
	s.tx = t
	t.ResponseTime = s.Time
	c.conclude(t, s)
	h.checkFailure(s, t)
	if t.Letter == 'L' && t.State == Answered {
		c.loggedIn(s)
	}
	if t.Letter == 'O' && t.State == Answered {
		c.loggedOut(t)
	}
	return append(after, func() {
		p.requests.finish(t)
		c.emitTransaction(t)
		p.requests.remember(t, c.lateFrom(t))
		c.claimFailed(t)
	})
}

// lateFrom is the time from which an answer to the request is late.
func (c *Conn) lateFrom(t *transaction) int64 { return t.RequestTime + c.d.timeout }

// conclude gives the transaction the state that its response tells.
func (c *Conn) conclude(t *transaction, s *settled) {
	t.State = Failed
	if st, ok := s.Status(); ok && st == 1 {
		t.State = Answered
	}
	t.ErrorCode, t.HasError = s.ErrorCode()
}

// lateRequest makes a transaction of a damaged request that was answered all the same.
func (c *Conn) lateRequest(f *Frame) *transaction {
	t := &transaction{id: sid(f.SessionID), excused: true, size: f.Length}
	t.Transaction = Transaction{Conn: c, Letter: f.Letter, SessionID: f.SessionID, RequestTime: f.Time, Request: f.Number}
	t.frame = f
	t.dir = f.dir
	c.half[f.dir].requests.push(t)
	return t
}

// pairPast deals with a response to no outstanding request.
func (h *half) pairPast(s *settled, id sid) (after []func()) {
	c, p := h.c, h.peer
	if past, ok := p.requests.done[id]; ok {
		s.RequestLetter = past.letter
		s.Transaction = past.number
		switch {
		case past.state == Unanswered && s.Time < past.late:
			// It was settled too late for a connection that had ended: nobody's fault.
		case past.state != Unanswered && (p.stalled || p.gaps && p.gapTime >= past.late-c.d.timeout):
			// The request may have been sent again among what was not captured.
		case past.state == Unanswered:
			s.blameSince(past.late-c.d.timeout, protocol.LateResponse, "the answer to %s %s came after it had counted as unanswered", protocol.Name(past.letter), quote(s.SessionID))
		default:
			s.blameFor(protocol.DuplicateResponse, "%s %s was answered before", protocol.Name(past.letter), quote(s.SessionID))
		}
		h.checkFailure(s, nil)
		return nil
	}
	t := &transaction{id: id}
	t.Transaction = Transaction{Conn: c, SessionID: s.SessionID, State: Orphan, ResponseTime: s.Time}
	t.ErrorCode, t.HasError = s.ErrorCode()
	t.dir = p.dir
	s.tx = t
	_, doubtful := p.doubtful[id]
	blamable := c.gapless() && !doubtful
	h.checkFailure(s, nil)
	if one := p.requests.waitingAt(s.Time); blamable && one != nil && len(c.unclaimed) < maxUnclaimed {
		one.claimed = true
		c.unclaimed = append(c.unclaimed, &unclaimed{request: one, h: h, response: s.Frame, tx: t, blamable: blamable})
		s.tx = nil
		return nil
	}
	return []func(){func() { c.orphan(h, s.Frame, t, blamable) }}
}

// orphan emits a response to no request.
func (c *Conn) orphan(h *half, f *Frame, t *transaction, blamable bool) {
	h.peer.requests.cameEarly(t.id)
	if !blamable { // it may be the answer to any of them
		h.peer.requests.excuse()
	}
	if blamable {
		c.emitViolation(h.about(f, protocol.OrphanResponse, fmt.Sprintf("no request with session ID %s was sent on this connection", quote(f.SessionID))))
	}
	if t.Response == 0 {
		t.Response = f.Number
	}
	c.emitTransaction(t)
}

// maxUnclaimed bounds the responses of a connection that wait to be claimed.
const maxUnclaimed = 64

// claimOf takes out the response that may have been meant for a request, nil if there is none.
func (c *Conn) claimOf(t *transaction) *unclaimed {
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
func (c *Conn) claimFailed(t *transaction) {
	if u := c.claimOf(t); u != nil {
		c.orphan(u.h, u.response, u.tx, u.blamable)
	}
}

// claim makes an unanswered request and the response that did not echo its session ID one transaction.
func (c *Conn) claim(h *half, t *transaction) bool {
	u := c.claimOf(t)
	if u == nil {
		return false
	}
	t.ResponseTime, t.Response = u.response.Time, u.response.Number
	answer := &settled{Frame: u.response}
	c.conclude(t, answer)
	switch {
	case t.State == Answered && t.Letter == 'L':
		c.loggedIn(answer)
	case t.State == Answered && t.Letter == 'O':
		c.loggedOut(t)
	}
	t.answer = u.response
	h.requests.finish(t)
	c.emitViolation(u.h.about(u.response, protocol.SessionIDNotEchoed, fmt.Sprintf("the answer carries session ID %s, but the only request that waited had %s", quote(u.response.SessionID), quote(t.SessionID))))
	c.emitTransaction(t)
	h.requests.remember(t, c.lateFrom(t))
	return true
}

// unanswered gives up a request.
func (c *Conn) unanswered(h *half, t *transaction, timeout bool) {
	if t.State != Outstanding || c.claim(h, t) {
		return
	}
	t.State = Unanswered
	c.explain(h, t, timeout)
	h.requests.finish(t)
	if !t.excused && t.faults == 0 && !c.explained(h, t) {
		c.emitViolation(c.noResponse(h, t, timeout))
	}
	c.emitTransaction(t)
	h.requests.remember(t, c.lateFrom(t))
}

// explained reports whether the capture itself may be why a request has no answer.
func (c *Conn) explained(h *half, t *transaction) bool {
	p := h.peer
	return c.oneSided(p.dir) || c.unseenAnswer(p, t) || p.stalled || p.gaps && p.gapTime >= t.RequestTime || !p.fromStart && p.seen() == 0 && c.heard != nil && c.heard[p.dir] == 0
}

// unseenAnswer reports whether the answer may be among bytes that a direction whose start was not captured had sent before its
// first byte that was.
func (c *Conn) unseenAnswer(p *half, t *transaction) bool {
	return !p.fromStart && c.before != nil && c.before[p.dir] > 0 && (p.began == 0 || t.RequestTime <= p.began)
}

// peerEnded gives up the requests of a direction once all that its ended peer had sent is settled.
func (c *Conn) peerEnded(h *half) {
	if p := h.peer; p.ended == finished && !p.drained && len(p.buf) == 0 && c.standing != rejected && !c.finished {
		p.drained = true
		c.failRequests(h)
	}
}

// failRequests gives up all requests of a direction, because its peer ended.
func (c *Conn) failRequests(h *half) {
	for t := h.requests.oldest(); t != nil; t = h.requests.oldest() {
		c.unanswered(h, t, false)
	}
}

// finish ends the connection.
func (c *Conn) finish() {
	if c.finished {
		return
	}
	c.finished = true
	delete(c.d.conns, c)
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
		c.emitStream()
	}
	c.held, c.tokens = nil, nil
	for i := range c.half {
		h := &c.half[i]
		h.buf, h.back, h.segs, h.requests, h.doubtful = nil, nil, nil, requests{}, nil
	}
}

// leavePending emits requests that the capture's end left without an answer.
func (c *Conn) leavePending(h *half) {
	for t := h.requests.oldest(); t != nil; t = h.requests.oldest() {
		if c.claim(h, t) {
			continue
		}
		t.State, t.Reason = Pending, CaptureEnded
		h.requests.finish(t)
		c.emitTransaction(t)
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
