package export

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// detailWriter writes each packet in full as it comes: its fields (Options.Detail), its bytes (Options.Hex).
type detailWriter struct {
	*base
	lines *textWriter
}

// fieldColors are used one after the other for the fields of a packet.
var fieldColors = []string{"\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m"}

// pointsAt names the field at which a rule points.
var pointsAt = map[*protocol.Rule]string{
	protocol.WrongDirection: "type", protocol.BadStatus: "status", protocol.UnknownErrorCode: "error_code", protocol.ErrorResponse: "error_code",
	protocol.EmptyIdentifier: "identifier_length", protocol.LengthByteOrder: "payload_length", protocol.LengthWidth: "payload_length",
	protocol.LengthMissing: "payload", protocol.LengthMismatch: "payload_length", protocol.UnknownToken: "access_token",
	protocol.TokenMismatch: "access_token", protocol.TokenAfterLogout: "access_token", protocol.SessionIDReused: "session_id",
	protocol.SessionIDCollision: "session_id", protocol.RequestRepeated: "session_id", protocol.LateResponse: "session_id",
	protocol.OrphanResponse: "session_id", protocol.DuplicateResponse: "session_id", protocol.SessionIDNotEchoed: "session_id",
}

func (w *detailWriter) printf(format string, args ...any) { fmt.Fprintf(w.out, format, args...) }

// Frame implements dissect.Sink.
func (w *detailWriter) Frame(f *dissect.Frame) {
	if !w.o.Detail {
		w.lines.Frame(f)
	} else {
		w.tally.Frame(f)
	}
	if !w.shows(Packets) {
		return
	}
	if w.o.Detail {
		w.fields(f)
	}
	if w.o.Hex {
		w.dump(f.Raw, w.marks(f))
	}
	w.flush()
}

// fields writes the head of a packet and a line for each field.
func (w *detailWriter) fields(f *dissect.Frame) {
	what := protocol.Name(f.Letter)
	if f.RequestLetter != 0 {
		what += " to " + protocol.Name(f.RequestLetter)
	}
	w.printf("\nPacket %d: %s, %s → %s, stream %d\n", f.Number, what, f.Conn.Src(f.From), f.Conn.Dst(f.From), f.Conn.Stream)
	w.printf("    Time: %s UTC; sent by the %s", dayTime(f.Time), f.From)
	if d := f.Conn.Device(); d != "" {
		w.printf("; device %s", Escape([]byte(d)))
	}
	w.printf("\n    Stream offset %d, %s, in capture packets %s\n", f.Offset, count(int64(f.Length), "byte"), numbers(f.Packets))
	tail := tailAt(f)
	for i := range f.Fields() {
		if i == tail {
			w.printf("    Optional tail\n")
		}
		w.field(f, i)
	}
	if f.Missing > 0 {
		w.printf("    %s missing\n", count(int64(f.Missing), "byte"))
	}
}

// tailAt is the index of the first field of the optional tail, -1 without one.
func tailAt(f *dissect.Frame) int {
	if f.Layout == nil || len(f.Layout.Tail) == 0 {
		return -1
	}
	return len(f.Layout.Fields)
}

func (w *detailWriter) field(f *dissect.Frame, i int) {
	v := &f.Fields()[i]
	color, reset := "", ""
	if w.o.Color {
		color, reset = fieldColors[i%len(fieldColors)], colorReset
	}
	w.printf("    %s[%5d %5d] %s: %s%s", color, v.At, len(v.Value), v.Title, w.value(f, i), reset)
	for _, r := range f.Violations {
		if pointsAt[r] == v.Name {
			w.printf("  ← %s", r.ID)
		}
	}
	w.printf("\n")
}

// value is a field's value with its meaning.
func (w *detailWriter) value(f *dissect.Frame, i int) string {
	v := &f.Fields()[i]
	if !v.Complete {
		return fmt.Sprintf("(%s here, the rest is missing)", count(int64(len(v.Value)), "byte"))
	}
	if v.Secret && !w.o.ShowSecrets {
		return mask(v.Trimmed())
	}
	switch v.Kind {
	case protocol.Letter:
		return Escape(v.Value) + " (" + protocol.Name(v.Value[0]) + ")"
	case protocol.Text:
		s := Escape(v.Trimmed())
		if n := len(v.Value) - len(v.Trimmed()); n > 0 {
			s += fmt.Sprintf(" (and %s of padding)", count(int64(n), "byte"))
		}
		return s
	case protocol.Length:
		n := lengthOf(f, i)
		if len(v.Value) == 2 && int64(binary.BigEndian.Uint16(v.Value)) != n {
			return fmt.Sprintf("%d (little-endian; big-endian it is %d)", n, binary.BigEndian.Uint16(v.Value))
		}
		return strconv.FormatInt(n, 10)
	case protocol.StatusNum:
		return fmt.Sprintf("%d (%s)", v.Value[0], statusName(v.Value[0]))
	case protocol.Code:
		code := binary.BigEndian.Uint16(v.Value)
		return errorCode(code) + " (" + meaning(code) + ")"
	case protocol.Payload:
		return string(appendPayload(nil, v.Value)[1:])
	}
	return Escape(v.Value)
}

