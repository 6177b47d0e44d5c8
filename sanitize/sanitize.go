package sanitize

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/reassembly"
)

// Options steer what is left out.
type Options struct {
	// KeepPayload keeps the payloads of packets as they are.
	KeepPayload bool
	// Analysis says how the capture is read; its limits count.
	Analysis analyze.Options
}

// attempts are what is tried in turn, each with pseudonyms of its own, until none repeats a secret or changes what is concluded. Where a
// packet's bounds are uncertain, bytes that look like packets matter.
var attempts = []likeness{unlike, restAlike, allAlike, allAlike, allAlike, allAlike}

// File writes a capture, which open yields as often as it is asked to, without what is not to be passed on. It fails where a secret of
// the input stands in what it wrote, and, unless unchecked, where that leads to other conclusions.
//
// Of a damaged capture, what stands before the damage is written; damage tells of it.
func File(ctx context.Context, from func() (capture.Source, error), o Options, unchecked bool) (out []byte, damage, err error) {
	open := func() (capture.Source, error) {
		src, err := from()
		if err != nil {
			return nil, err
		}
		return &readable{src, &damage}, nil
	}
	out, err = file(ctx, open, o, unchecked)
	return out, damage, err
}

// readable is a source that ends where it is damaged.
type readable struct {
	capture.Source
	damage *error
}

// Next implements capture.Source.
func (r *readable) Next(b *capture.Batch) error {
	err := r.Source.Next(b)
	var damaged *capture.DamageError
	if errors.As(err, &damaged) {
		*r.damage = err
		return io.EOF
	}
	return err
}

func file(ctx context.Context, open func() (capture.Source, error), o Options, unchecked bool) ([]byte, error) {
	key, err := digest(open)
	if err != nil {
		return nil, err
	}
	for try, like := range attempts {
		out, l, err := write(ctx, open, o, append(bytes.Clone(key), byte(try)), like)
		if err != nil {
			return nil, err
		}
		if err = search(out, l.secrets); err == nil && !unchecked {
			err = verify(ctx, open, out, o)
		}
		if err == nil {
			return out, nil
		}
		if try+1 == len(attempts) {
			return nil, err
		}
	}
	panic("no attempt")
}

// digest is what pseudonyms follow from: the same input has the same, and none can be found without it.
func digest(open func() (capture.Source, error)) ([]byte, error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	h := sha256.New()
	err = each(src, func(p *capture.Packet, ref *capture.Ref) error {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(ref.Time)))
		if p != nil {
			h.Write(p.Data)
		}
		return nil
	})
	return h.Sum(nil), err
}

