// Package analyze is the pipeline: packets from a capture source, through TCP
// reassembly, to the dissector, whose records reach the sink in order.
package analyze

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// Options steer a run. The zero value analyses everything.
type Options struct {
	Dissect dissect.Options
	// MaxPackets stops the run after so many packets; 0 means all.
	MaxPackets int64
	// MaxDuration stops it when so much capture time (ns) has passed; 0 means all.
	MaxDuration int64
	// Resent is told of segments with bytes that had been captured before, of NUBISON connections; it may be nil.
	Resent func(Resent)
	// Progress is called now and then with the bytes read of the input and its size, 0 if unknown.
	Progress func(read, size int64)
}

// Result is what a run knows beside its records.
type Result struct {
	// Packets is the number of packets read, TCPStreams that of TCP connections, whatever they carry,
	// NubisonStreams that of those that carry NUBISON.
	Packets, TCPStreams, NubisonStreams int64
	// First and Last are the earliest and the latest packet time (ns).
	First, Last int64
	// Capture is what the capture says of itself.
	Capture capture.Stats
	// Cut counts packets cut by the snap length, OneSided the NUBISON connections of which only one
	// side was captured, Midstream those whose start was not.
	Cut, OneSided, Midstream int64
	// Gaps of NUBISON connections hold Missing bytes that were never captured.
	Gaps, Missing int64
	// Backwards counts the packets whose time is more than backStep before that of the packet before.
	Backwards int64
	// FirstCut and FirstBackwards are the first packets of their kind, 0 if there is none.
	FirstCut, FirstBackwards int64
	// TCP is what the reassembly met.
	TCP reassembly.Stats
	// OtherPorts are the lower ports of the connections without NUBISON, in the order of the first
	// one of each, at most 16, with how many there were.
	OtherPorts []PortCount
}

// PortCount is a TCP port and the number of connections that used it.
type PortCount struct {
	Port  uint16
	Count int64
}

// maxPorts bounds the ports that a result lists.
const maxPorts = 16

// ErrInterrupted tells that the context ended before the source did.
var ErrInterrupted = errors.New("interrupted")

// Run reads the source to its end, or until the context ends, and hands every record to the sink. The result
// is valid for what was read even when an error is returned. The source belongs to Run, which closes it: where
// reading it blocks, only once that ends.
func Run(ctx context.Context, src capture.Source, opts Options, sink dissect.Sink) (Result, error) {
	r := newRun(opts, sink)
	err := r.read(ctx, src)
	return r.finish(r.res.Capture), err
}

func newRun(opts Options, sink dissect.Sink) *run {
	r := &run{opts: opts}
	r.survey = dissect.NewSurvey(sink)
	r.late = newLate(r.survey, opts.Dissect.Timeout)
	r.d = dissect.New(opts.Dissect, r.late)
	o := reassembly.Options{}
	if opts.Resent != nil {
		o.Resent = r.resent
	}
	r.a = reassembly.New(r, o)
	return r
}

// finish ends every connection: the capture is over.
func (r *run) finish(stats capture.Stats) Result {
	r.a.Close()
	r.d.Close()
	return r.tell(r.result(stats))
}

// run joins the stages: it is the handler of the reassembly.
type run struct {
	opts   Options
	a      *reassembly.Assembler
	d      *dissect.Dissector
	res    Result
	late   *late
	survey *dissect.Survey
	time   int64 // of the latest packet
}

// filled is a batch that was read, and how reading went.
type filled struct {
	b     *capture.Batch
	stats capture.Stats
	err   error
}

// depth is the number of batches that are read ahead.
const depth = 3

