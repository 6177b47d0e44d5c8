package dissect

import "github.com/nubishark/nubishark/protocol"

// checkLogin looks at a login as a part of the connection's session.
func (c *Dialogue) checkLogin(s *settled) {
	if s.Letter != 'L' {
		return
	}
	if key := deviceKey(s.Frame); key != "" {
		c.device, c.named, c.changed = key, true, true
	}
	ss := &c.session
	if ss.loggedIn && !c.gapSince(c.loginTime) {
		s.blameFor(protocol.LoginRepeated, "the device logs in again while it is logged in")
	}
	ss.sure = false
}

// gapSince reports whether bytes were lost on the connection since a moment.
func (c *Dialogue) gapSince(time int64) bool {
	for i := range c.half {
		if h := &c.half[i]; h.stalled || h.gaps && h.gapTime >= time {
			return true
		}
	}
	return false
}

func deviceKey(f *Frame) string {
	product, id := trimPadding(f.Named("product_code")), trimPadding(f.Named("identifier"))
	if product == nil && id == nil {
		return ""
	}
	return string(product) + "_" + string(id)
}

// loggedIn takes over the token that the answer to a login brought at a time (ns).
func (c *Dialogue) loggedIn(b []byte, time int64) {
	if len(b) != protocol.TokenSize {
		c.session.loggedIn, c.session.sure = true, false
		return
	}
	tok := token(b)
	ss := &c.session
	ss.loggedIn, ss.sure, ss.token, ss.carried, c.loginTime = true, true, tok, false, time
	delete(c.ended, tok)
	c.d.issue(tok, c.device, true)
}

// loggedOut ends the token of a logout.
func (c *Dialogue) loggedOut(t *transaction) {
	ss := &c.session
	if c.ended == nil || len(c.ended) >= maxTokens {
		c.ended = make(map[token]int64)
	}
	c.ended[t.token] = t.responseTime
	ss.loggedIn, ss.sure = false, false
}

// nameBy takes the device that a token was issued to, where it is not known otherwise.
func (c *Dialogue) nameBy(t token) {
	if !c.named {
		c.device = c.d.issuedTo(t)
		c.named = c.device != ""
		c.changed = c.changed || c.named
	}
}

// checkToken looks at the token of a request.
func (c *Dialogue) checkToken(s *settled) {
	if !s.Layout.Shape().HasToken {
		return
	}
	b := s.Named("access_token")
	if len(b) != protocol.TokenSize {
		return
	}
	t := token(b)
	c.nameBy(t)
	ss := &c.session
	out, ended := c.ended[t]
	switch {
	case ended:
		s.blameSince(out, protocol.TokenAfterLogout, "the %s carries the token that a logout has ended", protocol.Name(s.Letter))
	case ss.loggedIn:
		if ss.sure && ss.token != t && !c.gapSince(c.loginTime) {
			s.blameFor(protocol.TokenMismatch, "the %s carries another token than the last login returned", protocol.Name(s.Letter))
		}
	case c.gapless() && !c.d.isIssued(t) && !c.accused[t] && !c.loginWaits():
		if c.accused == nil || len(c.accused) >= maxTokens {
			c.accused = make(map[token]bool)
		}
		c.accused[t] = true
		s.blameFor(protocol.UnknownToken, "the %s carries a token that no login in this capture returned", protocol.Name(s.Letter))
	}
}

// loginWaits reports whether the answer to a login may have been missed or is still to come.
func (c *Dialogue) loginWaits() bool {
	for i := range c.half {
		for t := c.half[i].requests.first; t != nil; t = t.next {
			if t.letter == 'L' {
				return true
			}
		}
	}
	return false
}
