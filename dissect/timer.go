package dissect

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/nubishark/nubishark/internal/prefetch"
)

// timer wakes a connection when the capture's clock has passed a moment.
type timer struct {
	at int64
	// order is that of the connection times timerKinds, and the kind: the direction in which a packet waits for its tail, or generalTimer.
	order int64
	c     *Dialogue
}

const (
	generalTimer = 2
	timerKinds   = 3
)

// stands reports whether it was not overtaken by what happened.
func (t *timer) stands() bool {
	if t.c == nil {
		return false
	}
	if dir := t.order % timerKinds; dir < generalTimer {
		return t.c.waitsUntil(int(dir)) == t.at && t.c.order == t.order/timerKinds
	}
	return t.c.deadline == t.at && t.c.order == t.order/timerKinds && !t.c.finished && t.c.standing != rejected
}

func (t *timer) before(o *timer) bool { return t.at < o.at || t.at == o.at && t.order < o.order }

// timers hands out the earliest timer first. Most are set for the same time from now on, so that they come in order: those stand
// in rows, the others in a heap. What is set for a later stretch of time first stands with what else is set for it, in no order, so that the
// heap is small.
type timers struct {
	rows [2]row // of what waits for a second, and for the response timeout
	heap timerHeap
	n    int // of both
	far  farTimers
	// due is the earliest moment behind which there may be something to do (ns).
	due int64
	// first tells where the earliest one stands: in which row, or, behind those, in the heap.
	first int
	// cancelled counts those of the first row that are nobody's any more.
	cancelled int
}

// row are timers in order.
type row struct {
	list []timer
	head int
	gone uint32 // how many stood before the list, by now
}

func (r *row) empty() bool { return r.head == len(r.list) }

func (r *row) last() *timer { return &r.list[len(r.list)-1] }

// push adds a timer behind the others.
func (r *row) push(x timer) {
	if len(r.list) == cap(r.list) && 4*r.head >= len(r.list) {
		r.gone += uint32(r.head)
		n := copy(r.list, r.list[r.head:])
		clear(r.list[n:])
		r.list, r.head = r.list[:n], 0
	}
	r.list = append(r.list, x)
}

func (r *row) pop() timer {
	x := r.list[r.head]
	r.list[r.head] = timer{}
	if r.head++; r.empty() {
		r.gone += uint32(r.head)
		r.list, r.head = r.list[:0], 0
	}
	return x
}

// peek returns the earliest timer; there has to be one.
func (t *timers) peek() *timer {
	if t.first < len(t.rows) {
		r := &t.rows[t.first]
		return &r.list[r.head]
	}
	return &t.heap[0]
}

// push adds a timer. If that waits for a second, it returns its place, from 1 on; else 0.
func (t *timers) push(x timer, now, timeout int64) (place uint32) {
	// A row takes what is set for about the same time from now on, so that nothing far away stands before what comes soon.
	at := len(t.rows)
	switch wait := x.at - now; {
	case wait <= second:
		at = 0
	case wait > timeout-second:
		at = 1
	}
	switch {
	case at < len(t.rows) && (t.rows[at].empty() || !x.before(t.rows[at].last())):
		r := &t.rows[at]
		r.push(x)
		if at == 0 {
			place = r.gone + uint32(len(r.list))
		}
		t.came(&x, at)
	case x.order%timerKinds == generalTimer && t.far.push(x, now):
		t.due = min(t.due, t.far.due())
	default:
		t.heap.push(x)
		t.came(&x, len(t.rows))
	}
	return place
}

// came notes that a timer was added to a row, or to the heap.
func (t *timers) came(x *timer, at int) {
	t.due = min(t.due, x.at)
	if t.n++; t.n == 1 || at != t.first && x.before(t.peek()) {
		t.first = at
	}
}

// settle finds out when there is something to do.
func (t *timers) settle() { t.due = min(t.next(), t.far.due()) }

// next is the time of the earliest one that is not far away.
func (t *timers) next() int64 {
	if t.n == 0 {
		return math.MaxInt64
	}
	return t.peek().at
}

// raise lets those timers come up that are far no more, now. Whether they stand is seen when their own time comes.
func (t *timers) raise(now int64) {
	for t.far.due() < now {
		for x := t.far.take(); x != nil; x = t.far.soon.giveBack(x) {
			t.heap.push(x.timer)
			t.came(&x.timer, len(t.rows))
		}
	}
	t.settle()
}

// farTimers are timers by the stretch of 67 ms in which their time is. Those of the stretch that comes next are divided again, by the
// millisecond: so few come up at a time that it is soon found out which is the first.
type farTimers struct {
	slots  [farSlots]*farBlock
	n      int   // in all
	behind int   // of those, in the slots
	came   int64 // the last stretch that came up
	first  int64 // the first one with timers, if there are any
	spare  *farBlock
	soon   soonTimers
}

const (
	farSlots = 1024
	farUnit  = 26 // a stretch has so many bits of ns
)

