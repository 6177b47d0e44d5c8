package dissect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/protocol"
)

// noted keeps the notes of a run.
type noted struct{ lines []string }

func (*noted) Frame(*Frame)             {}
func (*noted) Transaction(*Transaction) {}
func (*noted) Violation(*Violation)     {}
func (*noted) Stream(*Stream)           {}
func (n *noted) Note(x *Note) {
	n.lines = append(n.lines, fmt.Sprintf("%d %s %s", x.Time/second, x.ID, x.Device))
}

// pulseConn is a connection of a device that sends heartbeats.
type pulseConn struct {
	d    *Dissector
	c    *Dialogue
	at   int64
	sent int
}

func openPulse(d *Dissector, stream int, now int64) *pulseConn {
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(40000+stream))
	b := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 2}), 9000)
	c := opened(d, Opening{Stream: stream, Addr: [2]netip.AddrPort{a, b}, Opener: true, FromStart: [2]bool{true, true}, Time: now})
	return &pulseConn{d: d, c: c}
}

func (p *pulseConn) send(now int64, text string) {
	p.sent++
	p.d.Bytes(p.c, 0, []byte(text), &Part{Offset: p.at, Time: now, Packet: int64(p.sent), Push: true})
	p.at += int64(len(text))
}

const pulseToken = "tokentokentokentokentoke"

func pulseLogin(id int) string {
	return fmt.Sprintf("L%08d", id) + "client00000000000000" + "secret00000000000000" + "PRODUCT1" + "\x03" + "dev"
}

func beat(id int) string { return fmt.Sprintf("H%08d", id) + pulseToken }

func TestMissedHeartbeatAndSilence(t *testing.T) {
	var n noted
	d := New(Options{}, &n)
	p := openPulse(d, 1, 0)
	p.send(1*second, pulseLogin(1))
	for i := range 5 {
		p.send(int64(10+10*i)*second, beat(i))
	}
	p.send(61*second, fmt.Sprintf("D%08d", 77)+pulseToken+"\x00\x00") // a sign of life, too
	d.Advance(75 * second)
	if len(n.lines) > 0 {
		t.Errorf("too early: %v", n.lines)
	}
	d.Advance(80 * second)
	d.Advance(90 * second)
	d.Advance(500 * second)
	if got, want := strings.Join(n.lines, "\n"), "71 heartbeat-missed PRODUCT1_dev\n92 device-silent PRODUCT1_dev"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	p.send(510*second, beat(9))
	d.Advance(530 * second)
	if got := n.lines[len(n.lines)-1]; got != "520 heartbeat-missed PRODUCT1_dev" || len(n.lines) != 3 {
		t.Errorf("after it was back: %v", n.lines)
	}
}

func TestNoNoteWithoutARhythmOrAfterTheEnd(t *testing.T) {
	var n noted
	d := New(Options{}, &n)
	p := openPulse(d, 1, 0)
	p.send(1*second, pulseLogin(1))
	p.send(10*second, beat(1))
	p.send(20*second, beat(2))
	d.Advance(1000 * second) // two are no rhythm
	q := openPulse(d, 2, 1000*second)
	q.send(1001*second, pulseLogin(2))
	for i := range 5 {
		q.send(int64(1010+10*i)*second, beat(i))
	}
	d.End(q.c, 0, EndFIN, 1051*second)
	d.Advance(2000 * second)
	if len(n.lines) > 0 {
		t.Errorf("%v", n.lines)
	}
}

func TestReconnectStorm(t *testing.T) {
	var n noted
	d := New(Options{}, &n)
	for i := range 12 {
		now := int64(100+5*i) * second
		p := openPulse(d, i, now)
		p.send(now, pulseLogin(i))
		d.End(p.c, 0, EndReset, now+second)
		d.End(p.c, 1, EndReset, now+second)
	}
	for i := range 4 { // an orderly device
		now := int64(1000+300*i) * second
		p := openPulse(d, 100+i, now)
		p.send(now, pulseLogin(100+i))
		d.End(p.c, 0, EndFIN, now+second)
		d.End(p.c, 1, EndFIN, now+second)
	}
	if got, want := strings.Join(n.lines, "\n"), "120 reconnect-storm PRODUCT1_dev"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if protocol.RuleByID(ReconnectStorm) != nil {
		t.Error("a note is no rule")
	}
}

// The period is the middle one of the latest intervals.
func TestPeriodIsTheMiddle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var s beats
		var all []int64
		for range 12 {
			gap := rng.Int64N(9)
			s.add(gap)
			all = append(all, gap)
			want := int64(0)
			if len(all) >= minLearned {
				latest := slices.Sorted(slices.Values(all[max(0, len(all)-beatsLearned):]))
				want = latest[len(latest)/2]
			}
			if got := s.period(); got != want {
				t.Fatalf("of %v the period is %d, want %d", all, got, want)
			}
		}
	}
}
