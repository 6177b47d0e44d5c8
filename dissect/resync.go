package dissect

import (
	"math"

	"github.com/nubishark/nubishark/protocol"
)

// maxBytes bounds the bytes that a violation shows, maxJunk those that are kept while no packet
// is found.
const (
	maxBytes = 1024
	maxJunk  = maxWait
	maxQuiet = 4096 // bytes behind a gap that are kept to be looked at again
)

// junk is a run of bytes that are no packet and were let go of before its end was found.
type junk struct {
	start, end int64
	bytes      []byte
	packets    []int64
	time       int64
}

// resync looks for the next offset at which a packet starts, and moves there.
func (h *half) resync() bool {
	held, _ := h.peer.heldResponse()
	if h.outdated() || h.heldSeen != held {
		h.scanned, h.refuted, h.heldSeen = h.pos, h.pos, held
	}
	waiting := false
	for x := max(h.pos, h.missed, h.scanned); x < h.seen() && !waiting; x++ {
		if g, ok := h.gapAt(x); ok {
			h.skipTo(g.start)
			return true
		}
		switch found, certain := h.startsAt(x); found {
		case yes:
			// A capture starts between packets rather than in one, and the two bytes of a data packet's length are more than chance.
			h.faint = h.adrift == quietly && !certain && x > 0 && h.at(x)[0] != 'D'
			h.skipTo(x)
			return true
		case notYet:
			waiting = true
		default:
			h.scanned = x + 1
		}
	}
	return h.stillAdrift(waiting)
}

// strongBehind returns the first strong match behind x, -1 if there is none. Where bytes are wanting, something else may become one: that
// it would reach over this one refutes it.
func (h *half) strongBehind(x int64) int64 {
	settled := true
	for y := max(x+1, h.refuted); y < h.seen(); y++ {
		match := h.strong(y, nil)
		if match == yes {
			return y
		}
		if settled = settled && match == no; settled {
			h.refuted = y + 1
		}
	}
	return -1
}

// lastWriteEnd returns the last write end of the bytes seen, or the boundary if there is none.
func (h *half) lastWriteEnd() int64 {
	for i := len(h.segs) - 1; i >= 0; i-- {
		if h.segs[i].push {
			return h.segs[i].end
		}
	}
	return h.pos
}

// reachesOver reports whether every reading of a packet at x has y inside.
func (h *half) reachesOver(x, y int64) bool {
	var buf [8]candidate
	list := h.vendorEnds(buf[:0], x, h.requestLetter(h.at(x)))
	for i := range list {
		if end := list[i].end; end >= 0 && end <= y {
			return false
		}
	}
	return true
}

// stillAdrift deals with bytes in which no packet was found.
func (h *half) stillAdrift(waiting bool) bool {
	switch {
	case h.over():
		h.skipTo(h.seen())
		h.faint = false // what comes behind a silence starts there
		return true
	case h.ended == fileEnded:
		// What the capture's end cut off, and short writes before it, prove nothing.
		if x := h.lastWriteEnd(); h.adrift == loudly && x-h.pos > maxStray && x < h.seen() {
			h.skipTo(x)
			h.adrift = quietly
		} else if x-h.pos <= maxStray && h.junk == nil {
			h.adrift = quietly
		}
		h.skipTo(h.seen())
		return true
	case !waiting && h.adrift == quietly && h.scanned > h.pos+maxQuiet:
		// What is known later may yet make a packet of the latest bytes.
		at := h.scanned
		h.doubtAll(h.pos, at-maxQuiet)
		h.advance(at - maxQuiet)
		h.scanned = at
	case len(h.buf) > maxJunk:
		x := max(h.scanned, h.pos+1)
		if h.adrift == loudly {
			h.keepJunk(x)
		}
		h.advance(x)
		return true
	}
	return false
}

