package export

import (
	"strconv"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// captureNote writes the fields of a note on the whole capture.
func (w *jsonWriter) captureNote(n *dissect.Note) {
	w.str(`,"blame":`, "capture")
	w.num(`,"count":`, n.Count)
	if n.Packet > 0 {
		w.num(`,"packet":`, n.Packet)
	}
	if n.Stream != nil {
		w.num(`,"stream":`, int64(*n.Stream))
	}
	if len(n.Doubtful) > 0 {
		w.object(`,"doubtful":`, func() {
			for _, d := range n.Doubtful {
				w.num(key(d.Rule.ID), d.Count)
			}
		})
	}
	w.str(`,"message":`, n.Said())
}

// captureNote writes a note on the whole capture as a line.
func (w *textWriter) captureNote(n *dissect.Note) {
	b := append(w.out.line(), "note capture "...)
	b = append(b, n.ID...)
	if n.Packet > 0 {
		b = append(b, " packet "...)
		b = strconv.AppendInt(b, n.Packet, 10)
	}
	if n.Stream != nil {
		b = append(b, " stream "...)
		b = strconv.AppendInt(b, int64(*n.Stream), 10)
	}
	b = append(b, ": "...)
	b = append(b, n.Said()...)
	for i, d := range n.Doubtful {
		if i == 0 {
			b = append(b, "; it may explain "...)
		} else {
			b = append(b, ", "...)
		}
		b = append(b, d.Rule.ID...)
		b = append(b, " ×"...)
		b = append(b, thousands(d.Count)...)
	}
	w.end(b)
}

// words are the names of artefacts.
func words(s protocol.Artefacts) []string {
	list := s.List()
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.String()
	}
	return names
}

// caveat names what of the capture may explain a violation.
func (w *jsonWriter) caveat(s protocol.Artefacts) {
	if s == 0 {
		return
	}
	w.name(`,"caveat":`)
	w.line = append(w.line, '[')
	for i, name := range words(s) {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		w.line = appendJSON(w.line, name)
	}
	w.line = append(w.line, ']')
}

// doubt says what of the capture may explain the violations of a group, "" for nothing. Where packets were dropped nobody knows:
// that may explain each of them, if it can explain any.
func (g *group) doubt(t *Totals) string {
	caveat, n := g.caveat, g.doubted
	if t.Dropped > 0 && g.rule.Explains().Has(protocol.Dropped) {
		caveat, n = caveat|protocol.Of(protocol.Dropped), g.count
	}
	if caveat == 0 {
		return ""
	}
	s := "may be the capture"
	if n < g.count {
		s += ", " + thousands(n) + " of " + thousands(g.count)
	}
	for i, a := range caveat.List() {
		if i == 0 {
			s += ": "
		} else {
			s += ", "
		}
		s += a.Phrase()
	}
	return s
}
