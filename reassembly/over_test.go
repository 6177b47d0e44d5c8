package reassembly

import (
	"net/netip"
	"testing"
)

// Of connections that are over, only the latest are remembered.
func TestForgetsConnectionsThatAreOver(t *testing.T) {
	a := New(nobody{}, Options{})
	for i := range uint32(3 * maxOver) {
		s := Segment{Flags: FlagSYN, Seq: 100}
		s.SetAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i / 60000)}), uint16(1024+i%60000)), netip.MustParseAddrPort("11.0.0.0:9000"))
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

func (a *Assembler) remembered() (n int) { return a.table.n }

type nobody struct{}

func (nobody) Open(*Conn)                              {}
func (nobody) Chunk(*Conn, Direction, Chunk)           {}
func (nobody) Stall(*Conn, Direction, bool)            {}
func (nobody) End(*Conn, Direction, End, int64, int64) {}
