package reassembly

import (
	"net/netip"
	"slices"

	"github.com/nubishark/nubishark/capture"
)

// Options steer an assembler. The zero value has the default bounds.
type Options struct {
	// MaxHeld bounds the bytes held of one direction behind a hole; 0 means 1 MiB.
	MaxHeld int
}

// Stats count what the assembler met.
type Stats struct {
	// Streams is the number of TCP connections, BytesDropped what bounds gave up.
	Streams, BytesDropped int64
}

// Assembler turns packets into the byte streams of TCP connections. It is not safe for concurrent use.
type Assembler struct {
	h     Handler
	opts  Options
	flows map[flowKey]*flow
	list  []*flow
	frags defragmenter
	stats Stats
	now   int64
	holes map[*flow]struct{}
}

type flowKey struct{ a, b netip.AddrPort }

// flow is a connection with its two directions.
type flow struct {
	Conn
	half   [2]half
	isn    uint32
	hasISN bool
	opened bool
	closed bool
}

// half is one direction.
type half struct {
	known  bool // base is fixed
	base   uint32
	high   uint32 // of the latest position, to unwrap sequence numbers
	next   int64  // offset of the next byte to hand on
	held   []heldSegment
	bytes  int
	stall  bool
	since  int64 // when the hole appeared
	acked  int64
	fin    int64 // offset of the FIN, -1 if none was seen
	ended  bool
	start  []heldSegment // of a direction whose base is not fixed yet
	packet int64
}

type heldSegment struct {
	off          int64
	seq          uint32
	b            []byte
	wire         int
	push, fin    bool
	time, packet int64
}

const (
	grace     = int64(20e6)
	idleHole  = int64(5e9)
	startHold = int64(200e6)
)

// New returns an assembler that tells the handler.
func New(h Handler, opts Options) *Assembler {
	if opts.MaxHeld == 0 {
		opts.MaxHeld = 1 << 20
	}
	return &Assembler{h: h, opts: opts, flows: make(map[flowKey]*flow), holes: make(map[*flow]struct{})}
}

// Stats returns the counts so far.
func (a *Assembler) Stats() Stats { return a.stats }

// Packet takes in one packet.
func (a *Assembler) Packet(p capture.Packet) {
	a.Advance(p.Time)
	ip := network(p.Link, p.Data)
	if ip == nil {
		return
	}
	q, ok := parseIP(ip, p.WireLen-len(p.Data))
	if !ok {
		return
	}
	if q.frag && !a.frags.add(&q, p.Time) {
		return
	}
	if q.proto != 6 {
		return
	}
	if s, ok := parseTCP(&q); ok {
		a.segment(&s, p.Time, p.Number)
	}
}

func key(x, y netip.AddrPort) flowKey {
	if x.Compare(y) > 0 {
		x, y = y, x
	}
	return flowKey{x, y}
}

func (a *Assembler) segment(s *segment, time, packet int64) {
	k := key(s.src, s.dst)
	f := a.flows[k]
	syn := s.flags&(flagSYN|flagACK) == flagSYN
	if f != nil && syn && f.hasISN && f.isn != s.seq || f != nil && syn && !f.hasISN {
		a.endBoth(f, EndReopen, time, packet)
		f = nil
	}
	if f == nil {
		f = a.open(k, s, time)
	}
	d := Direction(0)
	if s.src != f.Addr[0] {
		d = 1
	}
	f.Packets[d]++
	f.Last = max(f.Last, time)
	if syn {
		f.isn, f.hasISN = s.seq, true
	}
	a.take(f, d, s, time, packet)
}

func (a *Assembler) open(k flowKey, s *segment, time int64) *flow {
	f := &flow{}
	f.Stream = int(a.stats.Streams)
	a.stats.Streams++
	f.Addr = [2]netip.AddrPort{s.src, s.dst}
	if s.flags&(flagSYN|flagACK) == flagSYN|flagACK {
		f.Addr = [2]netip.AddrPort{s.dst, s.src}
	}
	f.Opener = s.flags&flagSYN != 0
	f.First, f.Last = time, time
	f.half[0].fin, f.half[1].fin = -1, -1
	a.flows[k] = f
	a.list = append(a.list, f)
	a.h.Open(&f.Conn)
	return f
}

