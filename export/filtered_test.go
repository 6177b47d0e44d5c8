package export

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/filter"
	"github.com/nubishark/nubishark/internal/simulate"
)

func compiled(t *testing.T, expr string) *filter.Filter {
	t.Helper()
	f, err := filter.Compile(expr, FilterFields())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// filtered writes what fits as lines.
func filtered(t *testing.T, path, expr string) string {
	t.Helper()
	var out bytes.Buffer
	w, err := New(&out, Options{Format: NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	f := NewFiltered(w, compiled(t, expr))
	if _, err := analyze.Run(context.Background(), open(t, path), analyze.Options{}, f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(Totals{}); err != nil {
		t.Fatal(err)
	}
	all, _, _ := strings.Cut(out.String(), `{"record":"summary"`)
	return all
}

// What fits everything shows everything, in the same order, whether it has to wait for answers or not.
func TestFilteredKeepsTheOrder(t *testing.T) {
	path := written(t, simulate.Options{Seed: 1, Connections: 8, Requests: 20, Interval: 300e6, Spacing: 10e6, Faults: simulate.FaultNames(), FaultRate: 0.2, Loss: 0.02})
	var out bytes.Buffer
	w, _ := New(&out, Options{Format: NDJSON})
	if _, err := analyze.Run(context.Background(), open(t, path), analyze.Options{}, w); err != nil {
		t.Fatal(err)
	}
	w.Close(Totals{})
	want, _, _ := strings.Cut(out.String(), `{"record":"summary"`)
	for _, expr := range []string{"nubison", "nubison.unanswered or not nubison.unanswered"} {
		if got := filtered(t, path, expr); got != want {
			t.Errorf("%s: %d bytes, want %d", expr, len(got), len(want))
		}
	}
}

// An answer that never comes does not hold up more than a bounded number of records.
func TestFilteredIsBounded(t *testing.T) {
	var out bytes.Buffer
	w, _ := New(&out, Options{Format: NDJSON})
	s := NewFiltered(w, compiled(t, "not nubison.unanswered"))
	c := &dissect.Conn{}
	for i := int64(1); i <= 3*maxHeld; i++ {
		s.Frame(&dissect.Frame{Number: i, Conn: c, Letter: 'H', Packets: []int64{i}, Transaction: i})
	}
	if n := len(s.queue) - s.first; n > maxHeld || len(s.frames) != n || cap(s.queue) > 8*maxHeld {
		t.Errorf("%d records wait, %d packets by number, room for %d", n, len(s.frames), cap(s.queue))
	}
	if s.Packets != 2*maxHeld {
		t.Errorf("%d packets were shown", s.Packets)
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, n := range []int64{3, 5, 64, windowSize, windowSize + 4, 5 * windowSize} {
		w.add(n)
		if !w.has(n) || w.has(n+1) || w.has(n-1) && n != 4 {
			t.Errorf("after %d: %v %v %v", n, w.has(n-1), w.has(n), w.has(n+1))
		}
		if n == windowSize+4 && (w.has(3) || w.has(4) || !w.has(5) || !w.has(windowSize)) {
			t.Error("what left the window is still in it, or what is in it is not")
		}
	}
}

// written makes a capture file.
func written(t *testing.T, o simulate.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pcap")
	if err := simulate.PcapFile(path, o); err != nil {
		t.Fatal(err)
	}
	return path
}