// startsAt reports whether a packet starts at x: a strong match, which is certain, or a segment that starts with a
// legal letter and fits a vendor's shape. None does whose readings all have a strong match inside.
func (h *half) startsAt(x int64) (found answer, certain bool) {
	b := h.at(x)
	if len(protocol.ByLetter(b[0])) == 0 {
		return no, false
	}
	match := h.strong(x, nil)
	if match == yes && b[0] != 'L' {
		return yes, true
	}
	found = match
	if match != yes && h.segStart(x) && !h.looseLogin(x) {
		found = max(match, h.leadsOn(x, 0))
	}
	if found == no {
		return no, false
	}
	y := h.strongBehind(x)
	switch {
	case y < 0:
		return found, match == yes
	case h.reachesOver(x, y):
		return no, false
	case match == yes || found == match:
		return match, match == yes
	}
	return max(match, h.leadsOn(x, y)), false
}

// looseLogin reports whether what may be a login at x is no write of its own: a length of one byte ends somewhere by chance.
func (h *half) looseLogin(x int64) bool {
	return h.at(x)[0] == 'L' && !h.opensWrite(x) && x != h.behindGap
}

// leadsOn reports whether a segment that starts with a legal letter fits a vendor's shape, and leads on no further than to the
// strong match at y, if that is not 0.
func (h *half) leadsOn(x, y int64) answer {
	b := h.at(x)
	h.budget, h.limit = maxReach, y
	l := h.chain(x, nil, 8)
	h.limit = 0
	switch {
	case l&(leads|leadsStrange) != 0:
		if h.plausible(b) {
			return yes
		}
	case l&mayLead != 0:
		if len(b) < protocol.HeaderSize || h.plausible(b) {
			return h.later()
		}
	case h.plausible(b) && h.nearlyWrite(x, y):
		return yes
	}
	return no
}

// isRest reports whether no packet can start at the boundary, of which it is not sure that one does.
func (h *half) isRest() bool {
	if h.buf[0] != 'L' && h.strong(h.pos, nil) == yes {
		h.faint = false
		return false
	}
	if !protocol.MaySend(h.side(), h.buf[0]) || len(h.buf) >= protocol.HeaderSize && !h.plausible(h.buf) {
		return true
	}
	return h.strongNear(h.shortest()) >= 0
}

// shortest is where the shortest reading of the packet at the boundary ends, as far as that is known of any.
func (h *half) shortest() int64 {
	var buf [8]candidate
	least := h.seen()
	for _, c := range h.vendorEnds(buf[:0], h.pos, h.requestLetter(h.buf)) {
		if c.end >= 0 {
			least = min(least, c.end)
		}
	}
	return least
}

// maxFaint is how many bytes a packet has, at most, whose length is no more than one byte.
var maxFaint = int64(protocol.ByLetter('L')[0].Shape().Fixed + math.MaxUint8)

// strongNear returns the first strong match behind the boundary, and before x, that such a packet might have inside, or -1.
func (h *half) strongNear(x int64) int64 {
	for y := h.pos + 1; y < min(h.pos+maxFaint, x); y++ {
		if h.strong(y, nil) == yes {
			return y
		}
	}
	return -1
}

// faithful keeps the readings that accuse nobody and have no strong match inside. Two bytes that tell a length are more than chance: stray bytes
// behind what they tell are no accusation without evidence.
func (h *half) faithful(list []candidate) []candidate {
	y := h.strongNear(h.seen())
	kept := list[:0]
	for i := range list {
		if c := &list[i]; (c.kind == vendor || c.kind == stray && c.layout.Shape().LengthWidth == 2) && (y < 0 || c.end <= y) {
			kept = append(kept, *c)
		}
	}
	return kept
}

// nearlyWrite reports whether a packet at x with a length of its own ends a few stray bytes before the
// end of a write, and no further than to the strong match at y, if that is not 0. One that this side may not send has to be in that
// write from its start on. Behind a gap, the single byte of a login's length is not enough for stray bytes.
func (h *half) nearlyWrite(x, y int64) bool {
	letter, most := h.at(x)[0], int64(maxStray)
	if letter == 'L' && h.adrift == quietly {
		most = 0
	}
	var buf [8]candidate
	list := h.vendorEnds(buf[:0], x, h.requestLetter(h.at(x)))
	for i := range list {
		c := &list[i]
		if c.end < 0 || c.layout.Shape().LengthWidth == 0 || y > 0 && c.end > y || !protocol.MaySend(h.side(), letter) && h.writesWithin(x, c.end) {
			continue
		}
		for k := int64(0); k <= most && c.end+k <= h.seen(); k++ {
			if h.writeEnd(c.end + k) {
				_, gap := h.gapIn(x, c.end+k)
				return !gap
			}
		}
	}
	return false
}