// take puts a segment into its direction.
func (a *Assembler) take(f *flow, d Direction, s *segment, time, packet int64) {
	h, o := &f.half[d], &f.half[1-d]
	h.packet = packet
	seq := s.seq
	if s.flags&flagSYN != 0 {
		seq++
		if !h.known {
			h.known, h.base = true, seq
			f.FromStart[d] = true
		}
	}
	if s.flags&flagACK != 0 {
		a.acknowledge(f, 1-d, s.ack, time, packet)
	}
	if s.flags&flagRST != 0 {
		if !h.known || int32(seq-h.base-uint32(h.next)) >= 0 || o.ended {
			a.endBoth(f, EndRST, time, packet)
		}
		return
	}
	if s.length > 0 && !h.ended {
		g := heldSegment{seq: seq, b: s.payload[:min(len(s.payload), s.length)], wire: s.length, push: s.flags&(flagPSH|flagFIN) != 0, time: time, packet: packet}
		if !h.known {
			a.early(f, d, g, time, packet)
		} else {
			a.place(f, d, g, time, packet)
		}
	}
	if s.flags&flagFIN != 0 && !h.ended {
		if !h.known && len(h.start) == 0 {
			h.known, h.base = true, seq+uint32(s.length)
		}
		a.fixStart(f, d, time, packet)
		off := h.offset(seq + uint32(s.length))
		if off >= h.next && h.fin < 0 {
			h.fin = off
		}
	}
	a.tryFIN(f, d, time, packet)
}

func (h *half) offset(seq uint32) int64 {
	return h.next + int64(int32(seq-h.base-uint32(h.next)))
}

// early holds the first segments of a direction whose start was not captured.
func (a *Assembler) early(f *flow, d Direction, g heldSegment, time, packet int64) {
	h := &f.half[d]
	g.b = slices.Clone(g.b)
	h.start = append(h.start, g)
	a.holes[f] = struct{}{}
	if len(h.start) >= 8 {
		a.fixStart(f, d, time, packet)
	}
}

// fixStart fixes the base of a direction and hands on what was held.
func (a *Assembler) fixStart(f *flow, d Direction, time, packet int64) {
	h := &f.half[d]
	if h.known || len(h.start) == 0 {
		return
	}
	list := h.start
	h.start = nil
	h.known, h.base = true, list[0].seq
	for _, g := range list {
		if int32(g.seq-h.base) < 0 {
			h.base = g.seq
		}
	}
	slices.SortStableFunc(list, func(x, y heldSegment) int { return int(int32(x.seq - y.seq)) })
	for _, g := range list {
		a.place(f, d, g, g.time, g.packet)
	}
}

// place hands on a segment, or holds it behind a hole.
func (a *Assembler) place(f *flow, d Direction, g heldSegment, time, packet int64) {
	h := &f.half[d]
	g.off = h.offset(g.seq)
	if g.off+int64(g.wire) <= h.next || h.fin >= 0 && g.off >= h.fin {
		return
	}
	if g.off > h.next {
		g.b = slices.Clone(g.b)
		i, _ := slices.BinarySearchFunc(h.held, g, func(x, y heldSegment) int {
			if x.off <= y.off {
				return -1
			}
			return 1
		})
		h.held = slices.Insert(h.held, i, g)
		h.bytes += len(g.b)
		a.stall(f, d, time)
		for h.bytes > a.opts.MaxHeld {
			a.release(f, d, time, packet)
		}
		return
	}
	a.deliver(f, d, g)
	a.drain(f, d)
}

// lose gives the bytes up to an offset up as a gap with nothing behind it.
func (a *Assembler) lose(f *flow, d Direction, n, time, packet int64) {
	h := &f.half[d]
	off := h.next
	h.next += n
	a.h.Chunk(&f.Conn, d, Chunk{Offset: off, Gap: n, Time: time, Packet: packet})
	a.stall(f, d, time)
}

// deliver hands on the new part of a segment that reaches the next offset.
func (a *Assembler) deliver(f *flow, d Direction, g heldSegment) {
	h := &f.half[d]
	skip := int(h.next - g.off)
	if skip < len(g.b) {
		b := g.b[skip:]
		a.h.Chunk(&f.Conn, d, Chunk{Offset: h.next, Bytes: b, Time: g.time, Packet: g.packet, Push: g.push && len(g.b) == g.wire})
		h.next += int64(len(b))
	}
	if missing := g.off + int64(g.wire) - h.next; missing > 0 {
		a.h.Chunk(&f.Conn, d, Chunk{Offset: h.next, Gap: missing, Time: g.time, Packet: g.packet})
		h.next += missing
	}
}

// drain hands on what a filled hole held back.
func (a *Assembler) drain(f *flow, d Direction) {
	h := &f.half[d]
	for len(h.held) > 0 && h.held[0].off <= h.next {
		g := h.held[0]
		h.held = h.held[1:]
		h.bytes -= len(g.b)
		if g.off+int64(g.wire) > h.next {
			a.deliver(f, d, g)
		}
	}
	if len(h.held) == 0 {
		h.held = nil
	}
	a.stall(f, d, h.since)
}

