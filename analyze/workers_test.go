package analyze_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
)

// everything writes down all of every record, in order.
type everything struct{ bytes.Buffer }

func (e *everything) conn(c *dissect.Conn) string {
	return fmt.Sprint(c.Stream, c.Addr, c.DeviceDir, c.Device())
}

func (e *everything) Frame(f *dissect.Frame) {
	fmt.Fprintf(e, "frame %d [%s] %v %v %d %d %d %c %c %q %d %d %x", f.Number, e.conn(f.Conn), f.From, f.Packets, f.Time, f.Offset,
		f.Length, f.Letter, f.RequestLetter, f.SessionID, f.Missing, f.Transaction, f.Raw)
	fields := f.Fields()
	for i := range fields {
		v := &fields[i]
		fmt.Fprintf(e, " %s %d %x %v", v.Name, v.At, v.Value, v.Complete)
	}
	for _, r := range f.Violations {
		fmt.Fprint(e, " ", r.ID)
	}
	fmt.Fprint(e, f.Holes)
	fmt.Fprintln(e)
}

func (e *everything) Transaction(t *dissect.Transaction) {
	fmt.Fprintf(e, "transaction %d [%s] %c %v %q %q %v %d %d %d %d %x %v %v %v\n", t.Number, e.conn(t.Conn), t.Letter, t.From, t.Device, t.SessionID,
		t.State, t.Request, t.Response, t.RequestTime, t.ResponseTime, t.ErrorCode, t.HasError, t.Reason, t.Evidence)
}

func (e *everything) Violation(v *dissect.Violation) {
	fmt.Fprintf(e, "violation %d [%s] %s %v %v %d %v %d %d %d %x %v %x %s %v %v %v\n", v.Number, e.conn(v.Conn), v.Rule.ID, v.Blame, v.From, v.Frame,
		v.Packets, v.Time, v.Offset, v.Length, v.Bytes, v.Secret, v.Code, v.Message, v.Reason, v.Evidence, v.Caveat)
}

func (e *everything) Stream(s *dissect.Stream) {
	fmt.Fprintf(e, "stream [%s] %v %v %q %d %d %v %d %d %d %d\n", e.conn(s.Conn), s.Client, s.Server, s.Device, s.Start, s.End, s.State, s.Frames,
		s.Transactions, s.Violations, s.Missing)
}

func (e *everything) Note(n *dissect.Note) {
	if n.Conn == nil {
		fmt.Fprintf(e, "note %s %d %d %v %v %s\n", n.ID, n.Count, n.Packet, n.Stream != nil, n.Doubtful, n.Said())
		return
	}
	fmt.Fprintf(e, "note [%s] %s %q %d %s\n", e.conn(n.Conn), n.ID, n.Device, n.Time, n.Said())
}

func everythingOf(t testing.TB, list []capture.Packet, o analyze.Options) string {
	t.Helper()
	return everythingFrom(t, &packets{list: list}, o)
}

func everythingFrom(t testing.TB, src *packets, o analyze.Options) string {
	t.Helper()
	var e everything
	res, err := analyze.Run(context.Background(), src, o, &e)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&e, "%+v\n", res)
	return e.String()
}

// anyTraffic are captures of all kinds: what is made differs with the seed.
func anyTraffic(seed uint64) (o simulate.Options, first float64) {
	o = crowd
	o.Seed, o.V6 = seed, seed%7 == 3
	o.Connections, o.Requests = 20+int(seed%30), 15
	switch seed % 4 {
	case 0:
		o.Interval = 3e9 // longer than what waits for a second
	case 1:
		o.Spacing, o.Interval = 1e6, 50e6
	}
	if seed%2 == 1 {
		o.Faults, o.FaultRate = simulate.FaultNames(), 0.1
	}
	if seed%3 == 1 {
		o.Loss, o.Reorder, o.Duplicate = 0.02, 0.1, 0.1
	}
	o.Recut, o.Coalesce = seed%5 == 2, seed%6 == 4
	if seed%8 == 5 {
		o.SnapLen = 100
	}
	if seed%3 == 2 {
		first = 0.4 // it starts in the middle
	}
	return o, first
}

// Any number of workers tells the same records, whole, in the same order, on every run; and so does the long way.
func TestWorkersAgree(t *testing.T) {
	for seed := range 3 * *seeds {
		o, first := anyTraffic(seed)
		list, _ := made(t, o)
		list = list[int(float64(len(list))*first):]
		opts := dissect.Options{Timeout: []time.Duration{0, 300 * time.Millisecond, time.Second}[seed%3]}
		for i := range list { // clocks are coarse, too
			list[i].Time -= list[i].Time % []int64{1, 1e6, 1e9, 100e6}[seed%4]
		}
		want := everythingOf(t, list, analyze.Options{Workers: 1, Dissect: opts})
		if len(want) < 1000 {
			t.Fatalf("seed %d: only %q", seed, want)
		}
		for _, n := range []int{1, 2, 3, 8, 100} {
			if d := gocmp.Diff(want, everythingOf(t, list, analyze.Options{Workers: n, Dissect: opts})); d != "" {
				t.Fatalf("seed %d: %d workers tell something else than 1 (-1 +%d):\n%s", seed, n, n, d)
			}
		}
		opts.Thorough = true
		long := everythingOf(t, list, analyze.Options{Workers: 1, Dissect: opts})
		if d := gocmp.Diff(long, want); d != "" {
			t.Fatalf("seed %d: the short way concludes something else (-long +short):\n%s", seed, d)
		}
	}
}

