package sanitize

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
	"github.com/nubishark/nubishark/reassembly"
)

// stretch is a run of a direction's stream.
type stretch struct {
	at int64
	b  []byte
}

// way is a direction of a connection.
type way struct {
	stream int
	dir    int
}

// learned is what the first look at a capture has told: which bytes of which streams stand for what.
type learned struct {
	names       *names
	keepPayload bool
	frames      map[way][]stretch // the frames' new bytes
	raw         map[way][]stretch // the streams as they were captured
	base        map[way]uint32    // sequence number of stream offset 0
	nubison     map[int]bool
	secrets     map[string]bool
	later       []func() // fields that are not whole
}

func newLearned(key []byte, keepPayload bool) *learned {
	return &learned{
		names: newNames(key), keepPayload: keepPayload, frames: make(map[way][]stretch), raw: make(map[way][]stretch), base: make(map[way]uint32),
		nubison: make(map[int]bool), secrets: make(map[string]bool),
	}
}

func wayOf(f *dissect.Frame) way {
	d := f.Conn.DeviceDir
	if f.From == protocol.Server {
		d = 1 - d
	}
	return way{f.Conn.Stream, d}
}

// Frame implements dissect.Sink.
func (l *learned) Frame(f *dissect.Frame) {
	b := bytes.Clone(f.Raw)
	for i := range f.Fields {
		l.field(b, &f.Fields[i])
	}
	l.frames[wayOf(f)] = append(l.frames[wayOf(f)], stretch{f.Offset, b})
}

// field puts the pseudonym of a field in its place.
func (l *learned) field(b []byte, f *dissect.FieldValue) {
	v := bytes.Clone(f.Value)
	put := func(p []byte) { copy(b[f.At:], p) }
	switch {
	case f.Kind == protocol.Payload && !f.Secret:
		if !l.keepPayload {
			put(l.payload(v))
		}
	case f.Name == "product_code", f.Kind != protocol.ID && f.Kind != protocol.Text && f.Kind != protocol.Payload:
	case !f.Complete:
		start := bytes.TrimRight(v, "\x00") // what is missing is zero
		l.later = append(l.later, func() { put(l.names.startOf(start)) })
	default:
		put(l.names.of(v))
		if t := f.Trimmed(); len(t) >= minSecret {
			l.secrets[string(t)] = true
		}
	}
}

// minSecret is the size from which on a value is searched for in what was written: a shorter one is anywhere by chance.
const minSecret = 6

func (l *learned) payload(v []byte) []byte {
	if utf8.Valid(v) {
		return l.names.disguise(v, 0)
	}
	return l.names.scramble(v)
}

// Transaction implements dissect.Sink.
func (l *learned) Transaction(*dissect.Transaction) {}

// Violation implements dissect.Sink.
func (l *learned) Violation(*dissect.Violation) {}

// Stream implements dissect.Sink.
func (l *learned) Stream(s *dissect.Stream) { l.nubison[s.Conn.Stream] = true }

// streams collects the bytes of all streams, and where they stand in sequence numbers.
type streams struct {
	l    *learned
	sent []sent // by capture packet, from 1
}

// sent is what a packet's segment carried: from which sequence number on, and how many bytes.
type sent struct {
	seq  uint32
	size int32
}

// note keeps what the next packet carried, nil for a packet without a segment.
func (s *streams) note(seg *reassembly.Segment) {
	var x sent
	if seg != nil {
		x = sent{seg.Seq, int32(len(seg.Payload))}
		if seg.Flags&reassembly.FlagSYN != 0 {
			x.seq++
		}
	}
	s.sent = append(s.sent, x)
}

// Open implements reassembly.Handler.
func (s *streams) Open(*reassembly.Conn) {}

// Stall implements reassembly.Handler.
func (s *streams) Stall(*reassembly.Conn, reassembly.Direction, bool) {}

// End implements reassembly.Handler.
func (s *streams) End(*reassembly.Conn, reassembly.Direction, reassembly.End, int64, int64) {}

// Chunk implements reassembly.Handler.
func (s *streams) Chunk(c *reassembly.Conn, d reassembly.Direction, ch reassembly.Chunk) {
	w := way{c.Stream, int(d)}
	if ch.Gap > 0 {
		return
	}
	s.l.raw[w] = append(s.l.raw[w], stretch{ch.Offset, bytes.Clone(ch.Bytes)})
	if n := ch.Packet; n > 0 && n <= int64(len(s.sent)) && int32(len(ch.Bytes)) == s.sent[n-1].size {
		if _, known := s.l.base[w]; !known {
			s.l.base[w] = s.sent[n-1].seq - uint32(ch.Offset)
		}
	}
}

// finish gives all bytes of NUBISON streams that belong to no frame a disguise, in which what is known elsewhere is known.
func (l *learned) finish() {
	for _, put := range l.later {
		put()
	}
	for w, list := range l.raw {
		if !l.nubison[w.stream] {
			continue
		}
		frames := l.frames[w]
		slices.SortFunc(frames, func(a, b stretch) int { return int(a.at - b.at) })
		var rest []stretch
		for _, s := range merge(list) {
			rest = append(rest, without(s, frames)...)
		}
		for _, s := range rest {
			frames = append(frames, stretch{s.at, l.unknown(s.b)})
		}
		slices.SortFunc(frames, func(a, b stretch) int { return int(a.at - b.at) })
		l.frames[w] = frames
	}
	l.raw = nil
}

// merge joins stretches that follow each other.
func merge(list []stretch) (out []stretch) {
	for _, s := range list {
		if n := len(out); n > 0 && out[n-1].at+int64(len(out[n-1].b)) == s.at {
			out[n-1].b = append(out[n-1].b, s.b...)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// without returns the parts of a stretch that no frame covers.
func without(s stretch, frames []stretch) (out []stretch) {
	at, end := s.at, s.at+int64(len(s.b))
	for _, f := range frames {
		stop := f.at + int64(len(f.b))
		if stop <= at {
			continue
		}
		if f.at >= end {
			break
		}
		if f.at > at {
			out = append(out, stretch{at, s.b[at-s.at : f.at-s.at]})
		}
		at = stop
	}
	if at < end {
		out = append(out, stretch{at, s.b[at-s.at:]})
	}
	return out
}

// unknown disguises bytes of which nothing is known but the session IDs and tokens in them.
func (l *learned) unknown(b []byte) []byte {
	out := l.names.scramble(b)
	for _, n := range []int{protocol.SessionIDSize, protocol.TokenSize} {
		for i := 0; i+n <= len(b); i++ {
			if p, ok := l.names.known[string(b[i:i+n])]; ok {
				copy(out[i:], p)
			}
		}
	}
	return out
}
