package export

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/internal/simulate"
)

func ladder(t *testing.T, path string, o Options, p Payloads) string {
	t.Helper()
	var out bytes.Buffer
	l := NewLadder(&out, o, p)
	opts := analyze.Options{Resent: func(r analyze.Resent) { l.Resent(r.Conn, r.From, r.Packet, r.Bytes, r.Time) }}
	if _, err := analyze.Run(context.Background(), open(t, path), opts, l); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(Totals{}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A conversation in 80 columns, with Korean text.
func TestLadder(t *testing.T) {
	got := ladder(t, session, Options{Width: 80}, PayloadText)
	golden(t, "ladder-80.txt", got)
	for _, line := range strings.Split(got, "\n") {
		if n := twwidth.Width(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if got := ladder(t, session, Options{Width: 80}, PayloadRaw); !strings.HasPrefix(got, `{"n":0,`) || strings.Contains(got, "─") {
		t.Errorf("raw payloads: %.80q", got)
	}
	if got := ladder(t, session, Options{}, PayloadHex); !strings.Contains(got, "  7b 22 6e 22") {
		t.Error("no hex")
	}
}

// Retransmissions, gaps and requests without an answer stand in their places.
func TestLadderOfABadLine(t *testing.T) {
	path := written(t, simulate.Options{Seed: 8, Connections: 1, Requests: 40, PayloadMax: 30, Interval: 300e6, Duplicate: 0.1, Loss: 0.02, Faults: []string{"no-response"}, FaultRate: 0.2})
	got := ladder(t, path, Options{Width: 80}, PayloadNone)
	golden(t, "ladder-bad.txt", got)
	for _, want := range []string{" sent again", "┄▷", "! capture-gap", "has no answer: ", "! no-response"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
}
