package dissect

import "github.com/nubishark/nubishark/protocol"

// sid is a session ID, compared as raw bytes.
type sid [protocol.SessionIDSize]byte

// token is an access token, compared as raw bytes.
type token [protocol.TokenSize]byte

// maxTokens bounds the tokens remembered of one connection, maxIssued those of a generation of
// issued tokens: two generations are kept.
const (
	maxTokens = 1024
	maxIssued = 1 << 17
)

// issuedTokens are the tokens that login answers of the whole capture returned, with the key of
// the device that each was issued to.
type issuedTokens struct {
	young, old map[token]string
}

func (s *issuedTokens) add(t token, device string) {
	if s.young == nil || len(s.young) >= maxIssued {
		s.old, s.young = s.young, make(map[token]string)
	}
	s.young[t] = device
}

func (s *issuedTokens) has(t token) bool {
	if _, ok := s.young[t]; ok {
		return true
	}
	_, ok := s.old[t]
	return ok
}

func (s *issuedTokens) device(t token) string {
	if d, ok := s.young[t]; ok {
		return d
	}
	return s.old[t]
}

// knows reports whether a token was issued in this capture or carried by a packet of this connection.
func (c *Dialogue) knows(t token) bool {
	return c.tokens.has(t) || c.d.isIssued(t)
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
	if c.tokens.has(t) {
		return
	}
	if c.tokens.len() >= maxTokens {
		c.tokens = tokens{}
	}
	c.tokens.add(t)
	c.changes++
	c.tellToken(t)
}
