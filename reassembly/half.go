package reassembly

import (
	"slices"
	"sort"
)

// What is waited for, in ns of capture time.
const (
	startHold = int64(200e6) // for segments before the first one of a direction whose start was not captured
	grace     = int64(1e9)   // for bytes that the receiver has acknowledged: only a capture out of order brings them
	finHold   = int64(1e9)   // for bytes before an RST, or before a FIN that nobody acknowledges
	idleHole  = int64(30e9)  // for bytes that were not acknowledged: they are sent again, each time after twice as long
	aloneHole = int64(5e9)   // for bytes of a direction whose receiver is not in the capture: nobody acknowledges them
)

const (
	// startSegments is how many segments are enough to fix a start that was not captured.
	startSegments = 8
	// window bounds how far ahead of what was captured a segment or an acknowledgement may be.
	window = int64(16 << 20)
	// maxBeforeRST bounds how far ahead of what was captured an RST is believed to stand.
	maxBeforeRST = 64 << 10
	// strangers is how many segments elsewhere in the sequence space prove that the connection
	// went on there.
	strangers = 4
	// maxHandshake is the number of packets among which an opener acknowledges the SYN-ACK.
	maxHandshake = 3
	// pieceCost is the memory of a held piece beside its bytes.
	pieceCost = 128
)

// spot is where a direction has come to: what every segment needs.
type spot struct {
	next  int64  // offset of the next byte to hand on
	base  uint32 // the sequence number of offset 0
	known bool   // base is fixed
	ended bool
	// stalled is what the handler knows of holes.
	stalled bool
	odd     bool // a FIN or an RST was seen, or segments elsewhere in the sequence space
}

// half is what a direction needs that is not in order.
type half struct {
	*spot
	acked   *int64  // the flow's
	held    []piece // behind a hole; sorted, without overlap
	fin     int64   // offset of the FIN, -1 if none was seen
	rst     int64   // offset of an RST that waits for the bytes before it, or -1
	start   []piece // of a direction whose base is not fixed yet
	since   int64   // when the hole appeared
	bytes   int32   // memory of held
	ack     uint32  // of a direction whose base is not fixed yet: the first acknowledgement, if hasAck
	hasAck  bool
	strange struct {
		seq   uint32
		count uint16
	}
}

// piece is a part of the stream that came with one segment.
type piece struct {
	off          int64
	n            int64  // bytes on the wire
	b            []byte // those captured, from off on
	seq          uint32
	push         bool  // the piece ends where a segment with PSH or FIN does
	large        bool  // its segment is larger than an Ethernet frame
	clock        int64 // the latest time (ns) when it came with an earlier one, else 0
	time, packet int64
}

func (p *piece) end() int64 { return p.off + p.n }

func (p *piece) cost() int32 { return int32(cap(p.b)) + pieceCost }

// from returns the part of p that starts at an offset, to the part that ends at one.
func (p *piece) from(off int64) piece {
	q := *p
	cut := min(max(off-p.off, 0), p.n)
	q.off, q.n = p.off+cut, p.n-cut
	q.b = p.b[min(cut, int64(len(p.b))):]
	return q
}

func (p *piece) to(off int64) piece {
	q := *p
	q.n = min(max(off-p.off, 0), p.n)
	q.b = p.b[:min(q.n, int64(len(p.b)))]
	q.push = p.push && q.n == p.n
	return q
}

// probe reports whether a piece looks like a keep-alive probe, which repeats the byte before the
// next one, with any value (RFC 1122, 4.2.3.6).
func (p *piece) probe() bool { return p.n == 1 && !p.push && (len(p.b) == 0 || p.b[0] == 0) }

// quiet reports whether the direction is known from its start on, and nothing of it is missing or over.
func (h *half) quiet() bool {
	return h.known && !h.ended && !h.stalled && !h.odd && len(h.held) == 0
}

// mark notes whether there is something that a segment in order has to be looked at for.
func (h *half) mark() { h.odd = h.fin >= 0 || h.rst >= 0 || h.strange.count > 0 }

