package sanitize

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
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
	segments    map[[2]netip.AddrPort]int // how many went from one to another
	secrets     map[string][]byte         // with their pseudonyms
	sizes       []int                     // of the secrets
	tokens      map[[4]byte][][]byte      // by how they begin
	tails       map[string][]byte         // tokens by how they end
	alike       bool                      // bytes that are no packet look as much or as little like packets as before
	later       []func()                  // what needs to know the others
}

func newLearned(key []byte, like likeness, keepPayload bool) *learned {
	return &learned{
		names: newNames(key, like >= allAlike), alike: like >= restAlike, keepPayload: keepPayload, frames: make(map[way][]stretch),
		raw: make(map[way][]stretch), base: make(map[way]uint32), nubison: make(map[int]bool), segments: make(map[[2]netip.AddrPort]int), secrets: make(map[string][]byte),
		tokens: make(map[[4]byte][][]byte), tails: make(map[string][]byte),
	}
}

// minTail is the size from which on the end of a token is known as such.
const minTail = 3

// likeness is how much new bytes look like the old ones.
type likeness uint8

const (
	unlike    likeness = iota // only sizes, and what is a letter, a digit or none
	restAlike                 // bytes that are no packet have letters that packets start with where they had them
	allAlike                  // values of packets, too
)

func wayOf(f *dissect.Frame) way {
	d := f.Conn.DeviceDir
	if f.From == protocol.Server {
		d = 1 - d
	}
	return way{f.Conn.Stream, d}
}

// Frame implements dissect.Sink.
func (l *learned) Frame(f *dissect.Frame) {
	raw, b := bytes.Clone(f.Raw), make([]byte, len(f.Raw))
	at := 0
	rest := func(to int) { // bytes of no field
		if from := at; from < to {
			l.later = append(l.later, func() { copy(b[from:to], l.unknown(raw[from:to])) })
		}
	}
	fields := f.Fields()
	for i := range fields {
		x := fields[i]
		rest(x.At)
		at = max(at, x.At+len(x.Value))
		x.Value = raw[x.At : x.At+len(x.Value)]
		l.field(b[x.At:], &x)
	}
	rest(len(raw))
	l.frames[wayOf(f)] = append(l.frames[wayOf(f)], stretch{f.Offset, b})
}

// field writes a field's pseudonym. What is not known to be harmless gets one.
func (l *learned) field(to []byte, f *dissect.FieldValue) {
	v := f.Value
	switch {
	case f.Kind == protocol.Letter, f.Kind == protocol.Length, f.Kind == protocol.StatusNum, f.Kind == protocol.Code,
		f.Name == "product_code" && isCode(v):
		copy(to, v)
	case f.Kind == protocol.Payload && !f.Secret && l.keepPayload:
		l.later = append(l.later, func() { copy(to, l.withoutSecrets(v)) })
	case f.Kind == protocol.Payload && !f.Secret:
		l.later = append(l.later, func() { copy(to, l.payload(v)) })
	case f.Kind == protocol.ID && !f.Complete:
		l.later = append(l.later, func() { copy(to, l.partOf(v)) })
	case !f.Complete:
		start := bytes.TrimRight(v, "\x00") // what is missing is zero
		l.later = append(l.later, func() { copy(to, l.names.startOf(start)) })
	default:
		of := l.names.of
		switch f.Kind {
		case protocol.ID:
			of = l.names.id
			if len(v) == protocol.TokenSize && l.names.known[string(v)] == nil {
				l.tokens[[4]byte(v)] = append(l.tokens[[4]byte(v)], v)
				for i := 1; i <= len(v)-minTail; i++ {
					l.tails[string(v[i:])] = v
				}
			}
		case protocol.Payload:
			of = l.names.ofKey
		}
		p := of(v)
		copy(to, p)
		if t := f.Trimmed(); len(t) >= minSecret {
			l.secrets[string(t)] = p[:len(t)]
		}
	}
}

// isCode tells whether bytes look like a product code: another value may stand in its place where a packet is damaged.
func isCode(v []byte) bool {
	return len(bytes.TrimRight(bytes.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), " \x00")) == 0
}

// minSecret is the size from which on a value is searched for in what was written: a shorter one is anywhere by chance.
const minSecret = 6

func (l *learned) payload(v []byte) []byte {
	out := l.names.scramble(v, l.names.alike)
	if utf8.Valid(v) {
		out = l.names.disguise(v, 0)
	}
	l.keepIDs(out, v)
	return out
}

