package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// Side is one of two captures that are compared. It is a dissect.Sink that counts.
type Side struct {
	Name string
	*tally
}

// NewSide returns a side that has counted nothing.
func NewSide(name string) *Side { return &Side{Name: name, tally: newTally()} }

// Change is one thing in which two captures may differ.
type Change struct {
	// What is compared: "violation", "packets" (of a type), "failed", "unanswered" (requests of a type), or "latency".
	What string `json:"what"`
	// ID is the violation's; Type the letter of the packets or requests.
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Severity string `json:"severity,omitempty"`
	Blame    string `json:"blame,omitempty"`
	// A and B are counts, or for latency the time that 90 % of the answers did not exceed (ns). Of is how many there were to
	// count among: all requests for violations, all packets for packets, requests of the type for the others.
	A   int64 `json:"a"`
	OfA int64 `json:"of_a"`
	B   int64 `json:"b"`
	OfB int64 `json:"of_b"`
	// Verdict is "new", "gone", "more", "fewer", "slower", "faster" or "same"; Worse tells that it is for the worse.
	Verdict string `json:"verdict"`
	Worse   bool   `json:"worse,omitempty"`
	// Spread holds, for latency, what 50, 90 and 99 % of the answers did not exceed, and the slowest (ns), in A and in B.
	Spread [2][4]int64 `json:"-"`
}

// Comparison is what differs between two captures.
type Comparison struct {
	A, B    *Side
	Changes []Change
}

const (
	// sigmas is by how many standard deviations of chance a count must differ from what the other capture leads to expect.
	sigmas = 3
	// enough is how many answers a latency needs to be compared, and slower by how much it must have grown.
	enough = 20
	slower = 1.5
)

// Compare finds what differs between two captures, at the level of the protocol.
func Compare(a, b *Side) *Comparison {
	c := &Comparison{A: a, B: b}
	c.violations()
	c.packets()
	c.requests()
	return c
}

// Worse are the changes for the worse.
func (c *Comparison) Worse() (list []Change) {
	for _, x := range c.Changes {
		if x.Worse {
			list = append(list, x)
		}
	}
	return list
}

// counted gives a verdict on counts: b of ofB, where a of ofA leads to expect so many. Chance alone makes no difference.
func counted(a, ofA, b, ofB int64) string {
	switch {
	case a == 0 && b > 0:
		return "new"
	case a > 0 && b == 0:
		return "gone"
	case ofA == 0 || ofB == 0:
		return "same"
	}
	scale := float64(ofB) / float64(ofA)
	expected := float64(a) * scale
	off := float64(b) - expected
	if math.Abs(off) <= sigmas*math.Sqrt(expected+float64(a)*scale*scale+1) {
		return "same"
	}
	if off > 0 {
		return "more"
	}
	return "fewer"
}

// asked is the number of requests of a capture.
func (s *Side) asked() (n int64) {
	for _, k := range s.byLetter {
		n += k.sent()
	}
	return n
}

func (k *letterTally) sent() (n int64) {
	if k == nil {
		return 0
	}
	for _, x := range k.states {
		n += x
	}
	return n
}

// byBlame counts violations of a rule by whose fault they are, and keeps one of each.
type byBlame struct {
	count map[protocol.Side]int64
	one   map[protocol.Side]*dissect.Violation
}

// byRule sums a side's violations of a rule.
func (s *Side) byRule(r *protocol.Rule) byBlame {
	sum := byBlame{make(map[protocol.Side]int64), make(map[protocol.Side]*dissect.Violation)}
	for k, g := range s.groups {
		if k.rule == r {
			sum.count[k.blame] += g.count
			sum.one[k.blame] = g.first
		}
	}
	return sum
}

// first returns one violation of either capture.
func (x byBlame) first(y byBlame, side protocol.Side) *dissect.Violation {
	if v := x.one[side]; v != nil {
		return v
	}
	return y.one[side]
}

func (c *Comparison) violations() {
	ofA, ofB := c.A.asked(), c.B.asked()
	for _, r := range protocol.Rules {
		a, b := c.A.byRule(r), c.B.byRule(r)
		for _, side := range []protocol.Side{protocol.Device, protocol.Server, protocol.Unknown} {
			if a.count[side]+b.count[side] == 0 {
				continue
			}
			named := a.first(b, side)
			x := Change{
				What: "violation", ID: r.ID, Severity: named.Severity().String(), Blame: named.BlameName(), A: a.count[side], OfA: ofA, B: b.count[side], OfB: ofB,
				Verdict: counted(a.count[side], ofA, b.count[side], ofB),
			}
			x.Worse = named.Severity() > protocol.Note && (x.Verdict == "new" || x.Verdict == "more")
			c.Changes = append(c.Changes, x)
		}
	}
}

func (c *Comparison) packets() {
	var ofA, ofB int64
	for l := range c.A.frames {
		ofA += c.A.frames[l]
		ofB += c.B.frames[l]
	}
	for _, l := range []byte(protocol.Letters) {
		if a, b := c.A.frames[l], c.B.frames[l]; a+b > 0 {
			c.Changes = append(c.Changes, Change{
				What: "packets", Type: string(rune(l)), A: a, OfA: ofA, B: b, OfB: ofB, Verdict: counted(a, ofA, b, ofB),
			})
		}
	}
}

