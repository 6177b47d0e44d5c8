package dissect

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
	view             peerView
}

// circumstances are what else decides how bytes are read.
type circumstances struct {
	gapTime       int64
	gaps, stalled bool // of the peer
	own           bool // gaps
	sideKnown     bool
}

func (h *half) circumstances() circumstances {
	p := h.peer
	return circumstances{p.gapTime, p.gaps, p.stalled, h.gaps, h.c.sideKnown}
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
	epoch := uint64(c.changes) + c.d.issueCount()
	if h.epoch == epoch {
		return false
	}
	h.epoch = epoch
	if h.heard() {
		// What is at the end may be the first part of something.
		end := max(h.pos, h.seen()-tokenEnd)
		h.scanned, h.refuted = min(h.scanned, end), min(h.refuted, end)
		return false
	}
	h.sieve = nil
	return true
}

// heard takes into account what became known, and reports whether none of it can concern the bytes at hand.
func (h *half) heard() bool {
	c := h.c
	if len(h.buf) < fewBytes {
		if c.chronicle != nil {
			c.chronicle.heard[h.dir] = heardOf{}
		}
		h.gist = nil
		return false
	}
	if c.chronicle == nil {
		c.chronicle, c.noted = &chronicle{}, true
	}
	k := c.chronicle
	was := k.heard[h.dir]
	k.heard[h.dir] = heardOf{k.requests.count + 1, k.tokens.count, c.d.issueCount(), c.d.earlyCount(), was.around, h.peer.view()}
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
	if k.tokens.count != was.tokens && c.tokens.len() == 1 {
		return false // any token is known at all for the first time
	}
	if k.tokens.count != was.tokens && h.gaps && h.gapEnd > h.pos {
		return false // the start of one may stand before a gap
	}
	return !k.requests.since(was.requests-1, h.holdsAnswer) && !k.tokens.since(was.tokens, h.holdsToken) && !c.d.issuedSince(was.issued, h.holdsToken) && !c.d.issuedEarlySince(was.early, h.holdsToken) && !h.echoes(was.view)
}

// holdsAnswer reports whether an answer to a request of the other side stands in the bytes. Session IDs of this side's are no news.
func (h *half) holdsAnswer(id *sid) bool {
	return h.peer.requests.letterOf(*id) != 0 && h.holdsID(id)
}

// tellRequest tells of a request that waits from now on, or no longer; tellToken of a token.
func (c *Dialogue) tellRequest(id sid) {
	if c.noted {
		c.chronicle.requests.add(id)
	}
}

func (c *Dialogue) tellToken(t token) {
	if c.chronicle != nil {
		c.chronicle.tokens.add(t)
	}
}
