package reassembly

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"github.com/nubishark/nubishark/capture"
)

// Options steer an assembler. The zero value has the default bounds.
type Options struct {
	// MaxHeld bounds the memory for segments of one direction that wait behind a hole, in bytes;
	// 0 means 1 MiB. MaxHeldTotal bounds that of all directions; 0 means 64 MiB.
	MaxHeld, MaxHeldTotal int
	// MaxConns bounds the connections that are remembered, closed ones included; the least
	// recently used go first. 0 means 65,536.
	MaxConns int
	// Resent is told of a segment with bytes that had been captured before; it may be nil.
	Resent func(c *Conn, d Direction, bytes, time, packet int64)
}

func (o Options) withDefaults() Options {
	if o.MaxHeld <= 0 {
		o.MaxHeld = 1 << 20
	}
	if o.MaxHeldTotal <= 0 {
		o.MaxHeldTotal = 64 << 20
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 1 << 16
	}
	return o
}

// Stats count what the assembler met.
type Stats struct {
	// Streams is the number of TCP connections, Segments that of TCP segments.
	Streams, Segments int64
	// Retransmitted counts bytes that came again; Conflicts those of them that differed from
	// the first copy while that was still held.
	Retransmitted, Conflicts int64
	// Duplicates counts segments with data that were captured twice, as on the pseudo-interface any or on a mirror
	// port; Large those whose payload is larger than an Ethernet frame: offload joined or did not yet cut them.
	Duplicates, Large int64
	// FirstDuplicate and FirstLarge are the first capture packets with such a segment, 0 if there is none.
	FirstDuplicate, FirstLarge int64
	// Stray counts segments whose sequence number belongs to no part of their connection, or
	// that came after its end.
	Stray int64
	// Evicted counts open connections that were forgotten because there were too many, Forced
	// the holes that became gaps because a bound on memory was met.
	Evicted, Forced int64
}

// Assembler turns segments into the byte streams of TCP connections. It is not safe for
// concurrent use.
type Assembler struct {
	h     Handler
	opts  Options
	dec   Decoder
	over  []*flow // connections that are over, the oldest first
	table table
	stats Stats
	now   int64
	due   timers
	held  int
}

// New returns an assembler that tells the handler.
func New(h Handler, opts Options) *Assembler {
	return &Assembler{h: h, opts: opts.withDefaults()}
}

// Stats returns the counts so far.
func (a *Assembler) Stats() Stats { return a.stats }

// Packet takes in one packet, in the order of the capture.
func (a *Assembler) Packet(p *capture.Packet) {
	var s Segment
	if a.dec.Decode(p, &s) {
		a.Segment(&s, p.Time, p.Number)
	} else {
		a.Advance(p.Time)
	}
}

// Segment takes in one segment that came with a packet at a time (ns).
func (a *Assembler) Segment(s *Segment, time, packet int64) {
	a.Advance(time) // which runs the clock
	f, d := a.table.find(s)
	if f != nil && s.Flags&(FlagSYN|FlagACK) == FlagSYN && !s.Broken && f.hasISN[d] && f.isn[d] != s.Seq {
		// A new ISN is a new connection, whatever became of the old one (as Wireshark has it).
		if !f.over() {
			a.endBoth(f, EndReopen, time, packet)
		}
		a.table.remove(f)
		f = nil
	}
	if f == nil {
		f, d = a.open(s, time)
	}
	f.used = true
	if f.over() {
		if s.Length > 0 {
			a.stats.Stray++
		}
		return
	}
	f.Packets[d]++
	f.Last = max(f.Last, time)
	if s.Broken {
		return
	}
	a.stats.Segments++
	f.note(d, s)
	a.take(f, d, s, time, packet)
	a.bury(f)
	a.arm(f)
}

