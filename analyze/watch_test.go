package analyze_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/export"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/protocol"
)

// feed plays packets as an interface would: each when it is time, and nothing in between. Its clock is that of the test.
type feed struct {
	list    []capture.Packet
	at      int
	now     time.Time
	start   int64
	end     time.Duration // after the last packet
	setBack int           // behind so many packets the system's clock is an hour less, if it is not 0
	stopped bool
}

func (f *feed) Now() time.Time { return f.now }
func (f *feed) Stop()          { f.stopped = true }
func (f *feed) Stats() capture.Stats {
	return capture.Stats{Known: true, Received: uint64(f.at)}
}

func (f *feed) Next(b *capture.Batch, wait time.Duration) error {
	b.Data, b.Refs = b.Data[:0], b.Refs[:0]
	if f.stopped {
		return io.EOF
	}
	f.now = f.now.Add(wait)
	elapsed := int64(f.now.Sub(time.Time{}))
	if f.at == len(f.list) && elapsed > f.list[f.at-1].Time-f.start+int64(f.end) {
		return io.EOF
	}
	for f.at < len(f.list) && f.list[f.at].Time-f.start <= elapsed {
		p := f.list[f.at]
		f.at++
		if f.setBack > 0 && f.at > f.setBack {
			p.Time -= 3600e9
		}
		p.Number = int64(f.at)
		b.Add(p)
	}
	if len(b.Refs) == 0 {
		return capture.ErrIdle
	}
	return nil
}

// played makes a feed of synthetic traffic.
func played(t *testing.T, o simulate.Options) *feed {
	t.Helper()
	var list packets
	if _, err := simulate.Generate(&list, o, nil); err != nil {
		t.Fatal(err)
	}
	return &feed{list: list.list, start: list.list[0].Time, end: 40 * time.Second}
}

