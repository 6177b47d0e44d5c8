package dissect

import (
	"encoding/binary"

	"github.com/nubishark/nubishark/protocol"
)

// sid is a session ID, compared as raw bytes.
type sid [protocol.SessionIDSize]byte

// token is an access token, compared as raw bytes.
type token [protocol.TokenSize]byte

// is reports whether bytes, as many as a token has, are the token.
func (t *token) is(b []byte) bool {
	b = b[:len(t):len(t)]
	return binary.LittleEndian.Uint64(t[:]) == binary.LittleEndian.Uint64(b) && binary.LittleEndian.Uint64(t[8:]) == binary.LittleEndian.Uint64(b[8:]) && binary.LittleEndian.Uint64(t[16:]) == binary.LittleEndian.Uint64(b[16:])
}

// maxTokens bounds the tokens remembered of one connection.
const maxTokens = 1024

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
func (c *Dialogue) carry(t *token) {
	ss := &c.session
	if ss.carried && ss.token.is(t[:]) {
		return
	}
	if !c.tokens.has(*t) {
		if c.tokens.len() >= maxTokens {
			c.tokens = tokens{}
			ss.carried = false
		}
		c.tokens.add(*t)
		c.changes++
		c.tellToken(*t)
	}
	ss.carried = ss.carried || ss.token == *t
}