// bury lets go of a connection whose directions have both ended.
func (a *Assembler) bury(f *flow) {
	if f.live == nil || !f.half[0].ended || !f.half[1].ended {
		return
	}
	f.live = nil
	a.over = append(a.over, f)
	if n := len(a.over); n > maxOver {
		// Half at once, so that each is moved about once.
		for _, old := range a.over[:n/2] {
			a.table.remove(old)
		}
		a.over = a.over[:copy(a.over, a.over[n/2:])]
		clear(a.over[len(a.over):n])
	}
}

// maxOver bounds the connections that are over and yet remembered, to know what comes late for them.
const maxOver = 4096

// open starts a connection with its first segment.
func (a *Assembler) open(s *Segment, time int64) (*flow, Direction) {
	f := &flow{live: &live{}}
	f.number = int(a.stats.Streams)
	f.Stream = f.number
	a.stats.Streams++
	src, dst := s.Addr()
	f.Addr[0], f.Addr[1] = src, dst
	d := Direction(0)
	if s.Flags&(FlagSYN|FlagACK) == FlagSYN|FlagACK {
		f.Addr[0], f.Addr[1] = dst, src
		d = 1
	}
	f.Opener = s.Flags&FlagSYN != 0 && !s.Broken
	f.First, f.Last = time, time
	for i := range f.half {
		f.half[i].fin, f.half[i].rst = -1, -1
	}
	if old := a.table.add(f, s, d, a.opts.MaxConns); old != nil {
		if !old.over() {
			a.stats.Evicted++
			a.endBoth(old, EndEvict, time, 0)
		}
		a.table.remove(old)
	}
	a.h.Open(&f.Conn)
	return f, d
}

// take puts a segment into its direction.
func (a *Assembler) take(f *flow, d Direction, s *Segment, time, packet int64) {
	h := &f.half[d]
	h.packet = packet
	seq := s.Seq
	if s.Flags&FlagSYN != 0 {
		seq++
		f.startAt(d, seq)
	}
	if s.Flags&FlagACK != 0 {
		a.acknowledge(f, d, s, time, packet)
	}
	if s.Flags&FlagRST != 0 {
		a.reset(f, d, s, time, packet)
		return
	}
	switch {
	case s.Length > 0 && f.isTwin(d, s, time):
		a.stats.Duplicates++
		a.stats.FirstDuplicate = cmp.Or(a.stats.FirstDuplicate, packet)
	case s.Length > 0:
		p := piece{
			seq: seq, b: s.Payload[:min(len(s.Payload), s.Length)], n: int64(s.Length),
			push: s.Flags&(FlagPSH|FlagFIN) != 0, large: s.Length > maxEthernet, time: time, packet: packet,
		}
		if p.large {
			a.stats.Large++
			a.stats.FirstLarge = cmp.Or(a.stats.FirstLarge, packet)
		}
		if time < a.now-backStep {
			p.clock = a.now
		}
		a.data(f, d, p)
	}
	if s.Flags&FlagFIN != 0 {
		a.fin(f, d, seq+uint32(s.Length), time, packet)
	}
	a.settleFIN(f, d, time, packet)
}

// maxEthernet is the largest TCP payload of an Ethernet frame, in bytes.
const maxEthernet = 1460

// backStep is how far a packet's time may be behind the latest without a word (ns).
const backStep = int64(10e6)

// data takes in a segment's payload.
func (a *Assembler) data(f *flow, d Direction, p piece) {
	h := &f.half[d]
	switch {
	case h.ended:
		if !h.known || int32(p.seq-h.seq(h.next)) >= 0 {
			a.stats.Stray++
		}
	case !h.known:
		a.early(f, d, p)
	default:
		a.place(f, d, p)
	}
}

// early holds the first segments of a direction whose start was not captured, because they may
// be out of order.
func (a *Assembler) early(f *flow, d Direction, p piece) {
	h := &f.half[d]
	p.b = slices.Clone(p.b)
	h.start = append(h.start, p)
	if len(h.start) >= startSegments {
		a.fixStart(f, d)
	}
}