func (c *Comparison) requests() {
	for _, l := range []byte(protocol.Letters) {
		a, b := c.A.byLetter[l], c.B.byLetter[l]
		ofA, ofB := a.sent(), b.sent()
		if ofA+ofB == 0 {
			continue
		}
		for _, s := range []dissect.State{dissect.Failed, dissect.Unanswered} {
			x := Change{What: s.String(), Type: string(rune(l)), OfA: ofA, OfB: ofB}
			x.A, x.B = a.count(s), b.count(s)
			x.Verdict = counted(x.A, ofA, x.B, ofB)
			// Without requests before, there is nothing to compare with.
			x.Worse = ofA > 0 && (x.Verdict == "new" || x.Verdict == "more")
			c.Changes = append(c.Changes, x)
		}
		c.latency(l, a, b)
	}
}

func (k *letterTally) count(s dissect.State) int64 {
	if k == nil {
		return 0
	}
	return k.states[s]
}

func (c *Comparison) latency(letter byte, a, b *letterTally) {
	x := Change{What: "latency", Type: string(rune(letter)), Verdict: "same"}
	for i, k := range []*letterTally{a, b} {
		if k == nil {
			continue
		}
		h := &k.latency
		x.Spread[i] = [4]int64{h.percentile(.5), h.percentile(.9), h.percentile(.99), h.max}
		if i == 0 {
			x.OfA = h.count
		} else {
			x.OfB = h.count
		}
	}
	x.A, x.B = x.Spread[0][1], x.Spread[1][1]
	if x.OfA+x.OfB == 0 {
		return
	}
	if x.OfA >= enough && x.OfB >= enough {
		switch {
		case float64(x.B) > slower*float64(x.A):
			x.Verdict, x.Worse = "slower", true
		case float64(x.A) > slower*float64(x.B):
			x.Verdict = "faster"
		}
	}
	c.Changes = append(c.Changes, x)
}

// share writes a count with its share.
func share(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%.1f %%)", thousands(n), 100*float64(n)/float64(of))
}

var changeColumns = []column{
	{title: "What", width: 24},
	{title: "A", width: 18, right: true},
	{title: "B", width: 18, right: true},
	{title: "Verdict"},
}

var spreadColumns = []column{
	{title: "Answers", width: 9},
	{title: "", width: 1},
	{title: "Number", width: 8, right: true},
	{title: "Half in", width: 9, right: true},
	{title: "90 % in", width: 9, right: true},
	{title: "99 % in", width: 9, right: true, from: 2},
	{title: "Slowest", width: 9, right: true, from: 3},
	{title: "Verdict"},
}

// Write writes the comparison for people, or as one JSON object.
func (c *Comparison) Write(w io.Writer, o Options) error {
	if o.Width <= 0 {
		o.Width = DefaultWidth
	}
	switch o.Format {
	case JSON, NDJSON:
		return json.NewEncoder(w).Encode(struct {
			Record  string   `json:"record"`
			A       string   `json:"a"`
			B       string   `json:"b"`
			Worse   bool     `json:"worse"`
			Changes []Change `json:"changes"`
		}{"comparison", Escape([]byte(c.A.Name)), Escape([]byte(c.B.Name)), len(c.Worse()) > 0, c.Changes})
	case Table, Markdown:
	default:
		return errors.New("a comparison is written as table, markdown or json")
	}
	b := &base{out: newOutput(w), o: o, tally: newTally()}
	r := newReport(b, o.Format == Markdown)
	r.para("A: " + Escape([]byte(c.A.Name)) + ": " + count(c.A.asked(), "request"))
	r.para("B: " + Escape([]byte(c.B.Name)) + ": " + count(c.B.asked(), "request"))
	if n := int64(len(c.Worse())); n > 0 {
		r.para(fmt.Sprintf("B is worse in %s.", count(n, "thing")))
	} else {
		r.para("B is not worse.")
	}
	if err := c.lists(r); err != nil {
		return err
	}
	return b.out.Flush()
}

func (c *Comparison) lists(r *report) error {
	for _, part := range []struct {
		title string
		what  []string
	}{
		{"Violations, and how many on all requests", []string{"violation"}},
		{"Packets, and their share", []string{"packets"}},
		{"Requests that failed or were not answered, and their share", []string{"failed", "unanswered"}},
	} {
		heading(r.out, part.title, r.markdown)
		g := newGrid(r.out, changeColumns, r.o.Width, r.markdown)
		for i := range c.Changes {
			x := &c.Changes[i]
			for _, what := range part.what {
				if x.What == what && x.A+x.B > 0 {
					g.row([]string{x.label(), share(x.A, x.OfA), share(x.B, x.OfB), r.verdictOf(x)})
				}
			}
		}
		if err := g.close(); err != nil {
			return err
		}
		if g.rows == 0 {
			r.para("none")
		}
	}
	heading(r.out, "How fast answers came", r.markdown)
	g := newGrid(r.out, spreadColumns, r.o.Width, r.markdown)
	for i := range c.Changes {
		x := &c.Changes[i]
		if x.What != "latency" {
			continue
		}
		for side, name := range []string{"A", "B"} {
			label, verdict, of := x.label(), "", x.OfA
			if side == 1 {
				label, verdict, of = "", r.verdictOf(x), x.OfB
			}
			row := []string{label, name, thousands(of)}
			for _, v := range x.Spread[side] {
				if of == 0 {
					row = append(row, "-")
				} else {
					row = append(row, duration(v))
				}
			}
			g.row(append(row, verdict))
		}
	}
	return g.close()
}

func (x *Change) label() string {
	switch x.What {
	case "violation":
		return x.ID
	case "packets", "latency":
		return protocol.Name(x.Type[0])
	}
	return protocol.Name(x.Type[0]) + " " + x.What
}

func (r *report) verdictOf(x *Change) string {
	s := x.Verdict
	if x.What == "violation" {
		s += ", " + x.Blame
	}
	if !x.Worse {
		return s
	}
	if r.o.Color {
		return severityColor(protocol.Error) + "worse" + colorReset + ": " + s
	}
	return "worse: " + s
}
