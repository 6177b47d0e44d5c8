package analyze_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/protocol"
)

// seeds is how often each property is tried; more find more.
var seeds = flag.Uint64("seeds", 20, "seeds that property tests try")

// packets is a capture in memory: a PacketWriter and a Source.
type packets struct {
	list []capture.Packet
	at   int
	size func() int // of the next batch, 64 if it is nil
}

func (p *packets) Write(x capture.Packet) error {
	x.Data = slices.Clone(x.Data)
	x.Number = int64(len(p.list) + 1)
	p.list = append(p.list, x)
	return nil
}

func (p *packets) Next(b *capture.Batch) error {
	b.Data, b.Refs = b.Data[:0], b.Refs[:0]
	size := 64
	if p.size != nil {
		size = p.size()
	}
	for p.at < len(p.list) && len(b.Refs) < size {
		b.Add(p.list[p.at])
		p.at++
	}
	if len(b.Refs) == 0 {
		return io.EOF
	}
	return nil
}

func (p *packets) Stats() capture.Stats { return capture.Stats{} }
func (p *packets) Close() error         { return nil }

// facts are what a run concluded, or what it should: one line each.
type facts struct {
	frames, transactions, violations []string
	whole                            map[string]bool // of the truth: frames that were captured whole
}

func (f *facts) sort() *facts {
	slices.Sort(f.frames)
	slices.Sort(f.transactions)
	slices.Sort(f.violations)
	return f
}

func (f *facts) Frame(x *dissect.Frame) {
	f.frames = append(f.frames, fmt.Sprintf("%d %v %d: %c %s %d", x.Conn.Stream, x.From, x.Offset, x.Letter, x.SessionID, x.Length))
}

func (f *facts) Transaction(x *dissect.Transaction) {
	f.transactions = append(f.transactions, fmt.Sprintf("%d %s %v: %s", x.Conn.Stream, x.SessionID, x.From, x.State))
}

func (f *facts) Violation(x *dissect.Violation) {
	if x.Rule.Severity != protocol.Note {
		f.violations = append(f.violations, fmt.Sprintf("%d %v %d: %s", x.Conn.Stream, x.From, x.Offset, x.Rule.ID))
	}
}

func (f *facts) Stream(*dissect.Stream) {}

func (f *facts) take(t *simulate.Truth) {
	for _, x := range t.Frames {
		s := fmt.Sprintf("%d %v %d: %c %s %d", x.Stream, x.From, x.Offset, x.Letter, x.SessionID, x.Length)
		f.frames = append(f.frames, s)
		f.whole[s] = !x.Lost
	}
	for _, x := range t.Transactions {
		f.transactions = append(f.transactions, fmt.Sprintf("%d %s %v: %s", x.Stream, x.SessionID, x.From, x.State))
	}
	for _, x := range t.Violations {
		f.violations = append(f.violations, fmt.Sprintf("%d %v %d: %s", x.Stream, x.From, x.Offset, x.ID))
	}
}

// simulated makes a capture and analyses it.
func simulated(t testing.TB, o simulate.Options) (got, want *facts) {
	t.Helper()
	var p packets
	want = &facts{whole: map[string]bool{}}
	if _, err := simulate.Generate(&p, o, want.take); err != nil {
		t.Fatal(err)
	}
	got = &facts{}
	if _, err := analyze.Run(context.Background(), &p, analyze.Options{}, got); err != nil {
		t.Fatal(err)
	}
	return got.sort(), want.sort()
}

func (f *facts) diff(t *testing.T, seed uint64, got *facts) {
	t.Helper()
	for _, x := range []struct {
		name      string
		want, got []string
	}{{"frames", f.frames, got.frames}, {"transactions", f.transactions, got.transactions}, {"violations", f.violations, got.violations}} {
		if d := gocmp.Diff(x.want, x.got); d != "" {
			t.Errorf("seed %d: %s (-want +got):\n%s", seed, x.name, d)
		}
	}
}

var crowd = simulate.Options{
	Connections: 40, Requests: 25, PayloadMax: 900, Spacing: 50e6, Interval: 400e6,
}

func TestCleanTraffic(t *testing.T) {
	for seed := range *seeds {
		o := crowd
		o.Seed = seed
		o.V6 = seed%2 == 1
		got, want := simulated(t, o)
		want.diff(t, seed, got)
	}
}