// unseen returns how many bytes the receiver has acknowledged of this direction that were never
// captured and have nothing behind them. A single one may be a FIN that was not captured.
func (h *half) unseen() int64 {
	if !h.known || h.ended || len(h.held) > 0 {
		return 0
	}
	if h.fin >= 0 {
		return max(0, min(h.acked, h.fin)-h.next)
	}
	if n := h.acked - h.next; n > 1 {
		return n
	}
	return 0
}

// stall tells the handler when a hole appears or is gone.
func (a *Assembler) stall(f *flow, d Direction, time int64) {
	h := &f.half[d]
	hole := len(h.held) > 0 || h.unseen() > 0
	if hole == h.stall {
		return
	}
	h.stall = hole
	if hole {
		h.since = time
		a.holes[f] = struct{}{}
	}
	a.h.Stall(&f.Conn, d, hole)
}

// release gives the first hole up as a gap.
func (a *Assembler) release(f *flow, d Direction, time, packet int64) {
	h := &f.half[d]
	if len(h.held) == 0 {
		return
	}
	g := h.held[0]
	a.h.Chunk(&f.Conn, d, Chunk{Offset: h.next, Gap: g.off - h.next, Time: time, Packet: g.packet})
	h.next = g.off
	a.drain(f, d)
	h.since = time
}

// acknowledge notes how far the receiver of a direction has it.
func (a *Assembler) acknowledge(f *flow, d Direction, ack uint32, time, packet int64) {
	h := &f.half[d]
	if h.ended {
		return
	}
	if !h.known {
		for i := range h.start {
			if int32(ack-h.start[i].seq-uint32(h.start[i].wire)) >= 0 {
				a.fixStart(f, d, time, packet)
				break
			}
		}
		return
	}
	if off := h.offset(ack); off > h.acked && off-h.next < 1<<28 {
		h.acked = off
		a.stall(f, d, time)
	}
}

// Advance runs the timers up to a moment of capture time (ns).
func (a *Assembler) Advance(now int64) {
	a.now = max(a.now, now)
	if len(a.holes) == 0 {
		return
	}
	var list []*flow
	for f := range a.holes {
		list = append(list, f)
	}
	slices.SortFunc(list, func(x, y *flow) int { return x.Stream - y.Stream })
	for _, f := range list {
		busy := false
		for d := range Direction(2) {
			busy = a.tick(f, d) || busy
		}
		if !busy {
			delete(a.holes, f)
		}
	}
}

// tick gives up holes that are old, and reports whether any are left.
func (a *Assembler) tick(f *flow, d Direction) bool {
	h := &f.half[d]
	if len(h.start) > 0 && a.now-h.start[0].time >= startHold {
		a.fixStart(f, d, a.now, h.start[0].packet)
	}
	for len(h.held) > 0 {
		age := a.now - h.since
		if !(age >= idleHole || age >= grace && h.acked >= h.held[0].off || h.fin >= 0 && age >= int64(1e9)) {
			break
		}
		a.release(f, d, a.now, h.held[0].packet)
		a.tryFIN(f, d, a.now, h.packet)
	}
	if n := h.unseen(); n > 0 && a.now-h.since >= startHold {
		a.lose(f, d, n, a.now, h.packet)
		a.tryFIN(f, d, a.now, h.packet)
	}
	return h.stall || len(h.start) > 0
}

// tryFIN ends a direction when all bytes up to its FIN were handed on.
func (a *Assembler) tryFIN(f *flow, d Direction, time, packet int64) {
	h := &f.half[d]
	if h.ended || h.fin < 0 {
		return
	}
	if h.fin > h.next {
		if len(h.held) > 0 || h.acked <= h.fin {
			return
		}
		a.lose(f, d, h.fin-h.next, time, packet)
	}
	h.ended = true
	a.h.End(&f.Conn, d, EndFIN, time, packet)
}

func (a *Assembler) endBoth(f *flow, why End, time, packet int64) {
	for d := range Direction(2) {
		h := &f.half[d]
		if h.ended {
			continue
		}
		a.fixStart(f, d, time, packet)
		for len(h.held) > 0 {
			a.release(f, d, time, packet)
		}
		if h.fin > h.next {
			a.lose(f, d, h.fin-h.next, time, packet)
		} else if n := h.unseen(); n > 0 {
			a.lose(f, d, n, time, packet)
		}
		h.ended = true
		a.h.End(&f.Conn, d, why, time, packet)
	}
	delete(a.holes, f)
}

// Close ends every connection: the capture is over.
func (a *Assembler) Close() {
	for _, f := range a.list {
		a.endBoth(f, EndFile, a.now, 0)
	}
	a.list = nil
}
