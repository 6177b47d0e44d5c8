package export

import (
	"io"
	"strconv"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// topNotes is how many notes on devices the first look shows; the rest is counted.
const topNotes = 5

// notes counts what was noted of devices, and keeps the first.
type notes struct {
	count map[string]int64
	first []*dissect.Note
}

// Note implements dissect.NoteSink.
func (t *tally) Note(n *dissect.Note) {
	if n.Conn == nil {
		return // the first look says it before all else
	}
	if t.notes.count == nil {
		t.notes.count = make(map[string]int64)
	}
	t.notes.count[n.ID]++
	if len(t.notes.first) < topNotes {
		t.notes.first = append(t.notes.first, n)
	}
}

// Note implements dissect.NoteSink.
func (w *tablesWriter) Note(n *dissect.Note) { w.tally.Note(n) }

// Note implements dissect.NoteSink.
func (w *csvWriter) Note(n *dissect.Note) { w.tally.Note(n) }

// Note implements dissect.NoteSink.
func (w *textWriter) Note(n *dissect.Note) {
	w.tally.Note(n)
	if !w.shows(Violations) {
		return
	}
	if n.Conn == nil {
		w.captureNote(n)
		return
	}
	b := w.clock.append(w.out.line(), n.Time)
	b = append(b, " stream "...)
	b = strconv.AppendInt(b, int64(n.Conn.Stream), 10)
	b = append(b, " note "...)
	b = append(b, n.ID...)
	if n.Device != "" {
		b = append(b, " device="...)
		b = AppendEscaped(b, n.Device)
	}
	b = append(b, ": "...)
	b = append(b, n.Said()...)
	w.end(b)
}

// Note implements dissect.NoteSink.
func (w *jsonWriter) Note(n *dissect.Note) {
	w.tally.Note(n)
	if !w.shows(Violations) {
		return
	}
	w.begin("note")
	w.str(`,"id":`, n.ID)
	if n.Conn == nil {
		w.captureNote(n)
		w.end()
		return
	}
	w.num(`,"stream":`, int64(n.Conn.Stream))
	if n.Device != "" {
		w.wire(`,"device":`, []byte(n.Device))
	}
	w.time(`,"time":`, n.Time)
	w.str(`,"message":`, n.Said())
	w.end()
}

// Note implements dissect.NoteSink.
func (s *Selection) Note(n *dissect.Note) {
	if next, ok := s.Writer.(dissect.NoteSink); ok && (n.Conn == nil || s.Wants(n.Conn)) {
		next.Note(n)
	}
}

// noted tells what was noted of devices.
func (r *report) noted() {
	y := &r.tally.notes
	if len(y.first) == 0 {
		return
	}
	heading(r.out, "Devices that are late or come back too often", r.markdown)
	all := int64(0)
	for _, n := range y.count {
		all += n
	}
	for _, n := range y.first {
		name := Escape([]byte(n.Device))
		if n.Device == "" {
			name = deviceName(n.Conn)
		}
		r.para(dayTime(n.Time) + " " + name + ": " + n.Said() + " (" + n.ID + ")")
	}
	if more := all - int64(len(y.first)); more > 0 {
		r.para("and " + thousands(more) + " more")
	}
}

// Interim writes the first look at what is known so far.
func (b *base) Interim(out io.Writer, t Totals) error {
	now := *b
	now.out = newOutput(out)
	if err := newReport(&now, false).write(&t); err != nil {
		return err
	}
	return now.out.Flush()
}

// painted puts a violation's severity in colour where that is wanted.
func (b *base) painted(line []byte, s protocol.Severity, word string) []byte {
	if !b.o.Color || s == protocol.Note {
		return append(line, word...)
	}
	line = append(line, severityColor(s)...)
	line = append(line, word...)
	return append(line, colorReset...)
}