// fixStart fixes the base of a direction and hands on what was held.
func (a *Assembler) fixStart(f *flow, d Direction) {
	h := &f.half[d]
	if h.known || len(h.start) == 0 {
		return
	}
	list := h.start
	h.start = nil
	slices.SortStableFunc(list, func(x, y piece) int { return cmp.Compare(int32(x.seq-y.seq), 0) })
	if len(list) > 1 && list[0].probe() {
		list = list[1:]
	}
	h.known, h.base = true, list[0].seq
	f.before(d, h.base)
	slices.SortStableFunc(list, func(x, y piece) int { return cmp.Compare(x.packet, y.packet) })
	for _, p := range list {
		a.place(f, d, p)
	}
}

// place hands on a piece, or holds it behind a hole.
func (a *Assembler) place(f *flow, d Direction, p piece) {
	h := &f.half[d]
	p.off = h.offset(p.seq)
	if !h.belongs(&p) {
		a.stats.Stray++
		return
	}
	if p.off < h.next {
		old := min(h.next, p.end()) - p.off
		a.stats.Retransmitted += old
		if p.n > 1 {
			a.resent(f, d, p.off, p.off+old, &p)
		}
		p = p.from(h.next)
	}
	if h.fin >= 0 && p.end() > h.fin {
		p = p.to(h.fin)
	}
	if p.n <= 0 {
		return
	}
	if len(h.held) == 0 && p.off == h.next {
		a.deliver(f, d, &p, false)
		a.stall(f, d, p.time)
		return
	}
	a.hold(f, d, p)
	if h.held[0].off > h.next {
		a.stall(f, d, p.time)
	} else {
		a.drain(f, d, p.time)
	}
	for len(h.held) > 0 && (h.bytes > a.opts.MaxHeld || a.held > a.opts.MaxHeldTotal) {
		a.stats.Forced++
		a.release(f, d, p.time, p.packet)
	}
}

// resent notes bytes that were sent again.
func (a *Assembler) resent(f *flow, d Direction, from, to int64, p *piece) {
	f.resent(d, from, to, p.packet)
	if a.opts.Resent != nil {
		a.opts.Resent(&f.Conn, d, to-from, p.time, p.packet)
	}
}

// hold keeps what of a piece was not captured before.
func (a *Assembler) hold(f *flow, d Direction, p piece) {
	h := &f.half[d]
	was := h.bytes
	again, differ := h.insert(p)
	a.held += h.bytes - was
	a.stats.Retransmitted += again
	a.stats.Conflicts += differ
	if again > 0 {
		a.resent(f, d, p.off, p.end(), &p)
	}
}

// deliver hands on a piece that starts at the next offset.
func (a *Assembler) deliver(f *flow, d Direction, p *piece, more bool) {
	h := &f.half[d]
	n := int64(len(p.b))
	cut := n < p.n // by the snap length
	if n > 0 {
		h.next += n
		a.h.Chunk(&f.Conn, d, Chunk{Offset: p.off, Bytes: p.b, Time: p.time, Packet: p.packet, Push: p.push && !cut, More: more || cut, Large: p.large, Clock: p.clock})
	}
	if cut {
		h.next += p.n - n
		a.h.Chunk(&f.Conn, d, Chunk{Offset: p.off + n, Gap: p.n - n, Time: p.time, Packet: p.packet, Push: p.push, More: more, Cut: true, Large: p.large, Clock: p.clock})
	}
}

// drain hands on what a hole held back that is now filled or given up, all of it before the handler
// looks at it.
func (a *Assembler) drain(f *flow, d Direction, time int64) {
	h := &f.half[d]
	for len(h.held) > 0 && h.held[0].off <= h.next {
		p := h.held[0]
		h.held[0] = piece{}
		h.held = h.held[1:]
		h.bytes -= p.cost()
		a.held -= p.cost()
		a.deliver(f, d, &p, true)
	}
	if len(h.held) == 0 {
		h.held = nil
	}
	h.stalled = h.hole() > 0
	h.since = time
	a.h.Stall(&f.Conn, d, h.stalled)
}

