package dissect

import (
	"cmp"
	"container/heap"
	"slices"
)

// timer wakes a connection when the capture's clock has passed a moment.
type timer struct {
	at    int64
	order int64
	c     *Conn
}

type timers []timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].order < t[j].order
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	old[len(old)-1] = timer{}
	*t = old[:len(old)-1]
	return x
}

// arm makes sure that a timer stands for the earliest moment at which the clock alone may
// settle something. A later one that stands already is left to be found stale.
func (c *Conn) arm() {
	if c.standing == rejected || c.finished {
		return
	}
	at := c.due()
	if at == 0 || c.deadline != 0 && c.deadline <= at {
		return
	}
	c.deadline = at
	heap.Push(&c.d.timers, timer{at: at, order: int64(c.Stream), c: c})
}

// due is the earliest moment after which the clock may settle something, 0 if there is none.
func (c *Conn) due() int64 {
	at := int64(0)
	sooner := func(t int64) {
		if t > c.d.now && (at == 0 || t < at) {
			at = t
		}
	}
	for i := range c.half {
		h := &c.half[i]
		if t := h.requests.nextLate(c.d.now - c.d.timeout); t != nil {
			sooner(c.lateFrom(t))
		}
		if len(h.buf) > 0 && h.ended == running {
			sooner(h.lastTime + second)
			if !h.silent {
				sooner(h.lastTime + c.d.timeout)
			}
			if len(h.segs) > 0 {
				sooner(h.segs[0].time + second)
			}
		}
		if len(h.buf) > 0 && len(h.segs) > 0 {
			sooner(h.heldSince() + second)
		}
	}
	if t := c.pulseDue(); t > 0 {
		sooner(t)
	}
	return at
}

// tick does what the clock alone settles.
func (c *Conn) tick() {
	if c.standing == rejected || c.finished {
		return
	}
	now := c.d.now
	for i := range c.half {
		h := &c.half[i]
		if len(h.buf) > 0 && h.ended == running && now >= h.lastTime+c.d.timeout {
			h.silent = true
		}
	}
	c.look()
	for i := range c.half {
		h := &c.half[i]
		for t := h.requests.oldest(); t != nil && now >= c.lateFrom(t) && !h.peer.mayAnswer(t); t = h.requests.oldest() {
			c.unanswered(h, t, true)
		}
	}
	c.checkPulse(now)
	c.arm()
}

// sorted returns connections in the order of their numbers.
func sorted(m map[*Conn]struct{}) []*Conn {
	list := make([]*Conn, 0, len(m))
	for c := range m {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *Conn) int { return cmp.Compare(a.Stream, b.Stream) })
	return list
}