// farBlock are some of the timers of a stretch.
type farBlock struct {
	list [31]timer
	n    int
	next *farBlock // of the same stretch, or spare
}

// due is when the first of those that are here comes up.
func (f *farTimers) due() int64 {
	switch {
	case f.soon.some != 0:
		return f.came<<farUnit | int64(bits.TrailingZeros64(f.soon.some))<<soonUnit
	case f.behind > 0:
		return f.first << farUnit
	}
	return math.MaxInt64
}

// push adds a timer, if it is far away and not too far.
func (f *farTimers) push(x timer, now int64) bool {
	stretch := x.at >> farUnit
	if f.n == 0 {
		f.came = max(f.came, now>>farUnit)
	}
	if stretch <= max(f.came, now>>farUnit) || stretch >= f.came+farSlots {
		return false
	}
	if f.behind == 0 || stretch < f.first {
		f.first = stretch
	}
	slot := &f.slots[stretch%farSlots]
	b := *slot
	if b == nil || b.n == len(b.list) {
		if b = f.spare; b != nil {
			f.spare = b.next
		} else {
			b = new(farBlock)
		}
		b.next, *slot = *slot, b
	}
	b.list[b.n] = x
	b.n++
	f.n++
	f.behind++
	return true
}

// take takes out those that come up first, one at least: a list.
func (f *farTimers) take() *soonTimer {
	if f.soon.some == 0 {
		f.divide()
	}
	list, n := f.soon.take()
	f.n -= n
	return list
}

// divide divides the first stretch.
func (f *farTimers) divide() {
	slot := &f.slots[f.first%farSlots]
	b := *slot
	*slot = nil
	f.came = f.first
	for b != nil {
		for i := range b.list[:b.n] {
			f.soon.push(&b.list[i])
		}
		f.behind -= b.n
		b = f.giveBack(b)
	}
	f.seek()
}

// seek finds the first stretch with timers.
func (f *farTimers) seek() {
	for f.behind > 0 && f.slots[f.first%farSlots] == nil {
		f.first++
	}
}

// giveBack takes back a block, and returns the next one of its stretch.
func (f *farTimers) giveBack(b *farBlock) (next *farBlock) {
	next = b.next
	clear(b.list[:b.n])
	b.n, b.next, f.spare = 0, f.spare, b
	return next
}

// keep takes out all timers but those that stand.
func (f *farTimers) keep() {
	f.behind = 0
	for i := range f.slots {
		for at := &f.slots[i]; *at != nil; {
			b := *at
			n := 0
			for _, x := range b.list[:b.n] {
				if x.stands() {
					b.list[n] = x
					n++
				}
			}
			clear(b.list[n:b.n])
			b.n = n
			f.behind += n
			if n == 0 {
				*at = f.giveBack(b)
			} else {
				at = &b.next
			}
		}
	}
	f.n = f.behind + f.soon.keep()
	f.seek()
}

// soonTimers are the timers of a stretch by the millisecond: a list for each of the parts of the stretch.
type soonTimers struct {
	lists [1 << (farUnit - soonUnit)]*soonTimer
	some  uint64 // a bit for each list that is not empty
	spare *soonTimer
}

const soonUnit = 20 // such a part has so many bits of ns

type soonTimer struct {
	timer
	next *soonTimer
}

func (f *soonTimers) push(x *timer) {
	s := f.spare
	if s != nil {
		f.spare = s.next
	} else {
		s = new(soonTimer)
	}
	i := x.at >> soonUnit & int64(len(f.lists)-1)
	s.timer, s.next = *x, f.lists[i]
	f.lists[i] = s
	f.some |= 1 << i
}

// take takes out the first list, and returns how many timers are in it.
func (f *soonTimers) take() (list *soonTimer, n int) {
	i := bits.TrailingZeros64(f.some)
	list = f.lists[i]
	f.lists[i] = nil
	f.some &^= 1 << i
	for x := list; x != nil; x = x.next {
		n++
	}
	return list, n
}

// giveBack takes back what was taken out, and returns the next of its list.
func (f *soonTimers) giveBack(x *soonTimer) (next *soonTimer) {
	next = x.next
	x.timer, x.next, f.spare = timer{}, f.spare, x
	return next
}

// keep takes out all timers but those that stand, and returns how many those are.
func (f *soonTimers) keep() (n int) {
	for i := range f.lists {
		for at := &f.lists[i]; *at != nil; {
			if x := *at; x.stands() {
				at = &x.next
				n++
			} else {
				*at = f.giveBack(x)
			}
		}
		if f.lists[i] == nil {
			f.some &^= 1 << i
		}
	}
	return n
}

// cancel makes the timer of a place one of nobody, so that nothing far away has to be looked at when its time has come.
func (t *timers) cancel(place uint32) {
	r := &t.rows[0]
	r.list[place-r.gone-1].c = nil
	if t.cancelled++; t.cancelled > 1024 && 2*t.cancelled > len(r.list)-r.head {
		t.n -= r.keep((*timer).someones)
		t.cancelled = 0
		t.choose()
	}
}

