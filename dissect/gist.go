package dissect

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/nubishark/nubishark/protocol"
)

// gist tells of bytes that wait in a direction which session IDs and tokens may stand in them where those of a packet would, without
// looking through them: a Bloom filter of what stands behind each letter. What it denies is not there; what it affirms may be.
type gist struct {
	from, to int64    // the offsets at which letters were looked at
	set      []uint64 // a power of two of them
}

// The kinds of what stands behind a letter.
const (
	gistAnswer  = 1 // the session ID of a response
	gistRequest = 2 // that of another packet
	gistToken   = 3 // the first 8 bytes of its token
	gistAgain   = 4 // those of a token that came before
)

// gistSpan is how many bytes from a letter on decide.
const gistSpan = protocol.TokenAt + 8

// gistOf returns the filter, brought up to date.
func (h *half) gistOf() *gist {
	g := h.gist
	if g == nil {
		g = &gist{}
		h.gist = g
	}
	if size := 1 << bits.Len(uint(len(h.buf)/8)); len(g.set) < size || g.from > h.pos || h.pos-g.from > int64(len(h.buf)) {
		if len(g.set) < size || len(g.set) > 4*size {
			g.set = make([]uint64, size)
		} else {
			clear(g.set)
		}
		g.from, g.to = h.pos, h.pos
	}
	g.to = max(g.to, h.pos)
	for x := int(g.to - h.pos); x+gistSpan <= len(h.buf); x++ {
		b := h.buf[x:][:gistSpan]
		if len(protocol.ByLetter(b[0])) == 0 {
			continue
		}
		if b[0] == 'R' {
			g.enter(gistAnswer, b[1:])
		} else if b[0] != 'L' {
			g.enter(gistRequest, b[1:])
			if g.may(gistToken, b[protocol.TokenAt:]) {
				g.enter(gistAgain, b[protocol.TokenAt:])
			}
			g.enter(gistToken, b[protocol.TokenAt:])
		}
	}
	g.to = max(g.to, h.seen()-gistSpan+1)
	return g
}

// place returns where two bits stand for 8 bytes.
func (g *gist) place(kind uint64, b []byte) (at, mask uint64) {
	h := hash(binary.LittleEndian.Uint64(b) ^ kind*0xbf58476d1ce4e5b9)
	h = hash(h)
	return h & uint64(len(g.set)-1), 1<<(h>>52&63) | 1<<(h>>58)
}

func (g *gist) enter(kind uint64, b []byte) {
	at, mask := g.place(kind, b)
	g.set[at] |= mask
}

func (g *gist) may(kind uint64, b []byte) bool {
	at, mask := g.place(kind, b)
	return g.set[at]&mask == mask
}

// holdsID reports whether a response with a session ID stands in the bytes.
func (h *half) holdsID(id *sid) bool {
	var r [protocol.HeaderSize]byte
	r[0] = 'R'
	copy(r[1:], id[:])
	return bytes.Contains(h.searched(gistAnswer, id[:]), r[:])
}

// holdsSession reports whether a packet with a session ID may stand in the bytes that is no response.
func (h *half) holdsSession(id *sid) bool {
	return bytes.Contains(h.searched(gistRequest, id[:]), id[:])
}

// holdsToken reports whether a packet with a token may stand in the bytes.
func (h *half) holdsToken(t *token) bool {
	return bytes.Contains(h.searched(gistToken, t[:]), t[:])
}

// searched returns the bytes in which something may stand: all, or those that the filter has not taken in yet.
func (h *half) searched(kind uint64, what []byte) []byte {
	if len(h.buf) < fewBytes || h.gistOf().may(kind, what) {
		return h.buf
	}
	return h.buf[len(h.buf)-gistSpan+1:]
}

// holdsAnother reports whether a packet with a token may stand in the bytes behind the one at the boundary, which has that
// token.
func (h *half) holdsAnother(t []byte) bool {
	if len(h.buf) < fewBytes {
		return true
	}
	kind := uint64(gistAgain)
	if h.buf[0] == 'R' {
		kind = gistToken // its own is none of a request
	}
	return h.gistOf().may(kind, t)
}

// peerView is what the other direction has not settled, as far as it is searched: what was said there is echoed here. The bytes between two
// offsets of a stream do not change. It is zero where there are none.
type peerView struct {
	pos     int64
	n       int
	inStep  bool
	missing bool // the first one
}

func (h *half) view() peerView {
	if len(h.buf) == 0 {
		return peerView{}
	}
	return peerView{h.pos, min(len(h.buf), maxLook), h.adrift == inStep, h.segs[0].gap}
}

// echoes reports whether something that the other direction has not settled, and that was not in view before, may be echoed in
// the bytes at hand: the session ID of a request or of the response at its boundary, or the token that this one issues.
func (h *half) echoes(was peerView) bool {
	p := h.peer
	now := p.view()
	if now == was || now.n == 0 {
		return false
	}
	b := p.buf[:now.n]
	moved := now.pos != was.pos || now.inStep != was.inStep || now.missing != was.missing
	const end = protocol.StatusAt + 1 + protocol.TokenSize
	if id, ok := p.heldResponse(); ok {
		if (moved || was.n < protocol.HeaderSize) && h.holdsSession(&id) {
			return true
		}
		if t := b[min(protocol.StatusAt+1, len(b)):]; (moved || was.n < end) && len(t) >= protocol.TokenSize && h.holdsToken((*token)(t)) {
			return true
		}
	}
	known := was.pos + int64(was.n) - protocol.SessionIDSize - now.pos // letters before it were in view, with what stands behind them
	for x := 0; x+protocol.HeaderSize <= len(b); x++ {
		if x > protocol.SessionIDSize && int64(x) < known { // whether a session ID ends at the first ones depends on the boundary
			x = int(known) - 1
			continue
		}
		if protocol.IsRequest(b[x]) && h.holdsID((*sid)(b[x+1:])) {
			return true
		}
	}
	return false
}
