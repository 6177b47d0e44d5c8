package analyze

import (
	"math"
	"slices"
	"time"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// proven lets the dissector ask a connection of the reassembly what TCP proves.
type proven reassembly.Conn

// AckedAt implements dissect.TCP.
func (c *proven) AckedAt(dir int, end int64) (packet int64, ok bool) {
	return (*reassembly.Conn)(c).AckedIn(reassembly.Direction(dir), end)
}

// ResentAt implements dissect.TCP.
func (c *proven) ResentAt(dir int, from, to int64) []int64 {
	return (*reassembly.Conn)(c).ResentIn(reassembly.Direction(dir), from, to)
}

// EndedAt implements dissect.TCP.
func (c *proven) EndedAt(dir int) int64 { return (*reassembly.Conn)(c).Ended[dir] }

// late holds unanswered transactions back for one more timeout, in case that an answer comes after all: then their reason is
// that. What else is told passes at once.
type late struct {
	dissect.Sink
	wait  int64
	queue []*dissect.Transaction // by age, the first one is there; nil for others that went
	held  map[int64]int          // places in the queue, from first, by number
	first int
}

// maxLate bounds the transactions that are held back.
const maxLate = 4096

func newLate(sink dissect.Sink, timeout time.Duration) *late {
	if timeout <= 0 {
		timeout = dissect.DefaultTimeout
	}
	return &late{Sink: sink, wait: 2 * int64(timeout), held: make(map[int64]int)}
}

// Transaction implements dissect.Sink.
func (s *late) Transaction(t *dissect.Transaction) {
	switch t.Reason {
	case dissect.CaptureLost, dissect.NeverDelivered, dissect.NotAnswered:
	default:
		s.Sink.Transaction(t)
		return
	}
	x := *t
	x.SessionID = slices.Clone(t.SessionID)
	s.held[x.Number] = len(s.queue)
	s.queue = append(s.queue, &x)
	for len(s.held) > maxLate {
		s.release(s.first)
	}
}

// due is the earliest moment behind which advance has something to do (ns).
func (s *late) due() int64 {
	if s.first == len(s.queue) {
		return math.MaxInt64
	}
	return s.queue[s.first].RequestTime + s.wait
}

// advance lets go of what waited long enough by a moment of capture time (ns).
func (s *late) advance(now int64) {
	for now > s.due() {
		s.release(s.first)
	}
}

// Frame implements dissect.Sink.
func (s *late) Frame(f *dissect.Frame) {
	s.Sink.Frame(f)
	if len(s.held) == 0 || f.Letter != 'R' {
		return
	}
	if at, ok := s.held[f.Transaction]; ok && f.Late() {
		t := s.queue[at]
		t.Reason, t.Evidence = dissect.AnsweredLate, slices.Clone(f.Packets)
		s.release(at)
	}
}

// Stream implements dissect.Sink.
func (s *late) Stream(x *dissect.Stream) {
	var ended []int64
	for at := s.first; at < len(s.queue) && len(s.held) > 0; at++ {
		if t := s.queue[at]; t != nil && t.Conn == x.Conn {
			ended = append(ended, t.Number)
		}
	}
	for _, n := range ended {
		s.release(s.held[n])
	}
	s.Sink.Stream(x)
}

// Note implements dissect.NoteSink.
func (s *late) Note(n *dissect.Note) {
	if next, ok := s.Sink.(dissect.NoteSink); ok {
		next.Note(n)
	}
}

// release tells of what stands at a place of the queue.
func (s *late) release(at int) {
	if t := s.queue[at]; t != nil {
		delete(s.held, t.Number)
		s.queue[at] = nil
		s.Sink.Transaction(t)
	}
	for s.first < len(s.queue) && s.queue[s.first] == nil {
		s.first++
	}
	if s.first == len(s.queue) {
		s.queue, s.first = s.queue[:0], 0
	}
	if s.first > maxLate { // the places move
		s.queue = append(s.queue[:0], s.queue[s.first:]...)
		s.first = 0
		for at, t := range s.queue {
			if t != nil {
				s.held[t.Number] = at
			}
		}
	}
}
