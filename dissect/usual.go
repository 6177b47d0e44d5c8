package dissect

import (
	"unsafe"

	"github.com/nubishark/nubishark/protocol"
)

// Whole says where bytes come from that a single segment carried, in order and of ordinary size.
type Whole struct {
	// Offset in the direction's stream; Time (ns) and Packet are of the capture packet.
	Offset, Time, Packet int64
	// Hint is that of the bytes, Letter the first of them.
	Hint   uint32
	Letter byte
	Dir    uint8
	// Push tells that a write of the sender ends with them.
	Push bool
	// Mark is the caller's own.
	Mark int8
}

// Usual takes in bytes like Bytes, if they are a packet that came whole in one write on a connection where nothing is in doubt, as most
// are, and reports whether they are. It concludes what the long way would, from the bytes where they are; whatever is not usual goes that
// way. Otherwise nothing has changed that Bytes would not change, too. All timers that are due have run before.
func (d *Dissector) Usual(c *Dialogue, b []byte, w *Whole) bool {
	if !c.easy || !w.Push || len(b) <= protocol.StatusAt {
		return false
	}
	dir := int(w.Dir & 1)
	if c.waits != 0 && !c.endsWait(dir, b, w) {
		return false
	}
	if b[0] == 'R' && !c.usualResponse(dir, b, w) || b[0] != 'R' && !c.usualRequest(dir, b, w) {
		return false
	}
	d.short++
	if d.out != nil {
		d.flush()
	}
	return true
}

// ease notes whether packets may be settled the usual way from here on: nothing is in doubt on the connection, and nothing waits.
func (c *Dialogue) ease() {
	c.easy = c.standing == confirmed && c.sideKnown && !c.uncertain && !c.finished && len(c.unclaimed) == 0 && c.ended == nil &&
		c.half[0].calm() && c.half[1].calm() && !c.d.opts.Thorough && c.d.timeout > second // else what waits for a tail may wait too long
	if c.easy {
		c.half[0].rest()
		c.half[1].rest()
	}
}

// calm reports whether nothing is in doubt in a direction.
func (h *half) calm() bool {
	return h.adrift == inStep && !h.gaps && !h.stalled && h.ended == running && !h.silent && len(h.buf) == 0 && !h.midWrite && !h.shaky && !h.faint &&
		h.early == nil && (h.fromStart || h.began != 0)
}

// leave leaves the usual way: what waits is put where the long way looks for it.
func (c *Dialogue) leave() {
	if !c.easy {
		return
	}
	c.easy = false
	for i := range c.half {
		h, w := &c.half[i], &c.wait[i]
		h.pushes = h.pushes || h.scanned < h.pos
		h.scanned = max(h.scanned, h.pos)
		if w.size > 0 {
			if w.acked > 0 {
				c.acks.Add(i, h.pos+int64(w.size), w.acked)
			}
			h.add(w.raw[:w.size], &Part{Offset: h.pos, Time: w.time, Packet: w.packet, Push: true})
			c.endWait(i)
		}
	}
}

// waiting is a packet that may be whole, or go on with an optional tail.
type waiting struct {
	time, packet int64
	acked        int64  // the capture packet that acknowledged it, 0 while none has
	place        uint32 // of the timer, 0 if it has no place to be found again
	size         uint8  // 0 if nothing waits
	timed        bool   // it has a timer
	raw          [mostWaiting]byte
}

const (
	// withToken is the size of a successful answer to a login, without its tail.
	withToken = protocol.StatusAt + 1 + protocol.TokenSize
	// mostWaiting is that of the largest packet that has an optional tail.
	mostWaiting = withToken
)

// waitsUntil is when the time is over for which a packet waits in a direction, 0 if none does.
func (c *Dialogue) waitsUntil(dir int) int64 {
	if !c.wait[dir].timed {
		return 0
	}
	return c.spots[dir].lastTime + second
}

// endWait tells that what waited is settled, or goes the long way.
func (c *Dialogue) endWait(dir int) {
	w := &c.wait[dir]
	timed := w.timed
	w.size, w.timed = 0, false
	c.waits &^= 1 << dir
	switch {
	case !timed:
	case w.place > 0:
		c.d.timers.cancel(w.place)
	default:
		c.d.stale++
		c.d.tidy()
	}
}

