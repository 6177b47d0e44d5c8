package export

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
)

var update = flag.Bool("update", false, "rewrite the golden files; read them before committing")

// render analyses a capture and writes it.
func render(t testing.TB, src capture.Source, o Options) string {
	t.Helper()
	var out bytes.Buffer
	w, err := New(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := analyze.Run(context.Background(), src, analyze.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Close(Totals{
		Name: "ticket.pcapng", Packets: r.Packets, TCPStreams: r.TCPStreams, NubisonStreams: r.NubisonStreams, First: r.First, Last: r.Last,
		Gaps: r.Gaps, Missing: r.Missing, Cut: r.Cut, OneSided: r.OneSided, Midstream: r.Midstream,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func open(t testing.TB, path string) capture.Source {
	t.Helper()
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

const session = "../testdata/session.pcapng"

func TestGolden(t *testing.T) {
	for name, o := range map[string]Options{
		"first-look.txt":      {Format: Table},
		"first-look-80.txt":   {Format: Table, Width: 80},
		"detail.txt":          {Format: Text, Detail: true, Hex: true},
		"detail-color.txt":    {Format: Text, Hex: true, Color: true},
		"first-look-160.txt":  {Format: Table, Width: 160},
		"first-look.md":       {Format: Markdown},
		"packets.txt":         {Format: Table, View: Packets},
		"packets-80.txt":      {Format: Table, View: Packets, Width: 80},
		"packets-160.txt":     {Format: Table, View: Packets, Width: 160},
		"transactions-80.txt": {Format: Table, View: Transactions, Width: 80},
		"violations.txt":      {Format: Table, View: Violations},
		"violations.md":       {Format: Markdown, View: Violations},
		"streams.txt":         {Format: Table, View: Streams},
		"all.txt":             {Format: Table, View: All},
		"lines.txt":           {Format: Text, View: All},
		"records.ndjson":      {Format: NDJSON},
		"summary.json":        {Format: JSON, View: Summary},
		"packets.csv":         {Format: CSV},
		"transactions.csv":    {Format: CSV, View: Transactions},
		"violations.csv":      {Format: CSV, View: Violations},
		"streams.csv":         {Format: CSV, View: Streams},
		"packets-secrets.csv": {Format: CSV, ShowSecrets: true},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, render(t, open(t, session), o)) })
	}
}

// A made-up crowd with every fault and a lossy capture: what a bad ticket looks like.
func TestGoldenTicket(t *testing.T) {
	var b bytes.Buffer
	err := simulate.Pcap(&b, simulate.Options{
		Seed: 3, Connections: 20, Requests: 15, PayloadMax: 300, Interval: 2e9, Spacing: 100e6, Loss: 0.005, SnapLen: 300,
		Faults: simulate.FaultNames(), FaultRate: 0.05,
	})
	if err != nil {
		t.Fatal(err)
	}
	src, err := capture.NewReader(&b, "ticket")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "ticket-80.txt", render(t, src, Options{Format: Table, Width: 80}))
}

// No line of a table is wider than the terminal.
func TestTablesFit(t *testing.T) {
	for _, width := range []int{80, 100, 120, 160, 200} {
		for _, v := range append(Views, Default) {
			for _, l := range strings.Split(render(t, open(t, session), Options{Format: Table, View: v, Width: width}), "\n") {
				if n := displayWidth(l); n > width {
					t.Errorf("width %d, view %q: %d columns: %s", width, v, n, l)
				}
			}
		}
	}
}

// displayWidth counts Korean letters as two columns.
func displayWidth(s string) (n int) {
	for _, r := range s {
		n++
		if unicode.Is(unicode.Hangul, r) {
			n++
		}
	}
	return n
}

func TestNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		t    Totals
		want string
	}{
		{"empty", Totals{Name: "x"}, "x: 0 packets.\nno NUBISON traffic in 0 packets: no TCP connections.\n"},
		{
			"others",
			Totals{Name: "x", Packets: 1204, TCPStreams: 3, Last: 1e9, OtherPorts: []PortCount{{443, 2}, {8883, 1}}},
			"no NUBISON traffic in 1,204 packets: 3 TCP connections, ports 443, 443, 8883; if the device uses one\nof them, force it with --port.\n",
		},
	} {
		var out bytes.Buffer
		w, err := New(&out, Options{Format: Table})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(c.t); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(out.String(), c.want) {
			t.Errorf("%s: got\n%s", c.name, out.String())
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain":            "plain",
		"온도 23.5":          "온도 23.5",
		"\x1b[31mred":      `\x1b[31mred`,
		"a\\b":             `a\\b`,
		"\xff\xfe":         `\xff\xfe`,
		"a\u202eb":         `a\xe2\x80\xaeb`,
		"\u0085\u200b\r\n": `\xc2\x85\xe2\x80\x8b\x0d\x0a`,
	} {
		if got := Escape([]byte(in)); got != want {
			t.Errorf("Escape(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestCells(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{fit("PRD00001", 8), "PRD00001"},
		{fit("PRD000011", 8), "PRD0000…"},
		{fit("온도센서", 5), "온도…"},
		{wrap("one two three", 7), "one two\nthree"},
		{wrap("온도센서온도센서", 7), "온도센\n서온도\n센서"},
		{wrap("first\n→ do this and that", 11), "first\n→ do this\n  and that"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	var out bytes.Buffer
	g := newGrid(&out, []column{{title: "A", width: 4}, {title: "B", width: 5}}, 40, false)
	g.row([]string{"longer", "x y z and so on"})
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	if want := "lon…"; !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s", out.String())
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[int64]string{
		0: "0 ns", 999: "999 ns", 1500: "1.50 µs", 25_300_000: "25.3 ms", 1_500_000_000: "1.50 s", 119e9: "119 s", 125e9: "2 min 5 s",
		7260e9: "2 h 1 min", -3_000_000: "-3.00 ms",
	} {
		if got := duration(ns); got != want {
			t.Errorf("duration(%d) = %q, want %q", ns, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	var few, many histogram
	for i := range int64(100) {
		few.add(i + 1)
	}
	for i := range int64(100_000) {
		many.add((i + 1) * 1000)
	}
	for _, p := range []struct {
		share float64
		want  int64
	}{{.5, 50}, {.9, 90}, {.99, 99}, {1, 100}} {
		if got := few.percentile(p.share); got != p.want {
			t.Errorf("percentile %v of 1…100 = %d, want %d", p.share, got, p.want)
		}
		got, want := many.percentile(p.share), p.want*1_000_000
		if got < want || got > want+want/50 {
			t.Errorf("percentile %v of many = %d, want about %d", p.share, got, want)
		}
	}
	if many.exact != nil || len(many.buckets) > 4096 {
		t.Errorf("the histogram keeps %d values and %d buckets", len(many.exact), len(many.buckets))
	}
}

func TestChecks(t *testing.T) {
	for _, o := range []Options{{Format: "xml"}, {Format: Table, View: "nothing"}, {Format: CSV, View: All}, {Format: CSV, View: Summary}} {
		if _, err := New(&bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// FuzzRecords dissects any bytes: each JSON record of them is valid, and no byte that a terminal would obey
// reaches any output.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("Lsession1client-client-clientsecret-secret-secretPRODUCT0\x03one"), []byte("Rsession1\x01tokentokentokentokentoke"))
	f.Add([]byte("Hbeat\x1b[3m\xfftokentokentokentokentoke\x03|\n\x00"), []byte("R\u202ebeatb\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, device, server []byte) {
		for _, format := range Formats {
			view := All
			if format == CSV {
				view = Packets
			}
			var out bytes.Buffer
			w, err := New(&out, Options{Format: format, View: view, ShowSecrets: len(device)%2 == 0})
			if err != nil {
				t.Fatal(err)
			}
			feed(w, device, server)
			if err := w.Close(Totals{Name: "x", Packets: 2, NubisonStreams: 1}); err != nil {
				t.Fatal(err)
			}
			check(t, format, out.Bytes())
		}
	})
}

func feed(w Writer, device, server []byte) {
	d := dissect.New(dissect.Options{Ports: dissect.Ports{{From: 0, To: 65535}}}, w)
	heard := [2]int64{1, 1}
	c := new(dissect.Dialogue)
	d.Open(c, &dissect.Opening{
		Addr:   [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:4000"), netip.MustParseAddrPort("[fd00::1]:9000")},
		Opener: true, FromStart: [2]bool{true, true}, Heard: &heard,
	})
	d.Bytes(c, 0, device, &dissect.Part{Packet: 1, Push: true})
	d.Bytes(c, 1, server, &dissect.Part{Packet: 2, Time: 1e6, Push: true})
	d.End(c, 0, dissect.EndFIN, 2e6)
	d.End(c, 1, dissect.EndFIN, 2e6)
	d.Close()
}

func check(t *testing.T, format Format, b []byte) {
	t.Helper()
	if !utf8.Valid(b) {
		t.Fatalf("%s is not UTF-8: %q", format, b)
	}
	for _, r := range string(b) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%s has %U: %q", format, r, b)
		}
	}
	switch format {
	case JSON:
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
	case NDJSON:
		for _, l := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
			if !json.Valid(l) {
				t.Fatalf("not JSON: %s", l)
			}
		}
	}
}

func BenchmarkNDJSON(b *testing.B) { benchmark(b, NDJSON) }
func BenchmarkText(b *testing.B)   { benchmark(b, Text) }

func benchmark(b *testing.B, format Format) {
	k := kept(b)
	w, err := New(discard{}, Options{Format: format})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.Frame(k.frames[i%len(k.frames)])
	}
}

// kept are the packets of a session.
func kept(t testing.TB) (k keep) {
	if _, err := analyze.Run(context.Background(), open(t, session), analyze.Options{}, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// A line costs no memory of its own.
func TestLinesAllocateNothing(t *testing.T) {
	k := kept(t)
	for _, format := range []Format{NDJSON, Text} {
		w, err := New(discard{}, Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		all := func() {
			for _, f := range k.frames {
				if len(f.Violations) == 0 && f.Letter != 'L' {
					w.Frame(f)
				}
			}
		}
		if n := testing.AllocsPerRun(50, all); n > 0.2*float64(len(k.frames)) || len(k.frames) < 5 {
			t.Errorf("%s: %.1f allocations for %d packets", format, n, len(k.frames))
		}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

type keep struct{ frames []*dissect.Frame }

func (k *keep) Frame(f *dissect.Frame)         { k.frames = append(k.frames, f.Clone()) }
func (*keep) Transaction(*dissect.Transaction) {}
func (*keep) Violation(*dissect.Violation)     {}
func (*keep) Stream(*dissect.Stream)           {}
