package prefetch

import (
	"testing"
	"unsafe"
)

// Any address will do, and nothing is changed there.
func TestPrefetchTouchesNothing(t *testing.T) {
	var room [8 * Line]byte
	for i := range room {
		room[i] = byte(i)
	}
	wild := unsafe.Pointer(&room[0])
	for _, p := range []unsafe.Pointer{nil, wild, unsafe.Pointer(&room[Line-1]), unsafe.Pointer(&room[len(room)-1])} {
		One(p)
		Eight(p, nil, wild, p)
	}
	Each(nil)
	EachFirst(nil)
	Each([]unsafe.Pointer{nil, wild})
	EachFirst([]unsafe.Pointer{nil, wild})
	for i, x := range room {
		if x != byte(i) {
			t.Fatalf("byte %d is %d", i, x)
		}
	}
}

func BenchmarkEight(b *testing.B) {
	room := make([]byte, 32<<20)
	for i := 0; b.Loop(); i++ {
		p := unsafe.Pointer(&room[i*4096%(len(room)-4*Line)])
		Eight(p, p, p, p)
	}
}
