package dissect

import (
	"math"
	"net/netip"

	"github.com/nubishark/nubishark/protocol"
)

// Dissector dissects any number of connections. It is not safe for concurrent use.
type Dissector struct {
	opts    Options
	timeout int64
	now     int64
	issued  issuedTokens
	issues  news[token]
	early   news[token] // issued, but not counted
	timers  timers
	stale   int       // of the timers
	first   *Dialogue // of those that have not ended, the latest one
	rec     *Records
	out     *Numbering // nil where another collects the records
	scratch settled
	spare   *transaction // those that can be used again
	stock   stock
	shared  *Shared // nil where it works alone
	who     int
	moment  Moment
	passed  int64 // the packet of the last moment that others were told of because they waited
	short   int   // packets that went the short way

	// Streams counts the connections that were found to carry NUBISON.
	Streams int64
	// OneSided counts those of which one direction was never captured, Midstream those whose
	// start was not.
	OneSided, Midstream int64
}

// New returns a dissector that hands its records to the sink.
func New(opts Options, sink Sink) *Dissector {
	return &Dissector{opts: opts, timeout: int64(opts.timeout()), rec: &Records{}, out: NewNumbering(sink, opts), timers: timers{due: math.MaxInt64}}
}

// NewPart returns a dissector of some of a capture's connections, the who-th of those that share what they know. Its
// records go where Collect says.
func NewPart(opts Options, shared *Shared, who int) *Dissector {
	d := New(opts, nil)
	d.out = nil
	if len(shared.at) > 1 {
		d.shared, d.who = shared, who
	}
	return d
}

// Collect tells where records go from now on.
func (d *Dissector) Collect(r *Records) { d.rec = r }

// Turn tells when what is done next happens; a timer of the dissector tells its own time.
func (d *Dissector) Turn(m Moment) {
	d.moment = m
	if d.shared != nil {
		d.pass()
	}
}

// pass tells those who wait for it that all before the moment is done, unless they were told enough.
func (d *Dissector) pass() {
	if w := d.shared.wanted.Load(); w <= d.moment.Packet && w >= d.passed {
		d.passed = d.moment.Packet
		d.shared.passing(d.who, &d.moment)
	}
}

// TurnToPacket is Turn for what a packet itself brings. It is asked for each packet: each part is written by itself, because what is written to
// be copied at once is waited for.
func (d *Dissector) TurnToPacket(packet int64) {
	m := &d.moment
	m.Packet, m.Phase, m.At, m.late, m.Order = packet, ThePacket, 0, false, 0
	if d.shared != nil {
		d.pass()
	}
}

// Moment is when what is done now happens.
func (d *Dissector) Moment() Moment { return d.moment }

// Reached tells that all before a moment is done.
func (d *Dissector) Reached(m Moment) {
	if d.shared != nil {
		d.shared.reached(d.who, &m)
	}
}

// flush hands on the records, unless another collects them.
func (d *Dissector) flush() {
	if d.out != nil && !d.rec.Empty() {
		d.out.Give(d.rec)
		d.rec.Reset()
	}
}

// Opening is what is known of a connection when it appears.
type Opening struct {
	// Stream is its number.
	Stream int
	// Order tells which of two connections was there first; 0 stands for Stream.
	Order int64
	Addr  [2]netip.AddrPort
	// Opener tells that Addr[0] opened it; FromStart[d] that the SYN of direction d was seen.
	Opener    bool
	FromStart [2]bool
	// Heard counts the packets of each direction, with or without payload; it is read when
	// a silence has to be explained, so the owner keeps it up to date.
	Heard *[2]int64
	// Before counts bytes of each direction that were sent, and not captured, before its offset 0, as far as is known; like
	// Heard, it is read later.
	Before *[2]int64
	// TCP is asked why a request has no answer; it may be nil.
	TCP TCP
	// Acks are the acknowledgements so far; they are the dissector's from now on, to keep up to date. It may be nil.
	Acks *Acks
	Time int64
}

