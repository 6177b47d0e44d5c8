package export

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// The first look shows so many devices and problems; the rest is counted.
const (
	topDevices  = 8
	topProblems = 8
)

// report is the first look at a capture: what was captured and how far it can be trusted, which
// devices, what is wrong, and how fast answers came.
type report struct {
	*base
	markdown bool
}

func newReport(b *base, markdown bool) *report { return &report{b, markdown} }

// printf writes to the buffered output, which keeps its first error until it is flushed.
func (r *report) printf(format string, args ...any) {
	fmt.Fprintf(r.out, format, args...)
}

// heading writes a section's title.
func heading(w *output, title string, markdown bool) {
	if markdown {
		fmt.Fprintf(w, "\n## %s\n\n", title)
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
}

// para writes a paragraph, wrapped.
func (r *report) para(s string) {
	if r.markdown {
		r.printf("%s\n\n", markdownCell.Replace(s))
		return
	}
	r.printf("%s\n", wrap(s, r.o.Width))
}

func (r *report) write(t *Totals) error {
	if r.markdown {
		r.printf("# %s\n\n", markdownCell.Replace(Escape([]byte(t.Name))))
	}
	r.captured(t)
	if t.NubisonStreams == 0 {
		r.nothing(t)
		return nil
	}
	if t.Filtered {
		r.para(fmt.Sprintf("Shown is what fits the filter: %s of %s.", thousands(t.FittingPackets), count(t.FramesInAll, "NUBISON packet")))
		if t.Fitting == 0 {
			return nil
		}
	}
	r.verdict()
	if err := r.devices(); err != nil {
		return err
	}
	r.problems(t)
	r.noted()
	return r.latencies(t)
}

// captured says what was captured, and how far it can be trusted.
func (r *report) captured(t *Totals) {
	s := fmt.Sprintf("%s packets", thousands(t.Packets))
	if t.Packets == 1 {
		s = "1 packet"
	}
	if !r.markdown {
		s = Escape([]byte(t.Name)) + ": " + s
	}
	if t.Packets > 0 {
		s += fmt.Sprintf(" in %s, %s to %s UTC", duration(t.Last-t.First), wholeTime(t.First), endTime(t.First, t.Last))
	}
	if t.NubisonStreams > 0 {
		s += "; " + count(t.TCPStreams, "TCP connection")
		switch {
		case t.NubisonStreams < t.TCPStreams:
			s += fmt.Sprintf(", %s of them NUBISON", thousands(t.NubisonStreams))
		case t.TCPStreams > 1:
			s += ", all of them NUBISON"
		}
	}
	r.para(s + ".")
	if t.Packets == 0 {
		return
	}
	doubts := r.doubts(t)
	if len(doubts) == 0 {
		if t.NubisonStreams > 0 {
			r.para("Capture: nothing is missing.")
		}
		return
	}
	r.para("Capture: " + strings.Join(doubts, "; ") + ".")
}

// doubts lists what the capture lacks: all of it, not only what is shown.
func (r *report) doubts(t *Totals) (list []string) {
	if t.Damage != "" {
		list = append(list, t.Damage)
	}
	lack := dissect.Preflight{
		Dropped: int64(t.Dropped), Gaps: t.Gaps, Missing: t.Missing, Cut: t.Cut, OneSided: t.OneSided, Midstream: t.Midstream,
		Duplicates: t.Duplicates, Large: t.Large, Backwards: t.Backwards, Forgotten: t.Forgotten, GivenUp: t.GivenUp,
	}
	for _, d := range lack.Doubts() {
		if d.Of == protocol.Gap && t.Part {
			d.Text += r.share(t)
		}
		list = append(list, d.Text)
	}
	return list
}

// share says how many of the missing bytes are of what is shown.
func (r *report) share(t *Totals) string {
	switch n := r.tally.missing; {
	case n == 0:
		return " (none in the connections shown)"
	case n < t.Missing:
		return fmt.Sprintf(" (%s in the connections shown)", count(n, "byte"))
	}
	return " (all in the connections shown)"
}

// nothing says that there is no NUBISON traffic, and what else there is.
func (r *report) nothing(t *Totals) {
	s := fmt.Sprintf("no NUBISON traffic in %s", count(t.Packets, "packet"))
	if t.TCPStreams == 0 {
		r.para(s + ": no TCP connections.")
		return
	}
	var ports []string
	for _, p := range t.OtherPorts {
		for range min(p.Count, 3) {
			ports = append(ports, strconv.Itoa(int(p.Port)))
		}
		if p.Count > 3 {
			ports[len(ports)-1] += fmt.Sprintf(" (%d in all)", p.Count)
		}
	}
	s += ": " + count(t.TCPStreams, "TCP connection")
	if len(ports) > 0 {
		word := "ports"
		if len(ports) == 1 {
			word = "port"
		}
		s += ", " + word + " " + strings.Join(ports, ", ")
	}
	if t.Restricted {
		r.para(s + "; --port left these out.")
		return
	}
	r.para(s + "; if the device uses one of them, force it with --port.")
}

// verdict says in one line whose fault how much is.
func (r *report) verdict() {
	if r.tally.faults == 0 {
		s := "Nothing is wrong: no violations in " + count(r.tally.transactions, "transaction")
		if n := r.tally.states[dissect.Pending]; n > 0 {
			s += fmt.Sprintf(" (%s pending when the capture ended)", thousands(n))
		}
		r.para(s + ".")
		return
	}
	var parts []string
	for _, side := range []protocol.Side{protocol.Device, protocol.Server} {
		e, w := r.tally.blames[blameKey{side, protocol.Error}], r.tally.blames[blameKey{side, protocol.Warning}]
		switch {
		case e > 0 && w > 0:
			parts = append(parts, fmt.Sprintf("%s %s, %s", side, count(e, "error"), count(w, "warning")))
		case e > 0:
			parts = append(parts, fmt.Sprintf("%s %s", side, count(e, "error")))
		case w > 0:
			parts = append(parts, fmt.Sprintf("%s %s", side, count(w, "warning")))
		default:
			parts = append(parts, fmt.Sprintf("%s nothing", side))
		}
	}
	r.para("Whose fault: " + strings.Join(parts, "; ") + ".")
}

var deviceColumns = []column{
	{title: "Conn.", width: 5, right: true},
	{title: "Frames", width: 9, right: true},
	{title: "Errors", width: 7, right: true},
	{title: "Warnings", width: 8, right: true},
	{title: "Server's", width: 8, right: true, from: 2},
	{title: "Failed", width: 7, right: true, from: 3},
	{title: "Unanswered", width: 10, right: true, from: 1},
	{title: "Now", width: 6},
	{title: "Device"},
}

func (r *report) devices() error {
	list := r.tally.worstDevices()
	heading(r.out, "Devices", r.markdown)
	g := newGrid(r.out, deviceColumns, r.o.Width, r.markdown)
	for i, d := range list {
		if i == topDevices {
			break
		}
		name := d.name
		if !d.known && d.name != otherDevices {
			name += " (no login seen)"
		}
		g.row([]string{
			thousands(d.streams), thousands(d.frames), thousands(d.errors), thousands(d.warnings), thousands(d.servers),
			thousands(d.failed), thousands(d.unanswered), d.state.String(), name,
		})
	}
	if err := g.close(); err != nil {
		return err
	}
	if n := len(list) - topDevices; n > 0 {
		r.para(fmt.Sprintf("and %s with no more faults than these: --view streams shows all.", count(int64(n), "device")))
	}
	return nil
}

// problems tells what is wrong, the worst and the first first.
func (r *report) problems(t *Totals) {
	list := r.tally.problems()
	if len(list) == 0 {
		return
	}
	heading(r.out, "What is wrong, worst and first first", r.markdown)
	for i, k := range list {
		if i == topProblems {
			rest := named(list[i:])
			r.para("and " + strings.Join(rest, ", ") + ": --view violations shows all.")
			break
		}
		r.problem(k, t)
	}
}

// named names the rules of groups, each once, with how often it was broken.
func named(list []*group) (names []string) {
	for i, k := range list {
		n, first := int64(0), true
		for j, o := range list {
			if o.rule == k.rule {
				n += o.count
				first = first && j >= i
			}
		}
		if first {
			names = append(names, fmt.Sprintf("%s ×%s", k.rule.ID, thousands(n)))
		}
	}
	return names
}

func (r *report) problem(k *group, t *Totals) {
	v := k.first
	where := fmt.Sprintf("stream %d", v.Conn.Stream)
	if p := packetList(v.Packets); p != "" {
		where += ", packets " + p
	}
	who := deviceName(v.Conn)
	if len(k.devices) > 1 {
		who += fmt.Sprintf(" and %s more", thousands(int64(len(k.devices)-1)))
	}
	first := "First"
	if k.count == 1 {
		first = "At"
	}
	said := fmt.Sprintf("%s %s, %s: %s", first, dayTime(v.Time), where, v.Message)
	if r.markdown {
		r.printf("- **%s** `%s` by the %s, %s (%s). %s.<br>→ %s\n", k.rule.Severity, k.rule.ID, v.BlameName(), times(k.count),
			markdownCell.Replace(who), markdownCell.Replace(said), markdownCell.Replace(v.Hint))
		if doubt := k.doubt(t); doubt != "" {
			r.printf("  <br>? %s\n", doubt)
		}
		return
	}
	r.printf("%s\n", wrap(fmt.Sprintf(" %s %s, by the %s, %s (%s)", r.paint(k.rule.Severity), k.rule.ID, v.BlameName(), times(k.count), who), r.o.Width))
	const indent = "   "
	lines := []string{said, "→ " + v.Hint}
	if doubt := k.doubt(t); doubt != "" {
		lines = append(lines, "? "+doubt)
	}
	for _, s := range lines {
		for _, line := range strings.Split(wrap(s, r.o.Width-len(indent)), "\n") {
			r.printf("%s%s\n", indent, line)
		}
	}
}

// paint shows a severity, in colour where that is wanted.
func (r *report) paint(s protocol.Severity) string {
	word := s.String()
	if !r.o.Color {
		return word
	}
	return severityColor(s) + word + colorReset
}

const colorReset = "\x1b[0m"

func severityColor(s protocol.Severity) string {
	if s == protocol.Error {
		return "\x1b[1;31m"
	}
	return "\x1b[33m"
}

var latencyColumns = []column{
	{title: "Request", width: 9},
	{title: "Sent", width: 8, right: true},
	{title: "Answered", width: 8, right: true},
	{title: "Failed", width: 6, right: true},
	{title: "Unanswered", width: 10, right: true},
	{title: "Pending", width: 7, right: true, from: 2},
	{title: "Half in", width: 9, right: true},
	{title: "90 % in", width: 9, right: true, from: 100},
	{title: "99 % in", width: 9, right: true, from: 120},
	{title: "Slowest", width: 9, right: true},
}

func (r *report) latencies(t *Totals) error {
	heading(r.out, "Requests and how fast their answers came", r.markdown)
	g := newGrid(r.out, latencyColumns, r.o.Width, r.markdown)
	for _, letter := range []byte(protocol.Letters) {
		k := r.tally.byLetter[letter]
		if k == nil {
			continue
		}
		sent := int64(0)
		for _, n := range k.states {
			sent += n
		}
		p50, p90, p99, slowest := "-", "-", "-", "-"
		if h := &k.latency; h.count > 0 {
			p50, p90, p99, slowest = duration(h.percentile(.5)), duration(h.percentile(.9)), duration(h.percentile(.99)), duration(h.max)
		}
		g.row([]string{
			protocol.Name(letter), thousands(sent), thousands(k.states[dissect.Answered]), thousands(k.states[dissect.Failed]),
			thousands(k.states[dissect.Unanswered]), thousands(k.states[dissect.Pending]), p50, p90, p99, slowest,
		})
	}
	if err := g.close(); err != nil {
		return err
	}
	r.silences(t)
	if n := r.tally.states[dissect.Orphan]; n > 0 {
		r.para(fmt.Sprintf("%s answered no request that was captured.", count(n, "response")))
	}
	return nil
}

// whys say in words what the reasons mean.
var whys = map[dissect.Reason]string{
	dissect.CaptureLost:    "the answer may be among what was never captured",
	dissect.NeverDelivered: "sent again by TCP, and never acknowledged: it did not reach the peer",
	dissect.NotAnswered:    "the peer's TCP has it, its application said nothing",
	dissect.AnsweredLate:   "the answer came after the timeout",
	dissect.ConnClosed:     "the connection closed first",
	dissect.CaptureEnded:   "the capture ended first",
}

// silences tells why requests have no answer.
func (r *report) silences(t *Totals) {
	first, lost := true, false
	for _, reason := range dissect.Reasons {
		k := r.tally.reasons[reason]
		if k.count == 0 {
			continue
		}
		lost = lost || reason == dissect.NeverDelivered || reason == dissect.NotAnswered || reason == dissect.ConnClosed
		if first {
			heading(r.out, "Why requests have no answer", r.markdown)
			first = false
		}
		s := fmt.Sprintf("%s, %s: %s", reason, count(k.count, "request"), whys[reason])
		if len(k.evidence) > 0 {
			s += fmt.Sprintf(" (the first: stream %d, packets %s)", k.stream, packetList(k.evidence))
		} else {
			s += fmt.Sprintf(" (the first: stream %d)", k.stream)
		}
		if r.markdown {
			r.printf("- %s\n", markdownCell.Replace(s))
			continue
		}
		r.printf("%s\n", wrap(" "+s, r.o.Width))
	}
	if lost && t.Dropped > 0 {
		r.para(fmt.Sprintf("The capture itself dropped %s: answers may be among them.", count(int64(t.Dropped), "packet")))
	}
}

// How numbers are written.
var (
	thousands = dissect.Thousands
	count     = dissect.Count
	times     = dissect.Times
)

// endTime leaves the date out where it is the same.
func endTime(first, last int64) string {
	a, b := wholeTime(first), wholeTime(last)
	if a[:10] == b[:10] {
		return b[11:]
	}
	return b
}
