package reassembly

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"unsafe"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/prefetch"
)

// Options steer an assembler. The zero value has the default bounds.
type Options struct {
	// MaxHeld bounds the memory for segments of one direction that wait behind a hole, in bytes;
	// 0 means 1 MiB. MaxHeldTotal bounds that of all directions; 0 means 64 MiB.
	MaxHeld, MaxHeldTotal int
	// MaxConns bounds the connections that are remembered, closed ones included; the least
	// recently used go first. 0 means 32,768. As MaxHeldTotal, it is shared evenly among the Parts.
	MaxConns int
	// Turn, if it is not nil, is told before a connection is looked at because of a timer, or of the capture's end:
	// when the timer was due (ns), 0 at the end, and the packet that opened the connection.
	Turn func(at, opened int64)
}

func (o Options) withDefaults() Options {
	if o.MaxHeld <= 0 {
		o.MaxHeld = 1 << 20
	}
	if o.MaxHeldTotal <= 0 {
		o.MaxHeldTotal = 64 << 20
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 1 << 15
	}
	o.MaxHeldTotal, o.MaxConns = (o.MaxHeldTotal+Parts-1)/Parts, (o.MaxConns+Parts-1)/Parts
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
	w     Witness // h, if it is one
	opts  Options
	dec   Decoder
	table table
	parts [Parts]part
	stats Stats
	now   int64
	due   timers
	stale int      // of due, at least
	spare []*whole // memory to be used again
}

// New returns an assembler that tells the handler, which may be a Witness.
func New(h Handler, opts Options) *Assembler {
	a := &Assembler{h: h, opts: opts.withDefaults()}
	a.w, _ = h.(Witness)
	return a
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
	if s.tag == 0 {
		s.locate()
	}
	a.Advance(time)
	s.f = a.table.find(s.tag)
	s.judge(len(s.Payload))
	if off, to, how := a.Quick(s, time, packet); how != 0 {
		if to > 0 && a.w != nil {
			a.w.Acked(s.Conn(), 1-s.d, to, packet)
		}
		if s.Length > 0 {
			a.h.Chunk(s.Conn(), s.d, Chunk{Offset: off, Bytes: s.Payload[:s.Length], Time: time, Packet: packet, Push: s.Flags&FlagPSH != 0})
		}
		return
	}
	a.Slow(s, time, packet)
}

// Slow does what Segment does, for a segment with which Quick has done nothing, and whose fields are filled in.
func (a *Assembler) Slow(s *Segment, time, packet int64) {
	a.Advance(time)
	f, d := a.table.find(s.tag), Direction(0)
	if f != nil {
		d = f.from(s)
	}
	if f != nil && s.Flags&(FlagSYN|FlagACK) == FlagSYN && !s.Broken && f.hasISN[d] && f.isn[d] != s.Seq {
		// A new ISN is a new connection, whatever became of the old one (as Wireshark has it).
		if !f.over() {
			a.endBoth(f, EndReopen, time, packet)
		}
		a.forget(f)
		a.remove(f)
		f = nil
	}
	if f == nil {
		f, d = a.open(s, time, packet)
	}
	s.d = d
	f.used = true
	if f.over() {
		if s.Length > 0 {
			a.stats.Stray++
		}
		return
	}
	if !f.heard(d) {
		f.marks |= heardBit << d
		if a.w != nil {
			a.w.Heard(&f.Conn, d)
		}
	}
	f.packets[d] = min(f.packets[d]+1, maxHandshake+1)
	if s.Broken {
		return
	}
	a.stats.Segments++
	f.note(d, s)
	a.take(f, d, s, time, packet)
	a.bury(f)
	a.arm(f)
	f.settle()
}

// Quickly tells what Quick has done with a segment, 0 for nothing.
type Quickly uint8

// What there is to tell: that the segment was taken in; then, that all that was captured of the other direction is acknowledged, and that of its
// own direction all was that was captured before its payload.
const (
	TakenIn Quickly = 1 << iota
	AllAcked
	Alone
)

