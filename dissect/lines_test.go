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
	var h half
	for name, at := range map[string]uintptr{
		"pulse": unsafe.Offsetof(c.pulse), "beats": unsafe.Offsetof(c.beats), "half": unsafe.Offsetof(c.half), "a half": unsafe.Sizeof(h),
		"done": unsafe.Offsetof(h.requests) + unsafe.Offsetof(h.requests.done), "the second line behind it": unsafe.Offsetof(h.c),
		"wait": unsafe.Offsetof(c.wait), "waiting": unsafe.Sizeof(waiting{}),
	} {
		if at%64 != 0 {
			t.Errorf("%s: %d is no multiple of 64", name, at)
		}
	}
}
