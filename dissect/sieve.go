package dissect

import (
	"bytes"

	"github.com/nubishark/nubishark/protocol"
)

// A direction of many small segments is asked again and again for its first strong match: by each reading of the packet at
// the boundary, with each segment that comes, and anew at each boundary. What was found to be none stays none, until
// something becomes known that could make it one.

// manySegments is from how many segments on it pays to remember what was found.
const manySegments = 32

const (
	tokenAt  = int64(protocol.TokenAt)
	tokenEnd = int64(protocol.TokenAt + protocol.TokenSize)
)

// sieve is what is remembered of the search for strong matches.
type sieve struct {
	// At no start of a segment before clear stands a match but for what a packet right before it may vouch for, as long as
	// the surroundings are the same and nothing became known.
	clear  int64
	around surroundings
	view   peerView
	early  uint64 // tokens that were issued early, as far as they are taken into account
	last   finding
}

// finding is the last answer, and what it was the answer to.
type finding struct {
	pos, seen, scanned int64
	segs               int
	vouched            token
	any                bool // vouched is there
	view               peerView
	at                 int64
}

// surroundings are what decides of a strong match, beside the bytes and what outdated tells of.
type surroundings struct {
	done, over, own bool // own gaps
}

func (h *half) surroundings() surroundings {
	return surroundings{h.done(), h.over(), h.gaps}
}

// sift returns what is remembered of a direction, brought up to date; nil if nothing is.
func (h *half) sift() *sieve {
	if len(h.segs) < manySegments || h.c.d.opts.Thorough {
		h.sieve = nil
		return nil
	}
	around, view, early := h.surroundings(), h.peer.view(), h.c.d.earlyCount()
	if v := h.sieve; v == nil {
		h.sieve = &sieve{around: around}
	} else if v.around != around || v.early != early && h.c.d.issuedEarlySince(v.early, h.holdsToken) || h.echoes(v.view) {
		*v = sieve{around: around}
	}
	h.sieve.view, h.sieve.early = view, early
	return h.sieve
}

// dropSegments lets go of the first n segments. Where few of many go, the others stay where they are.
func (h *half) dropSegments(n int) {
	if rest := len(h.segs) - n; rest > 4*n && rest >= manySegments {
		h.segs = h.segs[n:]
		return
	}
	h.segs = h.segs[:copy(h.segs, h.segs[n:])]
}

// cleared is the offset before which no segment starts with a match but for what is vouched for, as far as that is remembered and
// still holds; 0 if it does not.
func (h *half) cleared() int64 {
	v, d := h.sieve, h.c.d
	if v == nil || v.around != h.surroundings() || v.early != d.earlyCount() || h.echoes(v.view) {
		return 0
	}
	if k := h.c.chronicle; h.epoch != uint64(h.c.changes)+d.issueCount() && (k == nil || len(h.buf) < fewBytes || !h.untouched(&k.heard[h.dir], k)) {
		return 0
	}
	return v.clear
}

// mayVouch reports whether what may be a packet with a token stands at x.
func (h *half) mayVouch(x int64, vouched []byte) bool {
	b := h.at(x)
	return vouched != nil && len(b) >= int(tokenEnd) && string(b[tokenAt:tokenEnd]) == string(vouched)
}

// asked returns the question that is asked now; at is not filled in.
func (h *half) asked(vouched []byte) finding {
	q := finding{pos: h.pos, seen: h.seen(), scanned: h.scanned, segs: len(h.segs), any: vouched != nil, view: h.sieve.view}
	copy(q.vouched[:], vouched)
	return q
}

// passOver moves scanned over what is known to be no match, and returns the first match there that a packet right before it
// vouches for, or -1.
func (h *half) passOver(v *sieve, vouched []byte) int64 {
	to := min(v.clear, h.seen())
	if h.scanned >= to {
		return -1
	}
	if x := h.vouchedIn(vouched, h.scanned, to); x >= 0 {
		h.scanned = x
		return x
	}
	h.scanned = to
	return -1
}

// vouchedIn returns the first start of a segment in [from, to), behind the boundary, at which a packet with the token of the
// one before stands, or -1.
func (h *half) vouchedIn(vouched []byte, from, to int64) int64 {
	if vouched == nil || !h.holdsAnother(vouched) {
		return -1
	}
	b := h.buf[:min(to-h.pos-1+tokenEnd, int64(len(h.buf)))]
	for at := max(from, h.pos+1) - h.pos + tokenAt; at < int64(len(b)); at++ {
		i := bytes.Index(b[at:], vouched)
		if i < 0 {
			break
		}
		at += int64(i)
		if x := h.pos + at - tokenAt; h.startsWrite(x) && h.strong(x, vouched) == yes {
			return x
		}
	}
	return -1
}

// startsWrite reports whether a segment starts at x, behind the boundary, that may start a packet: the one before ended a write
// or was lost.
func (h *half) startsWrite(x int64) bool {
	i := h.holding(x)
	return i > 0 && i < len(h.segs) && h.segs[i].start == x && !h.segs[i].gap && (h.segs[i-1].push || h.segs[i-1].gap)
}
