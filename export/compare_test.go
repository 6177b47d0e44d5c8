package export

import (
	"strings"
	"testing"

	"github.com/nubishark/nubishark/dissect"
)

// What chance explains is no difference.
func TestCounted(t *testing.T) {
	for _, c := range []struct {
		a, ofA, b, ofB int64
		want           string
	}{
		{0, 100, 0, 100, "same"},
		{0, 100, 1, 100, "new"},
		{1, 100, 0, 100, "gone"},
		{10, 1000, 14, 1000, "same"},
		{10, 1000, 40, 1000, "more"},
		{40, 1000, 8, 1000, "fewer"},
		{10, 1000, 100, 10000, "same"},
		{10, 1000, 400, 10000, "more"},
		{5, 0, 5, 10, "same"},
	} {
		if got := counted(c.a, c.ofA, c.b, c.ofB); got != c.want {
			t.Errorf("%d of %d, then %d of %d: %s instead of %s", c.a, c.ofA, c.b, c.ofB, got, c.want)
		}
	}
}

func answers(n int, latency int64) *Side {
	s := NewSide("x")
	for range n {
		s.Transaction(&dissect.Transaction{Conn: &dissect.Conn{}, Letter: 'D', State: dissect.Answered, Request: 1, Response: 2, ResponseTime: latency})
	}
	return s
}

// Latency is worse where it has grown by half, and there is enough of it.
func TestComparedLatency(t *testing.T) {
	for _, c := range []struct {
		n    int
		a, b int64
		want string
	}{{30, 10e6, 20e6, "slower"}, {30, 10e6, 14e6, "same"}, {30, 20e6, 10e6, "faster"}, {10, 10e6, 90e6, "same"}} {
		got := Compare(answers(c.n, c.a), answers(c.n, c.b))
		for _, x := range got.Changes {
			if x.What == "latency" && (x.Verdict != c.want || x.Worse != (c.want == "slower")) {
				t.Errorf("%+v: %+v", c, x)
			}
		}
		var out strings.Builder
		if err := got.Write(&out, Options{Format: Table, Width: 80}); err != nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v\n%s", err, out.String())
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if n := len([]rune(line)); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}
