package export

import (
	"container/heap"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// Payloads is how a ladder shows payloads.
type Payloads string

// The ways.
const (
	PayloadNone Payloads = ""
	PayloadText Payloads = "text"
	PayloadHex  Payloads = "hex"
	// PayloadRaw writes nothing but the bytes of the payloads, one after the other.
	PayloadRaw Payloads = "raw"
)

// PayloadKinds are the ways that can be named.
var PayloadKinds = []Payloads{PayloadText, PayloadHex, PayloadRaw}

// Ladder writes a conversation with the device on the left and the server on the right, a line for each packet. It is
// a Writer.
type Ladder struct {
	*base
	payloads Payloads
	conn     *dissect.Conn
	last     int64 // time of the packet before
	side     int   // columns of each side
	waiting  map[*dissect.Conn]*rungs
	order    int64
}

// rung is a line of the ladder, or some, that waits for its place in the order of time.
type rung struct {
	time, order int64
	write       func()
}

// rungs are those of a connection, the earliest first.
type rungs []rung

func (r rungs) Len() int { return len(r) }
func (r rungs) Less(i, j int) bool {
	return r[i].time < r[j].time || r[i].time == r[j].time && r[i].order < r[j].order
}
func (r rungs) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *rungs) Push(x any)   { *r = append(*r, x.(rung)) }
func (r *rungs) Pop() any {
	old := *r
	x := old[len(old)-1]
	old[len(old)-1] = rung{}
	*r = old[:len(old)-1]
	return x
}

// maxRungs bounds the lines of a connection that wait: what is settled so much later than it came stands out of order.
const maxRungs = 4096

// put adds to a connection what belongs to a moment.
func (l *Ladder) put(c *dissect.Conn, time int64, write func()) {
	r := l.waiting[c]
	if r == nil {
		r = &rungs{}
		l.waiting[c] = r
	}
	l.order++
	heap.Push(r, rung{time, l.order, write})
	if r.Len() > maxRungs {
		l.next(c, r)
	}
}

func (l *Ladder) next(c *dissect.Conn, r *rungs) {
	x := heap.Pop(r).(rung)
	l.head(c)
	x.write()
}

// finish writes what waits of a connection.
func (l *Ladder) finish(c *dissect.Conn) {
	if r := l.waiting[c]; r != nil {
		for r.Len() > 0 {
			l.next(c, r)
		}
		delete(l.waiting, c)
	}
}

// midWidth is the columns between the sides: arrow, time and delta.
const midWidth = 32

// NewLadder returns a Ladder. Of the options, Width, Color, ShowSecrets and Flush count.
func NewLadder(w io.Writer, o Options, p Payloads) *Ladder {
	if o.Width <= 0 {
		o.Width = DefaultWidth
	}
	b := &base{out: newOutput(w), o: o, tally: newTally()}
	return &Ladder{base: b, payloads: p, side: max(10, (o.Width-midWidth)/2), waiting: make(map[*dissect.Conn]*rungs)}
}

func (l *Ladder) printf(format string, args ...any) {
	if l.payloads != PayloadRaw {
		fmt.Fprintf(l.out, format, args...)
	}
}

// head tells whose conversation goes on, where it is another one than before.
func (l *Ladder) head(c *dissect.Conn) {
	if l.conn == c {
		return
	}
	if l.conn != nil {
		l.printf("\n")
	}
	l.conn, l.last = c, 0
	l.printf("stream %d, device %s\n", c.Stream, deviceName(c))
	l.printf("%s%s%s\n", l.left("device "+c.Src(protocol.Device).String()), strings.Repeat(" ", midWidth), fit("server "+c.Src(protocol.Server).String(), l.side))
}

// left fills a text up to the width of a side.
func (l *Ladder) left(s string) string {
	s = fit(s, l.side)
	return s + strings.Repeat(" ", max(0, l.side-twwidth.Width(s)))
}

// middle is the time with what passed since the packet before.
func (l *Ladder) middle(t int64) string {
	delta := ""
	if l.last != 0 {
		delta = duration(t - l.last)
	}
	l.last = t
	return time.Unix(0, t).UTC().Format("15:04:05.000") + " " + strings.Repeat(" ", max(0, 12-twwidth.Width(delta))) + delta
}

func (l *Ladder) colored(color, s string) string {
	if !l.o.Color || s == "" {
		return s
	}
	return color + s + colorReset
}

// The colours of the sides are those of Wireshark's conversations: the device asks, in red, the server is blue.
const (
	deviceColor = "\x1b[31m"
	serverColor = "\x1b[34m"
)

// Frame implements dissect.Sink.
func (l *Ladder) Frame(f *dissect.Frame) {
	l.tally.Frame(f)
	what, from, time, payload := l.what(f), f.From, f.Time, slices.Clone(f.Named("payload"))
	l.put(f.Conn, time, func() {
		if from == protocol.Device {
			l.printf("%s ─ %s ─▶\n", l.colored(deviceColor, l.left(what)), l.middle(time))
		} else {
			l.printf("%s ◀─ %s ─ %s\n", l.left(""), l.middle(time), l.colored(serverColor, fit(what, l.side)))
		}
		l.payload(from, payload)
	})
}

