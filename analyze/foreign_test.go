package analyze

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
)

// crowd are devices whose heartbeats come each in its own time. What is sent has to be put in order.
type crowd struct {
	*rand.Rand
	list []capture.Packet
	seq  map[[2]int]uint32
}

// put sends bytes of a side of a connection, which acknowledge what the other side has sent.
func (c *crowd) put(at int64, conn, side int, flags byte, s string) {
	p := tcp(side == 0, c.seq[[2]int{conn, side}], c.seq[[2]int{conn, 1 - side}], flags, s)
	binary.BigEndian.PutUint16(p[20+2*side:], uint16(40000+conn))
	c.list = append(c.list, capture.Packet{Time: at, Link: 101, Data: p, WireLen: len(p)})
	n := uint32(len(s))
	if flags&2 != 0 {
		n++
	}
	c.seq[[2]int{conn, side}] += n
}

func (c *crowd) token(conn int) string { return fmt.Sprintf("token-%018d", conn) }

// login opens a connection and logs in; the answer comes at a moment.
func (c *crowd) login(at int64, conn int) {
	for i, flags := range [3]byte{2, 18, 16} {
		c.put(at-3e6+int64(i), conn, i%2, flags, "")
	}
	c.put(at-2e6, conn, 0, 24, "Llogin000client00000000000000secret00000000000000PRODUCT1\x03"+fmt.Sprintf("%03d", conn))
	c.put(at, conn, 1, 24, "Rlogin000\x01"+c.token(conn))
}

// beat is a heartbeat with a connection's token, which may be answered.
func (c *crowd) beat(at int64, conn, whose int, answered bool) {
	id := fmt.Sprintf("b%07d", len(c.list))
	c.put(at, conn, 0, 24, "H"+id+c.token(whose))
	if answered {
		c.put(at+2e6, conn, 1, 24, "R"+id+"\x01")
	}
}

// play is a device whose heartbeats come in time, until one is late; just before that is noticed it uses the token that another connection is
// given then.
func (c *crowd) play(conn, other int) {
	at := 1e9 + c.Int64N(5e9)
	c.login(at, conn)
	period := 14e9 + c.Int64N(16e9)
	for range 4 {
		at += period
		c.beat(at, conn, conn, true)
	}
	late := at + period + period/2
	near := func(before int64) int64 { return late - before - c.Int64N(before/4) }
	if c.IntN(4) > 0 {
		c.beat(near(1.5e9), conn, conn, true)
	}
	if c.IntN(4) > 0 {
		c.beat(near(0.3e9), conn, conn, false)
	}
	c.beat(near(0.06e9), conn, other, false)
	c.login(near(0.03e9), other)
	c.beat(late+0.5e9, conn, conn, c.IntN(2) == 0)
}

// Devices that fall silent, and tokens that are known only later, from another connection, are the same to any number of workers.
func TestWorkersAgreeOnForeignTokens(t *testing.T) {
	for seed := range uint64(40) {
		c := &crowd{Rand: rand.New(rand.NewPCG(seed, 9)), seq: map[[2]int]uint32{}}
		for conn := range 7 + c.IntN(40) {
			c.play(conn, 500+conn)
		}
		slices.SortStableFunc(c.list, func(x, y capture.Packet) int { return int(min(max(x.Time-y.Time, -1), 1)) })
		var file bytes.Buffer
		w := capture.NewPcapWriter(&file, 101, true)
		for i := range c.list {
			if err := w.Write(c.list[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		told := func(workers int) string {
			src, err := capture.NewReader(bytes.NewReader(file.Bytes()), "crowd")
			if err != nil {
				t.Fatal(err)
			}
			var v chronology
			if _, err := Run(context.Background(), src, Options{Workers: workers, Dissect: dissect.Options{Timeout: 5e9}}, &v); err != nil {
				t.Fatal(err)
			}
			return v.String()
		}
		want := told(1)
		if len(want) < 1000 {
			t.Fatalf("seed %d: only %q", seed, want)
		}
		for _, workers := range []int{2, 3, 8} {
			if d := cmp.Diff(want, told(workers)); d != "" {
				t.Fatalf("seed %d, %d workers (-1 +these):\n%s", seed, workers, d)
			}
		}
	}
}

// chronology writes down the records in their order.
type chronology struct{ bytes.Buffer }

func (v *chronology) Frame(f *dissect.Frame) {
	fmt.Fprintf(v, "frame %d %d %c %s %v %d\n", f.Number, f.Conn.Stream, f.Letter, f.SessionID, f.Packets, f.Transaction)
}

func (v *chronology) Transaction(x *dissect.Transaction) {
	fmt.Fprintf(v, "transaction %d %d %s %v %v %v\n", x.Number, x.Conn.Stream, x.SessionID, x.State, x.Reason, x.Evidence)
}

func (v *chronology) Violation(x *dissect.Violation) {
	fmt.Fprintf(v, "violation %d %d %s %s\n", x.Number, x.Conn.Stream, x.Rule.ID, x.Message)
}

func (v *chronology) Stream(s *dissect.Stream) {
	fmt.Fprintf(v, "stream %d %v %d %d\n", s.Conn.Stream, s.State, s.Frames, s.End)
}

func (v *chronology) Note(n *dissect.Note) {
	if n.Conn != nil {
		fmt.Fprintf(v, "note %s %d %d\n", n.ID, n.Conn.Stream, n.Time)
	}
}