// plausible reports whether the session ID of what may be a packet is text, and its token, if it
// has one, text or empty.
func (h *half) plausible(b []byte) bool {
	if len(b) < protocol.HeaderSize || !isWord(b[1:protocol.HeaderSize]) {
		return false
	}
	l := protocol.ByLetter(b[0])[0]
	if !l.Shape().HasToken || len(b) < protocol.TokenAt+protocol.TokenSize {
		return b[0] != 'R' || len(b) <= protocol.StatusAt || b[protocol.StatusAt] <= 1
	}
	t := b[protocol.TokenAt : protocol.TokenAt+protocol.TokenSize]
	return isWord(t) || isZero(t)
}

// isWord reports whether all bytes are printable ASCII other than space.
func isWord(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// skipTo ends the run of bytes that are no packet at x, and reports it.
func (h *half) skipTo(x int64) {
	if x > h.pos && h.adrift == loudly {
		if h.junk != nil {
			h.keepJunk(x)
		} else {
			h.reportSkipped(h.pos, x)
		}
	} else {
		h.doubtAll(h.pos, x)
	}
	h.flushJunk()
	h.advance(x)
	h.adrift = inStep
}

// keepJunk moves a run's bytes up to x out of the buffer.
func (h *half) keepJunk(x int64) {
	if h.junk == nil {
		h.junk = &junk{start: h.pos}
	}
	j := h.junk
	list, time := h.packets(nil, h.pos, x)
	j.packets = append(j.packets, list[:min(len(list), max(0, maxPackets-len(j.packets)))]...)
	j.bytes = append(j.bytes, h.buf[:min(int(x-h.pos), maxBytes-len(j.bytes))]...)
	j.end, j.time = x, time
	h.doubtAll(h.pos, x)
}

// flushJunk reports a run that was kept aside.
func (h *half) flushJunk() {
	j := h.junk
	if j == nil {
		return
	}
	h.junk = nil
	h.reportJunk(j)
}

// reportSkipped reports the bytes [from, to), which are no packet: pieces of 1 to 8 bytes as short
// packets or stray bytes, otherwise the whole run as one unknown type.
func (h *half) reportSkipped(from, to int64) {
	h.doubtAll(from, to)
	pieces := h.pieces(from, to)
	if len(pieces) > 1 && pieces[0].stray && pieces[0].end-pieces[0].start <= maxStray {
		h.reportPiece(pieces[0])
		pieces = pieces[1:]
		from = pieces[0].start
	}
	for _, p := range pieces {
		if p.end-p.start > maxStray {
			h.reportUnknown(from, to)
			return
		}
	}
	for _, p := range pieces {
		unseen, letter := h.goesOnUnseen(p), isLetter[h.at(p.start)[0]]
		switch {
		case !p.stray && !letter && (unseen || h.splitAt(p.end)):
			h.reportUnknown(p.start, p.end)
		case p.stray || !unseen:
			h.reportPiece(p)
		}
	}
}

// splitAt reports whether a segment goes on at x: what ends there is no write of its own.
func (h *half) splitAt(x int64) bool {
	i := h.holding(x)
	return i < len(h.segs) && h.segs[i].start < x
}

// goesOnUnseen reports whether a write goes on with bytes that were never captured, and more of them than a short packet has: how long
// it was is not known.
func (h *half) goesOnUnseen(p piece) bool {
	g, gap := h.gapAt(p.end)
	return gap && g.end-p.start > maxStray && !h.segs[h.holding(p.end-1)].push
}

// piece is a part of a skipped run that was one write.
type piece struct {
	start, end int64
	stray      bool // it follows a packet in the same segment
}

// pieces cuts [from, to) at the write ends.
func (h *half) pieces(from, to int64) []piece {
	var list []piece
	p := piece{start: from, stray: from == h.pos && h.midWrite}
	for i := h.holding(from); i < len(h.segs) && h.segs[i].start < to; i++ {
		s := &h.segs[i]
		if s.push && s.end < to {
			p.end = s.end
			list = append(list, p)
			p = piece{start: s.end}
		}
	}
	p.end = to
	return append(list, p)
}
