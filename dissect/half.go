package dissect

import (
	"slices"
	"sort"

	"github.com/nubishark/nubishark/protocol"
)

// segment is a part of a direction's stream that came with one capture packet.
type segment struct {
	start, end   int64
	time, packet int64
	push, gap    bool
	cut          bool // a gap that the snap length made
}

// ending says why a direction carries no more bytes.
type ending uint8

const (
	running   ending = iota
	finished         // FIN, RST, or the port pair was opened anew
	fileEnded        // the capture ended, which proves nothing
)

// spot is where a direction has come to: what the usual packet needs of it.
type spot struct {
	pos      int64 // the boundary: stream offset of buf[0]
	lastTime int64
	latest   int64 // the capture packet of the latest bytes
	requests requests
}

// half is one direction of a connection. It keeps only what is not settled.
type half struct {
	*spot
	c    *Dialogue
	peer *half
	dir  int
	buf  []byte
	segs []segment

	fromStart bool
	gaps      bool // bytes of this direction were never captured
	stalled   bool // bytes wait behind a hole that may still fill
	ended     ending
	silent    bool  // no bytes for the response timeout
	shaky     bool  // the end of the packet before the boundary is only likely, because of a gap or the capture's end
	midWrite  bool  // the boundary stands inside a write
	faint     bool  // what stands at the boundary may be no packet: it only fits the shape of one behind a gap, or the end before it is a guess
	pushes    bool  // a segment with PSH was seen, or what went the short way
	adrift    drift // out of step
	scanned   int64 // no packet starts before this offset, by what is known so far

	back      []byte // the whole of buf's storage, to slide buf in
	gapTime   int64  // time of the latest gap
	gapEnd    int64  // the offset behind it
	behindGap int64  // the end of the latest gap that was passed
	gapPacket int64  // the capture packet that made it known
	gapAcked  int64  // the one that acknowledged all up to its end, 0 while none has
	epoch     uint64 // of what was known when scanned was reached
	foreseen  int64  // the boundary of a login's answer whose token is known, and one
	missed    int64  // no packet starts before this offset, whatever may become known
	refuted   int64  // no strong match stands before this offset, by what is known so far
	heldSeen  sid    // the peer's held response when scanned was reached
	junk      *junk  // nil if there is none
	sieve     *sieve // nil while there are few segments
	gist      *gist  // nil while there are few bytes

	limit    int64          // the offset that a row of them must not go beyond, 0 for none
	budget   int            // packets that may still be looked at to see where a row of them leads
	doubtful map[sid]*Frame // what may have been requests, and the frame where there is one
	early    map[sid]bool   // what orphan responses carried: their requests may yet be found
	badText  map[string]bool
	began    int64 // time of the first bytes, 0 while there are none
	lost     lost
	unproved protocol.Artefacts // what makes it uncertain that packets start where they seem to
	large    bool               // a segment was larger than an Ethernet frame: offload joins them
	drained  bool               // it finished, and all of it is settled
}

// drift says whether a direction is in step with its packets.
type drift uint8

const (
	inStep  drift = iota
	quietly       // behind a gap or a start in the middle: what is skipped is nobody's fault
	loudly        // what is skipped is reported
)

func (h *half) seen() int64 { return h.pos + int64(len(h.buf)) }

// over reports whether the direction ended for its peer, too.
func (h *half) over() bool { return h.ended == finished || h.silent }

// done reports whether no more bytes are to be waited for.
func (h *half) done() bool { return h.ended != running || h.silent }

func (h *half) side() protocol.Side { return h.c.side(h.dir) }

// add appends bytes that continue the stream at an offset. A part of the stream and where it comes from are written by parts, as in Form.cut.
func (h *half) add(b []byte, p *Part) {
	if len(h.buf) == 0 {
		h.begin(p)
	}
	h.grow(len(b))
	if h.segs == nil {
		h.segs = h.c.d.stock.segs.get(fewSegments)
	}
	h.buf = append(h.buf, b...)
	h.segs = longer(h.segs)
	s := &h.segs[len(h.segs)-1]
	*s = segment{}
	s.start, s.end, s.time, s.packet, s.push = p.Offset, p.Offset+int64(len(b)), p.Time, p.Packet, p.Push
	h.silent = false
	h.pushes = h.pushes || p.Push
	if h.began == 0 {
		h.began = p.Time
	}
	h.lastTime = max(h.lastTime, p.Time)
	h.latest = max(h.latest, p.Packet)
}

// begin begins what waits with a part. In a direction that tells no write's end, a segment is a write of its own if the peer has said something
// since what was before it.
func (h *half) begin(p *Part) {
	h.pos = max(h.pos, p.Offset)
	if h.midWrite && !h.pushes && h.peer.latest > h.latest {
		h.midWrite = false
	}
}

// mayHide reports whether a hole of this direction, which may still fill, can hold what was sent before a
// capture packet: not if something later has been seen before the hole.
func (h *half) mayHide(packet int64) bool { return h.stalled && h.latest < packet }

// lacks reports whether the peer has acknowledged more than was seen. That tells of no hole while it is a single byte, which may be a FIN: then it
// is not known whether there was more.
func (h *half) lacks() bool { return h.ended == running && h.c.acks.past(h.dir, h.seen()) }

