package analyze_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// faults writes down everything but transactions that were answered, and what frames have of transactions. It counts those, and
// what may be why one is not as it should be: answers that did not echo their session ID, and requests that are not whole.
type faults struct {
	bytes.Buffer
	answered, odd int
}

func (s *faults) Frame(f *dissect.Frame) {
	fmt.Fprintf(s, "%d %d %v %c%c %s %v %d %x\n", f.Number, f.Conn.Stream, f.From, f.Letter, f.RequestLetter, f.SessionID, f.Packets, f.Missing, f.Raw)
	for _, r := range f.Violations {
		fmt.Fprintln(s, r.ID)
	}
	if f.Letter != 'R' && f.Missing > 0 {
		s.odd++
	}
}

func (s *faults) Transaction(t *dissect.Transaction) {
	if t.State == dissect.Answered {
		s.answered++
		return
	}
	fmt.Fprintf(s, "- %d %c %v %s %v %v %d %d %v\n", t.Conn.Stream, t.Letter, t.From, t.SessionID, t.State, t.Reason, t.RequestTime, t.ResponseTime, t.Evidence)
}

func (s *faults) Violation(v *dissect.Violation) {
	if v.Rule == protocol.SessionIDNotEchoed {
		s.odd++
	}
	fmt.Fprintf(s, "! %d %s %d of %d %v %s %v\n", v.Number, v.Rule.ID, v.Frame, v.Conn.Stream, v.Packets, v.Message, v.Evidence)
}

func (s *faults) Stream(x *dissect.Stream) {
	fmt.Fprintf(s, "stream %d %v %d %d %d\n", x.Conn.Stream, x.State, x.Frames, x.Transactions, x.Violations)
}

// Where nothing is shown of transactions, those that were answered as they should be are left out, and all else is told as ever.
func TestFramesOnly(t *testing.T) {
	for seed := range 3 * *seeds {
		o, first := anyTraffic(seed)
		list, _ := made(t, o)
		list = list[int(float64(len(list))*first):]
		told := func(only bool, workers int) *faults {
			var s faults
			if _, err := analyze.Run(context.Background(), &packets{list: list}, analyze.Options{Workers: workers, Dissect: dissect.Options{FramesOnly: only}}, &s); err != nil {
				t.Fatal(err)
			}
			return &s
		}
		all := told(false, 1)
		for _, workers := range []int{1, 3} {
			few := told(true, workers)
			if d := gocmp.Diff(all.String(), few.String()); d != "" {
				t.Fatalf("seed %d, %d workers (-all +frames only):\n%s", seed, workers, d)
			}
			if few.answered > few.odd || all.answered == 0 {
				t.Errorf("seed %d: %d answered transactions, of %d", seed, few.answered, all.answered)
			}
		}
	}
}
