package dissect

import (
	"fmt"
	"testing"
)

// told keeps the numbers of unanswered transactions.
type told struct{ numbers []int64 }

func (*told) Frame(*Frame)         {}
func (*told) Violation(*Violation) {}
func (*told) Stream(*Stream)       {}
func (t *told) Transaction(x *Transaction) {
	if x.State == Unanswered {
		t.numbers = append(t.numbers, x.Number)
	}
}

// Transactions that wait for a late answer are bounded, and each is told once, in their order.
func TestHeldBackIsBounded(t *testing.T) {
	const n = 3 * maxFinished
	var got told
	d := New(Options{}, &got)
	p := openPulse(d, 1, 0)
	p.send(second, pulseLogin(0))
	for i := range n {
		p.send(2*second+int64(i)*1e6, fmt.Sprintf("D%08d", i+1)+pulseToken+"\x00\x00")
	}
	d.Advance(50 * second)
	if len(p.c.late) == 0 || len(p.c.late) > maxFinished || len(got.numbers) != n+1-len(p.c.late) {
		t.Fatalf("%d are held back, %d were told", len(p.c.late), len(got.numbers))
	}
	d.Advance(100 * second)
	if len(p.c.late) > 0 {
		t.Errorf("%d are held back after the time", len(p.c.late))
	}
	d.Close()
	for i, x := range got.numbers {
		if x != int64(i)+1 {
			t.Fatalf("place %d is number %d", i, x)
		}
	}
	if len(got.numbers) != n+1 {
		t.Errorf("%d of %d were told", len(got.numbers), n+1)
	}
}