// each calls do with every packet, nil for a mark of the clock.
func each(src capture.Source, do func(*capture.Packet, *capture.Ref) error) error {
	var b capture.Batch
	for {
		err := src.Next(&b)
		for i := range b.Refs {
			var err error
			if b.Refs[i].Number == 0 {
				err = do(nil, &b.Refs[i])
			} else {
				p := b.Packet(i)
				err = do(&p, &b.Refs[i])
			}
			if err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func write(ctx context.Context, open func() (capture.Source, error), o Options, key []byte, like likeness) ([]byte, *learned, error) {
	l := newLearned(key, like, o.KeepPayload)
	src, err := open()
	if err != nil {
		return nil, nil, err
	}
	if _, err := analyze.Run(ctx, src, o.Analysis, l); err != nil {
		return nil, nil, err
	}
	if src, err = open(); err != nil {
		return nil, nil, err
	}
	defer src.Close()
	s := &streams{l: l}
	a := reassembly.New(s, reassembly.Options{})
	var dec reassembly.Decoder
	err = each(src, func(p *capture.Packet, _ *capture.Ref) error {
		if p == nil {
			return nil
		}
		var seg reassembly.Segment
		if dec.Decode(p, &seg) {
			s.note(&seg)
		} else {
			s.note(nil)
		}
		a.Packet(p)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	a.Close()
	l.finish()
	out, err := rewrite(open, l)
	return out, l, err
}

// rewriter writes packets anew.
type rewriter struct {
	l     *learned
	w     *capture.PcapngWriter
	a     *reassembly.Assembler
	dec   reassembly.Decoder
	conns map[[2]netip.AddrPort]*reassembly.Conn
	addrs map[netip.Addr]int
	ids   map[uint32]uint32            // of packets
	first map[[2]netip.AddrPort]uint32 // sequence number of a direction
	lone  map[[2]netip.AddrPort]uint16
	last  map[way]int64 // the latest stream offset
}

func rewrite(open func() (capture.Source, error), l *learned) ([]byte, error) {
	src, err := open()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var file bytes.Buffer
	r := &rewriter{
		l: l, w: capture.NewPcapngWriter(&file), conns: make(map[[2]netip.AddrPort]*reassembly.Conn), addrs: make(map[netip.Addr]int),
		ids: make(map[uint32]uint32), first: make(map[[2]netip.AddrPort]uint32), lone: make(map[[2]netip.AddrPort]uint16), last: make(map[way]int64),
	}
	r.w.AddInterface(capture.Interface{Link: linkEthernet})
	r.a = reassembly.New(r, reassembly.Options{})
	err = each(src, func(p *capture.Packet, ref *capture.Ref) error {
		if p == nil {
			return r.w.Mark(ref.Time)
		}
		return r.packet(p)
	})
	if s := src.Stats(); s.Known {
		r.w.SetStats(s)
	}
	err = errors.Join(err, r.w.Close())
	return file.Bytes(), err
}

func (r *rewriter) packet(p *capture.Packet) error {
	r.a.Packet(p)
	var seg reassembly.Segment
	out := capture.Packet{Time: p.Time, Link: linkEthernet}
	if !r.dec.Decode(p, &seg) {
		out.Data, out.WireLen = emptyFrame, len(emptyFrame)
		if len(p.Data) < p.WireLen {
			out.WireLen++ // it was cut, too
		}
		return r.w.Write(out)
	}
	src, dst := seg.Addr()
	out.Data, out.WireLen = r.frame(&seg, r.payload(&seg, src, dst), src, dst)
	return r.w.Write(out)
}

// payload returns the new bytes of a segment: nothing of one that is not NUBISON.
func (r *rewriter) payload(s *reassembly.Segment, src, dst netip.AddrPort) []byte {
	out := make([]byte, len(s.Payload))
	c := r.conns[[2]netip.AddrPort{src, dst}]
	if c == nil || !r.l.nubison[c.Stream] || len(out) == 0 {
		return out // zeros
	}
	w := way{c.Stream, 0}
	if c.Addr[0] != src {
		w.dir = 1
	}
	base, known := r.l.base[w]
	if !known {
		return r.l.unknown(s.Payload)
	}
	seq := s.Seq
	if s.Flags&reassembly.FlagSYN != 0 {
		seq++
	}
	at := r.last[w] + int64(int32(seq-(base+uint32(r.last[w]))))
	r.last[w] = max(r.last[w], at)
	frames := r.l.frames[w]
	i, _ := slices.BinarySearchFunc(frames, at, func(x stretch, at int64) int { return cmp.Compare(x.at+int64(len(x.b)), at+1) })
	covered := 0
	for _, x := range frames[i:] {
		from, to := max(at, x.at), min(at+int64(len(out)), x.at+int64(len(x.b)))
		if from >= to {
			break
		}
		// Bytes that never came to be a part of the stream: nothing is concluded from them.
		if hole := s.Payload[covered : from-at]; len(hole) > 0 {
			copy(out[covered:], r.l.unknown(hole))
		}
		copy(out[from-at:to-at], x.b[from-x.at:])
		covered = int(to - at)
	}
	copy(out[covered:], r.l.unknown(s.Payload[covered:]))
	return out
}

// Open implements reassembly.Handler.
func (r *rewriter) Open(c *reassembly.Conn) {
	r.conns[[2]netip.AddrPort{c.Addr[0], c.Addr[1]}] = c
	r.conns[[2]netip.AddrPort{c.Addr[1], c.Addr[0]}] = c
}

// Chunk implements reassembly.Handler.
func (r *rewriter) Chunk(*reassembly.Conn, reassembly.Direction, reassembly.Chunk) {}

// Stall implements reassembly.Handler.
func (r *rewriter) Stall(*reassembly.Conn, reassembly.Direction, bool) {}

// End implements reassembly.Handler.
func (r *rewriter) End(*reassembly.Conn, reassembly.Direction, reassembly.End, int64, int64) {}

var errSecret = errors.New("a value that is not to be passed on stands in the sanitized capture")

var errChanged = errors.New("what is concluded from the sanitized capture differs")

// verify reads what was written, and compares what it leads to.
func verify(ctx context.Context, open func() (capture.Source, error), out []byte, o Options) error {
	src, err := open()
	if err != nil {
		return err
	}
	before, err := conclusions(ctx, src, o)
	if err != nil {
		return err
	}
	if src, err = capture.NewReader(bytes.NewReader(out), "sanitized"); err != nil {
		return err
	}
	after, err := conclusions(ctx, src, o)
	if err != nil {
		return err
	}
	for i := range max(len(before), len(after)) {
		switch {
		case i >= len(before):
			return fmt.Errorf("%w: it adds %s", errChanged, after[i])
		case i >= len(after):
			return fmt.Errorf("%w: it lacks %s", errChanged, before[i])
		case before[i] != after[i]:
			return fmt.Errorf("%w: %s instead of %s", errChanged, after[i], before[i])
		}
	}
	return nil
}

// search looks for secrets in what was written.
func search(out []byte, secrets map[string][]byte) error {
	bySize := make(map[int]map[string]bool)
	for s := range secrets {
		if bySize[len(s)] == nil {
			bySize[len(s)] = make(map[string]bool)
		}
		bySize[len(s)][s] = true
	}
	for n, set := range bySize {
		for i := 0; i+n <= len(out); i++ {
			if set[string(out[i:i+n])] {
				return fmt.Errorf("%w: %d bytes", errSecret, n)
			}
		}
	}
	return nil
}
