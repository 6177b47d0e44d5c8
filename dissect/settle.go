package dissect

import (
	"fmt"
	"hash/maphash"

	"github.com/nubishark/nubishark/protocol"
)

// maxPackets bounds the packet numbers that a violation lists.
const maxPackets = 64

// fault is a rule that a packet broke, with the sentence on what is wrong here.
type fault struct {
	rule    *protocol.Rule
	message string
	// since is the moment from which on it rests on what was seen, 0 for the packet's; caveat what may explain it beside.
	since  int64
	caveat protocol.Artefacts
}

// settled is a packet that is being settled.
type settled struct {
	*Frame
	h        *half
	faults   []fault
	legal    bool
	then     follow
	blamable bool
	old      *transaction // what then is about
	since    int64        // the time of the request whose answer came late (ns)
}

func (s *settled) blameFor(rule *protocol.Rule, format string, args ...any) {
	s.faults = append(s.faults, fault{rule: rule, message: fmt.Sprintf(format, args...)})
	s.Violations = append(s.Violations, rule)
}

// blameSince does so for what rests on all that the connection showed since a moment: what was lost since may explain it.
func (s *settled) blameSince(time int64, rule *protocol.Rule, format string, args ...any) {
	s.blameFor(rule, format, args...)
	f := &s.faults[len(s.faults)-1]
	f.since, f.caveat = time, s.h.c.lostSince(time)
}

var hashSeed = maphash.MakeSeed()

func hashOf(b []byte) uint64 { return maphash.Bytes(hashSeed, b) }

// accept settles the packet at the boundary by one of its readings.
func (h *half) accept(c *candidate, g grade) {
	if c.kind == writeBound && (h.cutOff(c.end) || h.incomplete(c)) {
		h.truncateBy(c.layout, c.end)
		return
	}
	if c.kind == writeBound && c.layout.Letter == 'L' && h.gaps && !h.looksLike(c.layout, c.end) {
		h.dropTo(c.end) // no token proves that it is one
		return
	}
	end := c.end - int64(c.extra)
	s := h.frame(c.layout, end)
	h.fill(s, c)
	h.judgeLength(s, c)
	h.publish(s, g, c.token)
	if c.extra == 0 {
		h.prove(s, g)
	} else {
		h.reportPiece(piece{start: end, end: c.end, stray: true})
	}
	_, gap := h.gapIn(c.end, h.seen())
	h.shaky = g != strong && s.Missing > 0 || g <= weak && gap || g == none && h.ended == fileEnded
	// Where packets were never captured, an end in the middle of a write that nothing confirms is a guess.
	h.faint = h.faint && g < good || g == none && h.buf[0] != 'D' && !h.writeEnd(c.end) && !h.c.gapless()
	h.advance(c.end)
}

// incomplete reports whether the layout ends before its length field is complete, has none,
// or its declared end was never sent because the direction ended, and not answered before.
func (h *half) incomplete(c *candidate) bool {
	sh := c.layout.Shape()
	n := c.end - h.pos
	if n < int64(sh.Fixed) {
		return true
	}
	declared := int64(-1)
	switch {
	case sh.LengthWidth > 0:
		declared = int64(sh.Fixed) + int64(number(h.buf[sh.LengthAt:], sh.LengthWidth, h.c.d.opts.LittleEndian))
	case sh.TailLengthWidth > 0 && n >= int64(sh.Fixed+sh.TailLengthWidth):
		declared = int64(sh.Fixed+sh.TailFixed) + int64(number(h.buf[sh.Fixed:], sh.TailLengthWidth, false))
	}
	return declared < 0 || declared > n && h.over() && c.end == h.seen() && !c.answered
}