func TestEachFault(t *testing.T) {
	for _, fault := range simulate.FaultNames() {
		t.Run(fault, func(t *testing.T) {
			for seed := range *seeds {
				o := crowd
				o.Seed, o.Faults, o.FaultRate = seed, []string{fault}, 0.2
				got, want := simulated(t, o)
				want.diff(t, seed, got)
				if !slices.ContainsFunc(want.violations, func(s string) bool { return s[len(s)-len(fault):] == fault }) {
					t.Errorf("no %s was made", fault)
				}
			}
		})
	}
}

// Where TCP cuts the bytes, and in which order they are captured, changes nothing.
func TestSegmentationIsNoEvidence(t *testing.T) {
	network := map[string]func(*simulate.Options){
		"recut":     func(o *simulate.Options) { o.Recut = true },
		"coalesced": func(o *simulate.Options) { o.Coalesce = true },
		"reordered": func(o *simulate.Options) { o.Reorder = 0.2 },
		"repeated":  func(o *simulate.Options) { o.Duplicate = 0.2 },
		"all":       func(o *simulate.Options) { o.Recut, o.Coalesce, o.Reorder, o.Duplicate = true, true, 0.2, 0.2 },
	}
	for name, change := range network {
		t.Run(name, func(t *testing.T) {
			for seed := range *seeds {
				o := crowd
				o.Seed = seed
				if seed%2 == 1 && name != "all" && name != "reordered" {
					o.Faults, o.FaultRate = simulate.FaultNames(), 0.1
				}
				change(&o)
				got, want := simulated(t, o)
				want.diff(t, seed, got)
			}
		})
	}
}

// Whatever the capture loses, nobody is accused of what is not true, and what was captured whole is
// found.
func TestLossAccusesNobody(t *testing.T) {
	for _, loss := range []float64{0.02, 0.1} {
		whole, missed := 0, 0
		for seed := range *seeds {
			o := crowd
			o.Seed, o.Loss = seed, loss
			if seed%2 == 1 {
				o.Faults, o.FaultRate = simulate.FaultNames(), 0.05
			}
			got, want := simulated(t, o)
			for _, v := range got.violations {
				if _, there := slices.BinarySearchFunc(want.violations, v, cmp.Compare[string]); !there {
					t.Errorf("loss %v, seed %d: accused falsely: %s", loss, seed, v)
				}
			}
			for f, w := range want.whole {
				if !w {
					continue
				}
				whole++
				if _, there := slices.BinarySearch(got.frames, f); !there {
					missed++
					t.Logf("loss %v, seed %d: missed %s", loss, seed, f)
				}
			}
		}
		t.Logf("loss %v: missed %d of %d", loss, missed, whole)
		if float64(missed) > float64(whole)*loss*0.05 {
			t.Errorf("loss %v: missed %d of %d packets that were captured whole", loss, missed, whole)
		}
	}
}

// made makes packets and the truth about them.
func made(t testing.TB, o simulate.Options) ([]capture.Packet, *facts) {
	t.Helper()
	var p packets
	want := &facts{whole: map[string]bool{}}
	if _, err := simulate.Generate(&p, o, want.take); err != nil {
		t.Fatal(err)
	}
	return p.list, want.sort()
}

func analysed(t testing.TB, list []capture.Packet) *facts {
	t.Helper()
	got := &facts{}
	if _, err := analyze.Run(context.Background(), &packets{list: list}, analyze.Options{}, got); err != nil {
		t.Fatal(err)
	}
	return got.sort()
}

// Wherever a capture ends or starts, and whichever packet it lacks, nobody is accused of what is not true.
func TestEveryCutAndEveryLoss(t *testing.T) {
	for seed := range *seeds {
		o := simulate.Options{Seed: seed, Connections: 2, Requests: 12, PayloadMax: 200, Spacing: 100e6, Interval: 200e6, Recut: seed%2 == 1}
		if seed%4 >= 2 {
			o.Faults, o.FaultRate = simulate.FaultNames(), 0.1
		}
		list, want := made(t, o)
		for i := range list {
			for name, part := range map[string][]capture.Packet{
				"ends before": list[:i], "starts at": list[i:], "lacks": slices.Concat(list[:i], list[i+1:]),
			} {
				got := analysed(t, part)
				for _, v := range got.violations {
					if _, there := slices.BinarySearch(want.violations, v); !there && name != "starts at" {
						t.Errorf("seed %d, the capture %s packet %d: accused falsely: %s", seed, name, i+1, v)
					}
				}
				if name == "starts at" && len(want.violations) == 0 && len(got.violations) > 0 {
					t.Errorf("seed %d, the capture %s packet %d: accused falsely: %s", seed, name, i+1, got.violations)
				}
			}
		}
	}
}