// Quick takes in a segment that Find has looked for, if it is the next one of a connection on which nothing is missing and nothing
// ends, as most are. It returns the stream offset of the segment's payload, and how far it acknowledges the other
// direction, 0 where that is nothing new; the handler is told nothing. The first bytes of a direction are not for it. Where it does nothing, nothing
// has changed that Slow would not change, too. All timers that are due have run before.
func (a *Assembler) Quick(s *Segment, time, packet int64) (off, acked int64, how Quickly) {
	f := s.f
	if f == nil || !s.easy || time < a.now-backStep {
		return 0, 0, 0
	}
	d := f.from(s)
	if f.quiet>>d&1 == 0 {
		return 0, 0, 0
	}
	own, other, n := &f.at[d], &f.at[d^1], s.Length
	off = own.next
	if n > 0 && (off == 0 || s.Seq != own.base+uint32(off)) {
		return 0, 0, 0
	}
	next, last := other.next, f.acked[d^1]
	to := int64(0)
	if s.Flags&FlagACK != 0 {
		if to = next + int64(int32(s.Ack-other.base-uint32(next))); to > next {
			return 0, 0, 0
		}
	}
	// Nobody can guess which acknowledgements are news, and of what, so it is not branched by.
	how, acked = TakenIn, to
	if to <= last {
		acked = 0
	}
	to = max(to, last)
	f.acked[d^1] = to
	if to >= next {
		how |= AllAcked
	}
	if f.acked[d] >= off {
		how |= Alone
	}
	s.d, f.used = d, true
	f.latest[d] = packet
	a.stats.Segments++
	if n > 0 {
		f.remember(print(d, s.Seq, s.id, int64(n)), time)
		own.next = off + int64(n)
	}
	return off, acked, how
}

// AtOnce is the largest number of segments that Find looks for at a time.
const AtOnce = 64

// Find looks for the connections of segments that Quick is to take in soon, and brings near what Quick needs of them; is tells which are
// segments. Looking for many at once is faster than for one after the other: the processor waits for all of them at the same time.
func (a *Assembler) Find(list []Segment, is *[AtOnce]bool) {
	var near [AtOnce]unsafe.Pointer
	slots := a.table.slots
	if len(slots) == 0 {
		return
	}
	mask := uint64(len(slots) - 1)
	list = list[:min(len(list), AtOnce)]
	for i := range list {
		near[i] = unsafe.Pointer(&slots[list[i].tag>>1&mask]) // one of no segment is near already
	}
	prefetch.Each(near[:len(list)])
	for i := range list {
		s := &list[i]
		if !is[i] {
			continue
		}
		at := s.tag >> 1 & mask
		for slots[at].tag != s.tag && slots[at].tag != 0 {
			at = (at + 1) & mask
		}
		s.f = slots[at].f
		near[i] = unsafe.Pointer(s.f)
	}
	prefetch.EachFirst(near[:len(list)]) // of whole, and what it has while it lives
}

// Again looks for the connection of a segment anew, and reports whether it is another one by now than Find has found: it may have been opened since.
func (a *Assembler) Again(s *Segment) bool {
	f := a.table.find(s.tag)
	if f == nil || f == s.f {
		return false
	}
	s.f = f
	return true
}

// Conn is the connection of a segment that Quick has taken in.
func (s *Segment) Conn() *Conn { return &s.f.Conn }

// At is where the payload of a segment stands in the data that Look was given, 0 if that has not found it.
func (s *Segment) At() uint32 { return s.at }

// Mark is that of the connection of a segment that Find has looked for; see Conn.Mark.
func (s *Segment) Mark() uint32 { return s.f.mark }

// From is the direction of a segment that Quick has taken in.
func (s *Segment) From() Direction { return s.d }

// Advanced tells that the clock has come to a moment before which no timer is due.
func (a *Assembler) Advanced(now int64) { a.now = max(a.now, now) }

// bury lets go of a connection whose directions have both ended.
func (a *Assembler) bury(f *flow) {
	if f.live == nil || !f.half[0].ended || !f.half[1].ended {
		return
	}
	rest := *f
	rest.live, rest.quiet, rest.due = nil, 0, 0
	p := &a.parts[f.part]
	a.table.slots[a.table.lookup(f.tag)].f = &rest
	p.ring[f.slot] = &rest
	a.forget(f)
	p.over = append(p.over, &rest)
	if n := len(p.over); n > maxOver/Parts {
		// Half at once, so that each is moved about once.
		for _, old := range p.over[:n/2] {
			a.remove(old)
		}
		p.over = p.over[:copy(p.over, p.over[n/2:])]
		clear(p.over[len(p.over):n])
	}
}

