package dissect

import "github.com/nubishark/nubishark/protocol"

// A connection counts as NUBISON once the evidence reaches enough; one that has carried
// tooMuch bytes in a direction without any is left alone for good.
const (
	enough  = 2
	tooMuch = maxWait + 4096
)

// confirm lets the records of the connection out.
func (c *Dialogue) confirm() {
	if c.standing != undecided {
		return
	}
	c.standing = confirmed
	c.d.Streams++
	if !c.half[0].fromStart && !c.half[1].fromStart {
		c.d.Midstream++
	}
	held := c.held
	c.held = nil
	for _, x := range held {
		c.out(x)
	}
}

// reject leaves the connection alone from now on.
func (c *Dialogue) reject() {
	c.standing = rejected
	c.forgetTimer()
	c.held, c.tokens, c.accused = nil, tokens{}, nil
	for i := range c.half {
		h := &c.half[i]
		c.releaseAll(&h.requests)
		h.rest()
		h.doubtful = nil
	}
}

// weigh rejects a connection that carries something else.
func (c *Dialogue) weigh() {
	if c.standing != undecided {
		return
	}
	for i := range c.half {
		if c.half[i].seen() > tooMuch || len(c.held) > 256 {
			c.reject()
			return
		}
	}
}

// weighFrame takes a settled packet as evidence.
func (c *Dialogue) weighFrame(s *settled, g grade) {
	if c.standing != undecided {
		return
	}
	h := s.h
	if !h.plausible(s.Raw) || g < fit {
		return
	}
	switch {
	case s.Letter == 'R' && h.peer.requests.outstanding(sid(s.SessionID)):
		c.evidence += enough
	case s.Letter == 'R':
		c.evidence++
	case s.Letter == 'L':
		if cleanText(s.Layout, s.Raw) {
			c.evidence += enough
		}
	case s.Letter == 'D', isWord(s.Raw[1 : protocol.TokenAt+protocol.TokenSize]):
		c.evidence += enough
	default:
		c.evidence++
	}
	if c.evidence >= enough {
		c.confirm()
	}
}

// oneSided reports whether nothing at all was captured of a direction.
func (c *Dialogue) oneSided(dir int) bool { return c.heard != nil && c.heard[dir] == 0 }

// Confirmed reports whether the connection was found to carry NUBISON.
func (c *Dialogue) Confirmed() bool { return c.standing == confirmed }

// Rejected reports whether the connection was found to carry something else.
func (c *Dialogue) Rejected() bool { return c.standing == rejected }

// Finished reports whether both directions have ended.
func (c *Dialogue) Finished() bool { return c.finished }
