package export

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/protocol"
)

// wrote is what a writer of a format made of records; sink may put something in front of it.
func wrote(t *testing.T, o Options, totals Totals, sink func(Writer) Writer, tell func(Writer)) string {
	t.Helper()
	var out bytes.Buffer
	w, err := New(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	if sink != nil {
		w = sink(w)
	}
	tell(w)
	if err := w.Close(totals); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A note on the capture is told as a line and a record, with what it may explain, whatever is selected; the first look says it
// at its top, and not among the devices.
func TestCaptureNotes(t *testing.T) {
	stream := 0
	gap := &dissect.Note{ID: "preflight-gap", Count: 2, Packet: 9, Stream: &stream, Message: "7 bytes never captured, in 2 gaps"}
	dropped := &dissect.Note{
		ID: "preflight-dropped", Count: 1234, Message: "1,234 packets dropped while capturing",
		Doubtful: []dissect.RuleCount{{Rule: protocol.ShortPacket, Count: 1}, {Rule: protocol.NoResponse, Count: 2000}},
	}
	const json = `{"record":"note","id":"preflight-dropped","blame":"capture","count":1234,"doubtful":{"short-packet":1,"no-response":2000},"message":"1,234 packets dropped while capturing"}
{"record":"note","id":"preflight-gap","blame":"capture","count":2,"packet":9,"stream":0,"message":"7 bytes never captured, in 2 gaps"}
{"record":"summary"`
	for name, sink := range map[string]func(Writer) Writer{
		"all":      nil,
		"selected": func(w Writer) Writer { return &Selection{Writer: w, Device: "P_x", Streams: []int{3}} },
		"filtered": func(w Writer) Writer { return NewFiltered(w, compiled(t, `nubison.type == "D"`)) },
		"awaited":  func(w Writer) Writer { return NewFiltered(w, compiled(t, `nubison.unanswered`)) },
	} {
		t.Run(name, func(t *testing.T) {
			tell := func(w Writer) {
				w.(dissect.NoteSink).Note(dropped)
				w.(dissect.NoteSink).Note(gap)
			}
			if got := wrote(t, Options{Format: NDJSON}, Totals{}, sink, tell); !strings.HasPrefix(got, json) {
				t.Errorf("records:\n%s", got)
			}
			got := wrote(t, Options{Format: Text, View: Violations}, Totals{}, sink, tell)
			want := "note capture preflight-dropped: 1,234 packets dropped while capturing; it may explain short-packet ×1, no-response ×2,000\n" +
				"note capture preflight-gap packet 9 stream 0: 7 bytes never captured, in 2 gaps\n"
			if got != want {
				t.Errorf("lines:\n%s", got)
			}
			if got := wrote(t, Options{Format: Table}, Totals{Packets: 1, TCPStreams: 1, NubisonStreams: 1}, sink, tell); strings.Contains(got, "late or come back") {
				t.Errorf("among the devices:\n%s", got)
			}
		})
	}
}

// What of the capture may explain a violation is told in every format, and what cannot be told of a single one where all are
// summed up.
func TestCaveatIsTold(t *testing.T) {
	tell := func(caveat protocol.Artefacts) func(Writer) {
		return func(w Writer) {
			c := &dissect.Conn{Stream: 3}
			for i := range 3 {
				v := &dissect.Violation{Rule: protocol.LengthMismatch, Conn: c, Time: 1e18 + int64(i), Message: "wrong", Hint: "do"}
				if i < 2 {
					v.Caveat = caveat
				}
				w.Violation(v)
			}
			w.Violation(&dissect.Violation{Rule: protocol.NoResponse, Conn: c, Time: 1e18, Message: "silence", Hint: "do"})
			w.Violation(&dissect.Violation{Rule: protocol.SessionIDReused, Conn: c, Time: 1e18, Message: "again", Hint: "do"})
		}
	}
	both := protocol.Of(protocol.Offload, protocol.Midstream)
	const said = "wrong (may be the capture: the connection's start was not captured, offload-sized segments)"
	totals := Totals{Packets: 1, TCPStreams: 1, NubisonStreams: 1}
	lossy := totals
	lossy.Dropped = 5
	for _, c := range []struct {
		name   string
		o      Options
		totals Totals
		caveat protocol.Artefacts
		want   string
		times  int
	}{
		{"records", Options{Format: NDJSON}, totals, both, `"message":"wrong","hint":"do","caveat":["midstream","offload"]}`, 2},
		{"records without", Options{Format: NDJSON}, lossy, 0, "caveat", 0},
		{"lines", Options{Format: Text, View: Violations}, totals, both, said, 2},
		{"table", Options{Format: Table, View: Violations, Width: 200}, totals, both, said, 2},
		{"csv", Options{Format: CSV, View: Violations}, totals, both, ",wrong,do,,,midstream offload\n", 2},
		{"first look", Options{Format: Table, Width: 200}, totals, both, "\n   ? may be the capture, 2 of 3: the connection's start was not captured, offload-sized segments\n", 1},
		{"first look without", Options{Format: Table}, totals, 0, "may be the capture", 0},
		{"first look, drops", Options{Format: Table}, lossy, 0, "silence\n   → do\n   ? may be the capture: packets dropped while capturing\n", 1},
		{"first look, drops explain only some", Options{Format: Table}, lossy, 0, "may be the capture", 1},
		{"markdown", Options{Format: Markdown}, totals, both, "<br>? may be the capture, 2 of 3: the connection's start", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := wrote(t, c.o, c.totals, nil, tell(c.caveat))
			if n := strings.Count(got, c.want); n != c.times {
				t.Errorf("%d times %q, want %d, in:\n%s", n, c.want, c.times, got)
			}
		})
	}
}

// The preflight speaks of the whole capture, whatever is shown, and says how much of it is in what is shown.
func TestPreflightOfWhatIsNotShown(t *testing.T) {
	path := written(t, simulate.Options{Seed: 5, Connections: 3, Requests: 30, Interval: 300e6, Spacing: 10e6, Loss: 0.03})
	run := func(o Options, sink func(Writer) Writer) string {
		var res analyze.Result
		totals := Totals{}
		return wrote(t, o, totals, func(w Writer) Writer {
			if sink != nil {
				w = sink(w)
			}
			var err error
			if res, err = analyze.Run(context.Background(), open(t, path), analyze.Options{}, w); err != nil {
				t.Fatal(err)
			}
			return told{w, &res}
		}, func(Writer) {})
	}
	only := func(streams ...int) func(Writer) Writer {
		return func(w Writer) Writer { return &Selection{Writer: w, Streams: streams} }
	}
	fits := func(expr string) func(Writer) Writer {
		return func(w Writer) Writer { return NewFiltered(w, compiled(t, expr)) }
	}
	const all, share = "Capture: 221 bytes never captured, in 9 gaps", " in the connections shown)"
	for name, c := range map[string]struct {
		sink func(Writer) Writer
		want string
	}{
		"all":                   {nil, all},
		"one of them":           {only(0), all + " (20 bytes" + share},
		"those with gaps":       {only(0, 1, 2), all + " (all" + share},
		"none":                  {only(99), all + " (none" + share},
		"what fits":             {fits("tcp.stream == 0"), all + " (20 bytes" + share},
		"nothing fits":          {fits("nubison.length > 60000"), all + " (none" + share},
		"what fits in this one": {func(w Writer) Writer { return only(0)(fits("nubison")(w)) }, all + " (20 bytes" + share},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(Options{Format: Table, Width: 400}, c.sink); !strings.Contains(got, "\n"+c.want+".\n") {
				t.Errorf("no %q in:\n%s", c.want, got)
			}
			records := run(Options{Format: NDJSON}, c.sink)
			for _, want := range []string{`"capture":{"gaps":9,"missing_bytes":221,`, `{"record":"note","id":"preflight-gap","blame":"capture","count":9,`} {
				if !strings.Contains(records, want) {
					t.Errorf("no %s in:\n%s", want, records)
				}
			}
		})
	}
}

// told is a writer that is closed with what a run counted.
type told struct {
	Writer
	res *analyze.Result
}

func (c told) Close(Totals) error {
	return c.Writer.Close(Totals{
		Packets: c.res.Packets, TCPStreams: c.res.TCPStreams, NubisonStreams: c.res.NubisonStreams, Gaps: c.res.Gaps, Missing: c.res.Missing,
	})
}
