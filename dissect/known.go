package dissect

import (
	"bytes"
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

func (s *issuedTokens) has(t token) bool {
	p := printOf(&t)
	return s.young.find(&p) != nil || s.old.find(&p) != nil
}

func (s *issuedTokens) device(t token) string {
	p := printOf(&t)
	for _, g := range [2]*generation{&s.young, &s.old} {
		if x := g.find(&p); x != nil {
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
	// recent tells where names begin that are among these already, and 1 more, by their hashes: devices come back.
	recent []uint32
}

// issuedToken is a token, by which it is known in 128 bits, and where the name of its device is.
type issuedToken struct {
	print fingerprint
	at    uint32
	size  uint16
}

// fingerprint is a hash of a token, with keys that nobody knows: that two tokens have the same does not happen.
type fingerprint [2]uint64

var printSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func printOf(t *token) (p fingerprint) {
	for i := range p {
		p[i] = maphash.Bytes(printSeeds[i], t[:])
	}
	return p
}

// find returns what is known of a token, nil if it is not there.
func (g *generation) find(p *fingerprint) *issuedToken {
	if len(g.index) == 0 {
		return nil
	}
	mask := len(g.index) - 1
	for i := int(p[0]) & mask; g.index[i] != 0; i = (i + 1) & mask {
		if x := &g.list[g.index[i]-1]; x.print == *p {
			return x
		}
	}
	return nil
}

func (g *generation) name(x *issuedToken) string { return string(g.names[x.at:][:x.size]) }

func (g *generation) add(t token, device string) {
	p := printOf(&t)
	x := g.find(&p)
	if x == nil {
		g.list = append(roomForOne(g.list), issuedToken{print: p})
		x = &g.list[len(g.list)-1]
		g.enter(&p)
	}
	x.at, x.size = g.place(device), uint16(len(device))
}

// maxRecent is how many names may be found again.
const maxRecent = 4096

// place returns where a name stands among the names.
func (g *generation) place(name string) uint32 {
	if g.recent == nil {
		g.recent = make([]uint32, maxRecent)
	}
	at := &g.recent[maphash.String(hashSeed, name)%maxRecent]
	if *at > 0 && bytes.HasPrefix(g.names[*at-1:], []byte(name)) {
		return *at - 1
	}
	*at = uint32(len(g.names)) + 1
	g.names = append(g.names, name...)
	return *at - 1
}

// enter puts the last token of the list into the index, of which at most two thirds are used.
func (g *generation) enter(p *fingerprint) {
	if 3*len(g.list) > 2*len(g.index) {
		g.index = make([]uint32, max(16, 2*len(g.index)))
		for i := range g.list {
			g.put(&g.list[i].print, i)
		}
		return
	}
	g.put(p, len(g.list)-1)
}

func (g *generation) put(p *fingerprint, at int) {
	i := int(p[0]) & (len(g.index) - 1)
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