// waitFor keeps a packet whose optional tail may yet come.
func (c *Dialogue) waitFor(dir int, b []byte, w *Whole) bool {
	x, s := &c.wait[dir], &c.spots[dir]
	if c.d.now-max(s.lastTime, w.Time) >= second || len(b) > len(x.raw) {
		return false
	}
	s.lastTime, s.latest = max(s.lastTime, w.Time), max(s.latest, w.Packet)
	x.time, x.packet, x.acked, x.timed, x.size = w.Time, w.Packet, 0, true, uint8(len(b))
	copy(x.raw[:], b)
	c.waits |= 1 << dir
	if len(b) == withToken {
		c.half[dir].handOut(b, w.Offset)
	}
	if c.ahead>>dir&1 != 0 {
		x.acked, _ = c.acks.at(dir, w.Offset+int64(len(b)))
	}
	x.place = c.d.timers.push(timer{at: s.lastTime + second, order: c.order*timerKinds + int64(dir), c: c}, c.d.now, c.d.timeout)
	return true
}

// endsWait settles what waits to see whether an optional tail comes, if b comes instead. It returns false if b may be the tail, or
// else may need to be looked at beside what waits.
func (c *Dialogue) endsWait(dir int, b []byte, w *Whole) bool {
	for i := range c.wait {
		if c.waits>>i&1 != 0 && c.d.now >= c.waitsUntil(i) {
			return false // it has waited long enough, though its timer is not due yet
		}
	}
	if c.waits>>dir&1 != 0 && (!c.follows(dir, b) || !c.settleWait(dir)) {
		return false
	}
	x := &c.wait[1-dir]
	switch {
	case c.waits>>(1-dir)&1 == 0:
		return true
	case x.size == withToken: // who carries the token has seen all of the answer that hands it out
		return x.packet < w.Packet && b[0] != 'R' && len(b) >= protocol.TokenAt+protocol.TokenSize &&
			string(b[protocol.TokenAt:][:protocol.TokenSize]) == string(x.raw[protocol.StatusAt+1:]) && c.settleWait(1-dir)
	case string(b[1:protocol.HeaderSize]) != string(x.raw[1:protocol.HeaderSize]):
		return true
	}
	// An answer: then what was seen of the request was all of it.
	return x.raw[0] != 'R' && b[0] == 'R' && x.packet < w.Packet && c.d.now-w.Time < second && c.settleWait(1-dir)
}

// follows reports whether b is a packet beyond doubt, so that it is no tail of the one that waits in its direction: a request with a token
// that the connection knows, or the response to a request that the other side sent.
func (c *Dialogue) follows(dir int, b []byte) bool {
	if b[0] == 'R' {
		id, x := b[1:protocol.HeaderSize], &c.wait[1-dir]
		return c.spots[1-dir].requests.outstanding(sid(id)) || c.waits>>(1-dir)&1 != 0 && x.raw[0] != 'R' && string(x.raw[1:protocol.HeaderSize]) == string(id)
	}
	if len(b) < protocol.TokenAt+protocol.TokenSize || requestWays[b[0]] == nil {
		return false
	}
	t := b[protocol.TokenAt:][:protocol.TokenSize]
	return c.session.carried && string(c.session.token[:]) == string(t) || c.tokens.has(token(t))
}

// settleWait settles the packet that waits in a direction, without a tail.
func (c *Dialogue) settleWait(dir int) bool {
	s, x := &c.spots[dir], &c.wait[dir]
	b, w := x.raw[:x.size], &Whole{Offset: s.pos, Time: x.time, Packet: x.packet}
	if !c.d.opts.Brief {
		b = c.d.rec.keepRaw(b)
	}
	if b[0] == 'R' {
		t, l := c.answeredBy(dir, b, w)
		if t == nil || l.fixed != len(b) || !l.tail {
			return false
		}
		c.respond(dir, t, l.layout, false, b, w)
	} else {
		l := c.requestWay(dir, b)
		if l == nil || l.fixed != len(b) || !l.tail || !c.unsuspicious(s, b) {
			return false
		}
		c.request(dir, l.layout, false, b, w, x.acked)
	}
	c.endWait(dir)
	s.passed(len(b), w)
	return true
}

// tickWait settles the packet that waits in a direction, because it was waited for long enough, and before it one of the other direction
// that came earlier and waits as long.
func (c *Dialogue) tickWait(dir int) {
	x, y := &c.wait[dir], &c.wait[1-dir]
	both := y.timed && c.waitsUntil(1-dir) == c.waitsUntil(dir) && y.packet < x.packet
	x.timed = false
	if (!both || c.settleWait(1-dir)) && c.settleWait(dir) {
		c.d.short++
		return
	}
	c.leave()
	c.look()
	c.ease()
}

// way is what the usual way needs of a layout.
type way struct {
	layout                       *protocol.Layout
	fixed, lengthAt, lengthWidth int
	tail                         bool // it may have one, with a length of one byte
	from                         protocol.Side
}

func newWay(l *protocol.Layout) *way {
	sh := l.Shape()
	if len(l.Tail) > 0 && (sh.LengthWidth > 0 || sh.TailLengthWidth != 1 || sh.TailFixed != 1) {
		return nil
	}
	return &way{l, sh.Fixed, sh.LengthAt, sh.LengthWidth, len(l.Tail) > 0, l.From}
}

