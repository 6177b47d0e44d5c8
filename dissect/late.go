package dissect

import "slices"

// Unanswered requests are held back for one more timeout, in case that an answer comes after all: then that is their reason.

// mayComeLate reports whether an answer may yet come to an unanswered request.
func (t *transaction) mayComeLate() bool {
	return t.reason == CaptureLost || t.reason == NeverDelivered || t.reason == NotAnswered
}

// lapse gives a transaction that is held back its numbers, while its place is still its own.
type lapse struct {
	t    Transaction
	kept numbers
	at   int32 // its place among the finished ones
}

func (l *lapse) give(n *Numbering) {
	if n.framesOnly {
		return
	}
	k := l.t.Conn.numbersOf(l.t.slot)
	n.number(k)
	*l.t.kept, *k = *k, numbers{}
	n.remember(l.t.Conn, l.t.dir, l.at, l.t.kept.transaction)
}

// holdBack keeps an unanswered transaction whose place among the finished ones is known.
func (c *Dialogue) holdBack(t *transaction, at int32) {
	l := &lapse{at: at}
	x := &l.t
	c.record(t, x)
	x.kept = &l.kept
	c.emit(l)
	c.late, c.holding = append(c.late, x), true
	if len(c.late) > maxFinished { // an answer to this one would not be known any more
		c.letGoOf(0)
	}
	c.armBy(c.lateUntil())
}

// lateUntil is the moment at which the oldest transaction that is held back goes, 0 if there is none.
func (c *Dialogue) lateUntil() int64 {
	if len(c.late) == 0 {
		return 0
	}
	return c.late[0].RequestTime + 2*c.d.timeout
}

// letGo emits the transactions that were held back long enough.
func (c *Dialogue) letGo(now int64) {
	for len(c.late) > 0 && c.lateUntil() <= now {
		c.letGoOf(0)
	}
}

func (c *Dialogue) letGoOf(i int) {
	t := c.late[i]
	if i == 0 { // mostly: the others stay where they are
		c.late[0] = nil
		c.late = c.late[1:]
	} else {
		c.late = slices.Delete(c.late, i, i+1)
	}
	c.holding = len(c.late) > 0
	c.emit(t)
}

// answeredLate tells of a transaction that is held back, whose request came at a moment, that its answer came.
func (c *Dialogue) answeredLate(requester *half, answer *Frame, since int64) {
	for i := len(c.late) - 1; i >= 0; i-- {
		if t := c.late[i]; int(t.dir) == requester.dir && t.RequestTime == since && string(t.id[:]) == string(answer.SessionID) {
			t.Reason, t.Evidence = AnsweredLate, slices.Clone(answer.Packets)
			c.letGoOf(i)
			return
		}
	}
}