// addGap appends n bytes that were never captured.
func (h *half) addGap(off, n int64, p *Part) {
	h.lost.add(p)
	h.gaps, h.gapTime, h.gapEnd, h.gapPacket = true, max(h.gapTime, p.Time), off+n, p.Packet
	h.gapAcked, _ = h.c.acks.at(h.dir, h.gapEnd)
	h.grow(int(n))
	h.buf = h.buf[:len(h.buf)+int(n)]
	clear(h.buf[len(h.buf)-int(n):])
	h.segs = append(h.segs, segment{start: off, end: off + n, time: p.Time, packet: p.Packet, push: p.Push, gap: true, cut: p.Cut})
}

// grow makes room for n more bytes, sliding what is unsettled to the front first.
func (h *half) grow(n int) {
	if cap(h.buf)-len(h.buf) >= n {
		return
	}
	need := len(h.buf) + n
	if cap(h.back) >= need {
		h.buf = append(h.back[:0], h.buf...)
		return
	}
	stock := &h.c.d.stock
	bigger := stock.room(max(need*2, 64))
	h.buf = append(bigger, h.buf...)
	stock.bytes.put(h.back)
	h.back = bigger
}

// rest gives back the memory for what waits, while nothing does.
func (h *half) rest() {
	stock := &h.c.d.stock
	stock.bytes.put(h.back)
	if cap(h.segs) == fewSegments { // others are not asked for again
		stock.segs.put(h.segs)
	}
	h.buf, h.back, h.segs, h.sieve, h.gist = nil, nil, nil, nil, nil
}

// cameEarly remembers the session ID of a response without a request.
func (h *half) cameEarly(id sid) {
	if h.early == nil || len(h.early) >= maxFinished {
		h.early = make(map[sid]bool)
	}
	h.early[id] = true
}

// advance moves the boundary to x, and lets go of what is before it.
func (h *half) advance(x int64) {
	h.buf = h.buf[x-h.pos:]
	h.pos = x
	i := 0
	h.midWrite = h.midWrite || len(h.segs) > 0
	for i < len(h.segs) && h.segs[i].end <= x {
		h.midWrite = !h.segs[i].push || h.segs[i].end < x
		i++
	}
	if i < len(h.segs) && h.segs[i].start < x {
		h.midWrite = true
	}
	h.dropSegments(i)
	h.scanned = x
	if len(h.buf) == 0 && cap(h.back) > 4096 {
		h.back, h.buf, h.sieve, h.gist = nil, nil, nil, nil
	}
}

// at returns the bytes from offset x on.
func (h *half) at(x int64) []byte { return h.buf[x-h.pos:] }

// writeEnd reports whether a segment with PSH ends at x.
func (h *half) writeEnd(x int64) bool {
	i := sort.Search(len(h.segs), func(i int) bool { return h.segs[i].end >= x })
	return i < len(h.segs) && h.segs[i].end == x && h.segs[i].push
}

// segStart reports whether a segment starts at x.
func (h *half) segStart(x int64) bool {
	i := sort.Search(len(h.segs), func(i int) bool { return h.segs[i].start >= x })
	return i < len(h.segs) && h.segs[i].start == x && !h.segs[i].gap
}

// holding returns the index of the segment that holds the byte at x.
func (h *half) holding(x int64) int {
	return sort.Search(len(h.segs), func(i int) bool { return h.segs[i].end > x })
}

// gapIn returns the first gap that overlaps [x, y).
func (h *half) gapIn(x, y int64) (segment, bool) {
	if !h.gaps {
		return segment{}, false
	}
	return h.gapAmong(x, y)
}

func (h *half) gapAmong(x, y int64) (segment, bool) {
	for i := h.holding(x); i < len(h.segs) && h.segs[i].start < y; i++ {
		if h.segs[i].gap {
			return h.segs[i], true
		}
	}
	return segment{}, false
}

// missing counts the bytes of [x, y) that were never captured.
func (h *half) missing(x, y int64) int {
	if !h.gaps {
		return 0
	}
	n := int64(0)
	for i := h.holding(x); i < len(h.segs) && h.segs[i].start < y; i++ {
		if s := &h.segs[i]; s.gap {
			n += max(0, min(s.end, y)-max(s.start, x))
		}
	}
	return int(n)
}

// packets lists the capture packets that carried [x, y), ascending, and the time of the last byte. The list is
// appended to an empty one.
func (h *half) packets(list []int64, x, y int64) (_ []int64, time int64) {
	sorted := true
	for i := h.holding(x); i < len(h.segs) && h.segs[i].start < y; i++ {
		s := &h.segs[i]
		if s.gap {
			continue
		}
		time = s.time
		if n := len(list); n > 0 && list[n-1] >= s.packet {
			if list[n-1] == s.packet {
				continue
			}
			sorted = false
		}
		list = append(list, s.packet)
	}
	if !sorted {
		slices.Sort(list)
		list = slices.Compact(list)
	}
	return list, time
}

// seenBefore returns how far this direction had been seen before a packet, -1 if some of that was captured only behind it: then the order in
// the capture proves nothing.
func (h *half) seenBefore(packet int64) int64 {
	for i := len(h.segs) - 1; i >= 0; i-- {
		if s := &h.segs[i]; s.gap || s.packet >= packet {
			continue
		}
		if slices.ContainsFunc(h.segs[:i], func(s segment) bool { return !s.gap && s.packet > packet }) {
			return -1
		}
		return max(h.pos, h.segs[i].end)
	}
	return h.pos
}