// frame starts the record of the packet [pos, end).
func (h *half) frame(l *protocol.Layout, end int64) *settled {
	n := int(end - h.pos)
	d := h.c.d
	raw := d.rec.keepRaw(h.buf[:n])
	f := d.rec.frames.get()
	*f = Frame{} // each part is written by itself, as in Form.cut
	f.Conn, f.dir, f.Offset, f.Length, f.Letter, f.Layout, f.Raw = h.c.conn, uint8(h.dir), h.pos, n, raw[0], l, raw
	f.Packets, f.Time = h.packets(d.rec.room(f, min(h.holding(end-1)+1, len(h.segs))), h.pos, end)
	if f.Missing = h.missing(h.pos, end); f.Missing > 0 {
		f.Holes = h.holes(h.pos, end)
	}
	f.SessionID = raw[1:min(n, protocol.HeaderSize)]
	if g, ok := h.gapIn(h.pos+1, h.pos+int64(1+len(f.SessionID))); ok {
		f.SessionID = f.SessionID[:max(0, g.start-h.pos-1)]
	}
	if !h.faint {
		h.c.learnSide(h.dir, raw[0])
	}
	s := &d.scratch
	s.Frame, s.h, s.faults, s.legal = f, h, s.faults[:0], protocol.MaySend(h.side(), raw[0])
	s.then, s.blamable, s.old, s.since = 0, false, nil, 0
	return s
}

// fill cuts the packet into its fields.
func (h *half) fill(s *settled, c *candidate) {
	fields := c.layout.Fields
	if c.tail {
		fields = c.layout.Whole()
	}
	s.fields = h.c.d.rec.fieldsOf(len(fields))
	at, n := 0, len(s.Raw)
	length := 0
	for i := range fields {
		f := &fields[i]
		size := f.Size
		switch {
		case f.Kind == protocol.Length && c.kind == lengthless:
			continue
		case f.Kind == protocol.Length:
			if c.wide > 0 {
				size = c.wide
			}
			if at+size <= n {
				length = number(s.Raw[at:], size, h.littleFor(c))
			}
		case size == 0:
			size = length
			if c.kind == lengthless || c.kind == writeBound && i == len(fields)-1 {
				size = n - at
			}
		}
		if at >= n && size > 0 {
			break
		}
		stop := min(at+size, n)
		_, gap := h.gapIn(h.pos+int64(at), h.pos+int64(stop))
		s.fields = longer(s.fields)
		v := &s.fields[len(s.fields)-1]
		v.Field, v.At, v.Value, v.Complete = f, at, s.Raw[at:stop:stop], stop-at == size && !gap
		at = stop
	}
}

func (h *half) littleFor(c *candidate) bool {
	if c.kind == byteOrder || c.kind == width {
		return c.little
	}
	return h.c.d.opts.LittleEndian
}

// judgeLength raises what a deviant reading says of the length.
func (h *half) judgeLength(s *settled, c *candidate) {
	payload := 0
	if n := len(s.fields); n > 0 {
		payload = len(s.fields[n-1].Value)
	}
	name := protocol.Name(s.Letter)
	switch c.kind {
	case byteOrder:
		other := "little"
		if !c.little {
			other = "big"
		}
		b := s.Raw[c.layout.Shape().LengthAt:]
		s.blameFor(protocol.LengthByteOrder, "the %s packet's length bytes %02x %02x fit its %d bytes of payload only as a %s-endian number", name, b[0], b[1], payload, other)
	case width:
		s.blameFor(protocol.LengthWidth, "the %s packet's payload of %d bytes fits only a length of %d byte%s", name, payload, c.wide, plural(c.wide))
	case lengthless:
		s.blameFor(protocol.LengthMissing, "the %s packet carries %d bytes of payload with no length byte before them", name, payload)
	case writeBound:
		s.blameFor(protocol.LengthMismatch, "the %s packet declares %d bytes of payload, but %d were sent before its write ended", name, declared(s, h), payload)
	}
}