// read takes in the source's packets. Another goroutine reads ahead, so that neither waits for the other, and a
// source that never ends can be interrupted.
func (r *run) read(ctx context.Context, src capture.Source) error {
	full, empty, stop := make(chan filled, depth), make(chan *capture.Batch, depth), make(chan struct{})
	defer close(stop)
	for range depth {
		empty <- new(capture.Batch)
	}
	go func() {
		defer src.Close()
		for {
			select {
			case b := <-empty:
				err := src.Next(b)
				full <- filled{b, src.Stats(), err} // there are no more batches than places
				if err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ErrInterrupted
		case f := <-full:
			more := r.batch(f.b)
			r.res.Capture = f.stats
			if r.opts.Progress != nil {
				r.opts.Progress(f.stats.Read, f.stats.Size)
			}
			switch {
			case errors.Is(f.err, io.EOF) || !more:
				return nil
			case f.err != nil:
				return f.err
			}
			empty <- f.b
		}
	}
}

// batch takes in a batch of packets and reports whether to go on.
func (r *run) batch(b *capture.Batch) bool {
	for i := range b.Refs {
		if r.mark(&b.Refs[i]) {
			continue
		}
		p := b.Packet(i)
		if !r.packet(&p) {
			return false
		}
	}
	return true
}

// mark takes in a mark of the clock, and reports whether it was one.
func (r *run) mark(ref *capture.Ref) bool {
	if ref.Number != 0 {
		return false
	}
	r.advance(ref.Time)
	return true
}

// packet takes in one packet and reports whether to go on.
func (r *run) packet(p *capture.Packet) bool {
	if r.res.Packets > 0 && r.opts.MaxDuration > 0 && p.Time-r.res.First > r.opts.MaxDuration {
		return false
	}
	if r.res.Packets == 0 {
		r.res.First, r.res.Last = p.Time, p.Time
	}
	r.res.Packets++
	if p.Time < r.time-backStep {
		r.res.Backwards++
		r.res.FirstBackwards = cmp.Or(r.res.FirstBackwards, p.Number)
	}
	r.time = p.Time
	r.res.First, r.res.Last = min(r.res.First, p.Time), max(r.res.Last, p.Time)
	if len(p.Data) < p.WireLen {
		r.res.Cut++
		r.res.FirstCut = cmp.Or(r.res.FirstCut, p.Number)
	}
	r.advance(p.Time)
	r.a.Packet(p)
	return r.opts.MaxPackets == 0 || r.res.Packets < r.opts.MaxPackets
}

// backStep is how much earlier than the one before a packet may be without a word (ns): several interfaces are not read in
// perfect order.
const backStep = int64(10e6)

// advance runs the timers of both stages up to a moment, in the order of time: a hole becomes a gap
// before a later silence is judged.
func (r *run) advance(now int64) {
	for t := min(r.a.Due(), r.d.Due()); t < now; t = min(r.a.Due(), r.d.Due()) {
		r.a.Advance(t)
		r.d.Advance(t + 1)
	}
	r.d.Advance(now)
	r.late.advance(now)
}

func (r *run) result(stats capture.Stats) Result {
	s := r.a.Stats()
	r.res.Capture = stats
	r.res.TCPStreams, r.res.TCP = s.Streams, s
	r.res.NubisonStreams = r.d.Streams
	r.res.OneSided, r.res.Midstream = r.d.OneSided, r.d.Midstream
	r.res.Gaps, r.res.Missing = r.survey.Gaps, r.survey.Missing
	return r.res
}

// Open implements reassembly.Handler.
func (r *run) Open(*reassembly.Conn) {}

// noBytes marks a connection that ended in one direction before it carried anything.
type noBytes struct {
	dir  reassembly.Direction
	why  reassembly.End
	time int64
}

// conn returns the dissector's side of a connection, made when its first bytes come: then it is
// known where it starts. It is nil for a connection that is not to be dissected.
func (r *run) conn(c *reassembly.Conn) *dissect.Conn {
	if dc, ok := c.Data.(*dissect.Conn); ok {
		return dc
	}
	dc := r.d.Open(dissect.Opening{
		Stream: c.Stream, Addr: c.Addr, Opener: c.Opener, FromStart: c.FromStart, Heard: &c.Packets, Before: &c.Before, TCP: (*proven)(c), Time: c.First,
	})
	early, ended := c.Data.(noBytes)
	c.Data = dc
	switch {
	case dc == nil:
		r.other(c)
	case ended:
		r.d.End(dc, int(early.dir), endings[early.why], early.time)
	}
	return dc
}

// Chunk implements reassembly.Handler.
func (r *run) Chunk(c *reassembly.Conn, d reassembly.Direction, ch reassembly.Chunk) {
	dc := r.conn(c)
	if dc == nil {
		return
	}
	if c.FromStart[d] {
		dc.FromStart(int(d))
	}
	p := dissect.Part{Offset: ch.Offset, Time: ch.Time, Packet: ch.Packet, Push: ch.Push, More: ch.More, Cut: ch.Cut, Large: ch.Large, Clock: ch.Clock}
	if ch.Gap > 0 {
		r.d.Gap(dc, int(d), ch.Gap, p)
		return
	}
	r.d.Bytes(dc, int(d), ch.Bytes, p)
}

// Stall implements reassembly.Handler.
func (r *run) Stall(c *reassembly.Conn, d reassembly.Direction, on bool) {
	if dc := r.conn(c); dc != nil {
		r.d.Stall(dc, int(d), on)
	}
}

// endings maps the reasons of the reassembly to those of the dissector.
var endings = map[reassembly.End]dissect.Ending{
	reassembly.EndFIN: dissect.EndFIN, reassembly.EndRST: dissect.EndReset, reassembly.EndReopen: dissect.EndReopen,
	reassembly.EndEvict: dissect.EndFile, reassembly.EndFile: dissect.EndFile,
}

// End implements reassembly.Handler.
func (r *run) End(c *reassembly.Conn, d reassembly.Direction, why reassembly.End, time, _ int64) {
	switch data := c.Data.(type) {
	case nil:
		c.Data = noBytes{d, why, time}
	case noBytes:
		r.other(c)
	case *dissect.Conn:
		if data == nil {
			return
		}
		r.d.End(data, int(d), endings[why], time)
		if data.Finished() && !data.Confirmed() {
			r.other(c)
		}
	}
}

// other counts a connection without NUBISON by its lower port.
func (r *run) other(c *reassembly.Conn) {
	port := min(c.Addr[0].Port(), c.Addr[1].Port())
	for i := range r.res.OtherPorts {
		if r.res.OtherPorts[i].Port == port {
			r.res.OtherPorts[i].Count++
			return
		}
	}
	if len(r.res.OtherPorts) < maxPorts {
		r.res.OtherPorts = append(r.res.OtherPorts, PortCount{port, 1})
	}
}