// seq returns the sequence number of a stream offset.
func (h *half) seq(off int64) uint32 { return h.base + uint32(off) }

// offset returns the stream offset of a sequence number, near the next one.
func (h *half) offset(seq uint32) int64 {
	return h.next + int64(int32(seq-h.seq(h.next)))
}

// belongs reports whether a piece is where the stream can be. The numbers of another connection
// between the same ports, late or made up, are not; but the stream may have gone on far away while
// nothing was captured.
func (h *half) belongs(p *piece) bool {
	if d := p.off - max(h.next, *h.acked); d <= window && p.off-h.next >= -window {
		h.strange.count = 0
		h.mark()
		return true
	}
	if p.off < h.next {
		return false
	}
	if d := int32(p.seq - h.strange.seq); h.strange.count == 0 || int64(d) > window || int64(d) < 0 {
		h.strange.count = 0
	}
	h.strange.seq = p.seq
	h.strange.count++
	h.mark()
	return h.strange.count >= strangers
}

// insert keeps the parts of a piece that are not held yet: the first copy wins, unless it may be a keep-alive probe's. It copies them, and
// returns how many bytes came again, and in how many of those the copies differ.
func (h *half) insert(p piece) (again, differ int64) {
	h.dropProbes(&p)
	i := sort.Search(len(h.held), func(i int) bool { return h.held[i].end() > p.off })
	for p.n > 0 {
		if i == len(h.held) || h.held[i].off >= p.end() {
			h.put(i, p)
			return again, differ
		}
		q := &h.held[i]
		if q.off > p.off {
			h.put(i, p.to(q.off))
			i++
			q = &h.held[i]
			p = p.from(q.off)
		}
		both := p.to(q.end())
		again += both.n
		differ += differences(both.b, q.from(both.off).b)
		p = p.from(q.end())
		i++
	}
	return again, differ
}

// dropProbes lets go of bytes that may be those of keep-alive probes, and for which a segment brings others.
func (h *half) dropProbes(p *piece) {
	if p.n == 1 {
		return
	}
	// Many pieces may be held: only those that it covers are looked at.
	end := p.off + int64(len(p.b))
	from := sort.Search(len(h.held), func(i int) bool { return h.held[i].off >= p.off })
	to := from + sort.Search(len(h.held)-from, func(i int) bool { return h.held[from+i].end() > end })
	kept := slices.DeleteFunc(h.held[from:to], func(q piece) bool {
		drop := q.probe()
		if drop {
			h.bytes -= q.cost()
		}
		return drop
	})
	h.held = slices.Delete(h.held, from+len(kept), to)
}

func (h *half) put(i int, p piece) {
	p.b = slices.Clone(p.b)
	h.held = slices.Insert(h.held, i, p)
	h.bytes += p.cost()
}

func differences(a, b []byte) (n int64) {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// hole returns the number of bytes, from the next one on, that are known to have been sent and were
// not captured: before a held segment or the FIN, or acknowledged. A single acknowledged byte
// may be a FIN that was not captured.
func (h *half) hole() int64 {
	switch {
	case !h.known || h.ended:
		return 0
	case len(h.held) > 0:
		return h.held[0].off - h.next
	case h.fin >= 0:
		return max(0, h.fin-h.next)
	case h.rst > h.next:
		return h.rst - h.next
	case *h.acked-h.next > 1:
		return *h.acked - h.next
	}
	return 0
}

// holeDue is when the first hole becomes a gap, 0 if there is none; answered tells that the receiver is in the capture.
func (h *half) holeDue(answered bool) int64 {
	n := h.hole()
	switch {
	case n <= 0 || !h.stalled:
		return 0
	case *h.acked >= h.next+n:
		return h.since + grace
	case h.rst >= 0, h.fin >= 0 && !answered:
		return h.since + finHold
	case !answered:
		return h.since + aloneHole
	}
	return h.since + idleHole
}

// startDue is when the start of a direction is fixed, 0 if it is or nothing came of it.
func (h *half) startDue() int64 {
	if len(h.start) == 0 {
		return 0
	}
	return h.start[0].time + startHold
}