// records writes all records of a run.
func records(t *testing.T, run func(export.Writer) (analyze.Result, error)) string {
	t.Helper()
	var out bytes.Buffer
	w, err := export.New(&out, export.Options{Format: export.NDJSON})
	if err != nil {
		t.Fatal(err)
	}
	res, err := run(w)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(export.Totals{Packets: res.Packets, Received: res.Capture.Received}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Whatever pauses there are, the file that a live run wrote gives the records of the run, and the run told of each silence in time.
func TestWatchEqualsItsFile(t *testing.T) {
	for seed := range uint64(4) {
		o := simulate.Options{
			Seed: seed + 1, Connections: 8, Requests: 12, PayloadMax: 200, Interval: 20e9, Spacing: 5e9, Loss: 0.05, Reorder: 0.1, Duplicate: 0.1,
			Faults: simulate.FaultNames(), FaultRate: 0.2,
		}
		f := played(t, o)
		f.list = f.list[:len(f.list)*2/3] // connections are open, and nothing comes any more
		if seed%2 == 1 {                  // but packets of another protocol, and no moment without them
			last := f.list[len(f.list)-1]
			for i := range int64(1000) {
				f.list = append(f.list, capture.Packet{Number: last.Number + 1 + i, Time: last.Time + (1+i)*40e6, Link: 1, Data: make([]byte, 60), WireLen: 60})
			}
			f.end = 0
		}
		path := filepath.Join(t.TempDir(), "x.pcapng")
		rec, err := capture.CreateFiles(path, capture.Rotation{}, []capture.Interface{{Name: "test0", Link: 1}})
		if err != nil {
			t.Fatal(err)
		}
		live := records(t, func(w export.Writer) (analyze.Result, error) {
			return analyze.Watch(context.Background(), f, analyze.Watching{Recorder: rec, Now: f.Now}, w)
		})
		rec.Stats = func(int) capture.Stats { return f.Stats() }
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		read := records(t, func(w export.Writer) (analyze.Result, error) {
			src, err := capture.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			return analyze.Run(context.Background(), src, analyze.Options{}, w)
		})
		if d := gocmp.Diff(live, read); d != "" {
			t.Errorf("seed %d: -live +file\n%s", seed, d[:min(len(d), 3000)])
		}
		if strings.Contains(live, `"state":"pending"`) {
			t.Errorf("seed %d: a request waits after 40 s of silence:\n%s", seed, live)
		}
	}
}

// full is a recorder that fails after a while.
type full struct{ left int }

func (r *full) Write(capture.Packet) error {
	if r.left--; r.left < 0 {
		return errors.New("disk full")
	}
	return nil
}
func (*full) Mark(int64) error { return nil }
func (*full) Flush() error     { return nil }

// A recorder that fails is told of once, and the analysis goes on.
func TestWatchGoesOnWithoutItsRecorder(t *testing.T) {
	f := played(t, simulate.Options{Seed: 1, Connections: 2, Requests: 5, Interval: 1e9, Spacing: 1e9})
	var told []error
	w := analyze.Watching{Recorder: &full{left: 3}, Failed: func(err error) { told = append(told, err) }, Now: f.Now}
	var all analyze.Tee
	res, err := analyze.Watch(context.Background(), f, w, all)
	if err != nil || len(told) != 1 || res.Packets != int64(len(f.list)) {
		t.Errorf("%v, told %v, %d of %d packets", err, told, res.Packets, len(f.list))
	}
}

// A clock that steps back while capturing loses nothing.
func TestWatchClockStepsBack(t *testing.T) {
	f := played(t, simulate.Options{Seed: 1, Connections: 3, Requests: 10, Interval: 1e9, Spacing: 1e9})
	want := records(t, func(w export.Writer) (analyze.Result, error) {
		return analyze.Watch(context.Background(), f, analyze.Watching{Now: f.Now}, w)
	})
	f = played(t, simulate.Options{Seed: 1, Connections: 3, Requests: 10, Interval: 1e9, Spacing: 1e9})
	for i := range f.list[len(f.list)/2:] {
		f.list[len(f.list)/2+i].Time -= 3600e9
	}
	got := records(t, func(w export.Writer) (analyze.Result, error) {
		return analyze.Watch(context.Background(), f, analyze.Watching{Now: f.Now}, w)
	})
	if a, b := strings.Count(want, `"record":"frame"`), strings.Count(got, `"record":"frame"`); a != b || strings.Contains(got, `"record":"violation"`) {
		t.Errorf("%d frames instead of %d:\n%s", b, a, got)
	}
}

// A limit of packets ends the feed, too.
func TestWatchLimit(t *testing.T) {
	f := played(t, simulate.Options{Seed: 1, Connections: 2, Requests: 5, Interval: 1e9, Spacing: 1e9})
	asked := make(chan struct{}, 1)
	asked <- struct{}{}
	answers := 0
	w := analyze.Watching{Options: analyze.Options{MaxPackets: 7}, Now: f.Now, Asked: asked, Answer: func(analyze.Result) { answers++ }}
	res, err := analyze.Watch(context.Background(), f, w, analyze.Tee{})
	if err != nil || res.Packets != 7 || !f.stopped || answers != 1 {
		t.Errorf("%v, %d packets, stopped %v, %d answers", err, res.Packets, f.stopped, answers)
	}
}

// The black box writes the packets of the connection that something happened on, from before until after, and no more files
// than asked for.
func TestBlackBox(t *testing.T) {
	dir := t.TempDir()
	var names []string
	box := &analyze.BlackBox{
		Path: filepath.Join(dir, "x.pcapng"), Interfaces: []capture.Interface{{Name: "test0", Link: 1}}, Before: 2e9, After: 1e9, Files: 2,
		Wants: func(v *dissect.Violation) bool { return v.Rule == protocol.StrayBytes },
		Wrote: func(name string, err error) {
			if err != nil {
				t.Error(err)
			}
			names = append(names, name)
		},
	}
	f := played(t, simulate.Options{Seed: 2, Connections: 5, Requests: 30, Interval: 2e9, Spacing: 1e9, Faults: []string{"stray-bytes"}, FaultRate: 0.1})
	if _, err := analyze.Watch(context.Background(), f, analyze.Watching{Now: f.Now, Tap: box.Tap, Idle: box.Idle}, box); err != nil {
		t.Fatal(err)
	}
	box.Close()
	if len(names) < 3 || !strings.HasSuffix(names[0], "_stray-bytes.pcapng") {
		t.Fatalf("files: %v", names)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(kept, names[len(names)-2:]) {
		t.Errorf("kept %v of %v", kept, names)
	}
	raw, err := os.ReadFile(kept[0])
	if err != nil || !bytes.Contains(raw, []byte("stray-bytes (error): ")) {
		t.Errorf("no comment, %v", err)
	}
	src, err := capture.Open(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	first := int64(0)
	got := records(t, func(w export.Writer) (analyze.Result, error) {
		res, err := analyze.Run(context.Background(), src, analyze.Options{}, w)
		if res.TCPStreams != 1 {
			t.Errorf("%d connections", res.TCPStreams)
		}
		first = res.First
		return res, err
	})
	_, when, _ := strings.Cut(got, `"id":"stray-bytes"`)
	_, when, _ = strings.Cut(when, `"time":"`)
	at, err := time.Parse(time.RFC3339Nano, when[:strings.Index(when, `"`)])
	if before := at.UnixNano() - first; err != nil || before > 2.1e9 || before < 0 {
		t.Errorf("the file starts %d ms before, %v", before/1e6, err)
	}
	if !strings.Contains(got, `"id":"stray-bytes"`) {
		t.Errorf("what happened is not in the file:\n%s", got)
	}
}

// A clock that is set back while capturing loses nothing and accuses nobody.
func TestWatchClockSetBack(t *testing.T) {
	o := simulate.Options{Seed: 1, Connections: 4, Requests: 20, Interval: 4e9, Spacing: 1e9}
	run := func(setBack int) string {
		f := played(t, o)
		f.setBack = setBack
		return records(t, func(w export.Writer) (analyze.Result, error) {
			return analyze.Watch(context.Background(), f, analyze.Watching{Now: f.Now}, w)
		})
	}
	want := strings.Count(run(0), `"record":"frame"`)
	for _, at := range []int{20, 150, 300} {
		got := run(at)
		if n := strings.Count(got, `"record":"frame"`); n != want || want < 150 || strings.Contains(got, `"record":"violation"`) {
			t.Errorf("set back behind packet %d: %d of %d frames:\n%s", at, n, want, got)
		}
		if !strings.Contains(got, `"id":"preflight-backwards"`) {
			t.Error("nothing says that time went back")
		}
	}
}

// A clock that is set back does not blind the black box.
func TestBlackBoxClockSetBack(t *testing.T) {
	var names []string
	box := &analyze.BlackBox{
		Path: filepath.Join(t.TempDir(), "x.pcapng"), Before: 3e9, After: 1e9, Late: 35e9,
		Wants: func(v *dissect.Violation) bool { return v.Rule == protocol.StrayBytes },
		Wrote: func(name string, err error) {
			if err != nil {
				t.Error(err)
			}
			names = append(names, name)
		},
	}
	f := played(t, simulate.Options{Seed: 2, Connections: 6, Requests: 60, Interval: 1e9, Faults: []string{"stray-bytes"}, FaultRate: 0.1})
	f.setBack = len(f.list) / 3
	if _, err := analyze.Watch(context.Background(), f, analyze.Watching{Now: f.Now, Tap: box.Tap, Idle: box.Idle}, box); err != nil {
		t.Fatal(err)
	}
	box.Close()
	if len(names) < 10 {
		t.Fatalf("%d files", len(names))
	}
	for _, name := range names {
		src, err := capture.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got := records(t, func(w export.Writer) (analyze.Result, error) {
			return analyze.Run(context.Background(), src, analyze.Options{}, w)
		})
		raw, err := os.ReadFile(name)
		if n := strings.Count(got, `"record":"frame"`); err != nil || n < 3 || n > 40 || !bytes.Contains(raw, []byte("stray-bytes (error): ")) {
			t.Errorf("%s: %d frames, %v", name, n, err)
		}
	}
}

// What is found out long after, as that an answer is missing, is in the file with what came before it.
func TestBlackBoxLate(t *testing.T) {
	dir := t.TempDir()
	var names []string
	box := &analyze.BlackBox{
		Path: filepath.Join(dir, "x.pcapng"), Before: 1e9, After: 1e9, Late: 31e9,
		Wants: func(v *dissect.Violation) bool { return v.Rule == protocol.NoResponse },
		Wrote: func(name string, _ error) { names = append(names, name) },
	}
	o := simulate.Options{Seed: 2, Connections: 1, Requests: 60, Interval: 2e9, Spacing: 1e9, Faults: []string{"no-response"}, FaultRate: 0.2}
	f := played(t, o)
	if _, err := analyze.Watch(context.Background(), f, analyze.Watching{Now: f.Now, Tap: box.Tap, Idle: box.Idle}, box); err != nil {
		t.Fatal(err)
	}
	box.Close()
	if len(names) == 0 {
		t.Fatal("no file")
	}
	raw, err := os.ReadFile(names[0])
	if err != nil || !bytes.Contains(raw, []byte("no-response (warning): ")) {
		t.Errorf("the request is not there with its comment, %v", err)
	}
}