// what says in a few words what a packet is: its last capture packet, its name, its session ID, and what matters most.
func (l *Ladder) what(f *dissect.Frame) string {
	b := []byte{'#'}
	if n := len(f.Packets); n > 0 {
		b = strconv.AppendInt(b, f.Packets[n-1], 10)
	}
	b = append(b, ' ')
	if status, ok := f.Status(); ok && f.Letter == 'R' {
		b = append(b, map[byte]string{0: "failed", 1: "ok"}[status]...)
		if status > 1 {
			b = fmt.Appendf(b, "status %02x", status)
		}
	} else {
		b = append(b, protocol.Name(f.Letter)...)
	}
	b = append(b, ' ')
	b = AppendEscaped(b, f.SessionID)
	if code, ok := f.ErrorCode(); ok {
		b = append(b, " "+errorCode(code)+" "+meaning(code)...)
	}
	if id := f.Named("identifier"); id != nil {
		b = append(b, ' ')
		b = AppendEscaped(b, id)
	}
	if p := f.Named("payload"); p != nil {
		b = append(b, " "+count(int64(len(p)), "byte")...)
	}
	if f.Missing > 0 {
		b = append(b, " "+count(int64(f.Missing), "byte")+" missing"...)
	}
	return string(b)
}

// payload shows what a packet carries for its receiver.
func (l *Ladder) payload(from protocol.Side, p []byte) {
	if len(p) == 0 {
		return
	}
	switch l.payloads {
	case PayloadRaw:
		l.out.Write(p) //nolint:errcheck // the writer keeps its first error for Close
	case PayloadText:
		l.block(from, strings.Split(wrap(Escape(p), l.half()), "\n"))
	case PayloadHex:
		var lines []string
		for per := max(1, l.half()/3); len(p) > 0; p = p[min(per, len(p)):] {
			lines = append(lines, spaced(p[:min(per, len(p))]))
		}
		l.block(from, lines)
	}
}

// half is how many columns a payload takes.
func (l *Ladder) half() int { return l.side + midWidth/2 }

func spaced(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = hex.EncodeToString(b[i : i+1])
	}
	return strings.Join(parts, " ")
}

// block writes lines on the side of their sender.
func (l *Ladder) block(from protocol.Side, lines []string) {
	indent := "  "
	if from == protocol.Server {
		indent = strings.Repeat(" ", l.o.Width-l.half())
	}
	for _, s := range lines {
		l.printf("%s%s\n", indent, s)
	}
}

// Violation implements dissect.Sink.
func (l *Ladder) Violation(v *dissect.Violation) {
	l.tally.Violation(v)
	color := ""
	if v.Severity() != protocol.Note {
		color = severityColor(v.Severity())
	}
	text := fmt.Sprintf("! %s, by the %s: %s", v.Rule.ID, v.BlameName(), v.Said())
	if p := packetList(v.Packets); p != "" {
		text += " (packets " + p + ")"
	}
	l.put(v.Conn, v.Time, func() {
		for _, line := range strings.Split(wrap(text, l.o.Width-2), "\n") {
			l.printf("  %s\n", l.colored(color, line))
		}
	})
}

// Resent tells that TCP sent bytes of a side again.
func (l *Ladder) Resent(c *dissect.Conn, from protocol.Side, packet, bytes, at int64) {
	text := fmt.Sprintf("#%d %s sent again", packet, count(bytes, "byte"))
	l.put(c, at, func() {
		if from == protocol.Device {
			l.printf("%s ┄ %s ┄▷\n", l.left(text), l.middle(at))
		} else {
			l.printf("%s ◁┄ %s ┄ %s\n", l.left(""), l.middle(at), fit(text, l.side))
		}
	})
}

// Transaction implements dissect.Sink.
func (l *Ladder) Transaction(t *dissect.Transaction) {
	l.tally.Transaction(t)
	if t.Reason == dissect.NoReason {
		return
	}
	text := fmt.Sprintf("· %s %s has no answer: %s", protocol.Name(t.Letter), Escape(t.SessionID), t.Reason)
	if p := packetList(t.Evidence); p != "" {
		text += ", packets " + p
	}
	l.put(t.Conn, t.RequestTime, func() { l.printf("  %s\n", fit(text, l.o.Width-2)) })
}

// Stream implements dissect.Sink.
func (l *Ladder) Stream(s *dissect.Stream) {
	l.tally.Stream(s)
	l.finish(s.Conn)
	l.head(s.Conn)
	l.printf("  %s after %s: %s, %s\n", s.State, duration(s.End-s.Start), count(s.Frames, "packet"), count(s.Violations, "fault"))
	l.flush()
}

// Close implements Writer.
func (l *Ladder) Close(Totals) error { return l.out.Flush() }