// withoutSecrets returns a payload that is kept, but for the secrets in it.
func (l *learned) withoutSecrets(v []byte) []byte {
	if l.sizes == nil {
		sizes := make(map[int]bool)
		for s := range l.secrets {
			sizes[len(s)] = true
		}
		l.sizes = slices.Sorted(maps.Keys(sizes))
	}
	out := bytes.Clone(v)
	for _, n := range l.sizes {
		for i := 0; i+n <= len(v); i++ {
			if p, ok := l.secrets[string(v[i:i+n])]; ok {
				copy(out[i:], p)
			}
		}
	}
	return out
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
		src, dst := seg.Addr()
		s.l.segments[[2]netip.AddrPort{src, dst}]++
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
	ways := slices.SortedFunc(maps.Keys(l.raw), func(a, b way) int { return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.dir, b.dir)) })
	for _, w := range ways {
		if !l.nubison[w.stream] {
			continue
		}
		list := l.raw[w]
		frames := l.frames[w]
		slices.SortStableFunc(frames, byPlace)
		var rest []stretch
		for _, s := range merge(list) {
			rest = append(rest, without(s, frames)...)
		}
		for _, s := range rest {
			frames = append(frames, stretch{s.at, l.unknown(s.b)})
		}
		slices.SortStableFunc(frames, byPlace)
		l.frames[w] = apart(frames)
	}
	l.raw = nil
}

func byPlace(a, b stretch) int { return cmp.Compare(a.at, b.at) }

// apart cuts what the stretches before have from those behind.
func apart(list []stretch) []stretch {
	out, end := list[:0], int64(math.MinInt64)
	for _, s := range list {
		if end > s.at {
			s = stretch{end, s.b[min(end-s.at, int64(len(s.b))):]}
		}
		if len(s.b) > 0 {
			out, end = append(out, s), s.at+int64(len(s.b))
		}
	}
	return out
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
	out := l.names.scramble(b, l.alike)
	l.keepIDs(out, b)
	return out
}

// keepIDs writes the pseudonyms of session IDs and tokens that stand among other bytes: those that are known, and what stands where a
// packet that starts with the bytes, or behind a token, has them.
func (l *learned) keepIDs(out, b []byte) {
	start := 0
	for n := min(protocol.TokenSize-1, len(b)); n >= minTail && start == 0; n-- { // the rest of a token
		if t := l.tails[string(b[:n])]; t != nil {
			start = copy(out, l.names.id(t)[len(t)-n:])
		}
	}
	if start < len(b) && strings.IndexByte(protocol.Letters, b[start]) >= 0 {
		l.idAt(out, b, start+1, protocol.SessionIDSize)
	}
	for i := 0; i+protocol.SessionIDSize <= len(b); i++ {
		end := i + protocol.SessionIDSize
		if p, ok := l.names.known[string(b[i:end])]; ok {
			copy(out[i:], p)
			if i > 0 && strings.IndexByte(protocol.Letters, b[i-1]) >= 0 {
				out[i-1] = b[i-1]
				if b[i-1] == 'R' && end < len(b) && b[end] <= 1 {
					out[end] = b[end] // the status
					end++
				}
			}
			l.idAt(out, b, end, protocol.TokenSize)
		}
		if end = i + protocol.TokenSize; end > len(b) {
			continue
		}
		if p, ok := l.names.known[string(b[i:end])]; ok {
			copy(out[i:], p)
			if end < len(b) && strings.IndexByte(protocol.Letters, b[end]) >= 0 {
				out[end] = b[end]
				l.idAt(out, b, end+1, protocol.SessionIDSize)
			} else if end+1 < len(b) && i > protocol.SessionIDSize && b[i-protocol.SessionIDSize-1] == 'D' {
				copy(out[end:end+2], b[end:]) // the payload's length
			}
		}
	}
}

// idAt writes the pseudonym of what may be an ID, as far as it was captured.
func (l *learned) idAt(out, b []byte, at, size int) {
	if at >= len(b) {
		return
	}
	part := b[at:min(at+size, len(b))]
	if bytes.ContainsFunc(part, func(c rune) bool { return c != 0 && c <= ' ' || c > '~' }) {
		return
	}
	copy(out[at:], l.partOf(part))
}

// partOf returns the pseudonym of an ID of which some bytes may not have been captured: those are zero. Of a token that is known elsewhere
// it is known what follows them.
func (l *learned) partOf(v []byte) []byte {
	start := v
	if stop := bytes.IndexFunc(v, func(c rune) bool { return c <= ' ' || c > '~' }); stop >= 0 {
		start = v[:stop]
	}
	if len(start) >= 4 {
		for _, t := range l.tokens[[4]byte(start)] {
			if p := l.names.id(t); fits(t, v) {
				out := bytes.Clone(v)
				for i, c := range v {
					if c != 0 {
						out[i] = p[i]
					}
				}
				return out
			}
		}
	}
	out := l.names.scramble(v, true)
	copy(out, l.names.id(start))
	return out
}

// fits tells whether bytes are those of a token, as far as they were captured.
func fits(token, v []byte) bool {
	for i, c := range v {
		if i >= len(token) || c != 0 && c != token[i] {
			return false
		}
	}
	return true
}
