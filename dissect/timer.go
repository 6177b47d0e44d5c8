package dissect

import (
	"cmp"
	"slices"
)

// timer wakes a connection when the capture's clock has passed a moment.
type timer struct {
	at    int64
	order int64
	c     *Dialogue
}

// timers is a heap.
type timers []timer

func (t *timer) before(o *timer) bool { return t.at < o.at || t.at == o.at && t.order < o.order }

func (t *timers) push(x timer) {
	*t = append(*t, x)
	h := *t
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !x.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = x
}

// pop returns the earliest timer.
func (t *timers) pop() timer {
	h := *t
	top, x := h[0], h[len(h)-1]
	h[len(h)-1] = timer{}
	h = h[:len(h)-1]
	*t = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		least := 4*i + 1
		if least >= len(h) {
			break
		}
		for k := least + 1; k < min(4*i+5, len(h)); k++ {
			if h[k].before(&h[least]) {
				least = k
			}
		}
		if !h[least].before(&x) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = x
	return top
}

// compact takes out the timers that are found to be stale, once they may be most of all: they would keep connections
// that have ended.
func (d *Dissector) compact() {
	d.stale = 0
	kept := d.timers[:0]
	for _, t := range d.timers {
		if t.c.deadline == t.at && !t.c.finished && t.c.standing != rejected {
			kept = append(kept, t)
		}
	}
	clear(d.timers[len(kept):])
	all := kept
	d.timers = all[:0]
	for _, t := range all {
		d.timers.push(t)
	}
}

// forgetTimer notes that the timer of a connection that has ended is stale.
func (c *Dialogue) forgetTimer() {
	if c.deadline == 0 {
		return
	}
	c.deadline = 0
	if c.d.stale++; c.d.stale > 1024 && 2*c.d.stale > len(c.d.timers) {
		c.d.compact()
	}
}

// arm makes sure that a timer stands for the earliest moment at which the clock alone may
// settle something. A later one that stands already is left to be found stale.
func (c *Dialogue) arm() {
	if c.standing == rejected || c.finished {
		return
	}
	at := c.due()
	if at == 0 || c.deadline != 0 && c.deadline <= at {
		return
	}
	c.deadline = at
	c.d.timers.push(timer{at: at, order: c.order, c: c})
}

// due is the earliest moment after which the clock may settle something, 0 if there is none.
func (c *Dialogue) due() int64 {
	at := int64(0)
	sooner := func(t int64) {
		if t > c.d.now && (at == 0 || t < at) {
			at = t
		}
	}
	for i := range c.half {
		h := &c.half[i]
		if t := h.requests.oldest(); t != nil {
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
	if t := c.lateUntil(); t > 0 {
		sooner(t)
	}
	return at
}

// tick does what the clock alone settles.
func (c *Dialogue) tick() {
	if c.standing == rejected || c.finished {
		return
	}
	now := c.d.now
	if len(c.half[0].buf) > 0 || len(c.half[1].buf) > 0 {
		c.lookLate()
	}
	for i := range c.half {
		h := &c.half[i]
		for t := h.requests.oldest(); t != nil && now >= c.lateFrom(t) && !h.peer.mayAnswer(t); t = h.requests.oldest() {
			c.unanswered(h, t, true)
		}
	}
	c.letGo(now)
	c.checkPulse(now)
	c.arm()
}

// lookLate looks at bytes that wait, because of the clock.
func (c *Dialogue) lookLate() {
	now := c.d.now
	for i := range c.half {
		h := &c.half[i]
		if len(h.buf) > 0 && h.ended == running && now >= h.lastTime+c.d.timeout {
			h.silent = true
		}
	}
	c.look()
}

// open returns the connections that have not ended, in order.
func (d *Dissector) open() []*Dialogue {
	var list []*Dialogue
	for c := d.first; c != nil; c = c.next {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *Dialogue) int { return cmp.Compare(a.order, b.order) })
	return list
}
