package dissect

import "github.com/nubishark/nubishark/protocol"

// checkLogin looks at a login as a part of the connection's session.
func (c *Conn) checkLogin(s *settled) {
	if s.Letter != 'L' {
		return
	}
	if key := deviceKey(s.Frame); key != "" {
		c.device = key
	}
	ss := &c.session
	if ss.loggedIn && !c.gapSince(ss.time) {
		s.blameFor(protocol.LoginRepeated, "the device logs in again while it is logged in")
	}
	ss.sure = false
}

// gapSince reports whether bytes were lost on the connection since a moment.
func (c *Conn) gapSince(time int64) bool {
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

// loggedIn takes over the token of a login's answer.
func (c *Conn) loggedIn(s *settled) {
	b := s.Named("access_token")
	if len(b) != protocol.TokenSize {
		c.session.loggedIn, c.session.sure = true, false
		return
	}
	tok := token(b)
	ss := &c.session
	ss.loggedIn, ss.sure, ss.token, ss.time = true, true, tok, s.Time
	delete(ss.ended, tok)
	c.d.issued.add(tok, c.device)
	c.d.issues++
}

// loggedOut ends the token of a logout.
func (c *Conn) loggedOut(t *transaction) {
	ss := &c.session
	if ss.ended == nil || len(ss.ended) >= maxTokens {
		ss.ended = make(map[token]int64)
	}
	ss.ended[t.token] = t.ResponseTime
	ss.loggedIn, ss.sure = false, false
}

// checkToken looks at the token of a request.
func (c *Conn) checkToken(s *settled) {
	if !s.Layout.Shape().HasToken {
		return
	}
	b := s.Named("access_token")
	if len(b) != protocol.TokenSize {
		return
	}
	t := token(b)
	if c.device == "" {
		c.device = c.d.issued.device(t)
	}
	ss := &c.session
	out, ended := ss.ended[t]
	switch {
	case ended:
		s.blameSince(out, protocol.TokenAfterLogout, "the %s carries the token that a logout has ended", protocol.Name(s.Letter))
	case ss.loggedIn:
		if ss.sure && ss.token != t && !c.gapSince(ss.time) {
			s.blameFor(protocol.TokenMismatch, "the %s carries another token than the last login returned", protocol.Name(s.Letter))
		}
	case c.gapless() && !c.d.issued.has(t) && !c.accused[t] && !c.loginWaits():
		if c.accused == nil || len(c.accused) >= maxTokens {
			c.accused = make(map[token]bool)
		}
		c.accused[t] = true
		s.blameFor(protocol.UnknownToken, "the %s carries a token that no login in this capture returned", protocol.Name(s.Letter))
	}
}

// loginWaits reports whether the answer to a login may have been missed or is still to come.
func (c *Conn) loginWaits() bool {
	for i := range c.half {
		for _, t := range c.half[i].requests.queue {
			if t != nil && t.Letter == 'L' && t.State == Outstanding {
				return true
			}
		}
	}
	return false
}
