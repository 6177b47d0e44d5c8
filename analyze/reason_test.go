package analyze

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
)

// wire is a capture that is put together packet by packet, each at its time in seconds. It starts with a handshake and a login.
type wire struct {
	t       *testing.T
	buf     bytes.Buffer
	w       *capture.PcapWriter
	seq     [2]uint32 // what comes next
	acked   [2]uint32 // what each side has acknowledged of the other's
	packets int
	alone   bool // each packet is a batch of its own
	options Options
}

const wireToken = "tokentokentokentokentoke"

func newWire(t *testing.T) *wire {
	x := &wire{t: t, seq: [2]uint32{100, 500}, acked: [2]uint32{500, 100}}
	x.w = capture.NewPcapWriter(&x.buf, 101, true)
	x.put(0, tcp(true, 99, 0, 2, ""))
	x.put(0, tcp(false, 499, 100, 18, ""))
	x.put(0, tcp(true, 100, 500, 16, ""))
	x.say(0, 0, "Lsession1"+"client00000000000000"+"secret00000000000000"+"PRODUCT1"+"\x03"+"dev")
	x.say(0, 1, "Rsession1\x01"+wireToken)
	x.ack(0, 0)
	return x
}

func (x *wire) put(at float64, p []byte) {
	x.packets++
	if err := x.w.Write(capture.Packet{Time: 1e9 + int64(at*1e9) + int64(x.packets), Link: 101, WireLen: len(p), Data: p}); err != nil {
		x.t.Fatal(err)
	}
}

// say sends bytes; side 0 is the device. They acknowledge what the side has acknowledged before, and nothing more.
func (x *wire) say(at float64, side int, s string) *wire {
	x.put(at, tcp(side == 0, x.seq[side], x.acked[side], 24, s))
	x.seq[side] += uint32(len(s))
	if side == 1 && strings.HasPrefix(s, "Rsession1") {
		x.acked[1] = x.seq[0]
	}
	return x
}

// unseen sends bytes that the capture misses.
func (x *wire) unseen(side int, s string) *wire {
	x.seq[side] += uint32(len(s))
	return x
}

// again sends the last n bytes once more.
func (x *wire) again(at float64, side, n int, s string) *wire {
	x.put(at, tcp(side == 0, x.seq[side]-uint32(n), x.acked[side], 24, s))
	return x
}

// ack acknowledges all that the other side has sent.
func (x *wire) ack(at float64, side int) *wire { return x.ackBut(at, side, 0) }

// ackBut acknowledges all but n bytes.
func (x *wire) ackBut(at float64, side int, n uint32) *wire {
	x.acked[side] = x.seq[1-side] - n
	x.put(at, tcp(side == 0, x.seq[side], x.acked[side], 16, ""))
	return x
}

func (x *wire) flag(at float64, side int, flags byte) *wire {
	x.put(at, tcp(side == 0, x.seq[side], x.acked[side], flags|16, ""))
	return x
}

// elsewhere is a packet of another connection, by which time goes on.
func (x *wire) elsewhere(at float64) *wire {
	p := tcp(true, 1, 1, 16, "")
	binary.BigEndian.PutUint16(p[20:], 41000)
	x.put(at, p)
	return x
}

// twice gives a packet an IP ID, so that it is known again if it is captured twice.
func twice(p []byte, id uint16) []byte {
	binary.BigEndian.PutUint16(p[4:], id)
	return p
}

// oneByOne is a source that hands on each packet alone: then the connections of all but the first packet are known when segments are looked at.
type oneByOne struct {
	capture.Source
	rest capture.Batch
	next int
}

func (s *oneByOne) Next(b *capture.Batch) error {
	b.Data, b.Refs = b.Data[:0], b.Refs[:0]
	if s.next == len(s.rest.Refs) {
		s.next, s.rest.Refs = 0, s.rest.Refs[:0]
		if err := s.Source.Next(&s.rest); err != nil {
			return err
		}
	}
	b.Add(s.rest.Packet(s.next))
	s.next++
	return nil
}

// verdicts are the transactions and violations but for the login's.
type verdicts struct{ lines []string }

func (v *verdicts) Frame(*dissect.Frame)   {}
func (v *verdicts) Stream(*dissect.Stream) {}
func (v *verdicts) Transaction(t *dissect.Transaction) {
	if t.Letter != 'L' {
		v.lines = append(v.lines, strings.TrimSpace(fmt.Sprintf("%v %v %v", t.State, t.Reason, t.Evidence)))
	}
}