// Where batches of packets end changes nothing: a pipe hands on one packet now, and hundreds then.
func TestBatchesDoNotMatter(t *testing.T) {
	for seed := range *seeds {
		o, first := anyTraffic(seed)
		list, _ := made(t, o)
		list = list[int(float64(len(list))*first):]
		want := everythingOf(t, list, analyze.Options{})
		r := rand.New(rand.NewPCG(seed, 3))
		for name, size := range map[string]func() int{"1": func() int { return 1 }, "any": func() int { return 1 + r.IntN(1+r.IntN(200)) }} {
			for _, n := range []int{1, 3} {
				if d := gocmp.Diff(want, everythingFrom(t, &packets{list: list, size: size}, analyze.Options{Workers: n})); d != "" {
					t.Fatalf("seed %d, %d workers, batches of %s (-64 +this):\n%s", seed, n, name, d)
				}
			}
		}
	}
}

// Packets from which nothing else follows tell the time, too, the last ones above all: what is due by then is told, by any number of workers,
// also where there are more connections to end than fit into the works that are on their way.
func TestLastPacketsTellTime(t *testing.T) {
	for seed := range *seeds {
		o, _ := anyTraffic(seed)
		o.Faults, o.FaultRate = simulate.FaultNames(), 0.2
		if seed == 1 {
			o.Connections, o.Requests, o.Spacing = 9000, 2, 1e5
		}
		list, _ := made(t, o)
		list = list[:len(list)*6/10]
		last := list[len(list)-1]
		for i := range int64(3) {
			p := capture.Packet{Number: last.Number + 1 + i, Time: last.Time + (20+40*i)*1e9, Link: last.Link, Data: make([]byte, 60), WireLen: 60}
			list = append(list, p)
		}
		want := everythingOf(t, list, analyze.Options{Workers: 1})
		if strings.Contains(want, "pending") || !strings.Contains(want, "no-response") {
			t.Fatalf("seed %d: requests are not given up", seed)
		}
		for _, n := range []int{2, 3, 8} {
			if d := gocmp.Diff(want, everythingOf(t, list, analyze.Options{Workers: n})); d != "" {
				t.Fatalf("seed %d: %d workers tell something else than 1 (-1 +%d):\n%s", seed, n, n, d)
			}
		}
		if d := gocmp.Diff(want, everythingFrom(t, &packets{list: list, size: func() int { return 1 }}, analyze.Options{Workers: 2})); d != "" {
			t.Fatalf("seed %d, batches of 1 (-64 +1):\n%s", seed, d)
		}
	}
}

// nothing is a sink that shows nothing.
type nothing struct{ frames int }

func (n *nothing) Frame(*dissect.Frame)           { n.frames++ }
func (*nothing) Transaction(*dissect.Transaction) {}
func (*nothing) Violation(*dissect.Violation)     {}
func (*nothing) Stream(*dissect.Stream)           {}

// What a packet costs beside what its connection does is little memory: less than one allocation for thirty packets.
func TestMemoryOfPackets(t *testing.T) {
	cost := func(requests int) (allocs, packetCount float64) {
		list, _ := made(t, simulate.Options{Connections: 10, Requests: requests, PayloadMax: 100, Interval: 20e6})
		var n nothing
		allocs = testing.AllocsPerRun(3, func() {
			n.frames = 0
			if _, err := analyze.Run(context.Background(), &packets{list: list}, analyze.Options{Workers: 1}, &n); err != nil {
				t.Fatal(err)
			}
		})
		if n.frames < 10*requests {
			t.Fatalf("only %d packets were found", n.frames)
		}
		return allocs, float64(len(list))
	}
	a, few := cost(1100) // more than are remembered
	b, many := cost(2200)
	if each := (b - a) / (many - few); each > 0.03 {
		t.Errorf("%.3f allocations a packet", each)
	}
}

// noted is a sink that only counts, but for notes.
type noted struct {
	nothing
	notes []string
}

func (n *noted) Count(*dissect.Counts) {}
func (n *noted) Note(x *dissect.Note) {
	n.notes = append(n.notes, fmt.Sprint(x.ID, x.Device, x.Time, x.Said()))
}

// Where packets are only counted, devices are listened to all the same.
func TestCountingHearsHeartbeats(t *testing.T) {
	list, _ := made(t, simulate.Options{Connections: 60, Requests: 60, Interval: 3000e6})
	var notes [2][]string
	for i, brief := range []bool{false, true} {
		var n noted
		if _, err := analyze.Run(context.Background(), &packets{list: list}, analyze.Options{Dissect: dissect.Options{Brief: brief}}, &n); err != nil {
			t.Fatal(err)
		}
		notes[i] = n.notes
	}
	if d := gocmp.Diff(notes[0], notes[1]); d != "" || len(notes[0]) < 10 {
		t.Errorf("%d notes; (-told +counted):\n%s", len(notes[0]), d)
	}
}