// someones reports whether it was not cancelled.
func (t *timer) someones() bool { return t.c != nil }

// keep takes all timers out of the row but some, and returns how many those were.
func (r *row) keep(some func(*timer) bool) (gone int) {
	kept := r.list[:0]
	r.gone += uint32(r.head)
	for i := r.head; i < len(r.list); i++ {
		if !some(&r.list[i]) {
			gone++
			continue
		}
		x := r.list[i]
		kept = append(kept, x)
		if dir := x.order % timerKinds; dir < generalTimer && x.c.wait[dir].place > 0 {
			x.c.wait[dir].place = r.gone + uint32(len(kept))
		}
	}
	clear(r.list[len(kept):])
	r.list, r.head = kept, 0
	return gone
}

// pop returns the earliest timer.
func (t *timers) pop() (x timer) {
	if t.first < len(t.rows) {
		x = t.rows[t.first].pop()
	} else {
		x = t.heap.pop()
	}
	if x.c == nil {
		t.cancelled--
	}
	t.n--
	if t.choose(); t.n == 0 {
		return x
	}
	next := unsafe.Pointer(t.peek().c) // it is near the processor when its time has come
	prefetch.Eight(next, next, next, next)
	return x
}

// choose finds out where the earliest timer stands. Those in front that were cancelled are gone then.
func (t *timers) choose() {
	t.first = len(t.rows)
	for i := range t.rows {
		r := &t.rows[i]
		for !r.empty() && r.list[r.head].c == nil {
			r.pop()
			t.n--
			t.cancelled--
		}
		if !r.empty() && (t.first == len(t.rows) && len(t.heap) == 0 || r.list[r.head].before(t.peek())) {
			t.first = i
		}
	}
	t.settle()
}

// timerHeap is a heap.
type timerHeap []timer

func (t *timerHeap) push(x timer) {
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
func (t *timerHeap) pop() timer {
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

// compact takes out the timers that are found to be stale: they would keep connections that have ended.
func (d *Dissector) compact() {
	d.stale = 0
	d.timers.keep()
}

// keep takes out all timers but those that stand.
func (t *timers) keep() {
	t.n, t.cancelled = 0, 0
	for i := range t.rows {
		t.rows[i].keep((*timer).stands)
		t.n += len(t.rows[i].list)
	}
	old := t.heap
	t.heap = old[:0]
	for _, x := range old {
		if x.stands() {
			t.heap.push(x)
		}
	}
	clear(old[len(t.heap):])
	t.n += len(t.heap)
	t.far.keep()
	t.choose()
}

// forgetTimer notes that the timer of a connection that has ended is stale.
func (c *Dialogue) forgetTimer() {
	if c.deadline == 0 {
		return
	}
	c.deadline = 0
	c.d.stale++
	c.d.tidy()
}

// tidy takes stale timers out, once they are most of all.
func (d *Dissector) tidy() {
	if d.stale > 1024 && 2*d.stale > d.timers.n+d.timers.far.n {
		d.compact()
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
	was := c.deadline
	c.armAt(at)
	if was != 0 {
		c.d.stale++
		c.d.tidy()
	}
}

func (c *Dialogue) armAt(at int64) {
	c.deadline = at
	c.d.timers.push(timer{at: at, order: c.order*timerKinds + generalTimer, c: c}, c.d.now, c.d.timeout)
}

// due is the earliest moment after which the clock may settle something, 0 if there is none.
func (c *Dialogue) due() int64 {
	at := int64(0)
	sooner := func(t int64) {
		if t > c.d.now && (at == 0 || t < at) {
			at = t
		}
	}
	for i := range c.spots {
		if t := c.spots[i].requests.nextLate(c.d.now - c.d.timeout); t != nil {
			sooner(c.lateFrom(t))
		}
	}
	for i := range c.half {
		if c.easy { // no bytes wait
			break
		}
		h := &c.half[i]
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
	if c.easy && !c.spots[0].requests.late(now-c.d.timeout) && !c.spots[1].requests.late(now-c.d.timeout) {
		c.tickEasily(now)
		return
	}
	c.leave()
	defer c.ease()
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

// tickEasily does so on the usual way, where it comes to nothing but what takes a look at few places: no request is late, and no bytes
// wait for the clock in a way that has not its own timer.
func (c *Dialogue) tickEasily(now int64) {
	if c.holding {
		c.letGo(now)
	}
	p := &c.pulse
	if p.period == 0 || c.told > 0 || p.late() <= now || c.holding {
		c.checkPulse(now)
		c.arm()
		return
	}
	at := p.late()
	for i := range c.spots {
		if t := c.spots[i].requests.first; t != nil {
			at = min(at, c.lateFrom(t))
		}
	}
	if at <= now {
		c.arm()
	} else if c.deadline == 0 {
		c.armAt(at)
	}
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
