package analyze

import (
	"strings"
	"testing"
)

func (x *wire) run() (Result, string) {
	var v verdicts
	res := x.read(0, &v)
	return res, strings.Join(v.lines, "\n")
}

// What the capture did to the packets is found, and is held against nobody.
func TestPreflight(t *testing.T) {
	const data, answer = "Dsession2" + wireToken + "\x00\x05hello", "Rsession2\x01"
	big := func(n int) string {
		n -= 35
		return "Dsession2" + wireToken + string([]byte{byte(n >> 8), byte(n)}) + strings.Repeat("x", n)
	}
	// both sends a packet that is captured twice, the second time with an IP ID of its own if that is told.
	both := func(x *wire, at float64, side int, s string, id uint16) {
		x.put(at, twice(tcp(side == 0, x.seq[side], x.acked[side], 24, s), 7))
		x.put(at+0.0002, twice(tcp(side == 0, x.seq[side], x.acked[side], 24, s), id))
		x.seq[side] += uint32(len(s))
	}
	for name, c := range map[string]struct {
		make func(x *wire)
		is   func(r *Result) int64
		want int64
	}{
		"captured twice":           {func(x *wire) { both(x, 1, 0, data, 7); both(x, 1.1, 1, answer, 7) }, func(r *Result) int64 { return r.TCP.Duplicates }, 2},
		"sent twice":               {func(x *wire) { both(x, 1, 0, data, 8); both(x, 1.1, 1, answer, 9) }, func(r *Result) int64 { return r.TCP.Duplicates }, 0},
		"sent again later":         {func(x *wire) { x.say(1, 0, data).again(1.3, 0, len(data), data).say(1.4, 1, answer) }, func(r *Result) int64 { return r.TCP.Duplicates }, 0},
		"larger than a frame":      {func(x *wire) { x.say(1, 0, big(1461)).say(1.1, 1, answer) }, func(r *Result) int64 { return r.TCP.Large }, 1},
		"as large as a frame":      {func(x *wire) { x.say(1, 0, big(1460)).say(1.1, 1, answer) }, func(r *Result) int64 { return r.TCP.Large }, 0},
		"time goes back":           {func(x *wire) { x.say(1, 0, data).say(0.98, 1, answer) }, func(r *Result) int64 { return r.Backwards }, 1},
		"time goes back by a hair": {func(x *wire) { x.say(1, 0, data).say(0.995, 1, answer) }, func(r *Result) int64 { return r.Backwards }, 0},
		"time goes back and forth": {func(x *wire) {
			x.elsewhere(1).elsewhere(0.5).elsewhere(1).elsewhere(0.5).say(2, 0, data).say(2.1, 1, answer)
		}, func(r *Result) int64 { return r.Backwards }, 2},
		"nothing is wrong with it": {func(x *wire) { x.say(1, 0, data).say(1.1, 1, answer) }, func(r *Result) int64 {
			return r.TCP.Duplicates + r.TCP.Large + r.Backwards + r.Cut + r.OneSided + r.Midstream
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := newWire(t)
			c.make(x)
			res, lines := x.run()
			if got := c.is(&res); got != c.want {
				t.Errorf("counted %d, want %d", got, c.want)
			}
			if lines != "answered  []" {
				t.Errorf("verdicts:\n%s", lines)
			}
		})
	}
}
