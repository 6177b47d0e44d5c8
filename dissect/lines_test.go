package dissect

import (
	"testing"
	"unsafe"
)

// What a usual packet touches of a connection starts where lines of the processor's cache do: nothing of it lies in two of them for no
// reason. The numbers are those of 64-bit processors.
func TestConnectionsFillLines(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("pointers have another size")
	}
	var c Dialogue
	for name, at := range map[string]uintptr{
		"session": unsafe.Offsetof(c.session), "beats": unsafe.Offsetof(c.beats), "spots": unsafe.Offsetof(c.spots), "both spots": unsafe.Sizeof(c.spots),
		"wait": unsafe.Offsetof(c.wait), "waiting": unsafe.Sizeof(waiting{}),
	} {
		if at%64 != 0 {
			t.Errorf("%s: %d is no multiple of 64", name, at)
		}
	}
}
