package dissect

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// The latest finished transactions are found, with all that is remembered of them, and no others; memory that another history has left makes no
// difference.
func TestHistoryRemembersTheLatest(t *testing.T) {
	var s stock
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 11))
		var f history
		start := []int64{0, 1e9, 1767225600e9, -1e18}[seed%4]
		var list []transaction // the model, the oldest first
		for i := range r.IntN(4 * maxFinished) {
			x := transaction{letter: "LODCHR"[r.IntN(6)], state: State(r.IntN(6)), requestTime: start + r.Int64N(1<<54)}
			binary.LittleEndian.PutUint64(x.id[:], uint64(i)<<r.IntN(3))
			known := -1
			for k := range list {
				if list[k].id == x.id {
					known = k
				}
			}
			x.fresh = known < 0 && r.IntN(2) == 0 // it is looked for where that is not known, too
			f.remember(&x, &s)
			switch {
			case known >= 0:
				list[known] = x
			case len(list) == maxFinished:
				list = append(list[1:], x)
			default:
				list = append(list, x)
			}
			if i%97 > 0 {
				continue
			}
			for k := range list {
				p, _, ok := f.find(list[k].id)
				if x := &list[k]; !ok || p.letter() != x.letter || p.state() != x.state || p.time(start) != x.requestTime {
					t.Fatalf("seed %d, %d: %x is remembered as %v, %c, %v, %d", seed, i, x.id, ok, p.letter(), p.state(), p.time(start))
				}
			}
			for range 50 {
				id := sid{}
				binary.LittleEndian.PutUint64(id[:], uint64(r.IntN(8*maxFinished)))
				here := false
				for k := range list {
					here = here || list[k].id == id
				}
				if f.has(id) != here {
					t.Fatalf("seed %d, %d: %x is remembered: %v", seed, i, id, f.has(id))
				}
			}
		}
		f.release(&s)
	}
}
