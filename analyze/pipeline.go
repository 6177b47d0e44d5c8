package analyze

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// depth is the number of batches that are on their way at the same time.
const depth = 4

// maxWorkers bounds the workers that are used unasked.
const maxWorkers = 8

// pipeline reads batches, finds the segments in them, lets each worker do those of its connections, and puts the records in
// order. Each step is a goroutine; a work goes through all of them, and back to the first.
type pipeline struct {
	opts    Options
	workers []*worker
	who     [reassembly.Parts]int8 // the worker of each part of the connections
	free    chan *work
	order   chan *work // as they were read
	stop    chan struct{}
	survey  *dissect.Survey
	numbers *dissect.Numbering
	streams int
	ports   []PortCount // of connections without NUBISON
	seen    Result      // what follows from the packets themselves, so far
	seq     int64       // of the items so far
	time    int64       // of the latest packet
	clock   int64       // the latest time so far
}

// work is a batch of packets, and what becomes of it.
type work struct {
	batch capture.Batch
	seen  Result // of the packets up to its end
	err   error  // why it is the last one
	items []item
	first int64          // the first of them is the so-many-th item
	own   [][]int32      // the places of each worker's items, where there are several
	done  sync.WaitGroup // the workers
	parts []result       // of each worker
}

// item is a packet of a batch, or a mark of the clock.
type item struct {
	reassembly.Segment
	number, time int64
	clock        int64 // the latest time so far
	worker       int8  // nobody, if there is no segment in it
}

const nobody = -1

// result is what a worker made of its part of a batch.
type result struct {
	records dissect.Records
	opened  []*reassembly.Conn
	ports   []portUse
}

// empty reports whether nothing came of it.
func (r *result) empty() bool { return r.records.Empty() && len(r.opened)+len(r.ports) == 0 }

// portUse is a connection without NUBISON, and when it was found to be so.
type portUse struct {
	at   dissect.Moment
	port uint16
}

func newPipeline(opts Options, sink dissect.Sink) *pipeline {
	n := opts.Workers
	if n <= 0 {
		n = min(max(1, runtime.GOMAXPROCS(0)-2), maxWorkers) // reading and writing take a processor each
	}
	n = min(n, reassembly.Parts)
	p := &pipeline{
		opts: opts, free: make(chan *work, depth), order: make(chan *work, depth), stop: make(chan struct{}),
		survey: dissect.NewSurvey(sink),
	}
	p.numbers = dissect.NewNumbering(p.survey)
	shared := dissect.NewShared(n)
	for i := range n {
		p.workers = append(p.workers, newWorker(i, n == 1, opts, shared))
	}
	for i := range p.who {
		p.who[i] = int8(i % n)
	}
	for range depth {
		w := &work{parts: make([]result, n)}
		if n > 1 {
			w.own = make([][]int32, n)
		}
		p.free <- w
	}
	return p
}

// read fills batches and finds the segments in them, while they are near the processor, and closes the source. A source that
// blocks cannot be interrupted: then it is left behind.
func (p *pipeline) read(src capture.Source, out chan<- *work) {
	defer src.Close()
	var dec reassembly.Decoder
	for {
		select {
		case w := <-p.free:
			w.err = src.Next(&w.batch)
			p.seen.Capture = src.Stats()
			p.segments(&dec, w)
			w.seen = p.seen
			last := w.err != nil // before the work goes its way
			out <- w             // there are no more of them than places
			if last {
				return
			}
		case <-p.stop:
			return
		}
	}
}

// share hands each batch to all workers.
func (p *pipeline) share(ctx context.Context, in <-chan *work) {
	var seen Result
	for {
		var w *work
		select {
		case <-ctx.Done():
			w = &work{err: ErrInterrupted, seen: seen, parts: make([]result, len(p.workers))}
		case w = <-in:
			seen = w.seen
		}
		last := w.err != nil // before the work goes its way
		w.done.Add(len(p.workers))
		for _, k := range p.workers {
			k.in <- w
		}
		p.order <- w
		if last {
			for _, k := range p.workers {
				close(k.in)
			}
			close(p.order)
			close(p.stop)
			return
		}
	}
}

// segments fills in the items of a batch, up to where the run is to stop.
func (p *pipeline) segments(dec *reassembly.Decoder, w *work) {
	w.items = slices.Grow(w.items[:0], len(w.batch.Refs))[:len(w.batch.Refs)]
	w.first = p.seq + 1
	for i := range w.own {
		w.own[i] = w.own[i][:0]
	}
	for i := range w.items {
		it := &w.items[i]
		if ref := &w.batch.Refs[i]; ref.Number == 0 {
			p.mark(it, ref.Time)
			continue
		}
		k := w.batch.Packet(i)
		if p.isOver(&k) {
			w.items, w.err = w.items[:i], io.EOF
			return
		}
		more := p.item(dec, it, &k)
		if it.worker != nobody && len(w.own) > 0 {
			w.own[it.worker] = append(w.own[it.worker], int32(i))
		}
		if !more {
			w.items, w.err = w.items[:i+1], io.EOF
			return
		}
	}
}

