package dissect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Timers come out in the order of their times, but for those that were cancelled, or that are found not to stand.
func TestTimersComeInOrder(t *testing.T) {
	const timeout = 30 * second
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := timers{due: math.MaxInt64}
		var model []timer
		now := int64(0)
		for i := range int64(600) {
			switch r.IntN(8) {
			case 0, 1, 2: // a packet that waits
				c := &Dialogue{order: i}
				x := timer{at: now + second - r.Int64N(2)*r.Int64N(second), order: i * timerKinds, c: c}
				c.spots[0].lastTime, c.wait[0].timed, c.wait[0].place = x.at-second, true, w.push(x, now, timeout)
				model = append(model, x)
				if k := r.IntN(len(model)); model[k].c.wait[0].place > 0 { // one of them waits no more
					w.cancel(model[k].c.wait[0].place)
					model = slices.Delete(model, k, k+1)
				}
			case 3, 4:
				c := &Dialogue{order: i}
				c.deadline = now + r.Int64N(timeout+second)
				x := timer{at: c.deadline, order: i*timerKinds + generalTimer, c: c}
				w.push(x, now, timeout)
				model = append(model, x)
			case 5:
				if n := len(model); n > 0 && r.IntN(4) == 0 { // some do not stand any more
					x := &model[r.IntN(n)]
					x.c.deadline, x.c.wait[0].timed = 0, false
					w.keep()
					model = slices.DeleteFunc(model, func(x timer) bool { return !x.stands() })
				}
			default:
				now = popNext(t, &w, &model, now)
			}
		}
		for len(model) > 0 {
			now = popNext(t, &w, &model, now)
		}
	}
}

// popNext compares the earliest timer with that of the model, and returns its time.
func popNext(t *testing.T, w *timers, model *[]timer, now int64) int64 {
	t.Helper()
	var x timer
	for (w.n > 0 || w.far.n > 0) && x.c == nil { // those of nobody were cancelled
		if w.far.due() <= w.next() {
			w.raise(w.far.due() + 1)
		} else {
			x = w.pop()
		}
	}
	if len(*model) == 0 {
		if x.c != nil {
			t.Fatalf("there is one at %d", x.at)
		}
		return now
	}
	slices.SortFunc(*model, func(x, y timer) int {
		if x.before(&y) {
			return -1
		}
		return 1
	})
	if want := (*model)[0]; x != want {
		t.Fatalf("got the one of %d at %d, want that of %d at %d", x.order, x.at, want.order, want.at)
	}
	*model = (*model)[1:]
	return max(now, x.at)
}

// What waited and waits no more leaves no more timers than wait, though the clock stands still.
func TestCancelledTimersAreBounded(t *testing.T) {
	w := timers{due: math.MaxInt64}
	c := &Dialogue{}
	for i := range 100_000 {
		x := timer{at: second, order: int64(i) * timerKinds, c: c}
		w.cancel(w.push(x, 0, 30*second))
		if n := len(w.rows[0].list); n > 5000 {
			t.Fatalf("%d timers of nobody after %d", n, i+1)
		}
	}
}
