package analyze

import (
	"context"
	"errors"
	"io"
	"net/netip"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// Shown remembers of which connections records were shown, which capture packets carried them, and what is wrong with
// those. It is a dissect.Sink, and says with Cut which packets to copy.
type Shown struct {
	streams  map[int]struct{}
	packets  bitset
	comments map[int64]string
	left     int
}

// maxCommented bounds the comments of a cut-out.
const maxCommented = 100_000

// bitset is a set of packet numbers.
type bitset []uint64

func (b *bitset) add(n int64) {
	for int64(len(*b)) <= n/64 {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bitset) has(n int64) bool { return n/64 < int64(len(b)) && b[n/64]&(1<<(n%64)) != 0 }

func (s *Shown) see(c *dissect.Conn) {
	if s.streams == nil {
		s.streams, s.comments = make(map[int]struct{}), make(map[int64]string)
	}
	s.streams[c.Stream] = struct{}{}
}

// Frame implements dissect.Sink.
func (s *Shown) Frame(f *dissect.Frame) {
	s.see(f.Conn)
	for _, n := range f.Packets {
		s.packets.add(n)
	}
}

// Transaction implements dissect.Sink.
func (s *Shown) Transaction(t *dissect.Transaction) { s.see(t.Conn) }

// Stream implements dissect.Sink.
func (s *Shown) Stream(x *dissect.Stream) { s.see(x.Conn) }

// Violation implements dissect.Sink.
func (s *Shown) Violation(v *dissect.Violation) {
	s.see(v.Conn)
	for _, n := range v.Packets {
		s.packets.add(n)
		old, has := s.comments[n]
		if has && len(old) < maxComment || !has && len(s.comments) < maxCommented {
			s.comments[n] = joinComment(old, v)
		} else {
			s.left++
		}
	}
}

// joinComment adds a violation to a packet's comment.
func joinComment(old string, v *dissect.Violation) string {
	text := v.Rule.ID + " (" + v.Severity().String() + "): " + v.Said()
	if old == "" {
		return text
	}
	return old + "\n" + text
}

// PacketWriter takes the packets of a cut-out; their bytes are lent for the call.
type PacketWriter interface {
	AddInterface(capture.Interface)
	WriteComment(p capture.Packet, comment string) error
	Mark(time int64) error
}

// Cut copies the packets of the connections that were shown, with a comment for each violation: all of them, or, with a context
// of 0 or more, only those that carried what was shown, and so many of their connection before and after. The source is the
// capture that was read, anew; it is closed. A negative context copies whole connections. At the end it is marked how long the
// capture went on. It returns how many packets were copied.
func Cut(ctx context.Context, src capture.Source, limits Options, s *Shown, around int, w PacketWriter) (copied int64, err error) {
	defer src.Close()
	c := &cutter{s: s, w: w, around: around, limits: limits, conns: make(map[pair]*cutConn)}
	c.a = reassembly.New(c, reassembly.Options{})
	var b capture.Batch
	for {
		if ctx.Err() != nil {
			return c.copied, ErrInterrupted
		}
		err := src.Next(&b)
		for i := range b.Refs {
			if b.Refs[i].Number == 0 {
				continue
			}
			p := b.Packet(i)
			more, err := c.packet(&p, src)
			if err != nil || !more {
				return c.copied, errors.Join(err, w.Mark(c.last))
			}
		}
		if errors.Is(err, io.EOF) {
			return c.copied, w.Mark(c.last)
		}
		if err != nil {
			return c.copied, errors.Join(err, w.Mark(c.last))
		}
	}
}

// pair names a connection by its endpoints, the smaller first.
type pair [2]netip.AddrPort

func pairOf(a, b netip.AddrPort) pair {
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return pair{a, b}
}

// cutConn is the latest connection of a pair of endpoints.
type cutConn struct {
	wanted bool
	before []capture.Packet // the latest packets that were not copied
	after  int              // how many more are to be copied
}

type cutter struct {
	s      *Shown
	w      PacketWriter
	around int
	limits Options
	a      *reassembly.Assembler
	dec    reassembly.Decoder
	conns  map[pair]*cutConn
	frags  []capture.Packet
	ifaces int
	first  int64
	last   int64
	seen   int64
	copied int64
}

// maxFrags bounds the fragments that wait for the one that completes them.
const maxFrags = 4096

// packet copies a packet if it is wanted, and reports whether to go on.
func (c *cutter) packet(p *capture.Packet, src capture.Source) (more bool, err error) {
	if c.seen == 0 {
		c.first = p.Time
	}
	if d := c.limits.MaxDuration; c.seen > 0 && d > 0 && p.Time-c.first > d {
		return false, nil
	}
	c.seen++
	c.last = max(c.last, p.Time)
	c.describe(src)
	c.a.Packet(p)
	var seg reassembly.Segment
	if !c.dec.Decode(p, &seg) {
		if _, _, ok := reassembly.Fragment(p); ok && len(c.frags) < maxFrags {
			c.frags = append(c.frags, own(p))
		}
		return c.goOn(), nil
	}
	src1, dst1 := seg.Addr()
	frags := c.taken(p)
	if conn := c.conns[pairOf(src1, dst1)]; conn != nil && conn.wanted {
		for i := range frags {
			if err := c.offer(conn, &frags[i], p.Number); err != nil {
				return false, err
			}
		}
		if err := c.offer(conn, p, p.Number); err != nil {
			return false, err
		}
	}
	return c.goOn(), nil
}

func (c *cutter) goOn() bool { return c.limits.MaxPackets == 0 || c.seen < c.limits.MaxPackets }

// taken takes out the fragments that a packet which is one, too, completes.
func (c *cutter) taken(p *capture.Packet) (list []capture.Packet) {
	from, to, ok := reassembly.Fragment(p)
	if !ok {
		return nil
	}
	rest := c.frags[:0]
	for i := range c.frags {
		if a, b, _ := reassembly.Fragment(&c.frags[i]); a == from && b == to {
			list = append(list, c.frags[i])
		} else {
			rest = append(rest, c.frags[i])
		}
	}
	c.frags = rest
	return list
}

// describe tells the writer of interfaces that the source has come to.
func (c *cutter) describe(src capture.Source) {
	d, ok := src.(interface{ Interfaces() []capture.Interface })
	if !ok {
		return
	}
	for list := d.Interfaces(); c.ifaces < len(list); c.ifaces++ {
		c.w.AddInterface(list[c.ifaces])
	}
}

// offer copies a packet of a wanted connection, or keeps it for a while; whole is the packet that it is a part of.
func (c *cutter) offer(conn *cutConn, p *capture.Packet, whole int64) error {
	switch {
	case c.around < 0:
	case c.s.packets.has(whole):
		for i := range conn.before {
			if err := c.write(&conn.before[i]); err != nil {
				return err
			}
		}
		conn.before, conn.after = conn.before[:0], c.around
	case conn.after > 0:
		conn.after--
	default:
		if c.around > 0 {
			if len(conn.before) == c.around {
				conn.before = append(conn.before[:0], conn.before[1:]...)
			}
			conn.before = append(conn.before, own(p))
		}
		return nil
	}
	return c.write(p)
}

func (c *cutter) write(p *capture.Packet) error {
	c.copied++
	return c.w.WriteComment(*p, c.s.comments[p.Number])
}

// own is a packet whose bytes are its own.
func own(p *capture.Packet) capture.Packet {
	q := *p
	q.Data = append([]byte(nil), p.Data...)
	return q
}

// Open implements reassembly.Handler.
func (c *cutter) Open(x *reassembly.Conn) {
	_, wanted := c.s.streams[x.Stream]
	c.conns[pairOf(x.Addr[0], x.Addr[1])] = &cutConn{wanted: wanted}
}

// Chunk implements reassembly.Handler.
func (c *cutter) Chunk(*reassembly.Conn, reassembly.Direction, reassembly.Chunk) {}

// Stall implements reassembly.Handler.
func (c *cutter) Stall(*reassembly.Conn, reassembly.Direction, bool) {}

// End implements reassembly.Handler.
func (c *cutter) End(*reassembly.Conn, reassembly.Direction, reassembly.End, int64, int64) {}