func declared(s *settled, h *half) int {
	for _, f := range s.fields {
		if f.Kind == protocol.Length {
			return number(f.Value, len(f.Value), h.c.d.opts.LittleEndian)
		}
	}
	return 0
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// truncate settles what there is of a packet that ends before its layout does.
func (h *half) truncate(end int64, list []candidate) {
	l := protocol.ByLetter(h.buf[0])[0]
	if len(list) > 0 {
		l = list[0].layout
	}
	h.truncateBy(l, end)
}

func (h *half) truncateBy(l *protocol.Layout, end int64) {
	if h.gaps && !h.looksLike(l, end) {
		h.dropTo(end) // behind a gap, bytes that start with a letter are not yet a packet
		return
	}
	s := h.frame(l, end)
	h.fill(s, &candidate{layout: l, end: end, kind: vendor, tail: l.Shape().TailLengthWidth > 0 && len(s.Raw) > l.Shape().Fixed})
	want := h.wanted(l, len(s.Raw))
	missing := want - len(s.Raw)
	s.Missing += max(missing, 1)
	s.Length = len(s.Raw)
	if !h.cutOff(end) {
		s.blameFor(protocol.TruncatedPacket, "%d of the %s packet's %s bytes were sent, then %s", len(s.Raw), protocol.Name(s.Letter), h.atLeast(l, want, len(s.Raw)), h.whyCut(end))
	}
	s.truncated = true
	s.numbered() // for an answer, which may come all the same
	h.publish(s, none, nil)
	h.doubt(h.pos, s.Clone())
	h.advance(end)
}

// cutOff reports whether a packet that seems to end may go on with what was never captured.
func (h *half) cutOff(end int64) bool { return end == h.seen() && h.lacks() && !h.writeEnd(end) }

// looksLike reports whether what there is up to end has the text that a packet of the layout has.
func (h *half) looksLike(l *protocol.Layout, end int64) bool {
	b := h.buf[:end-h.pos]
	return h.plausible(b) && (l.Letter != 'L' || cleanText(l, b))
}

// wanted is the size that the layout gives a packet of which n bytes are there.
func (h *half) wanted(l *protocol.Layout, n int) int {
	sh := l.Shape()
	want := sh.Fixed
	if sh.LengthWidth > 0 && n >= sh.LengthAt+sh.LengthWidth {
		want += number(h.buf[sh.LengthAt:], sh.LengthWidth, h.c.d.opts.LittleEndian)
	}
	if sh.TailLengthWidth > 0 && n > sh.Fixed {
		want += sh.TailFixed + int(h.buf[sh.Fixed])
	}
	return want
}

func (h *half) atLeast(l *protocol.Layout, want, n int) string {
	sh := l.Shape()
	if sh.LengthWidth > 0 && n < sh.LengthAt+sh.LengthWidth {
		return fmt.Sprintf("at least %d", want)
	}
	return fmt.Sprint(want)
}

func (h *half) whyCut(end int64) string {
	switch {
	case end < h.seen():
		return "another packet started"
	case h.ended == finished && h.c.state == Reset:
		return "the connection was reset"
	case h.ended == finished:
		return "the connection was closed"
	}
	return "nothing more for the response timeout"
}

// publish judges the packet's content, pairs it, and emits its records.
func (h *half) publish(s *settled, g grade, tok []byte) {
	h.c.weighFrame(s, g)
	if !h.faint {
		h.checkFields(s)
	}
	if !s.legal {
		s.blameFor(protocol.WrongDirection, "the %s sent a %s packet (%c), which only the %s may send", h.side(), protocol.Name(s.Letter), s.Letter, h.side().Other())
		h.doubt(h.pos, nil)
	}
	h.pair(s)
	if h.faint && s.Letter != 'R' { // it may be none
		s.faults, s.Violations = s.faults[:0], nil
	}
	if len(s.faults) > 0 {
		s.numbered()
	}
	h.c.emitFrame(s.Frame)
	for _, f := range s.faults {
		v := h.about(s.Frame, f.rule, f.message)
		v.since, v.Caveat = f.since, f.caveat
		h.c.emitViolation(v)
	}
	h.after(s)
	if tok != nil && g >= fit {
		t := token(tok)
		h.c.carry(&t)
	}
}

// checkFields raises what is wrong with the content of fields.
func (h *half) checkFields(s *settled) {
	for i := range s.fields {
		f := &s.fields[i]
		if f.Kind != protocol.Text || !f.Complete {
			continue
		}
		if !isClean(trimPadding(f.Value)) && !h.badText[f.Name] {
			if h.badText == nil {
				h.badText = make(map[string]bool)
			}
			h.badText[f.Name] = true
			s.blameFor(protocol.BadText, "%s is not UTF-8 text or holds control characters", f.Name)
		}
		if f.Name == "identifier" && len(f.Value) == 0 && !s.truncated {
			s.blameFor(protocol.EmptyIdentifier, "the login's identifier_length is 0")
		}
	}
}
