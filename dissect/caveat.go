package dissect

import (
	"strings"

	"github.com/nubishark/nubishark/protocol"
)

// lost are the latest moments (ns) at which bytes of a direction were found to be missing, and cut by the snap length.
type lost struct{ gap, cut int64 }

// add takes in a loss.
func (l *lost) add(p *Part) {
	if p.Cut {
		l.cut = max(l.cut, p.Time)
	} else {
		l.gap = max(l.gap, p.Time)
	}
}

// artefact is what made a gap.
func (s *segment) artefact() protocol.Artefacts {
	if s.cut {
		return protocol.Of(protocol.Cut)
	}
	return protocol.Of(protocol.Gap)
}

// lostSince is why bytes of the connection are missing since a moment, or may be.
func (c *Dialogue) lostSince(time int64) (s protocol.Artefacts) {
	for i := range c.half {
		h := &c.half[i]
		if h.stalled || h.lost.gap > 0 && h.lost.gap >= time {
			s |= protocol.Of(protocol.Gap)
		}
		if h.lost.cut > 0 && h.lost.cut >= time {
			s |= protocol.Of(protocol.Cut)
		}
	}
	return s
}

// see takes in what a part of the stream tells of the capture.
func (h *half) see(p *Part) {
	h.large = h.large || p.Large
	h.c.clock = max(h.c.clock, p.Clock)
}

// prove tells that a packet in good order follows: what was lost before it does not matter any more.
func (h *half) prove(s *settled, g grade) {
	switch {
	case g != strong && s.Missing > 0: // its end is known by its length alone
		h.unproved |= h.lostIn(s.Offset, s.Offset+int64(s.Length))
	case g >= fit && len(s.faults) == 0:
		h.unproved = 0
	}
	h.c.uncertain = h.unproved|h.peer.unproved != 0
}

// doubtStarts notes what makes it uncertain that packets start where they seem to.
func (h *half) doubtStarts(why protocol.Artefacts) {
	h.unproved |= why
	h.c.uncertain = h.c.uncertain || why != 0
}

// lostIn is why bytes of [from, to) are missing.
func (h *half) lostIn(from, to int64) (s protocol.Artefacts) {
	if !h.gaps {
		return 0
	}
	for i := range h.segs {
		if g := &h.segs[i]; g.gap && g.start < to && g.end > from {
			s |= g.artefact()
		}
	}
	return s
}

// caution finds what of the capture may explain a violation, as far as its connection shows by now.
func (c *Dialogue) caution(v *Violation) {
	may := v.Rule.Explains()
	if may == 0 {
		return
	}
	h := &c.half[v.dir]
	s := v.Caveat
	if may.Has(protocol.Midstream) && v.Rule != protocol.NoResponse { // what is said of bytes, not of a transaction, whose packets are known
		s |= h.unproved | h.lostIn(v.Offset, v.Offset+v.Length)
	}
	if may.Has(protocol.Offload) {
		s |= h.lostIn(v.Offset+v.Length, v.Offset+v.Length+1) // right behind it, where a write may go on
		if h.ackedBeyond(v.Offset + v.Length) {
			s |= protocol.Of(protocol.Gap)
		}
		if h.large {
			s |= protocol.Of(protocol.Offload)
		}
	}
	if v.unmatched {
		s |= h.peer.unseen() // its shape and meaning depend on a request that was not seen
	}
	if v.Rule == protocol.WrongDirection && c.guessed {
		s |= protocol.Of(protocol.Midstream) // who is who was told by the packets alone
	}
	// A packet of the other side may be behind by a little.
	if c.oneSided(1-v.dir) && c.d.now-c.start >= second {
		s |= protocol.Of(protocol.OneSided)
	}
	since := v.Time
	if v.since > 0 {
		since = v.since
	}
	if c.clock > 0 && since <= c.clock {
		s |= protocol.Of(protocol.Backwards)
	}
	v.Caveat = s & may
}

// ackedBeyond reports whether an offset is the end of the bytes seen, and the peer has acknowledged more: one byte, which is no gap
// because it may be a FIN.
func (h *half) ackedBeyond(x int64) bool {
	if h.ended == finished || x != h.seen() {
		return false
	}
	_, ok := h.c.acks.at(h.dir, x+1)
	return ok
}

// unseen is why a packet of a direction may have been sent and not seen.
func (h *half) unseen() (s protocol.Artefacts) {
	if h.lost.gap > 0 || h.stalled {
		s |= protocol.Of(protocol.Gap)
	}
	if h.lost.cut > 0 {
		s |= protocol.Of(protocol.Cut)
	}
	if !h.fromStart {
		s |= protocol.Of(protocol.Midstream)
	}
	return s
}

// CaveatText says what of the capture may explain it, "" for nothing.
func (v *Violation) CaveatText() string {
	list := v.Caveat.List()
	if len(list) == 0 {
		return ""
	}
	phrases := make([]string, len(list))
	for i, a := range list {
		phrases[i] = a.Phrase()
	}
	return "may be the capture: " + strings.Join(phrases, ", ")
}

// Said is the message, and what of the capture may explain it.
func (v *Violation) Said() string {
	if s := v.CaveatText(); s != "" {
		return v.Message + " (" + s + ")"
	}
	return v.Message
}