func (v *verdicts) Violation(x *dissect.Violation) {
	v.lines = append(v.lines, strings.TrimSpace(fmt.Sprintf("! %s %v by %s %v", x.Rule.ID, x.Severity(), x.BlameName(), x.Reason)))
}

// read analyses what was sent, of which the capture has dropped so many packets.
func (x *wire) read(dropped uint64, sink dissect.Sink) Result {
	if err := x.w.Close(); err != nil {
		x.t.Fatal(err)
	}
	src, err := capture.NewReader(&x.buf, "wire")
	if err != nil {
		x.t.Fatal(err)
	}
	var from capture.Source = lossy{src, dropped}
	if x.alone {
		from = &oneByOne{Source: from}
	}
	res, err := Run(context.Background(), from, x.options, sink)
	if err != nil {
		x.t.Fatal(err)
	}
	return res
}

func (x *wire) verdicts() string {
	_, lines := x.run()
	return lines
}

// The packets of the handshake and the login are 1 to 6: what a case sends starts with 7.
func TestReasons(t *testing.T) {
	const data, answer = "Dsession2" + wireToken + "\x00\x05hello", "Rsession2\x01"
	const unanswered = "! no-response warning by server delivered-not-answered\n"
	for name, c := range map[string]struct {
		make func(x *wire)
		want string
	}{
		"acknowledged, and nothing said": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).elsewhere(32) },
			unanswered + "unanswered delivered-not-answered [8]",
		},
		"acknowledged, and much was said and acknowledged since": {
			func(x *wire) {
				x.say(1, 0, data).ack(1.1, 1)
				for i := range 12 {
					id := fmt.Sprintf("other%03d", i)
					at := 2 + float64(i)
					x.say(at, 0, "D"+id+data[9:]).ack(at+0.1, 1).say(at+0.2, 1, "R"+id+"\x01").ack(at+0.3, 0)
				}
				x.elsewhere(32)
			},
			strings.Repeat("answered  []\n", 12) + unanswered + "unanswered delivered-not-answered [8]",
		},
		"its answer was missed, and much was said and acknowledged since": {
			func(x *wire) {
				x.say(1, 0, data).ack(1.1, 1).unseen(1, answer).ack(1.2, 0)
				for i := range 12 {
					id := fmt.Sprintf("other%03d", i)
					at := 4 + float64(i)
					x.say(at, 0, "D"+id+data[9:]).ack(at+0.1, 1).say(at+0.2, 1, "R"+id+"\x01").ack(at+0.3, 0)
				}
				x.elsewhere(32).elsewhere(70)
			},
			"! capture-gap note by capture\n" + strings.Repeat("answered  []\n", 12) + "unanswered capture-lost [9]",
		},
		"acknowledged while it is open whether it has a tail": {
			func(x *wire) { x.say(1, 0, "Hsession2"+wireToken).ack(1.1, 1).elsewhere(3).elsewhere(32) },
			unanswered + "unanswered delivered-not-answered [8]",
		},
		"in one write with an answer": {
			func(x *wire) {
				x.say(1, 0, data).say(1.1, 1, answer+"Csession3"+wireToken+"\x00").ack(1.2, 0).elsewhere(32)
			},
			"answered  []\n! no-response warning by device delivered-not-answered\nunanswered delivered-not-answered [9]",
		},
		"in two writes, the second of which begins like an answer": {
			func(x *wire) {
				x.say(1, 0, data).ack(1.1, 1).say(1.2, 1, answer).ack(1.3, 0)
				x.say(2, 0, "Dsession3"+wireToken+"\x00\x0dabc").ack(2.1, 1)
				x.say(2.2, 0, "Rxxxxxxxx\x01").ack(2.3, 1).again(2.5, 0, 10, "Rxxxxxxxx\x01").elsewhere(34)
			},
			"answered  []\n" + unanswered + "unanswered delivered-not-answered [14]",
		},
		"the last packet is of another protocol": {
			func(x *wire) {
				x.say(1, 0, data).ack(1.1, 1)
				p := tcp(true, 1, 1, 16, "")
				p[9] = 17
				x.put(70, p)
			},
			unanswered + "unanswered delivered-not-answered [8]",
		},
		"behind the answers of others": {
			func(x *wire) {
				x.say(1, 0, data).say(1.1, 1, answer).ack(1.2, 0).say(2, 1, "Csession3"+wireToken+"\x02hi").ack(2.1, 0)
				x.say(3, 0, "D"+"session4"+data[9:]).say(3.1, 1, "Rsession4\x01").ack(3.2, 0).elsewhere(33)
			},
			"answered  []\nanswered  []\n! no-response warning by device delivered-not-answered\nunanswered delivered-not-answered [11]",
		},
		"acknowledged but for its last byte, and not sent again": {
			func(x *wire) { x.say(1, 0, data).ackBut(1.1, 1, 1).elsewhere(32) },
			unanswered + "unanswered delivered-not-answered []",
		},
		"no acknowledgement was captured, and it was not sent again": {
			func(x *wire) { x.say(1, 0, data).elsewhere(32) },
			unanswered + "unanswered delivered-not-answered []",
		},
		"sent again and again": {
			func(x *wire) {
				x.say(1, 0, data).again(1.3, 0, len(data), data).again(2, 0, len(data), data).elsewhere(32)
			},
			"! no-response note by network never-delivered\nunanswered never-delivered [8 9]",
		},
		"sent again, acknowledged but for its last byte": {
			func(x *wire) { x.say(1, 0, data).again(1.3, 0, len(data), data).ackBut(1.4, 1, 1).elsewhere(32) },
			"! no-response note by network never-delivered\nunanswered never-delivered [8]",
		},
		"sent again, and acknowledged then": {
			func(x *wire) { x.say(1, 0, data).again(1.3, 0, len(data), data).ack(1.4, 1).elsewhere(32) },
			unanswered + "unanswered delivered-not-answered [9]",
		},
		"another packet was sent again": {
			func(x *wire) {
				x.say(1, 0, data).say(1, 0, "D"+"session3"+data[9:]).again(1.3, 0, len(data), "D"+"session3"+data[9:]).elsewhere(32)
			},
			unanswered + "! no-response note by network never-delivered\nunanswered delivered-not-answered []\nunanswered never-delivered [9]",
		},
		"captured twice": {
			func(x *wire) {
				p := twice(tcp(true, x.seq[0], x.acked[0], 24, data), 7)
				x.put(1, p)
				x.put(1.001, p)
				x.seq[0] += uint32(len(data))
				x.elsewhere(32)
			},
			unanswered + "unanswered delivered-not-answered []",
		},
		"the same bytes under another IP ID were sent again": {
			func(x *wire) {
				x.put(1, twice(tcp(true, x.seq[0], x.acked[0], 24, data), 7))
				x.put(1.001, twice(tcp(true, x.seq[0], x.acked[0], 24, data), 8))
				x.seq[0] += uint32(len(data))
				x.elsewhere(32)
			},
			"! no-response note by network never-delivered\nunanswered never-delivered [8]",
		},
		"answered late": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).say(32, 1, answer).elsewhere(70) },
			unanswered + "! late-response warning by server answered-late\nunanswered answered-late [9]",
		},
		"answered in time": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).say(30.9, 1, answer).elsewhere(70) },
			"answered  []",
		},
		"answered when nobody waits any more": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).say(62, 1, answer).elsewhere(70) },
			unanswered + "unanswered delivered-not-answered [8]\n! late-response warning by server answered-late",
		},
		"the responder closes": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).flag(2, 1, 1).elsewhere(70) },
			"! no-response warning by server closed\nunanswered closed [9]",
		},
		"the requester resets": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).flag(2, 0, 4).elsewhere(70) },
			"! no-response warning by device closed\nunanswered closed [9]",
		},
		"the responder closes when the time is over": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).flag(32, 1, 1).elsewhere(70) },
			unanswered + "unanswered delivered-not-answered [8]",
		},
		"it never reached the peer, and the requester gives up": {
			func(x *wire) { x.say(1, 0, data).again(1.3, 0, len(data), data).flag(9, 0, 4).elsewhere(70) },
			"! no-response note by network never-delivered\nunanswered never-delivered [8]",
		},
		"the capture lost the answer": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).unseen(1, answer).ack(1.2, 0).elsewhere(32) },
			"! capture-gap note by capture\nunanswered capture-lost [9]",
		},
		"the capture lost an answer of before": {
			func(x *wire) { x.unseen(1, answer).ack(0.5, 0).elsewhere(3).say(4, 0, data).ack(4.1, 1).elsewhere(36) },
			"! capture-gap note by capture\n" + unanswered + "unanswered delivered-not-answered [10]",
		},
		"the capture ends": {
			func(x *wire) { x.say(1, 0, data).ack(1.1, 1).elsewhere(30.9) },
			"pending capture-ended []",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, alone := range []bool{false, true} {
				x := newWire(t)
				x.alone = alone
				c.make(x)
				if d := cmp.Diff(c.want, x.verdicts()); d != "" {
					t.Errorf("each packet alone %v, -want +got:\n%s", alone, d)
				}
			}
		})
	}
}

