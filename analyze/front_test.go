package analyze

import (
	"testing"
	"unsafe"

	"github.com/nubishark/nubishark/capture"
)

// Bytes that a packet holds are found again in its batch; bytes that were put together elsewhere are not taken for them.
func TestPlaceOfBytes(t *testing.T) {
	var w work
	for _, s := range []string{"first", "second packet", "third"} {
		w.batch.Add(capture.Packet{Number: 1, Data: []byte(s), WireLen: len(s)})
	}
	for i := range w.batch.Refs {
		p, ref := w.batch.Packet(i), &w.batch.Refs[i]
		for from := range p.Data {
			for to := from + 1; to <= len(p.Data); to++ {
				at, ok := w.place(ref, p.Data[from:to])
				if !ok || string(w.batch.Data[at:][:to-from]) != string(p.Data[from:to]) {
					t.Errorf("%q is found at %d, %v", p.Data[from:to], at, ok)
				}
			}
		}
		for _, n := range []int{1, 5, 20, 64, 1000} {
			if at, ok := w.place(ref, make([]byte, 1, n)); ok {
				t.Errorf("other bytes of capacity %d are taken for those at %d", n, at)
			}
		}
	}
}

// A step is a line of the processor's cache, on 64-bit processors.
func TestStepsFillLines(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("pointers have another size")
	}
	if n := unsafe.Sizeof(step{}); n != 64 {
		t.Errorf("a step has %d bytes, want 64", n)
	}
}
