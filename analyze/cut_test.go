package analyze_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
)

// unnumbered keeps the records of some connections as lines without the numbers that depend on the others.
type unnumbered struct {
	wanted func(*dissect.Conn) bool
	lines  []string
}

func (u *unnumbered) add(c *dissect.Conn, format string, args ...any) {
	if u.wanted == nil || u.wanted(c) {
		u.lines = append(u.lines, fmt.Sprint(c.Addr)+fmt.Sprintf(format, args...))
	}
}

func (u *unnumbered) Frame(f *dissect.Frame) {
	u.add(f.Conn, "frame %d %s %d+%d %x %d", f.Time, f.From, f.Offset, f.Length, f.Raw, f.Missing)
}

func (u *unnumbered) Transaction(t *dissect.Transaction) {
	u.add(t.Conn, "transaction %c %s %x %d %d %s", t.Letter+'.', t.State, t.SessionID, t.RequestTime, t.ResponseTime, t.Device)
}

func (u *unnumbered) Violation(v *dissect.Violation) {
	u.add(v.Conn, "violation %s %s %d+%d %d %s", v.Rule.ID, v.BlameName(), v.Offset, v.Length, v.Time, v.Reason)
}

func (u *unnumbered) Stream(s *dissect.Stream) {
	u.add(s.Conn, "stream %d %d %s %d %d %d", s.Start, s.End, s.State, s.Frames, s.Violations, s.Missing)
}

// sink hands records to two sinks, the second for some connections only.
type onlyTo struct {
	analyze.Tee
	wanted func(*dissect.Conn) bool
}

func (o onlyTo) Frame(f *dissect.Frame) {
	if o.wanted(f.Conn) {
		o.Tee.Frame(f)
	}
}

func (o onlyTo) Transaction(t *dissect.Transaction) {
	if o.wanted(t.Conn) {
		o.Tee.Transaction(t)
	}
}

func (o onlyTo) Violation(v *dissect.Violation) {
	if o.wanted(v.Conn) {
		o.Tee.Violation(v)
	}
}

func (o onlyTo) Stream(s *dissect.Stream) {
	if o.wanted(s.Conn) {
		o.Tee.Stream(s)
	}
}

// A cut-out of whole connections gives the records that they had among the others.
func TestCutRereadsTheSame(t *testing.T) {
	for seed := range *seeds {
		o := simulate.Options{
			Seed: seed + 1, Connections: 12, Requests: 10, PayloadMax: 3000, Interval: 1e9, Spacing: 100e6, Loss: 0.05, Reorder: 0.1, Duplicate: 0.1,
			Recut: seed%2 == 1, V6: seed%3 == 1, Faults: simulate.FaultNames(), FaultRate: 0.2,
		}
		var list packets
		if _, err := simulate.Generate(&list, o, nil); err != nil {
			t.Fatal(err)
		}
		wanted := func(c *dissect.Conn) bool { return c.Stream%3 == 0 }
		shown, before := &analyze.Shown{}, &unnumbered{}
		if _, err := analyze.Run(context.Background(), &packets{list: list.list}, analyze.Options{}, onlyTo{analyze.Tee{shown, before}, wanted}); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		w := capture.NewPcapngWriter(&file)
		n, err := analyze.Cut(context.Background(), &packets{list: list.list}, analyze.Options{}, shown, -1, w)
		if err != nil || w.Close() != nil || n == 0 || n == int64(len(list.list)) {
			t.Fatalf("%d of %d packets, %v", n, len(list.list), err)
		}
		src, err := capture.NewReader(bytes.NewReader(file.Bytes()), "cut")
		if err != nil {
			t.Fatal(err)
		}
		after := &unnumbered{}
		if _, err := analyze.Run(context.Background(), src, analyze.Options{}, after); err != nil {
			t.Fatal(err)
		}
		// The capture's clock moves with the packets of others, too: what it settles may come in another order.
		slices.Sort(before.lines)
		slices.Sort(after.lines)
		if d := gocmp.Diff(before.lines, after.lines); d != "" {
			t.Errorf("seed %d: -before +cut\n%s", seed, d[:min(len(d), 2000)])
		}
	}
}

// With a context, only the packets that carried what was shown are copied, and those around them.
func TestCutWithContext(t *testing.T) {
	var list packets
	if _, err := simulate.Generate(&list, simulate.Options{Seed: 1, Connections: 3, Requests: 5, Interval: 1e9, Spacing: 1e6}, nil); err != nil {
		t.Fatal(err)
	}
	shown := &analyze.Shown{}
	first := func(f *dissect.Frame) bool { return f.Conn.Stream == 1 && f.Letter == 'L' }
	var login int64
	if _, err := analyze.Run(context.Background(), &packets{list: list.list}, analyze.Options{}, framesOnly{func(f *dissect.Frame) {
		if first(f) {
			shown.Frame(f)
			login = f.Packets[0]
		}
	}}); err != nil {
		t.Fatal(err)
	}
	for around, want := range map[int]int64{0: 1, 2: 5} {
		var file bytes.Buffer
		w := capture.NewPcapngWriter(&file)
		n, err := analyze.Cut(context.Background(), &packets{list: list.list}, analyze.Options{}, shown, around, w)
		if err != nil || n != want {
			t.Errorf("context %d: %d packets, %v", around, n, err)
		}
		if err := w.Close(); err != nil || !bytes.Contains(file.Bytes(), list.list[login-1].Data) {
			t.Errorf("context %d: the login is not there, %v", around, err)
		}
	}
}

type framesOnly struct{ do func(*dissect.Frame) }

func (f framesOnly) Frame(x *dissect.Frame)         { f.do(x) }
func (framesOnly) Transaction(*dissect.Transaction) {}
func (framesOnly) Violation(*dissect.Violation)     {}
func (framesOnly) Stream(*dissect.Stream)           {}

// Violations stand beside their packets, and interfaces keep their names.
func TestCutKeepsInterfacesAndComments(t *testing.T) {
	path := "../testdata/session.pcapng"
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := &analyze.Shown{}
	if _, err := analyze.Run(context.Background(), src, analyze.Options{}, shown); err != nil {
		t.Fatal(err)
	}
	if src, err = capture.Open(path); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w := capture.NewPcapngWriter(&file)
	if _, err := analyze.Cut(context.Background(), src, analyze.Options{}, shown, -1, w); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	r, err := capture.NewReader(bytes.NewReader(file.Bytes()), "cut")
	if err != nil {
		t.Fatal(err)
	}
	var b capture.Batch
	for r.Next(&b) == nil {
		continue
	}
	if list := r.Interfaces(); len(list) != 1 || list[0].Name != "lo" {
		t.Errorf("%+v", list)
	}
	if n := strings.Count(file.String(), "short-packet (error): "); n != 2 {
		t.Errorf("%d comments", n)
	}
}
