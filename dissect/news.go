package dissect

import "bytes"

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
	requests, tokens, issued uint64
	around                   circumstances // when it was looked at last
}

// circumstances are what else decides how bytes are read.
type circumstances struct {
	gapTime       int64
	gaps, stalled bool // of the peer
	own           bool // gaps
	sideKnown     bool
	held          sid // the response at the peer's boundary
}

func (h *half) circumstances() circumstances {
	p := h.peer
	held, _ := p.heldResponse()
	return circumstances{p.gapTime, p.gaps, p.stalled, h.gaps, h.c.sideKnown, held}
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
	if len(h.buf) < fewBytes {
		if c.chronicle != nil {
			c.chronicle.heard[h.dir] = heardOf{}
		}
		return true
	}
	if c.chronicle == nil {
		c.chronicle = &chronicle{}
	}
	k := c.chronicle
	was := k.heard[h.dir]
	k.heard[h.dir] = heardOf{k.requests.count + 1, k.tokens.count, c.d.issueCount(), was.around}
	if h.untouched(&was, k) {
		return false
	}
	k.heard[h.dir].around = h.circumstances()
	return true
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
	return !k.requests.since(was.requests-1, h.holdsID) && !k.tokens.since(was.tokens, h.holdsToken) && !c.d.issuedSince(was.issued, h.holdsToken)
}

// holdsID reports whether a session ID stands in the bytes, or its first part at the end of a response that is cut off there.
func (h *half) holdsID(id *sid) bool {
	if bytes.Contains(h.buf, id[:]) {
		return true
	}
	for n := range min(len(id), len(h.buf)) {
		if b := h.buf[len(h.buf)-n-1:]; b[0] == 'R' && string(b[1:]) == string(id[:n]) {
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
