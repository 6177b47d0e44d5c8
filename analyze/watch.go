package analyze

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
)

// Feed is a source of packets that goes on, such as a network interface.
type Feed interface {
	// Next fills b with packets, whose numbers go on from those before. It returns capture.ErrIdle where none came in the
	// time, io.EOF when the feed was stopped and has told all.
	Next(b *capture.Batch, wait time.Duration) error
	Stats() capture.Stats
	// Stop ends the feed. It may be called more than once.
	Stop()
}

// Recorder keeps the packets of a feed, and where the clock stood between them, so that reading them gives the same records.
type Recorder interface {
	Write(capture.Packet) error
	Mark(time int64) error
	// Flush is called several times a second.
	Flush() error
}

// Watching steers a run that goes on.
type Watching struct {
	Options
	// Recorder may be nil. When it fails, Failed is told, and it is not used any more.
	Recorder Recorder
	Failed   func(error)
	// Tap sees each packet before it is analysed, and Idle the clock where no packet comes, from the last one on; both may be nil.
	Tap  func(*capture.Packet)
	Idle func(now int64)
	// Settled is called when what came was analysed: output that was gathered is to be handed on. It may be nil.
	Settled func()
	// Asked makes Watch call Answer with what is known so far; both may be nil.
	Asked  <-chan struct{}
	Answer func(Result)
	// Now is the clock, time.Now if nil. Only differences of it count.
	Now func() time.Time
}

const (
	// tick is how often time is looked at where no packet comes.
	tick = 50 * time.Millisecond
	// grace is how long a packet may take from the wire to here: the clock runs that much behind.
	grace = 100 * time.Millisecond
	// flushEvery is how often the recorder is flushed, at most.
	flushEvery = 200 * time.Millisecond
)

// Watch analyses a feed until it ends, the context does, or a limit of the options is met, and hands every record to the sink.
// What the protocol's timers settle is told when it is time, even where no packet comes: then the clock of packet times goes
// on with the system's.
func Watch(ctx context.Context, feed Feed, w Watching, sink dissect.Sink) (Result, error) {
	if w.Now == nil {
		w.Now = time.Now
	}
	v := &watch{run: newRun(w.Options, sink), w: w, feed: feed, rec: w.Recorder}
	stop := context.AfterFunc(ctx, feed.Stop)
	defer stop()
	err := v.loop()
	v.record(func(r Recorder) error { return r.Flush() })
	return v.finish(feed.Stats()), err
}

// watch is a run with its recorder.
type watch struct {
	*run
	w       Watching
	feed    Feed
	rec     Recorder
	heard   time.Time // when the last packet came
	flushed time.Time
	clock   int64 // the latest packet time (ns)
	last    int64 // the time of the last packet (ns), which is earlier where the clock was set back
}

func (v *watch) loop() error {
	var b capture.Batch
	for {
		err := v.feed.Next(&b, tick)
		now := v.w.Now()
		more := true
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, capture.ErrIdle):
			v.idle(now)
		case err != nil:
			return err
		default:
			more = v.packets(&b, now)
		}
		if now.Sub(v.flushed) >= flushEvery {
			v.flushed = now
			v.record(func(r Recorder) error { return r.Flush() })
		}
		if v.w.Settled != nil {
			v.w.Settled()
		}
		select {
		case <-v.w.Asked:
			v.w.Answer(v.result(v.feed.Stats()))
		default:
		}
		if !more {
			v.feed.Stop()
			return nil
		}
	}
}

// packets takes in a batch, and reports whether to go on.
func (v *watch) packets(b *capture.Batch, now time.Time) bool {
	for i := range b.Refs {
		p := b.Packet(i)
		if v.rec != nil {
			v.record(func(r Recorder) error { return r.Write(p) })
		}
		if v.w.Tap != nil {
			v.w.Tap(&p)
		}
		v.clock, v.last = max(v.clock, p.Time), p.Time
		if !v.packet(b, i) {
			return false
		}
	}
	v.heard = now
	return true
}

// idle lets the clock of packet times go on while no packet comes.
func (v *watch) idle(now time.Time) {
	if v.clock == 0 {
		return
	}
	passed := int64(now.Sub(v.heard) - grace)
	at := v.clock + passed
	if v.w.Idle != nil {
		v.w.Idle(v.last + passed)
	}
	if v.due() >= at {
		return
	}
	v.record(func(r Recorder) error { return r.Mark(at) })
	v.advance(at)
}

// record does something with the recorder, as long as that works.
func (v *watch) record(do func(Recorder) error) {
	if v.rec == nil {
		return
	}
	if err := do(v.rec); err != nil {
		v.rec = nil
		if v.w.Failed != nil {
			v.w.Failed(err)
		}
	}
}

// run takes in packets one by one, and hands on their records at once.
type run struct {
	p    *pipeline
	work *work
	mark [1]capture.Ref
}

func newRun(opts Options, sink dissect.Sink) *run {
	opts.Workers = 1
	r := &run{p: newPipeline(opts, sink)}
	r.work = r.p.newWork()
	return r
}

// packet takes in one packet of a batch and reports whether to go on.
func (r *run) packet(b *capture.Batch, i int) bool {
	r.work.batch = capture.Batch{Data: b.Data, Refs: b.Refs[i : i+1]}
	return r.take()
}

// advance runs the timers up to a moment.
func (r *run) advance(now int64) {
	r.mark[0] = capture.Ref{Time: now}
	r.work.batch = capture.Batch{Refs: r.mark[:]}
	r.take()
}

// due is the earliest moment behind which a timer has something to do (ns).
func (r *run) due() int64 { return min(r.p.front.a.Due(), r.p.workers[0].d.Due()) }

func (r *run) take() (more bool) {
	more = r.p.front.batch(r.work)
	r.settle()
	return more
}

// settle lets what the front has done come to its end.
func (r *run) settle() {
	r.p.workers[0].work(r.work)
	if !r.work.parts[0].empty() {
		r.p.put(r.work.parts)
	}
}

// finish ends every connection: the capture is over.
func (r *run) finish(stats capture.Stats) Result {
	r.work.over = true
	r.p.front.finish(r.work, func(w *work) *work {
		r.settle()
		return w
	})
	r.work.last = true
	r.settle()
	return r.p.tell(r.result(stats))
}

func (r *run) result(stats capture.Stats) Result {
	r.p.front.seen.Capture = stats
	return r.p.result(r.p.front.seen)
}