// mark makes an item of a mark of the clock.
func (p *pipeline) mark(it *item, time int64) {
	p.seq++
	p.clock = max(p.clock, time)
	it.time, it.clock, it.worker = time, p.clock, nobody
}

// isOver reports whether a packet is behind the part of the capture that is asked for.
func (p *pipeline) isOver(k *capture.Packet) bool {
	return p.seen.Packets > 0 && p.opts.MaxDuration > 0 && k.Time-p.seen.First > p.opts.MaxDuration
}

// item makes an item of a packet, and reports whether to go on.
func (p *pipeline) item(dec *reassembly.Decoder, it *item, k *capture.Packet) bool {
	r := &p.seen
	if r.Packets == 0 {
		r.First, r.Last = k.Time, k.Time
	}
	r.Packets++
	if k.Time < p.time-backStep {
		r.Backwards++
		r.FirstBackwards = cmp.Or(r.FirstBackwards, k.Number)
	}
	p.seq++
	p.time, p.clock = k.Time, max(p.clock, k.Time)
	r.First, r.Last = min(r.First, k.Time), max(r.Last, k.Time)
	if len(k.Data) < k.WireLen {
		r.Cut++
		r.FirstCut = cmp.Or(r.FirstCut, k.Number)
	}
	it.number, it.time, it.clock, it.worker = k.Number, k.Time, p.clock, nobody
	if dec.Decode(k, &it.Segment) {
		it.worker = p.who[it.Part()]
	}
	return p.opts.MaxPackets == 0 || r.Packets < p.opts.MaxPackets
}

// backStep is how much earlier than the one before a packet may be without a word (ns): several interfaces are not read in
// perfect order.
const backStep = int64(10e6)

// merge hands the records to the sink, in order, and returns the result.
func (p *pipeline) merge() (Result, error) {
	var err error
	var seen Result
	for w := range p.order {
		seen = w.seen
		w.done.Wait()
		p.put(w.parts)
		if p.opts.Progress != nil {
			p.opts.Progress(w.seen.Capture.Read, w.seen.Capture.Size)
		}
		if err = w.err; err == nil {
			p.free <- w
		}
	}
	last := make([]result, len(p.workers))
	for i, k := range p.workers {
		last[i] = <-k.last
	}
	p.put(last)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p.tell(p.result(seen)), err
}

// put puts what the workers made of a batch in order.
func (p *pipeline) put(parts []result) {
	p.number(parts)
	records := make([]*dissect.Records, len(parts))
	for i := range parts {
		records[i] = &parts[i].records
	}
	p.numbers.Merge(records)
	var ports []portUse
	for i := range parts {
		records[i].Reset()
		ports = append(ports, parts[i].ports...)
		parts[i].ports = parts[i].ports[:0]
	}
	slices.SortStableFunc(ports, func(x, y portUse) int { return x.at.Compare(&y.at) })
	for _, u := range ports {
		p.use(u.port)
	}
}

// number gives connections their numbers, in the order of the packets that opened them.
func (p *pipeline) number(parts []result) {
	opened := parts[0].opened
	for i := range parts[1:] {
		opened = append(opened, parts[i+1].opened...)
	}
	if len(parts) > 1 {
		slices.SortFunc(opened, func(x, y *reassembly.Conn) int { return cmp.Compare(x.Opened, y.Opened) })
	}
	for _, c := range opened {
		c.Stream = p.streams
		p.streams++
	}
	for i := range parts {
		clear(parts[i].opened)
		parts[i].opened = parts[i].opened[:0]
	}
}

// use counts a connection without NUBISON by its lower port.
func (p *pipeline) use(port uint16) {
	for i := range p.ports {
		if p.ports[i].Port == port {
			p.ports[i].Count++
			return
		}
	}
	if len(p.ports) < maxPorts {
		p.ports = append(p.ports, PortCount{port, 1})
	}
}

// result is what is known, with what was seen of the packets.
func (p *pipeline) result(seen Result) Result {
	r := seen
	r.OtherPorts = p.ports
	r.Gaps, r.Missing = p.survey.Gaps, p.survey.Missing
	for _, k := range p.workers {
		s := k.a.Stats()
		r.TCPStreams += s.Streams
		r.TCP.Streams += s.Streams
		r.TCP.Segments += s.Segments
		r.TCP.Retransmitted += s.Retransmitted
		r.TCP.Conflicts += s.Conflicts
		r.TCP.Duplicates += s.Duplicates
		r.TCP.Large += s.Large
		r.TCP.FirstDuplicate = earlier(r.TCP.FirstDuplicate, s.FirstDuplicate)
		r.TCP.FirstLarge = earlier(r.TCP.FirstLarge, s.FirstLarge)
		r.TCP.Stray += s.Stray
		r.TCP.Evicted += s.Evicted
		r.TCP.Forced += s.Forced
		r.NubisonStreams += k.d.Streams
		r.OneSided += k.d.OneSided
		r.Midstream += k.d.Midstream
	}
	return r
}

// earlier returns the smaller of two packet numbers, 0 standing for none.
func earlier(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// always is the moment behind all packets.
const always = math.MaxInt64