// Open adds a connection, which c is to be used for: it may have been that of another one. It reports whether it is to be dissected.
func (d *Dissector) Open(c *Dialogue, o *Opening) bool {
	forced := false
	if len(d.opts.Ports) > 0 {
		forced = d.opts.Ports.Contains(o.Addr[0].Port()) || d.opts.Ports.Contains(o.Addr[1].Port())
		if !forced {
			return false
		}
	}
	*c = Dialogue{}
	c.conn, c.order, c.d = &Conn{Stream: o.Stream, Addr: o.Addr}, o.Order, d
	c.heard, c.before, c.tcp, c.acks = o.Heard, o.Before, o.TCP, o.Acks
	c.start, c.last, c.closer, c.changed = o.Time, o.Time, -1, true
	if c.order == 0 {
		c.order = int64(o.Stream)
	}
	for i := range c.half {
		h := &c.half[i]
		h.spot, h.c, h.dir, h.peer = &c.spots[i], c, i, &c.half[1-i]
		h.fromStart = o.FromStart[i]
		h.lastTime = o.Time
		if !h.fromStart {
			h.adrift = quietly
			h.doubtStarts(protocol.Of(protocol.Midstream))
		}
	}
	c.fixSide(o.Opener)
	d.link(c)
	if !o.FromStart[0] && !o.FromStart[1] {
		c.noteMidstream()
	}
	if forced {
		c.confirm()
	}
	d.flush()
	return true
}

// Opened reports whether it was opened, and not closed since.
func (c *Dialogue) Opened() bool { return c.d != nil }

func (d *Dissector) link(c *Dialogue) {
	c.next = d.first
	if d.first != nil {
		d.first.prev = c
	}
	d.first = c
}

func (d *Dissector) unlink(c *Dialogue) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		d.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// Forget lets go of a connection that has ended. Its memory may be used for another one of the same dissector.
func (c *Dialogue) Forget() { c.d = nil }

// FromStart corrects what Open was told of a direction whose SYN came later.
func (c *Dialogue) FromStart(dir int) {
	h := &c.half[dir]
	if !h.fromStart && h.pos == 0 && len(h.buf) == 0 {
		h.fromStart, h.adrift, h.unproved = true, inStep, 0
		c.uncertain = h.peer.unproved != 0
	}
}

// Part says where a run of bytes or a gap comes from.
type Part struct {
	// Offset in the direction's stream.
	Offset int64
	// Time (ns) and Packet are of the capture packet that carried it or made it known.
	Time, Packet int64
	// Push tells that a write of the sender ends with it.
	Push bool
	// More tells that the next part of the direction, or Stall, is to be told at once: nothing
	// is to be concluded before.
	More bool
	// Cut tells of a gap that the snap length made it; Large, that the segment is larger than an Ethernet frame.
	Cut, Large bool
	// Clock is the latest time of the capture (ns) where the packet came with an earlier one, else 0.
	Clock int64
}

// Bytes adds bytes to a direction. They are copied; the part is lent for the call.
func (d *Dissector) Bytes(c *Dialogue, dir int, b []byte, p *Part) {
	d.Advance(p.Time)
	h := &c.half[dir]
	if c.standing == rejected || h.ended != running {
		return
	}
	c.last = max(c.last, p.Time)
	if p.Large || p.Clock > 0 {
		h.see(p)
	}
	if !h.fromStart && h.began == 0 {
		h.began = p.Time
	}
	if c.easy && !p.More && !p.Large && p.Clock == 0 && d.Usual(c, b, &Whole{Offset: p.Offset, Time: p.Time, Packet: p.Packet, Dir: uint8(dir), Push: p.Push}) {
		return
	}
	c.leave()
	h.add(b, p)
	if p.More {
		d.flush()
		return
	}
	c.look()
	c.weigh()
	c.ease()
	d.flush()
}

// Gap tells that n bytes of a direction were never captured.
func (d *Dissector) Gap(c *Dialogue, dir int, n int64, p *Part) {
	d.Advance(p.Time)
	h := &c.half[dir]
	if c.standing == rejected || h.ended != running {
		return
	}
	c.leave()
	c.last = max(c.last, p.Time)
	c.missing += n
	h.see(p)
	off := p.Offset
	c.noteGap(h, off, n, p.Time, p.Packet)
	if n <= maxWait {
		h.addGap(off, n, p)
		if !p.More {
			c.look()
		}
		c.weigh()
		d.flush()
		return
	}
	// No packet reaches over such a gap: what is before it is settled, then it is jumped over.
	h.addGap(off, 1, p)
	c.look()
	h.closeAt(off)
	h.doubtStarts(h.lostIn(off, off+1))
	h.pos, h.buf, h.segs, h.adrift = off+n, h.buf[:0], h.segs[:0], quietly
	h.scanned, h.behindGap = h.pos, h.pos
	d.flush()
}

