package export

import (
	"cmp"
	"slices"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// maxDevices bounds the devices that are counted by name; all others are counted together.
const maxDevices = 4096

// tally counts records in bounded memory. It implements dissect.Sink.
type tally struct {
	frames       [256]int64
	states       [dissect.Orphan + 1]int64
	transactions int64
	byLetter     [256]*letterTally
	rules        map[*protocol.Rule]int64
	groups       map[groupKey]*group
	blames       map[blameKey]int64
	devices      map[string]*deviceTally
	order        []*deviceTally
	conns        map[*dissect.Conn]*connTally
	closed       [dissect.Reset + 1]int64
	streams      int64
	missing      int64
	worst        protocol.Severity
	faults       int64
	reasons      [dissect.CaptureEnded + 1]silence
	notes        notes
}

// silence counts the requests without an answer for one reason, and keeps the evidence of the first.
type silence struct {
	count    int64
	stream   int
	evidence []int64
}

// letterTally counts the transactions of one type of request.
type letterTally struct {
	states  [dissect.Orphan + 1]int64
	latency histogram
}

// groupKey tells violations apart that are different things to do.
type groupKey struct {
	rule  *protocol.Rule
	blame protocol.Side
	code  uint16
}

// group counts violations that are one thing to do, and keeps the first.
type group struct {
	rule    *protocol.Rule
	count   int64
	first   *dissect.Violation
	caveat  protocol.Artefacts // of any of them
	doubted int64              // how many have one
	devices map[string]struct{}
}

type blameKey struct {
	side     protocol.Side
	severity protocol.Severity
}

// connTally counts what is known of a connection before its device is.
type connTally struct {
	errors, warnings   int64 // of the device
	servers            int64 // faults of the server
	unanswered, failed int64
}

// deviceTally counts one device, over all its connections.
type deviceTally struct {
	name               string // the key, escaped; or the address of a device that never logged in
	known              bool
	streams            int64
	frames             int64
	transactions       int64
	errors, warnings   int64
	servers            int64
	unanswered, failed int64
	missing            int64
	state              dissect.ConnState // of the latest connection
	last               int64
}

func newTally() *tally {
	return &tally{
		rules: make(map[*protocol.Rule]int64), groups: make(map[groupKey]*group),
		blames: make(map[blameKey]int64), devices: make(map[string]*deviceTally), conns: make(map[*dissect.Conn]*connTally),
	}
}

func (t *tally) conn(c *dissect.Conn) *connTally {
	k := t.conns[c]
	if k == nil {
		k = &connTally{}
		t.conns[c] = k
	}
	return k
}

// Frame implements dissect.Sink.
func (t *tally) Frame(f *dissect.Frame) { t.frames[f.Letter]++ }

// Count implements dissect.Counter.
func (t *tally) Count(c *dissect.Counts) {
	for letter, n := range c.Frames {
		t.frames[letter] += n
	}
	for i := range c.Answers {
		a := &c.Answers[i]
		t.transactions++
		t.states[dissect.Answered]++
		l := t.letter(a.Letter)
		l.states[dissect.Answered]++
		l.latency.add(a.Latency)
	}
}

// letter returns the counts of a type of request.
func (t *tally) letter(letter byte) *letterTally {
	l := t.byLetter[letter]
	if l == nil {
		l = &letterTally{}
		t.byLetter[letter] = l
	}
	return l
}

// Transaction implements dissect.Sink.
func (t *tally) Transaction(x *dissect.Transaction) {
	t.transactions++
	t.states[x.State]++
	if k := &t.reasons[x.Reason]; x.Reason != dissect.NoReason {
		if k.count == 0 {
			k.stream, k.evidence = x.Conn.Stream, slices.Clone(x.Evidence)
		}
		k.count++
	}
	switch x.State {
	case dissect.Unanswered:
		t.conn(x.Conn).unanswered++
	case dissect.Failed:
		t.conn(x.Conn).failed++
	}
	if x.Letter == 0 {
		return
	}
	l := t.letter(x.Letter)
	l.states[x.State]++
	if ns, ok := x.Latency(); ok {
		l.latency.add(ns)
	}
}

// Violation implements dissect.Sink.
func (t *tally) Violation(v *dissect.Violation) {
	t.rules[v.Rule]++
	k := groupKey{v.Rule, v.Blame, v.Code}
	g := t.groups[k]
	if g == nil {
		g = &group{rule: v.Rule, first: v, devices: make(map[string]struct{})}
		t.groups[k] = g
	} else if v.Time < g.first.Time {
		g.first = v
	}
	g.count++
	if v.Caveat != 0 {
		g.caveat |= v.Caveat
		g.doubted++
	}
	if len(g.devices) < maxDevices {
		g.devices[deviceName(v.Conn)] = struct{}{}
	}
	t.blames[blameKey{v.Blame, v.Severity()}]++
	t.worst = max(t.worst, v.Severity())
	if v.Severity() == protocol.Note {
		return
	}
	t.faults++
	switch c := t.conn(v.Conn); {
	case v.Blame != protocol.Device:
		c.servers++
	case v.Rule.Severity == protocol.Error:
		c.errors++
	default:
		c.warnings++
	}
}

// deviceName names the device of a connection: by its key, else by its address.
func deviceName(c *dissect.Conn) string {
	if d := c.Device(); d != "" {
		return Escape([]byte(d))
	}
	return c.Src(protocol.Device).Addr().String()
}

// Stream implements dissect.Sink.
func (t *tally) Stream(s *dissect.Stream) {
	t.streams++
	t.closed[s.State]++
	t.missing += s.Missing
	k := t.conns[s.Conn]
	delete(t.conns, s.Conn)
	if k == nil {
		k = &connTally{}
	}
	name := deviceName(s.Conn)
	d := t.devices[name]
	if d == nil {
		if len(t.devices) >= maxDevices {
			name = otherDevices
			d = t.devices[name]
		}
		if d == nil {
			d = &deviceTally{name: name, known: s.Device != ""}
			t.devices[name] = d
			t.order = append(t.order, d)
		}
	}
	d.streams++
	d.frames += s.Frames
	d.transactions += s.Transactions
	d.errors += k.errors
	d.warnings += k.warnings
	d.servers += k.servers
	d.unanswered += k.unanswered
	d.failed += k.failed
	d.missing += s.Missing
	if s.End >= d.last {
		d.last, d.state = s.End, s.State
	}
}

// otherDevices is what those are called that are too many.
const otherDevices = "(others)"

func others(d *deviceTally) int {
	if d.name == otherDevices {
		return 1
	}
	return 0
}

// worstDevices returns the devices with the most faults first; else in the order in which they ended.
func (t *tally) worstDevices() []*deviceTally {
	list := slices.Clone(t.order)
	slices.SortStableFunc(list, func(x, y *deviceTally) int {
		return cmp.Or(cmp.Compare(others(x), others(y)), cmp.Compare(y.errors, x.errors), cmp.Compare(y.warnings, x.warnings),
			cmp.Compare(y.servers, x.servers), cmp.Compare(y.unanswered, x.unanswered), cmp.Compare(x.name, y.name))
	})
	return list
}

// problems returns what is wrong, the worst first, of equal ones the earliest first.
func (t *tally) problems() []*group {
	var list []*group
	for _, g := range t.groups {
		if g.first.Severity() != protocol.Note {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(x, y *group) int {
		return cmp.Or(cmp.Compare(y.rule.Severity, x.rule.Severity), cmp.Compare(x.first.Time, y.first.Time),
			cmp.Compare(x.first.Number, y.first.Number))
	})
	return list
}