// ramble sends anything for a while: requests and answers, alone and in one write, delivered and not, acknowledged at once, late, in part, or never.
// Time goes on by little, mostly.
func (x *wire) ramble(r *rand.Rand) {
	at, open := 0.1, [2][]string{}
	for i := range 10 + r.IntN(100) {
		switch r.IntN(12) {
		case 0, 1:
			at += r.Float64()
		case 2:
			at += 29 + 2*r.Float64()
		default:
			at += r.Float64() / 50
		}
		side := r.IntN(2)
		id := fmt.Sprintf("%08d", i)
		request := "C" + id + wireToken
		if side == 0 {
			request = "DH"[r.IntN(2):][:1] + id + wireToken
		}
		switch {
		case request[0] == 'D':
			request += "\x00\x05hello"
		case r.IntN(2) == 0:
			request += "\x05hello"
		}
		answer := ""
		if waits := open[1-side]; len(waits) > 0 {
			answer = "R" + waits[0] + "\x01"
		}
		switch n := r.IntN(32); {
		case n < 6:
			x.say(at, side, request)
			open[side] = append(open[side], id)
		case n < 9 && answer != "":
			if r.IntN(8) == 0 {
				x.unseen(side, answer)
			} else {
				x.say(at, side, answer)
			}
			open[1-side] = open[1-side][1:]
		case n < 17:
			x.ack(at, side)
		case n == 17:
			x.ackBut(at, side, uint32(r.IntN(40)))
		case n == 18:
			x.elsewhere(at)
		case n == 19 && r.IntN(4) == 0:
			x.elsewhere(at + 40) // by a clock that is ahead
		case n == 20:
			x.say(at, side, request[:20]).say(at+0.001, side, request[20:])
			open[side] = append(open[side], id)
		case n == 21:
			x.again(at, side, 5, request[:5])
		case n == 22 && r.IntN(6) == 0:
			x.flag(at, side, []byte{1, 4}[r.IntN(2)])
		case n == 22: // what is acknowledged is given up before, for one in more than a frame holds
			large := "D" + id + wireToken + "\x06\x00" + strings.Repeat("x", 0x600)
			x.say(at, 0, "D"+id+wireToken+"\x00\x01?").say(at+0.001, 0, large).ackBut(at+0.002, 1, uint32(len(large)))
		case n == 23:
			x.say(at, side, request).again(at+0.2, side, len(request), request)
		case n < 26: // two in one write, of which one is acknowledged first, or a part of it
			other := request[:1] + "x" + id[1:] + request[9:]
			x.say(at, side, request+other)
			open[side] = append(open[side], id, "x"+id[1:])
			if r.IntN(2) == 0 {
				x.ackBut(at+0.001, 1-side, uint32([]int{len(other), r.IntN(len(other))}[r.IntN(2)]))
			}
		case n == 26: // in two segments
			k := 1 + r.IntN(len(request)-1)
			x.say(at, side, request[:k])
			if r.IntN(2) == 0 {
				x.ack(at+0.001, 1-side)
			}
			x.say(at+0.002, side, request[k:])
			open[side] = append(open[side], id)
		case n == 27: // a login, and what may be its answer
			x.say(at, 0, "L"+id+"client00000000000000secret00000000000000PRODUCT1\x03dev")
			if r.IntN(2) == 0 {
				x.ack(at+0.001, 1)
			}
			x.say(at+0.01, 1, "R"+id+[]string{"\x01" + wireToken, "\x01" + wireToken + "\x03key", "\x00\x00\x03"}[r.IntN(3)])
		case n == 28:
			x.say(at, side, "Rzz"+id[2:]+"\x01")
		case n == 29 && len(open[side]) > 0:
			x.say(at, side, request[:1]+open[side][0]+wireToken+"\x00\x05hellO")
		case n == 30:
			x.ack(at, side).elsewhere(at+0.9).ack(at+0.9, 1-side)
		}
	}
	x.elsewhere(at + 31).elsewhere(at + 100)
}

// What is told of acknowledgements together with what they acknowledge, because both are in a batch, proves the same as what is told in its turn.
func TestAcknowledgementsOfABatch(t *testing.T) {
	for seed := uint64(4000); seed < 7000; seed++ {
		var told [2]string
		for i := range told {
			x := newWire(t)
			x.alone = i == 1
			x.options.Dissect.Timeout = []time.Duration{0, 1001 * time.Millisecond, 5 * time.Second}[seed%3]
			x.ramble(rand.New(rand.NewPCG(seed, 5)))
			told[i] = x.verdicts()
		}
		if d := cmp.Diff(told[1], told[0]); d != "" {
			t.Fatalf("seed %d (-packet by packet +batch):\n%s", seed, d)
		}
	}
}
