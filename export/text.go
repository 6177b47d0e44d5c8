package export

import (
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// textWriter writes a line for each record as it comes, by appending.
type textWriter struct {
	*base
	numbers series
}

func (w *textWriter) end(b []byte) { w.base.end(append(b, '\n')) }

// Frame implements dissect.Sink.
func (w *textWriter) Frame(f *dissect.Frame) {
	w.tally.Frame(f)
	if !w.showsFrames {
		return
	}
	b := w.out.line()
	src, dst := f.Conn.Ends(f.From)
	id, ok := plainID(f.SessionID)
	if !ok || src.Size == 0 || dst.Size == 0 || f.Number < 0 || f.Letter >= utf8.RuneSelf {
		w.end(appendWhat(w.head(b, f), f, w.o.ShowSecrets))
		return
	}
	// The same as head appends, where the parts are of the usual size.
	b, r := behind(b)
	n := 0
	if f.Number < wideNumber {
		n = r.right(0, uint64(f.Number))
	} else {
		n = w.numbers.next(r, 0, f.Number)
	}
	n = r.char(n, ' ')
	n = r.time(n, &w.clock, f.Time)
	n = r.char(n, ' ')
	n = r.end(n, src)
	n = r.short(n, &arrow)
	n = r.end(n, dst)
	n = r.word(n, ' '|uint64(f.Letter)<<8|' '<<16, 3)
	n = r.word(n, id, protocol.SessionIDSize)
	n = r.char(n, ' ')
	n = r.num(n, int64(f.Length))
	n = r.char(n, ' ')
	what, payload := gistOf(f)
	if what == nil {
		w.end(appendWhat(b[:len(b)+n], f, w.o.ShowSecrets))
		return
	}
	b = b[:len(b)+r.long(n, what)]
	if payload > 0 {
		b = appendPayload(b, f.Raw[payload:])
	}
	w.end(b)
}

var arrow = newShort(" → ")

// right writes a number below wideNumber, filled up with spaces on its left.
func (r *room) right(n int, v uint64) int {
	x := zeros + digitsOf(v)
	x -= ('0' - ' ') * everyByte & (1<<((64-8*digitCount(v))&63) - 1)
	return r.word(n, x>>(64-8*numberWidth), numberWidth)
}

// numberWidth is that of the column of numbers, wideNumber the first one that fills it.
const (
	numberWidth = 6
	wideNumber  = 1e5
)

// head appends what stands before what a packet carries.
func (w *textWriter) head(b []byte, f *dissect.Frame) []byte {
	b = appendRight(b, f.Number, numberWidth)
	b = append(b, ' ')
	b = w.clock.append(b, f.Time)
	b = append(b, ' ')
	b = f.Conn.AppendSrc(b, f.From)
	b = append(b, " → "...)
	b = f.Conn.AppendDst(b, f.From)
	b = append(b, ' ', f.Letter, ' ')
	b = AppendEscaped(b, f.SessionID)
	b = append(b, ' ')
	b = appendNum(b, int64(f.Length))
	return append(b, ' ')
}

// appendRight appends a number that is not negative, filled up with spaces on its left.
func appendRight(b []byte, v int64, width int) []byte {
	const spaces = "                "
	at := len(b)
	b = appendNum(b, v)
	if n := width - (len(b) - at); n > 0 {
		b = append(b, spaces[:n]...)
		copy(b[at+n:], b[at:])
		copy(b[at:], spaces[:n])
	}
	return b
}

// Transaction implements dissect.Sink.
func (w *textWriter) Transaction(t *dissect.Transaction) {
	w.tally.Transaction(t)
	if !w.showsTransactions {
		return
	}
	b := appendRight(w.out.line(), t.Number, numberWidth)
	b = append(b, ' ')
	b = w.clock.append(b, startOf(t))
	b = append(b, ' ')
	b = t.Conn.AppendSrc(b, t.From)
	b = append(b, " → "...)
	b = t.Conn.AppendDst(b, t.From)
	b = append(b, ' ')
	if t.Letter != 0 {
		b = append(b, protocol.Name(t.Letter)...)
	} else {
		b = append(b, '?')
	}
	b = append(b, ' ')
	b = AppendEscaped(b, t.SessionID)
	b = append(b, ' ')
	b = append(b, t.State.String()...)
	if l, ok := t.Latency(); ok {
		b = append(b, ' ')
		b = append(b, duration(l)...)
	}
	if t.HasError {
		b = append(b, ' ')
		b = append(b, errorCode(t.ErrorCode)...)
		b = append(b, ' ')
		b = append(b, meaning(t.ErrorCode)...)
	}
	if t.Reason != dissect.NoReason {
		b = append(b, ' ')
		b = append(b, t.Reason.String()...)
		if p := packetList(t.Evidence); p != "" {
			b = append(b, " packets "...)
			b = append(b, p...)
		}
	}
	if t.Device != "" {
		b = append(b, " device="...)
		b = AppendEscaped(b, t.Device)
	}
	w.end(b)
}

// Violation implements dissect.Sink.
func (w *textWriter) Violation(v *dissect.Violation) {
	w.tally.Violation(v)
	if !w.shows(Violations) {
		return
	}
	b := w.clock.append(w.out.line(), v.Time)
	b = append(b, " stream "...)
	b = appendNum(b, int64(v.Conn.Stream))
	b = append(b, ' ')
	b = w.painted(b, v.Severity(), v.Severity().String())
	b = append(b, ' ')
	b = append(b, v.BlameName()...)
	b = append(b, ' ')
	b = append(b, v.Rule.ID...)
	if len(v.Packets) > 0 {
		b = append(b, " packets "...)
		b = append(b, packetList(v.Packets)...)
	}
	b = append(b, ": "...)
	b = append(b, v.Said()...)
	w.end(b)
}

// Stream implements dissect.Sink.
func (w *textWriter) Stream(s *dissect.Stream) {
	w.tally.Stream(s)
	if !w.shows(Streams) {
		return
	}
	b := append(w.out.line(), "stream "...)
	b = appendNum(b, int64(s.Conn.Stream))
	b = append(b, ' ')
	b = s.Client.AppendTo(b)
	b = append(b, " → "...)
	b = s.Server.AppendTo(b)
	b = append(b, ' ')
	b = w.clock.append(b, s.Start)
	b = append(b, ' ')
	b = append(b, duration(s.End-s.Start)...)
	b = append(b, ' ')
	b = append(b, s.State.String()...)
	for _, c := range []struct {
		name string
		n    int64
	}{{" packets ", s.Frames}, {" transactions ", s.Transactions}, {" faults ", s.Violations}, {" missing ", s.Missing}} {
		b = append(b, c.name...)
		b = appendNum(b, c.n)
	}
	if s.Device != "" {
		b = append(b, " device="...)
		b = AppendEscaped(b, s.Device)
	}
	w.end(b)
}

// Close implements Writer.
func (w *textWriter) Close(t Totals) error {
	if w.shows(Summary) {
		if w.o.Live && w.some {
			w.out.WriteString("\n") //nolint:errcheck // the writer keeps its first error for Flush
		}
		if err := newReport(w.base, false).write(&t); err != nil {
			return err
		}
	}
	return w.out.Flush()
}