// stall tells the handler when a hole appears or is gone.
func (a *Assembler) stall(f *flow, d Direction, time int64) {
	h := &f.half[d]
	hole := h.hole() > 0
	if hole == h.stalled {
		return
	}
	h.stalled = hole
	if hole {
		h.since = time
	}
	a.h.Stall(&f.Conn, d, hole)
}

// release gives the first hole up as a gap.
func (a *Assembler) release(f *flow, d Direction, time, packet int64) {
	h := &f.half[d]
	n := h.hole()
	if n <= 0 {
		return
	}
	if len(h.held) > 0 {
		packet = h.held[0].packet
	}
	off := h.next
	h.next += n
	a.h.Chunk(&f.Conn, d, Chunk{Offset: off, Gap: n, Time: time, Packet: packet, More: true})
	a.drain(f, d, time)
}

// acknowledge notes how far the sender of a segment has what its peer sent.
func (a *Assembler) acknowledge(f *flow, from Direction, s *Segment, time, packet int64) {
	d := 1 - from
	h := &f.half[d]
	if !h.known && !h.ended {
		if len(h.start) == 0 {
			// A SYN-ACK names the ISN of the SYN that it answers, and the opener's first
			// acknowledgement that of the SYN-ACK.
			if s.Flags&FlagSYN != 0 || from == 0 && f.FromStart[0] && f.Packets[0] <= maxHandshake {
				h.known, h.base = true, s.Ack
				return
			}
			if !h.hasAck {
				h.hasAck, h.ack = true, s.Ack
			}
			f.before(d, s.Ack)
			return
		}
		if !slices.ContainsFunc(h.start, func(p piece) bool { return int32(s.Ack-p.seq-uint32(p.n)) >= 0 }) {
			return
		}
		a.fixStart(f, d)
	}
	if !h.known {
		return
	}
	if off := h.offset(s.Ack); off > f.Acked[d] && off-h.next <= window {
		f.acked(d, off, packet)
		h.acked = off
		if !h.ended && f.Packets[d] > 0 {
			a.stall(f, d, time)
			a.settleFIN(f, d, time, packet)
		}
	}
}

// fin notes where a direction ends.
func (a *Assembler) fin(f *flow, d Direction, seq uint32, time, packet int64) {
	h := &f.half[d]
	if h.ended || h.fin >= 0 {
		return
	}
	if !h.known && len(h.start) == 0 {
		h.known, h.base = true, seq
		f.before(d, seq)
	}
	a.fixStart(f, d)
	off := h.offset(seq)
	if off < h.next || off-h.next > window {
		return
	}
	h.fin = off
	for len(h.held) > 0 { // nothing comes after the end
		last := &h.held[len(h.held)-1]
		if last.end() <= off {
			break
		}
		h.bytes -= last.cost()
		a.held -= last.cost()
		if last.off >= off {
			h.held = h.held[:len(h.held)-1]
			continue
		}
		*last = last.to(off)
		h.bytes += last.cost()
		a.held += last.cost()
	}
	a.stall(f, d, time)
	a.settleFIN(f, d, time, packet)
}

// reset ends a connection, once the bytes before the RST are there. One from before what was sent
// already is late, or made up (RFC 5961).
func (a *Assembler) reset(f *flow, d Direction, s *Segment, time, packet int64) {
	h := &f.half[d]
	if f.blank() {
		return // it ends a connection of before
	}
	if !h.known || h.ended {
		a.endFrom(f, d, EndRST, time, packet)
		return
	}
	switch off := h.offset(s.Seq); {
	case off < h.next:
	case off > h.next && off-h.next <= maxBeforeRST:
		if h.rst < 0 || off < h.rst {
			h.rst = off
		}
		a.stall(f, d, time)
	default:
		a.endFrom(f, d, EndRST, time, packet)
	}
}