// maxOver bounds the connections that are over and yet remembered, to know what comes late for them; it is shared evenly
// among the Parts.
const maxOver = 4096

// open starts a connection with its first segment.
func (a *Assembler) open(s *Segment, time, packet int64) (*flow, Direction) {
	w, no := a.fresh(), s.part()
	f := &w.flow
	f.live = &w.live
	f.part, f.Part, f.whole = no, no, w
	f.Stream = int(a.stats.Streams)
	a.stats.Streams++
	f.Opened = packet
	src, dst := s.Addr()
	f.Addr[0], f.Addr[1] = src, dst
	d := Direction(0)
	if s.Flags&(FlagSYN|FlagACK) == FlagSYN|FlagACK {
		f.Addr[0], f.Addr[1] = dst, src
		d = 1
	}
	f.Opener = s.Flags&FlagSYN != 0 && !s.Broken
	f.First = time
	for i := range f.half {
		f.half[i].spot, f.half[i].acked = &f.at[i], &f.acked[i]
		f.half[i].fin, f.half[i].rst = -1, -1
	}
	f.tag, f.first = s.tag, d^s.back
	a.table.add(f)
	if old := a.parts[no].add(f, a.opts.MaxConns); old != nil {
		if !old.over() {
			a.stats.Evicted++
			a.endBoth(old, EndEvict, time, 0)
		}
		a.forget(old)
		a.remove(old)
	}
	a.h.Open(&f.Conn)
	return f, d
}

// remove takes a connection out of the table, if it is there.
func (a *Assembler) remove(f *flow) {
	if a.parts[f.part].remove(f) {
		a.table.remove(f)
	}
}

// maxSpare bounds the memory that is kept to be used again, in connections.
const maxSpare = 4096

// Reuse gives back a connection both of whose directions have ended, for another one: nobody looks at it any more.
func (a *Assembler) Reuse(c *Conn) {
	if len(a.spare) < maxSpare {
		a.spare = append(a.spare, c.whole)
	}
}

func (a *Assembler) fresh() *whole {
	n := len(a.spare)
	if n == 0 {
		return &whole{}
	}
	w := a.spare[n-1]
	a.spare = a.spare[:n-1]
	*w = whole{}
	return w
}

// forget lets go of a connection that is over, though a timer of it may stand; once such timers may be most of all, they are
// taken out.
func (a *Assembler) forget(f *flow) {
	f.live, f.quiet = nil, 0
	if f.due == 0 {
		return
	}
	f.due = 0
	if a.stale++; a.stale <= 1024 || 2*a.stale <= len(a.due) {
		return
	}
	a.stale = 0
	a.due = slices.DeleteFunc(a.due, func(t timer) bool { return t.f.over() || t.f.due != t.at || t.f.Opened != t.order })
	heap.Init(&a.due)
}

// take puts a segment into its direction.
func (a *Assembler) take(f *flow, d Direction, s *Segment, time, packet int64) {
	f.latest[d] = packet
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
	a.before(f, d, h.base)
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
	for len(h.held) > 0 && (int(h.bytes) > a.opts.MaxHeld || a.parts[f.part].held > a.opts.MaxHeldTotal) {
		a.stats.Forced++
		a.release(f, d, p.time, p.packet)
	}
}

// resent notes bytes that were sent again.
func (a *Assembler) resent(f *flow, d Direction, from, to int64, p *piece) {
	if a.w != nil {
		a.w.Resent(&f.Conn, d, from, to, p.time, p.packet)
	}
}

