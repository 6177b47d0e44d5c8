package analyze

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
)

// captureNotes are the notes on the capture, and what came behind the first of them.
type captureNotes struct {
	verdicts
	notes []string
	late  int
}

func (n *captureNotes) Stream(*dissect.Stream) { n.behind() }
func (n *captureNotes) Transaction(t *dissect.Transaction) {
	n.behind()
	n.verdicts.Transaction(t)
}

func (n *captureNotes) behind() {
	if len(n.notes) > 0 {
		n.late++
	}
}

func (n *captureNotes) Note(x *dissect.Note) {
	if x.Conn != nil {
		return
	}
	s := fmt.Sprintf("%s ×%d packet %d", strings.TrimPrefix(x.ID, dissect.PreflightNote), x.Count, x.Packet)
	if x.Stream != nil {
		s += fmt.Sprintf(" stream %d", *x.Stream)
	}
	for _, d := range x.Doubtful {
		s += fmt.Sprintf(" %s×%d", d.Rule.ID, d.Count)
	}
	n.notes = append(n.notes, s)
}

// lossy is a source that says how many packets it dropped.
type lossy struct {
	capture.Source
	dropped uint64
}

func (l lossy) Stats() capture.Stats {
	s := l.Source.Stats()
	s.Known, s.Dropped = true, l.dropped
	return s
}

func (x *wire) notes(dropped uint64) string {
	var n captureNotes
	x.read(dropped, &n)
	if n.late > 0 {
		x.t.Errorf("%d records came behind the notes on the capture", n.late)
	}
	return strings.Join(n.notes, "\n")
}

// What a capture lacks is noted once each behind all records, in a fixed order, with the first place of it and the violations
// that it may explain. The packets of the handshake and the login are 1 to 6.
func TestPreflightNotes(t *testing.T) {
	for name, c := range map[string]struct {
		from    func(*testing.T) *wire
		make    func(x *wire)
		dropped uint64
		want    string
	}{
		"nothing": {newWire, func(x *wire) { x.say(1, 0, ask(2, 5)).say(1.1, 1, reply(2)) }, 0, ""},
		"dropped, and all is answered": {
			newWire, func(x *wire) { x.say(1, 0, ask(2, 5)).say(1.1, 1, reply(2)) }, 3, "dropped ×3 packet 0",
		},
		"dropped, perhaps with an answer": {
			newWire, func(x *wire) { x.say(1, 0, ask(2, 5)+"\r\n").say(1.1, 1, reply(2)).say(2, 0, ask(3, 5)).elsewhere(40) }, 3,
			"dropped ×3 packet 0 no-response×1",
		},
		"two gaps": {
			newWire, func(x *wire) {
				x.unseen(1, "123").ack(1, 0).elsewhere(3).say(4, 0, ask(2, 5)).unseen(1, reply(2)).ack(4.1, 0).elsewhere(40)
			}, 0, "gap ×2 packet 5 stream 0",
		},
		"cut": {
			newWire, func(x *wire) {
				x.cut(1, 0, ask(2, 50), 20).say(1.1, 1, reply(2)).cut(2, 0, ask(3, 50), 20).say(2.1, 1, reply(3))
			}, 0, "gap ×2 packet 7 stream 0\ncut ×2 packet 7",
		},
		"only one side": {
			halfWire, func(x *wire) {
				x.put(0, tcp(true, 99, 0, 2, ""))
				x.say(1, 0, ask(2, 5)).say(3, 0, "ping").elsewhere(40)
			}, 0,
			"one-sided ×1 packet 0 stream 0 short-packet×1",
		},
		"both sides, the device first": {halfWire, func(x *wire) { x.say(0, 0, ask(2, 5)).say(.1, 1, reply(2)) }, 0, "midstream ×1 packet 0 stream 0"},
		"started in the middle, with a stray end": {
			halfWire, func(x *wire) { x.elsewhere(0).say(0, 0, ask(2, 5)+"\r\n").say(.1, 1, reply(2)).say(1, 0, ask(3, 5)) }, 0,
			"midstream ×1 packet 0 stream 1 stray-bytes×1",
		},
		"joined, twice and out of time": {
			newWire, func(x *wire) {
				x.say(1, 0, ask(2, 1426)).say(1.1, 1, reply(2)).say(1.2, 0, ask(3, 1425)).say(1.3, 1, reply(3))
				p := twice(tcp(true, x.seq[0], x.acked[0], 24, ask(4, 5)+"\r\n"), 7)
				x.put(1.2, p)
				x.put(1.2001, p)
				x.seq[0] += uint32(len(p) - 40)
				x.say(2, 0, ask(5, 5))
			}, 0, "duplicated ×1 packet 12\noffload ×1 packet 7 stray-bytes×1\nbackwards ×1 packet 11",
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := c.from(t)
			c.make(x)
			if d := cmp.Diff(c.want, x.notes(c.dropped)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