// requestWays are those of the letters of requests that carry a token, answerWays those of successful responses by the letters of
// their requests. Answers to logouts are not among them: what comes behind them is looked at in the long way.
var requestWays, answerWays = func() (requests, answers [256]*way) {
	for _, l := range protocol.Layouts {
		if l.Outcome == protocol.NoStatus && l.Shape().HasToken && len(protocol.ByLetter(l.Letter)) == 1 {
			requests[l.Letter] = newWay(l)
		}
		for i := range len(l.Answers) {
			if x := l.Answers[i]; l.Outcome == protocol.Success && x != 'O' {
				answers[x] = newWay(l)
			}
		}
	}
	return requests, answers
}()

// requestWay returns the way of a request that this side may send, nil if it is none.
func (c *Dialogue) requestWay(dir int, b []byte) *way {
	l := requestWays[b[0]]
	if l == nil || len(b) < l.fixed || l.from != c.sideOf(dir) {
		return nil
	}
	return l
}

func (c *Dialogue) usualRequest(dir int, b []byte, w *Whole) bool {
	l := c.requestWay(dir, b)
	if l == nil {
		return false
	}
	n, tail := l.fixed, false
	switch {
	case l.lengthWidth > 0:
		n += number(b[l.lengthAt:], l.lengthWidth, c.d.opts.LittleEndian)
	case l.tail && len(b) == n:
		return c.waitFor(dir, b, w)
	case l.tail:
		n, tail = c.tailEnd(dir, b, n, b[protocol.TokenAt:][:protocol.TokenSize]), true
	}
	s := &c.spots[dir]
	if n != len(b) || !c.unsuspicious(s, b) {
		return false
	}
	c.request(dir, l.layout, tail, b, w, 0)
	s.passed(len(b), w)
	return true
}

// tailEnd is where the tail of a packet that starts at x ends, 0 where another reading of the packet is confirmed by what stands in it.
func (c *Dialogue) tailEnd(dir int, b []byte, x int, vouched []byte) int {
	for k := range min(maxStray+1, len(b)-x) {
		if isLetter[b[x+k]] && c.strongInside(dir, b[x+k:], vouched) {
			return 0
		}
	}
	if len(b) >= x+2 {
		for _, n := range [2]int{int(b[x]) | int(b[x+1])<<8, int(b[x])<<8 | int(b[x+1])} {
			if y := x + 2 + n; y < len(b) && isLetter[b[y]] && c.strongInside(dir, b[y:], vouched) {
				return 0
			}
		}
	}
	return x + 1 + int(b[x])
}

var isLetter = func() (is [256]bool) {
	for i := range len(protocol.Letters) {
		is[protocol.Letters[i]] = true
	}
	return is
}()

// strongInside is strong for bytes inside a write.
func (c *Dialogue) strongInside(dir int, b, vouched []byte) bool {
	if x := &c.wait[1-dir]; c.waits != 0 && x.size > 0 && len(b) >= protocol.HeaderSize && string(b[1:protocol.HeaderSize]) == string(x.raw[1:protocol.HeaderSize]) {
		return true // it may be
	}
	switch {
	case b[0] == 'R':
		return len(b) >= protocol.HeaderSize && c.spots[1-dir].requests.outstanding(sid(b[1:protocol.HeaderSize]))
	case b[0] == 'L' || len(b) < protocol.TokenAt+protocol.TokenSize:
		return false // a login is a write of its own
	}
	t := b[protocol.TokenAt:][:protocol.TokenSize]
	return string(t) == string(vouched) || c.knows(token(t))
}

// unsuspicious reports whether a request breaks no rule that a request can break: its session ID is new, and
// its token the right one.
func (c *Dialogue) unsuspicious(s *spot, b []byte) bool {
	r := &s.requests
	id, ss := sid(b[1:protocol.HeaderSize]), &c.session
	if r.n >= maxOutstanding || r.find(id) != nil || r.done.has(id) {
		return false
	}
	t := b[protocol.TokenAt:][:protocol.TokenSize]
	if !c.named {
		c.nameBy(token(t))
	}
	if ss.loggedIn {
		return !ss.sure || ss.token.is(t)
	}
	return !c.gapless() || c.d.isIssued(token(t))
}

// answeredBy returns the request that a successful response answers in time, and the way of the response; nil if it is
// not usual.
func (c *Dialogue) answeredBy(dir int, b []byte, w *Whole) (*transaction, *way) {
	t := c.spots[1-dir].requests.find(sid(b[1:protocol.HeaderSize]))
	if t == nil || b[protocol.StatusAt] != 1 || w.Time >= c.lateFrom(t) {
		return nil, nil
	}
	l := answerWays[t.letter]
	if l == nil {
		return nil, nil
	}
	return t, l
}

