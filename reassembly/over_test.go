package reassembly

import (
	"encoding/binary"
	"testing"
)

// Of connections that are over, only the latest are remembered.
func TestForgetsConnectionsThatAreOver(t *testing.T) {
	a := New(nobody{}, Options{})
	for i := range uint32(3 * maxOver) {
		s := Segment{SrcPort: uint16(1024 + i%60000), DstPort: 9000, Flags: FlagSYN, Seq: 100}
		binary.BigEndian.PutUint32(s.Src[:], 0x0a000000+i/60000)
		s.Dst[0] = 11
		a.Segment(&s, int64(i)*1e6, int64(3*i+1))
		s.Flags, s.Seq = FlagRST|FlagACK, 101
		a.Segment(&s, int64(i)*1e6, int64(3*i+2))
		if n := a.remembered(); n > maxOver+1 {
			t.Fatalf("%d are remembered", n)
		}
		a.Segment(&s, int64(i)*1e6, int64(3*i+3)) // late, and known
	}
	if s := a.Stats(); s.Streams != 3*maxOver || a.remembered() < maxOver/2 {
		t.Errorf("%d streams, %d remembered", s.Streams, a.remembered())
	}
}

func (a *Assembler) remembered() (n int) {
	for i := range a.parts {
		n += a.parts[i].table.n
	}
	return n
}

type nobody struct{}

func (nobody) Open(*Conn)                              {}
func (nobody) Chunk(*Conn, Direction, Chunk)           {}
func (nobody) Stall(*Conn, Direction, bool)            {}
func (nobody) End(*Conn, Direction, End, int64, int64) {}
