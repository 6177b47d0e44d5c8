package reassembly

import (
	"testing"
	"unsafe"
)

// What a usual segment touches of a connection starts where lines of the processor's cache do. The numbers are those of 64-bit
// processors.
func TestConnectionsFillLines(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("pointers have another size")
	}
	var w whole
	if n := unsafe.Offsetof(w.tag); n != 64 {
		t.Errorf("what every segment needs of a flow takes %d bytes, want 64", n)
	}
	if n := unsafe.Offsetof(w.live); n != 128 {
		t.Errorf("what a connection has while it lives stands at %d, want 128", n)
	}
	for name, at := range map[string]uintptr{
		"live": unsafe.Offsetof(w.live), "Conn": unsafe.Offsetof(w.Conn), "what is behind the twins": unsafe.Offsetof(w.Data),
	} {
		if at%64 != 0 {
			t.Errorf("%s: %d is no multiple of 64", name, at)
		}
	}
}