// Stall tells whether a direction has bytes behind a hole that may still fill.
func (d *Dissector) Stall(c *Dialogue, dir int, on bool) {
	c.leave()
	if c.half[dir].stalled && !on {
		c.changes++ // what stood behind the hole may be answered in what was looked through
	}
	c.half[dir].stalled = on
	if c.standing != rejected {
		c.look()
		c.weigh()
		c.ease()
	}
	d.flush()
}

// Ending says why a direction ended.
type Ending uint8

// The reasons.
const (
	EndFIN    Ending = iota + 1 // the sender closed it
	EndReset                    // either side reset the connection
	EndReopen                   // the port pair was opened anew
	EndFile                     // the capture ended, or a bound was met: nothing is proved
)

// End tells that a direction carries no more bytes.
func (d *Dissector) End(c *Dialogue, dir int, why Ending, time int64) {
	d.Advance(time)
	h := &c.half[dir]
	if h.ended != running {
		return
	}
	c.leave()
	h.ended = finished
	if why == EndFile {
		h.ended = fileEnded
	} else if c.closer < 0 {
		c.closer = dir
	}
	switch {
	case why == EndReset:
		c.state = Reset
	case h.peer.ended == finished && why != EndFile && c.state == Open:
		c.state = Closed
	}
	c.last = max(c.last, time)
	if c.standing != rejected {
		c.look()
	}
	if h.peer.ended != running {
		c.finish()
	}
	d.flush()
}

// Close ends every connection that is still open, in the order of their numbers. The
// capture's end proves nothing.
func (d *Dissector) Close() {
	for _, c := range d.open() {
		d.moment.late, d.moment.Order = true, c.order
		for dir := range 2 {
			d.End(c, dir, EndFile, d.now)
		}
	}
}

// look settles all that can be settled now: what came first goes first.
func (c *Dialogue) look() {
	a, b := &c.half[0], &c.half[1]
	for c.standing != rejected {
		a.passGap()
		b.passGap()
		if b.before(a) {
			a, b = b, a
		}
		c.patient, c.waited = c.forced == 0, false
		moved := a.step() || b.step()
		c.patient = false
		if !moved && c.waited {
			moved = a.step() || b.step()
		}
		if moved {
			c.forced = 0
			continue
		}
		if c.forced > 1 || a.ended == running || b.ended == running {
			break
		}
		c.forced++
	}
	c.peerEnded(a)
	c.peerEnded(b)
	c.arm()
}

// before reports whether the bytes at the boundary came before those at the other's.
func (h *half) before(o *half) bool {
	return len(h.segs) > 0 && (len(o.segs) == 0 || h.segs[0].packet < o.segs[0].packet)
}

// Due returns the earliest moment behind which Advance may have something to do (ns).
func (d *Dissector) Due() int64 {
	return d.timers.due
}

// Advance runs the timers up to a moment of capture time (ns).
func (d *Dissector) Advance(now int64) {
	for d.timers.due < now {
		if d.timers.far.due() < now {
			d.timers.raise(now)
			continue
		}
		t := d.timers.pop()
		d.now = max(d.now, t.at)
		switch {
		case t.c == nil:
			continue
		case !t.stands():
			d.stale = max(0, d.stale-1)
			continue
		}
		d.moment.At, d.moment.late, d.moment.Order = t.at, true, t.c.order
		if dir := int(t.order % timerKinds); dir < generalTimer {
			t.c.tickWait(dir)
		} else {
			t.c.deadline = 0
			t.c.tick()
		}
		d.flush()
	}
	d.now = max(d.now, now)
}

// Advanced tells that the clock has come to a moment before which no timer is due.
func (d *Dissector) Advanced(now int64) { d.now = max(d.now, now) }
