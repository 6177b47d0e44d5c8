package sanitize

import (
	"context"
	"fmt"
	"slices"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
)

// concluded keeps what a run concludes, without names, and without numbers, which depend on what was settled first.
type concluded []string

func (c *concluded) add(format string, args ...any) { *c = append(*c, fmt.Sprintf(format, args...)) }

// Frame implements dissect.Sink.
func (c *concluded) Frame(f *dissect.Frame) {
	status, _ := f.Status()
	code, _ := f.ErrorCode()
	c.add("packet of stream %d: %c from the %s in %v at %d, offset %d, length %d, missing %d, status %d, error %d, violations %d", f.Conn.Stream, f.Letter,
		f.From, f.Packets, f.Time, f.Offset, f.Length, f.Missing, status, code, len(f.Violations))
}

// Transaction implements dissect.Sink.
func (c *concluded) Transaction(t *dissect.Transaction) {
	latency, _ := t.Latency()
	c.add("transaction of stream %d: %q %s, at %d, answered at %d, %d ns, %s %v", t.Conn.Stream, t.Letter, t.State, t.RequestTime, t.ResponseTime, latency,
		t.Reason, t.Evidence)
}

// Violation implements dissect.Sink.
func (c *concluded) Violation(v *dissect.Violation) {
	c.add("violation of stream %d: %s by the %s in %v at %d, offset %d, length %d", v.Conn.Stream, v.Rule.ID, v.BlameName(), v.Packets, v.Time, v.Offset,
		v.Length)
}

// Stream implements dissect.Sink.
func (c *concluded) Stream(s *dissect.Stream) {
	c.add("stream %d: %d to %d, %s, %d packets, %d transactions, %d violations, %d bytes missing", s.Conn.Stream, s.Start, s.End, s.State, s.Frames,
		s.Transactions, s.Violations, s.Missing)
}

func conclusions(ctx context.Context, src capture.Source, o Options) ([]string, error) {
	var c concluded
	_, err := analyze.Run(ctx, src, o.Analysis, &c)
	slices.Sort(c)
	return c, err
}
