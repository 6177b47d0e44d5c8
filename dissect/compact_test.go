package dissect

import (
	"testing"
	"unsafe"

	"github.com/nubishark/nubishark/protocol"
)

// The records of what is usual are written by one processor and read by another: one line of the cache each.
func TestUsualRecordsFitALine(t *testing.T) {
	const line = 64
	if n := unsafe.Sizeof(whole{}); n > line {
		t.Errorf("a packet's takes %d bytes", n)
	}
	if n := unsafe.Sizeof(exchange{}); n > line {
		t.Errorf("a transaction's takes %d bytes", n)
	}
}

// A packet is cut into its fields by sizes alone, so only the last field's may be told by the packet.
func TestFormsEndWithTheFieldOfAnySize(t *testing.T) {
	if len(forms) != 2*len(protocol.Layouts) || len(forms) > 256 {
		t.Fatalf("%d forms for %d layouts", len(forms), len(protocol.Layouts))
	}
	for i, k := range forms {
		if want := protocol.Layouts[i/2]; k.layout != want || want.Row() != i/2 {
			t.Fatalf("form %d is of another layout", i)
		}
		raw := make([]byte, protocol.MaxPacket)
		end := 0
		for _, v := range k.cut(nil, raw) {
			if v.At != end {
				t.Errorf("%s %d: %s starts at %d, behind %d", k.layout.Name, i, v.Name, v.At, end)
			}
			end = v.At + len(v.Value)
		}
		if last := k.fields[len(k.fields)-1]; last.Size == 0 && end != len(raw) {
			t.Errorf("%s %d: it ends at %d", k.layout.Name, i, end)
		}
	}
}
