package dissect

import (
	"hash/maphash"

	"github.com/nubishark/nubishark/protocol"
)

// sid is a session ID, compared as raw bytes.
type sid [protocol.SessionIDSize]byte

// token is an access token, compared as raw bytes.
type token [protocol.TokenSize]byte

// maxTokens bounds the tokens remembered of one connection, maxIssued those of a generation of
// issued tokens: two generations are kept.
const (
	maxTokens = 1024
	maxIssued = 1 << 17
	maxNames  = 32 << 20 // bytes of their devices' names
)

// issuedTokens are the tokens that login answers of the whole capture returned, with the key of
// the device that each was issued to.
type issuedTokens struct {
	young, old generation
}

func (s *issuedTokens) add(t token, device string) {
	if len(s.young.list) >= maxIssued || len(s.young.names) >= maxNames {
		s.old, s.young = s.young, generation{}
	}
	s.young.add(t, device)
}

func (s *issuedTokens) has(t token) bool { return s.young.find(t) != nil || s.old.find(t) != nil }

func (s *issuedTokens) device(t token) string {
	for _, g := range [2]*generation{&s.young, &s.old} {
		if x := g.find(t); x != nil {
			return g.name(x)
		}
	}
	return ""
}

// generation is a table of issued tokens. There may be very many, so it is dense.
type generation struct {
	list  []issuedToken
	index []uint32 // open addressing; 1 more than the place in the list, 0 where it is free
	names []byte   // of the devices, one behind the other
}

// issuedToken is a token, and where the name of its device is.
type issuedToken struct {
	token token
	at    uint32
	size  uint16
}

// find returns what is known of a token, nil if it is not there.
func (g *generation) find(t token) *issuedToken {
	if len(g.index) == 0 {
		return nil
	}
	mask := len(g.index) - 1
	for i := g.home(t); g.index[i] != 0; i = (i + 1) & mask {
		if x := &g.list[g.index[i]-1]; x.token == t {
			return x
		}
	}
	return nil
}

func (g *generation) home(t token) int {
	return int(maphash.Bytes(hashSeed, t[:]) & uint64(len(g.index)-1))
}

func (g *generation) name(x *issuedToken) string { return string(g.names[x.at:][:x.size]) }

func (g *generation) add(t token, device string) {
	x := g.find(t)
	if x != nil && string(g.names[x.at:][:x.size]) == device {
		return
	}
	at := uint32(len(g.names))
	g.names = append(g.names, device...)
	if x == nil {
		g.list = append(roomForOne(g.list), issuedToken{token: t})
		x = &g.list[len(g.list)-1]
		g.enter(t)
	}
	x.at, x.size = at, uint16(len(device))
}

// enter puts the last token of the list into the index, of which at most two thirds are used.
func (g *generation) enter(t token) {
	if 3*len(g.list) > 2*len(g.index) {
		g.index = make([]uint32, max(16, 2*len(g.index)))
		for i := range g.list {
			g.put(g.list[i].token, i)
		}
		return
	}
	g.put(t, len(g.list)-1)
}

func (g *generation) put(t token, at int) {
	i := g.home(t)
	for g.index[i] != 0 {
		i = (i + 1) & (len(g.index) - 1)
	}
	g.index[i] = uint32(at + 1)
}

// knows reports whether a token was issued in this capture or carried by a packet of this connection.
func (c *Dialogue) knows(t token) bool {
	return c.session.sure && c.session.token == t || c.tokens.has(t) || c.d.isIssued(t)
}

// minStart is how many bytes of a token are enough to know it by.
const minStart = 4

// knowsStart reports whether a token of this connection starts with the bytes.
func (c *Dialogue) knowsStart(b []byte) bool {
	if len(b) < minStart {
		return false
	}
	if s := &c.session; s.sure && string(s.token[:len(b)]) == string(b) {
		return true
	}
	return c.tokens.startsWith(b)
}

// carry remembers a token of a packet of this connection.
func (c *Dialogue) carry(t token) {
	ss := &c.session
	if ss.carried && ss.token == t {
		return
	}
	if !c.tokens.has(t) {
		if c.tokens.len() >= maxTokens {
			c.tokens = tokens{}
			ss.carried = false
		}
		c.tokens.add(t)
		c.changes++
		c.tellToken(t)
	}
	ss.carried = ss.carried || ss.token == t
}
