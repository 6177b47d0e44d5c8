package analyze

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// BlackBox keeps the latest packets in memory, and writes those of a connection to a file when something happens on it: so
// many seconds before and after. It is a dissect.Sink, a tap, and belongs to one run.
type BlackBox struct {
	// Path names the files: x_00001_20261123080000_short-packet.pcapng for x.pcapng.
	Path       string
	Interfaces []capture.Interface
	// Before and After are in ns of packet time. Late is how long after a packet something may be found out about it: so much
	// longer packets are kept.
	Before, After, Late int64
	// Files is how many files are kept: the oldest goes first; 0 keeps all.
	Files int
	// Wants tells which violations are written, Latency from which latency on (ns) a transaction is; 0 for none.
	Wants   func(*dissect.Violation) bool
	Latency int64
	// Wrote is told of each file, or of the error of writing it.
	Wrote func(name string, err error)

	ring  []boxed // from first on, the oldest first
	first int
	bytes int
	// now is the latest time, shift how much later that is than the packets' own: a clock that is set back shall not make all that
	// comes look old.
	now, shift int64
	dec        reassembly.Decoder
	events     []*event
	count      int
	kept       []string
}

const (
	// maxRing bounds the bytes that wait for something to happen, maxEvent those of one file, maxEvents the files begun at once.
	maxRing   = 64 << 20
	maxEvent  = 16 << 20
	maxEvents = 64
	// maxComment bounds the comments of one packet in bytes.
	maxComment = 1000
)

// boxed is a packet with its time as the box sees it.
type boxed struct {
	capture.Packet
	at int64
}

// stepBack is how much earlier than the latest a packet may be because of its way here (ns); beyond, the clock was set back.
const stepBack = int64(1e9)

// event is a file in the making.
type event struct {
	a, b     netip.AddrPort
	id       string
	time     int64
	until    int64
	packets  []capture.Packet
	bytes    int
	comments map[int64]string
}

// Tap takes in a packet.
func (x *BlackBox) Tap(p *capture.Packet) {
	if p.Time+x.shift < x.now-stepBack {
		x.shift = x.now - p.Time
	}
	x.Idle(p.Time)
	kept := own(p)
	x.ring = append(x.ring, boxed{kept, p.Time + x.shift})
	x.bytes += len(kept.Data)
	for x.first < len(x.ring) && (x.bytes > maxRing || x.now-x.ring[x.first].at > x.Before+x.Late) {
		x.bytes -= len(x.ring[x.first].Data)
		x.ring[x.first] = boxed{}
		x.first++
	}
	if x.first > 1024 && x.first > len(x.ring)/2 {
		x.ring = append(x.ring[:0], x.ring[x.first:]...)
		x.first = 0
	}
	if len(x.events) > 0 {
		x.offer(&kept, x.events)
	}
}

// Idle takes in the time, and writes what is complete by then.
func (x *BlackBox) Idle(now int64) {
	x.now = max(x.now, now+x.shift)
	open := x.events[:0]
	for _, e := range x.events {
		if e.until < x.now {
			x.write(e)
		} else {
			open = append(open, e)
		}
	}
	clear(x.events[len(open):])
	x.events = open
}

// offer gives a packet to the events of its connection.
func (x *BlackBox) offer(p *capture.Packet, events []*event) {
	var seg reassembly.Segment
	if !x.dec.Decode(p, &seg) {
		return
	}
	src, dst := seg.Addr()
	for _, e := range events {
		if (e.a == src && e.b == dst || e.a == dst && e.b == src) && e.bytes+len(p.Data) <= maxEvent {
			e.packets = append(e.packets, *p)
			e.bytes += len(p.Data)
		}
	}
}

