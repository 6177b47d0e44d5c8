package dissect

import (
	"math"
	"testing"
	"time"
)

// A timeout that ends beyond all time, and times near its end, are no trouble.
func TestEndOfTime(t *testing.T) {
	for name, x := range map[string]struct {
		timeout time.Duration
		start   int64
	}{
		"a timeout for ever": {math.MaxInt64, 1767225600e9},
		"the end of time":    {DefaultTimeout, math.MaxInt64 - 29*second},
	} {
		t.Run(name, func(t *testing.T) {
			d := New(Options{Timeout: x.timeout}, discard{})
			c := &Dialogue{conn: &Conn{}, d: d, order: 1, standing: confirmed, sideKnown: true, closer: -1}
			for i := range c.half {
				h := &c.half[i]
				h.spot, h.c, h.dir, h.peer, h.fromStart = &c.spots[i], c, i, &c.half[1-i], true
			}
			d.now = x.start
			c.pulse = pulse{heard: x.start, period: 2 * second, beat: x.start}
			r := d.newRequest(c, x.start)
			c.half[0].requests.pushNew(r)
			c.ease()
			if !c.easy {
				t.Fatal("the connection is not in order")
			}
			c.armAt(x.start + second) // before the next beat is missed
			d.Advance(x.start + 20*second)
		})
	}
}

// newRequest makes a request that waits for its answer.
func (d *Dissector) newRequest(c *Dialogue, at int64) *transaction {
	r := c.newTransaction(sid{1}, 0)
	r.letter, r.requestTime = 'D', at
	return r
}