// hold keeps what of a piece was not captured before.
func (a *Assembler) hold(f *flow, d Direction, p piece) {
	h := &f.half[d]
	was := h.bytes
	again, differ := h.insert(p)
	a.parts[f.part].held += int(h.bytes - was)
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
		a.parts[f.part].held -= int(p.cost())
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
			if s.Flags&FlagSYN != 0 || from == 0 && f.FromStart[0] && f.packets[0] <= maxHandshake {
				h.known, h.base = true, s.Ack
				return
			}
			if !h.hasAck {
				h.hasAck, h.ack = true, s.Ack
			}
			a.before(f, d, s.Ack)
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
	if off := h.offset(s.Ack); off > f.acked[d] && off-h.next <= window {
		f.acked[d] = off
		if a.w != nil {
			a.w.Acked(&f.Conn, d, off, packet)
		}
		if !h.ended && f.heard(d) {
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
		a.before(f, d, seq)
	}
	a.fixStart(f, d)
	off := h.offset(seq)
	if off < h.next || off-h.next > window {
		return
	}
	h.fin = off
	h.mark()
	for len(h.held) > 0 { // nothing comes after the end
		last := &h.held[len(h.held)-1]
		if last.end() <= off {
			break
		}
		h.bytes -= last.cost()
		a.parts[f.part].held -= int(last.cost())
		if last.off >= off {
			h.held = h.held[:len(h.held)-1]
			continue
		}
		*last = last.to(off)
		h.bytes += last.cost()
		a.parts[f.part].held += int(last.cost())
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
			h.mark()
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
	a.parts[f.part].held -= int(h.bytes)
	h.held, h.start, h.bytes, h.stalled = nil, nil, 0, false
	a.h.End(&f.Conn, d, why, time, packet)
}

// endBoth ends what is still open of a connection; holes become gaps. An RST behind one ends it before why does.
func (a *Assembler) endBoth(f *flow, why End, time, packet int64) {
	for d := range Direction(2) {
		if h := &f.half[d]; !h.ended && h.rst >= 0 {
			a.endFrom(f, d, EndRST, time, cmp.Or(packet, f.latest[d]))
			return
		}
	}
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
		for h.hole() > 0 && (f.heard(d) || len(h.held) > 0) {
			a.release(f, d, time, packet)
		}
		if h.ended {
			continue
		}
		if h.fin >= 0 && h.next >= h.fin { // its holes are gaps now
			a.end(f, d, EndFIN, time, cmp.Or(packet, f.latest[d]))
		} else {
			a.end(f, d, why, time, packet)
		}
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
		if t.f.due != t.at || t.f.over() || t.f.Opened != t.order {
			continue
		}
		t.f.due = 0
		if a.opts.Turn != nil {
			a.opts.Turn(t.at, t.order)
		}
		for d := range Direction(2) {
			a.tick(t.f, d)
		}
		a.bury(t.f)
		a.arm(t.f)
		t.f.settle()
	}
}

// tick gives up what was waited for long enough.
func (a *Assembler) tick(f *flow, d Direction) {
	h := &f.half[d]
	if at := h.startDue(); at > 0 && at <= a.now {
		a.fixStart(f, d)
	}
	for at := h.holeDue(f.heard(1 - d)); at > 0 && at <= a.now; at = h.holeDue(f.heard(1 - d)) {
		a.release(f, d, a.now, f.latest[d])
		a.settleFIN(f, d, a.now, f.latest[d])
	}
}

// arm makes sure that a timer stands for the earliest thing that a connection waits for. A
// later one that stands already is left to be found stale.
func (a *Assembler) arm(f *flow) {
	if f.over() {
		return
	}
	at := int64(0)
	for d := range Direction(2) {
		h := &f.half[d]
		if len(h.start) == 0 && !h.stalled {
			continue
		}
		for _, t := range [2]int64{h.startDue(), h.holeDue(f.heard(1 - d))} {
			if t > 0 && (at == 0 || t < at) {
				at = t
			}
		}
	}
	if at == 0 || f.due != 0 && f.due <= at {
		return
	}
	f.due = at
	heap.Push(&a.due, timer{at: at, order: f.Opened, f: f})
}

// Close ends every connection, in the order of their numbers: the capture is over.
func (a *Assembler) Close() {
	for _, f := range a.sorted() {
		if a.opts.Turn != nil {
			a.opts.Turn(0, f.Opened)
		}
		a.endBoth(f, EndFile, a.now, 0)
	}
	a.table, a.parts = table{}, [Parts]part{}
}

// sorted returns the connections that are not over, in the order in which they were opened.
func (a *Assembler) sorted() (list []*flow) {
	for i := range a.parts {
		for _, f := range a.parts[i].ring {
			if f != nil && !f.over() {
				list = append(list, f)
			}
		}
	}
	slices.SortFunc(list, func(x, y *flow) int { return cmp.Compare(x.Opened, y.Opened) })
	return list
}