// happened begins a file for a connection, from before a moment on, or lets one that was begun go on.
func (x *BlackBox) happened(c *dissect.Conn, at int64, id, comment string, packets []int64) {
	var e *event
	for _, old := range x.events {
		if old.a == c.Addr[0] && old.b == c.Addr[1] {
			e = old
		}
	}
	if e == nil {
		if len(x.events) >= maxEvents {
			return
		}
		e = &event{a: c.Addr[0], b: c.Addr[1], id: id, time: x.now - x.shift, comments: make(map[int64]string)}
		x.events = append(x.events, e)
		x.dec = reassembly.Decoder{} // the ring is looked at from its start
		from := min(at+x.shift, x.now) - x.Before
		for i := x.first; i < len(x.ring); i++ {
			if x.ring[i].at >= from {
				x.offer(&x.ring[i].Packet, []*event{e})
			}
		}
	}
	e.until = x.now + x.After
	for _, n := range packets {
		if old := e.comments[n]; len(old) < maxComment {
			e.comments[n] = strings.TrimPrefix(old+"\n"+comment, "\n")
		}
	}
}

// write writes an event's file.
func (x *BlackBox) write(e *event) {
	x.count++
	ext := filepath.Ext(x.Path)
	stamp := time.Unix(0, e.time).UTC().Format("20060102150405")
	name := fmt.Sprintf("%s_%05d_%s_%s%s", strings.TrimSuffix(x.Path, ext), x.count, stamp, e.id, ext)
	err := x.writeTo(name, e)
	x.kept = append(x.kept, name)
	for x.Files > 0 && len(x.kept) > x.Files {
		err = errors.Join(err, os.Remove(x.kept[0]))
		x.kept = x.kept[1:]
	}
	if x.Wrote != nil {
		x.Wrote(name, err)
	}
}

func (x *BlackBox) writeTo(name string, e *event) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	w := capture.NewPcapngWriter(f)
	for _, i := range x.Interfaces {
		w.AddInterface(i)
	}
	for _, p := range e.packets {
		err = errors.Join(err, w.WriteComment(p, e.comments[p.Number]))
	}
	return errors.Join(err, w.Close(), f.Close())
}

// Close writes what is not complete yet, as far as it is there.
func (x *BlackBox) Close() {
	for _, e := range x.events {
		x.write(e)
	}
	x.events = nil
}

// Frame implements dissect.Sink.
func (x *BlackBox) Frame(*dissect.Frame) {}

// Stream implements dissect.Sink.
func (x *BlackBox) Stream(*dissect.Stream) {}

// Violation implements dissect.Sink.
func (x *BlackBox) Violation(v *dissect.Violation) {
	if x.Wants != nil && x.Wants(v) {
		x.happened(v.Conn, v.Time, v.Rule.ID, joinComment("", v), v.Packets)
	}
}

// Transaction implements dissect.Sink.
func (x *BlackBox) Transaction(t *dissect.Transaction) {
	if ns, ok := t.Latency(); ok && x.Latency > 0 && ns > x.Latency {
		x.happened(t.Conn, t.RequestTime, "latency", "", nil)
	}
}

// Tee hands every record to several sinks, in their order.
type Tee []dissect.Sink

// Frame implements dissect.Sink.
func (t Tee) Frame(f *dissect.Frame) {
	for _, s := range t {
		s.Frame(f)
	}
}

// Transaction implements dissect.Sink.
func (t Tee) Transaction(x *dissect.Transaction) {
	for _, s := range t {
		s.Transaction(x)
	}
}

// Violation implements dissect.Sink.
func (t Tee) Violation(v *dissect.Violation) {
	for _, s := range t {
		s.Violation(v)
	}
}

// Stream implements dissect.Sink.
func (t Tee) Stream(x *dissect.Stream) {
	for _, s := range t {
		s.Stream(x)
	}
}

// Note implements dissect.NoteSink.
func (t Tee) Note(n *dissect.Note) {
	for _, s := range t {
		if next, ok := s.(dissect.NoteSink); ok {
			next.Note(n)
		}
	}
}