// settleFIN ends a direction once all bytes up to its FIN or RST were handed on.
func (a *Assembler) settleFIN(f *flow, d Direction, time, packet int64) {
	h := &f.half[d]
	if !h.ended && h.rst >= 0 && h.next >= h.rst {
		a.endFrom(f, d, EndRST, time, packet)
		return
	}
	if !h.ended && h.fin >= 0 && h.next >= h.fin {
		a.end(f, d, EndFIN, time, packet)
	}
}

func (a *Assembler) end(f *flow, d Direction, why End, time, packet int64) {
	h := &f.half[d]
	h.ended = true
	if why == EndFIN || why == EndRST {
		f.Ended[d] = packet
	}
	a.held -= h.bytes
	h.held, h.start, h.bytes, h.stalled = nil, nil, 0, false
	a.h.End(&f.Conn, d, why, time, packet)
}

// endBoth ends what is still open of a connection; holes become gaps.
func (a *Assembler) endBoth(f *flow, why End, time, packet int64) {
	a.endFrom(f, 0, why, time, packet)
}

// endFrom does so with one direction first: that of the side that ended it.
func (a *Assembler) endFrom(f *flow, first Direction, why End, time, packet int64) {
	for _, d := range [2]Direction{first, 1 - first} {
		h := &f.half[d]
		if h.ended {
			continue
		}
		a.fixStart(f, d)
		for h.hole() > 0 && (f.Packets[d] > 0 || len(h.held) > 0) {
			a.release(f, d, time, packet)
		}
		if h.ended {
			continue
		}
		a.end(f, d, why, time, packet)
	}
}

// Due returns the earliest moment at which Advance may have something to do (ns).
func (a *Assembler) Due() int64 {
	if len(a.due) == 0 {
		return math.MaxInt64
	}
	return a.due[0].at
}

// Advance runs the timers up to a moment of capture time (ns).
func (a *Assembler) Advance(now int64) {
	a.now = max(a.now, now)
	for len(a.due) > 0 && a.due[0].at <= a.now {
		t := heap.Pop(&a.due).(timer)
		if t.f.due != t.at {
			continue
		}
		t.f.due = 0
		if t.f.over() {
			continue
		}
		for d := range Direction(2) {
			a.tick(t.f, d)
		}
		a.bury(t.f)
		a.arm(t.f)
	}
}

// tick gives up what was waited for long enough.
func (a *Assembler) tick(f *flow, d Direction) {
	h := &f.half[d]
	if at := h.startDue(); at > 0 && at <= a.now {
		a.fixStart(f, d)
	}
	for at := h.holeDue(); at > 0 && at <= a.now; at = h.holeDue() {
		a.release(f, d, a.now, h.packet)
		a.settleFIN(f, d, a.now, h.packet)
	}
}

// arm makes sure that a timer stands for the earliest thing that a connection waits for. A
// later one that stands already is left to be found stale.
func (a *Assembler) arm(f *flow) {
	if f.over() {
		return
	}
	at := int64(0)
	for i := range f.half {
		h := &f.half[i]
		if len(h.start) == 0 && !h.stalled {
			continue
		}
		for _, t := range [2]int64{h.startDue(), h.holeDue()} {
			if t > 0 && (at == 0 || t < at) {
				at = t
			}
		}
	}
	if at == 0 || f.due != 0 && f.due <= at {
		return
	}
	f.due = at
	heap.Push(&a.due, timer{at: at, stream: f.number, f: f})
}

// Close ends every connection, in the order of their numbers: the capture is over.
func (a *Assembler) Close() {
	for _, f := range a.table.sorted() {
		a.endBoth(f, EndFile, a.now, 0)
	}
	a.table = table{}
}
