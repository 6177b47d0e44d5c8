package dissect

import (
	"bytes"

	"github.com/nubishark/nubishark/protocol"
)

// A direction that is out of step, or waits for a long packet, is not looked through again for all that becomes known: first
// it is asked whether what is new stands in its bytes at all.

// maxNews is how many of the latest pieces of news are kept; who has missed more looks at everything again.
const maxNews = 16

// fewBytes are soon looked through.
const fewBytes = 1024

// news are the latest session IDs of requests and the latest tokens that became known, in a ring.
type news[T sid | token] struct {
	ring  [maxNews]T
	count uint64
}

func (n *news[T]) add(x T) {
	n.ring[n.count%maxNews] = x
	n.count++
}

// since reports whether one of those that came after the first seen may stand in the bytes.
func (n *news[T]) since(seen uint64, stands func(*T) bool) bool {
	if n.count-seen > maxNews {
		return true
	}
	for ; seen < n.count; seen++ {
		if stands(&n.ring[seen%maxNews]) {
			return true
		}
	}
	return false
}

// heardOf is what of a connection's news a direction has taken into account.
type heardOf struct {
	requests, tokens uint64
	issued, early    uint64
	around           circumstances // when it was looked at last
}

// circumstances are what else decides how bytes are read.
type circumstances struct {
	gapTime       int64
	gaps, stalled bool // of the peer
	own           bool // gaps
	sideKnown     bool
	peer          peerView
}

func (h *half) circumstances() circumstances {
	p := h.peer
	return circumstances{p.gapTime, p.gaps, p.stalled, h.gaps, h.c.sideKnown, p.view()}
}

// peerView is what decides of the bytes of the other direction that are not settled: what was said there is echoed here. The bytes
// between two offsets of a stream do not change. It is zero where there are none.
type peerView struct {
	pos     int64
	n       int // as far as they are searched
	inStep  bool
	missing bool // the first one
}

func (h *half) view() peerView {
	if len(h.buf) == 0 {
		return peerView{}
	}
	return peerView{h.pos, min(len(h.buf), maxLook), h.adrift == inStep, h.segs[0].gap}
}

// chronicle are a connection's news, kept from the first time that somebody asks.
type chronicle struct {
	requests news[sid]
	tokens   news[token]
	heard    [2]heardOf // of each direction
}

// outdated reports whether something became known since it was asked last that may make a packet of the bytes at hand.
func (h *half) outdated() bool {
	c := h.c
	epoch := c.changes + c.d.issueCount()
	if h.epoch == epoch {
		return false
	}
	h.epoch = epoch
	if h.heard() {
		return false
	}
	if h.sieve != nil {
		*h.sieve = sieve{around: h.sieve.around, early: h.sieve.early}
	}
	return true
}

// heard takes into account what became known, and reports whether none of it can concern the bytes at hand.
func (h *half) heard() bool {
	c := h.c
	if len(h.buf) < fewBytes {
		if c.chronicle != nil {
			c.chronicle.heard[h.dir] = heardOf{}
		}
		return false
	}
	if c.chronicle == nil {
		c.chronicle = &chronicle{}
	}
	k := c.chronicle
	was := k.heard[h.dir]
	k.heard[h.dir] = heardOf{k.requests.count + 1, k.tokens.count, c.d.issueCount(), c.d.earlyCount(), was.around}
	if h.untouched(&was, k) {
		return true
	}
	k.heard[h.dir].around = h.circumstances()
	return false
}

// untouched reports whether none of the news can concern the bytes at hand.
func (h *half) untouched(was *heardOf, k *chronicle) bool {
	c := h.c
	if c.d.opts.Thorough || was.requests == 0 || was.around != h.circumstances() {
		return false
	}
	if h.done() || k.tokens.count != was.tokens && c.tokens.len() == 1 {
		return false // the starts of tokens count, too, or any token is known at all for the first time
	}
	return !k.requests.since(was.requests-1, h.holdsID) && !k.tokens.since(was.tokens, h.holdsToken) && !c.d.issuedSince(was.issued, h.holdsToken) && !c.d.issuedEarlySince(was.early, h.holdsToken)
}

// holdsID reports whether a response with a session ID stands in the bytes, or the first part of one at their end.
func (h *half) holdsID(id *sid) bool {
	var r [protocol.HeaderSize]byte
	r[0] = 'R'
	copy(r[1:], id[:])
	if bytes.Contains(h.buf, r[:]) {
		return true
	}
	for n := 1; n < min(len(r), len(h.buf)+1); n++ {
		if bytes.HasSuffix(h.buf, r[:n]) {
			return true
		}
	}
	return false
}

// holdsToken reports whether a token stands in the bytes.
func (h *half) holdsToken(t *token) bool { return bytes.Contains(h.buf, t[:]) }

// tellRequest tells of a request that waits from now on, or no longer; tellToken of a token.
func (c *Dialogue) tellRequest(id sid) {
	if c.chronicle != nil {
		c.chronicle.requests.add(id)
	}
}

func (c *Dialogue) tellToken(t token) {
	if c.chronicle != nil {
		c.chronicle.tokens.add(t)
	}
}