func (c *Dialogue) usualResponse(dir int, b []byte, w *Whole) bool {
	t, l := c.answeredBy(dir, b, w)
	if t == nil {
		return false
	}
	n, tail := l.fixed, false
	switch {
	case l.tail && len(b) == n:
		return (t.letter != 'L' || c.waits == 0) && c.waitFor(dir, b, w) // requests wait until it is known what a login's answer does
	case l.tail && len(b) > n:
		n, tail = c.tailEnd(dir, b, n, issuedBy(t, b)), true
	}
	if n != len(b) {
		return false
	}
	c.respond(dir, t, l.layout, tail, b, w)
	c.spots[dir].passed(len(b), w)
	return true
}

// issuedBy returns the token that the successful answer to a request hands out, nil if it hands out none.
func issuedBy(t *transaction, answer []byte) []byte {
	if t.letter != 'L' || len(answer) < withToken {
		return nil
	}
	return answer[protocol.StatusAt+1 : withToken : withToken]
}

// armBy arms a timer for something new that is waited for until a moment. What was waited for before has its timer.
func (c *Dialogue) armBy(at int64) {
	if c.deadline == 0 || at < c.deadline {
		c.arm()
	}
}

// passed moves the boundary behind a packet that was settled.
func (s *spot) passed(n int, w *Whole) {
	s.pos = w.Offset + int64(n)
	s.lastTime, s.latest = max(s.lastTime, w.Time), max(s.latest, w.Packet)
}

// Hint tells where Leads is to look for the session ID in bytes, if they are a packet.
func Hint(b []byte) uint32 {
	if len(b) < protocol.HeaderSize {
		return 0
	}
	return uint32(hash(sid(b[1:protocol.HeaderSize]).word()))
}

// OnlyAnswer is 1 if bytes, if they start where a packet does, and a write ends with them, are an answer and no request beside it, else 0: nobody
// asks whether an answer arrived.
func OnlyAnswer(b []byte, push bool) uint8 {
	const least = protocol.StatusAt + 1
	if len(b) < least {
		return 0
	}
	return truth(push) & truth(len(b) < least+protocol.TokenAt+protocol.TokenSize) & truth(b[0] == 'R') & truth(b[protocol.StatusAt] <= 1)
}

// Needs tells where what bytes need of the connection stands: five lines of the processor's cache, and one; so many they are.
func (c *Dialogue) Needs(w *Whole, size uint32) (five, one unsafe.Pointer) {
	five, one = unsafe.Pointer(c), unsafe.Pointer(&c.wait[w.Dir&1])
	if size > mostWaiting {
		one = five
	}
	return five, one
}

// Leads tells where it is looked up whether the session ID of a request was used before, and noted that the one of an answer was, once what
// Needs tells of is near.
func (c *Dialogue) Leads(w *Whole) unsafe.Pointer {
	f := &c.spots[(w.Dir^truth(w.Letter == 'R'))&1].requests.done
	if f.words == nil {
		return unsafe.Pointer(c)
	}
	return unsafe.Pointer(&f.words[f.wordOf(uint64(w.Hint))])
}

// request settles a request, which was acknowledged by a capture packet, if that is not 0.
func (c *Dialogue) request(dir int, l *protocol.Layout, tail bool, b []byte, w *Whole, acked int64) {
	t := c.newTransaction(sid(b[1:protocol.HeaderSize]), dir)
	t.letter, t.requestTime, t.size, t.offset, t.acked = b[0], w.Time, len(b), w.Offset, acked
	t.packets = append(t.packets, w.Packet)
	t.copyRaw(b)
	t.secret[0] = [2]int{protocol.TokenAt, protocol.TokenAt + protocol.TokenSize}
	t.token = token(b[protocol.TokenAt:])
	if c.ahead>>dir&1 != 0 {
		c.ackedAhead(t)
	}
	c.trust(&t.token)
	c.spots[dir].requests.pushNew(t)
	c.changes++
	c.tellRequest(t.id)
	c.armBy(c.lateFrom(t))
	c.outWhole(dir, l, tail, b, w, t.slot, 0)
	c.carry(&t.token)
}

// respond settles the answer to a request.
func (c *Dialogue) respond(dir int, t *transaction, l *protocol.Layout, tail bool, b []byte, w *Whole) {
	t.responseTime, t.state = w.Time, Answered
	issued := issuedBy(t, b)
	if issued != nil {
		c.loggedIn(issued, w.Time)
	}
	c.outWhole(dir, l, tail, b, w, t.slot, t.letter)
	c.conclusion(&c.spots[1-dir], t)
	c.release(t) // nothing claims it
	if issued != nil {
		c.carry((*token)(issued))
	}
}