func statusName(status byte) string {
	switch status {
	case 0:
		return "failure"
	case 1:
		return "success"
	}
	return "not valid"
}

// marked says what a byte of a dump is: a part of a field, a secret, missing.
type marked struct {
	field           int // -1 of none
	secret, missing bool
}

// marks finds what each byte of a packet is.
func (w *detailWriter) marks(f *dissect.Frame) []marked {
	list := make([]marked, len(f.Raw))
	for i := range list {
		list[i].field = -1
	}
	fields := f.Fields()
	for i := range fields {
		v := &fields[i]
		for x := v.At; x < min(v.At+len(v.Value), len(list)); x++ {
			list[x] = marked{field: i, secret: v.Secret && !w.o.ShowSecrets}
		}
	}
	for _, h := range f.Holes {
		for x := h[0]; x < min(h[1], len(list)); x++ {
			list[x].missing = true
		}
	}
	return list
}

const dumpWidth = 16

// dump writes bytes as hex and text, in the colours of their fields. Stars stand for secrets, dashes for what is missing.
func (w *detailWriter) dump(b []byte, marks []marked) {
	for at := 0; at < len(b); at += dumpWidth {
		row := b[at:min(at+dumpWidth, len(b))]
		line := fmt.Appendf(nil, "    %04x  ", at)
		for i := range dumpWidth {
			if i == dumpWidth/2 {
				line = append(line, ' ')
			}
			if i >= len(row) {
				line = append(line, "   "...)
				continue
			}
			line = w.colored(line, marks, at+i, func(l []byte) []byte { return appendHexByte(l, row[i], marks, at+i) })
			line = append(line, ' ')
		}
		line = append(line, ' ')
		for i := range row {
			line = w.colored(line, marks, at+i, func(l []byte) []byte { return append(l, dumpChar(row[i], marks, at+i)) })
		}
		line = append(line, '\n')
		w.out.Write(line) //nolint:errcheck // the writer keeps its first error for Close
	}
}

func (w *detailWriter) colored(line []byte, marks []marked, at int, add func([]byte) []byte) []byte {
	if !w.o.Color || marks == nil || marks[at].field < 0 {
		return add(line)
	}
	line = append(line, fieldColors[marks[at].field%len(fieldColors)]...)
	return append(add(line), colorReset...)
}

func appendHexByte(line []byte, c byte, marks []marked, at int) []byte {
	switch {
	case marks != nil && marks[at].missing:
		return append(line, "--"...)
	case marks != nil && marks[at].secret:
		return append(line, "**"...)
	}
	return hex.AppendEncode(line, []byte{c})
}

func dumpChar(c byte, marks []marked, at int) byte {
	switch {
	case marks != nil && marks[at].missing:
		return '-'
	case marks != nil && marks[at].secret:
		return '*'
	case c < utf8.RuneSelf && unicode.IsPrint(rune(c)):
		return c
	}
	return '.'
}

// Transaction implements dissect.Sink.
func (w *detailWriter) Transaction(t *dissect.Transaction) {
	w.tally.Transaction(t)
	if !w.o.Detail || !w.shows(Packets) && !w.shows(Transactions) {
		return
	}
	w.printf("    Transaction %d: %s", t.Number, t.State)
	if l, ok := t.Latency(); ok {
		w.printf(" after %s", duration(l))
	}
	if t.Request != 0 {
		w.printf(", request: packet %d", t.Request)
	}
	if t.Response != 0 {
		w.printf(", response: packet %d", t.Response)
	}
	if t.Reason != dissect.NoReason {
		w.printf("; %s", t.Reason)
		if p := numbers(t.Evidence); p != "" {
			w.printf(", capture packets %s", p)
		}
	}
	w.printf("\n")
	w.flush()
}

// Violation implements dissect.Sink.
func (w *detailWriter) Violation(v *dissect.Violation) {
	w.tally.Violation(v)
	if !w.shows(Packets) && !w.shows(Violations) {
		return
	}
	if v.Frame == 0 {
		w.printf("\nNo packet: %s of the %s, %s → %s, stream %d, offset %d, in capture packets %s\n", count(v.Length, "byte"), v.From, v.Conn.Src(v.From),
			v.Conn.Dst(v.From), v.Conn.Stream, v.Offset, numbers(v.Packets))
	}
	about := ""
	if v.Frame != 0 {
		about = fmt.Sprintf(" (packet %d)", v.Frame)
	}
	w.printf("    ! %s %s, by the %s%s: %s\n      → %s\n", w.painted(nil, v.Severity(), v.Severity().String()), v.Rule.ID, v.BlameName(), about, v.Said(), v.Hint)
	if v.Frame == 0 && w.o.Hex {
		w.dump(v.Bytes, nil)
		if more := v.Length - int64(len(v.Bytes)); more > 0 {
			w.printf("    and %s more\n", count(more, "byte"))
		}
	}
	w.flush()
}

// Stream implements dissect.Sink.
func (w *detailWriter) Stream(s *dissect.Stream) { w.lines.Stream(s) }

// Note implements dissect.NoteSink.
func (w *detailWriter) Note(n *dissect.Note) { w.lines.Note(n) }

// Close implements Writer.
func (w *detailWriter) Close(t Totals) error { return w.lines.Close(t) }
