package analyze

import (
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

// depth is the number of batches that are on their way at the same time: enough for each stage to go on for a while when another one halts, and
// few enough to stay near the processors.
const depth = 12

// manyChanges is what of changes makes a batch a large one: of connections that come and go there is a hundred times as much to remember as of
// their packets. Then only half of the works are used.
const manyChanges = 2048

// maxWorkers bounds the workers that are used unasked.
const maxWorkers = 8

// pipeline reads batches and reassembles the segments in them, lets each worker dissect those of its connections, and puts the records in
// order. Each step is a goroutine; a work goes through all of them, and back to the first.
type pipeline struct {
	opts    Options
	front   *front
	workers []*worker
	free    chan *work
	order   chan *work // as they were read
	ended   chan error // why the source has no more packets, once
	stop    chan struct{}
	survey  *dissect.Survey
	numbers *dissect.Numbering
	ports   []PortCount // of connections without NUBISON

	mu      sync.Mutex // held while the front works
	stopped bool       // nobody waits for what the front does any more
}

// work is a batch of packets, and what becomes of it.
type work struct {
	batch   capture.Batch
	seen    Result // of the packets up to its end
	err     error  // why it is the last one with packets
	over    bool   // it has no packets: connections that are left end
	last    bool   // and these are all of them
	steps   []step
	changes []change
	first   int64          // the first of the steps is the so-many-th
	own     [][]int32      // the places of each worker's steps, where there are several
	done    sync.WaitGroup // the workers
	parts   []result       // of each worker
}

// result is what a worker made of its part of a batch.
type result struct {
	records dissect.Records
	ports   []portUse
	over    []*party // whose connections have ended: nothing more comes of them
}

// empty reports whether nothing came of it.
func (r *result) empty() bool { return r.records.Empty() && len(r.ports) == 0 }

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
		opts: opts, free: make(chan *work, depth+1), order: make(chan *work, depth), ended: make(chan error, 1), stop: make(chan struct{}),
		survey: dissect.NewSurvey(sink), front: newFront(opts, n),
	}
	p.numbers = dissect.NewNumbering(p.survey, opts.Dissect)
	shared := dissect.NewShared(n)
	for i := range n {
		p.workers = append(p.workers, newWorker(i, n == 1, opts, shared))
	}
	for range depth {
		p.free <- p.newWork()
	}
	return p
}

func (p *pipeline) newWork() *work {
	n := len(p.workers)
	w := &work{parts: make([]result, n)}
	if n > 1 {
		w.own = make([][]int32, n)
	}
	return w
}

// read fills batches, reassembles what is in them, and hands them to all workers; at last it closes the source. A source that
// blocks cannot be interrupted: then it is left behind.
func (p *pipeline) read(src capture.Source) {
	defer src.Close()
	var aside []*work // not used as long as batches are large
	large := false
	for {
		select {
		case w := <-p.free:
			if large && len(aside) < depth/2 {
				aside = append(aside, w)
				continue
			}
			if n := len(aside); n > 0 && !large {
				p.free <- aside[n-1]
				aside = aside[:n-1]
			}
			w.err = src.Next(&w.batch)
			var last bool
			if last, large = p.steps(w, src.Stats()); last {
				return
			}
		case <-p.stop:
			return
		}
	}
}

// steps makes the steps of a batch and hands it on. It reports whether it was the last one, and whether it is a large one.
func (p *pipeline) steps(w *work, stats capture.Stats) (last, large bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return true, false
	}
	p.front.seen.Capture = stats
	if !p.front.batch(w) {
		w.err = io.EOF
	}
	w.seen = p.front.seen
	last, large = w.err != nil, len(w.changes) > manyChanges // before the work goes its way
	if last {
		p.ended <- w.err
	}
	p.hand(w) // nobody is waited for: there are no more of them than places
	return last, large
}

// end waits for the last batch, or the end of the context, and hands the ends of the connections that are left to all workers.
func (p *pipeline) end(ctx context.Context) {
	why := ErrInterrupted
	select {
	case <-ctx.Done():
	case why = <-p.ended:
	}
	p.mu.Lock()
	p.stopped = true
	select {
	case why = <-p.ended: // the front was done, too
	default:
	}
	p.mu.Unlock()
	rest := p.newWork()
	rest.over = true
	rest = p.front.finish(rest, func(w *work) *work {
		p.hand(w)
		next := <-p.free
		next.over, next.err = true, nil
		return next
	})
	rest.err, rest.last, rest.seen = why, true, p.front.seen
	p.hand(rest)
	for _, k := range p.workers {
		close(k.in)
	}
	close(p.order)
	close(p.stop)
}

func (p *pipeline) hand(w *work) {
	w.done.Add(len(p.workers))
	for _, k := range p.workers {
		k.in <- w
	}
	p.order <- w
}

// merge hands the records to the sink, in order, and returns the result.
func (p *pipeline) merge() (Result, error) {
	for w := range p.order {
		w.done.Wait()
		p.put(w.parts)
		if w.last {
			if errors.Is(w.err, io.EOF) {
				w.err = nil
			}
			return p.tell(p.result(w.seen)), w.err
		}
		if p.opts.Progress != nil && !w.over {
			p.opts.Progress(w.seen.Capture.Read, w.seen.Capture.Size)
		}
		if w.err == nil {
			p.free <- w
		}
	}
	panic("the end of the capture was not told")
}

// put puts what the workers made of a batch in order.
func (p *pipeline) put(parts []result) {
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
	if len(parts) > 1 {
		slices.SortStableFunc(ports, func(x, y portUse) int { return x.at.Compare(&y.at) })
	}
	for _, u := range ports {
		p.use(u.port)
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
	r.TCP = p.front.a.Stats()
	r.TCPStreams = r.TCP.Streams
	for _, k := range p.workers {
		r.NubisonStreams += k.d.Streams
		r.OneSided += k.d.OneSided
		r.Midstream += k.d.Midstream
	}
	return r
}

// always is the moment behind all packets.
const always = math.MaxInt64
