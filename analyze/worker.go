package analyze

import (
	"sort"
	"unsafe"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/prefetch"
	"github.com/nubishark/nubishark/reassembly"
)

// worker dissects some of the connections.
type worker struct {
	id    int8
	alone bool // there is no other one, so that there is no order to tell
	in    chan *work
	d     *dissect.Dissector
	first int64 // the first step of the batch is the so-many-th
	out   *result
	told  func(Resent) // may be nil
}

func newWorker(id int, alone bool, opts Options, shared *dissect.Shared) *worker {
	w := &worker{id: int8(id), alone: alone, in: make(chan *work, depth+1), d: dissect.NewPart(opts.Dissect, shared, id), told: opts.Resent}
	return w
}

func (w *worker) run() {
	for k := range w.in {
		w.work(k)
		k.done.Done()
	}
}

// work does the worker's part of a batch.
func (w *worker) work(k *work) {
	w.out = &k.parts[w.id]
	w.d.Collect(&w.out.records)
	w.first = k.first
	switch {
	case k.over:
		w.finish(k)
	case w.alone:
		w.takeAll(k)
	case len(k.steps) > 0:
		w.takeOwn(k, k.own[w.id])
	}
}

// finish ends connections, and at last what is left: the capture is over.
func (w *worker) finish(k *work) {
	for i := range k.changes {
		if e := &k.changes[i]; e.party.worker == w.id {
			w.turnTo(dissect.Moment{Packet: always, Order: e.order})
			w.handle(e)
		}
	}
	if n := len(k.changes); !k.last {
		w.d.Reached(dissect.Moment{Packet: always, Order: k.changes[n-1].order})
		return
	}
	w.turnTo(dissect.Moment{Packet: always, Phase: dissect.TimersWith})
	w.d.Close()
	w.d.Reached(dissect.Moment{Packet: always, Phase: dissect.ThePacket})
}

// takeAll takes all steps of a batch.
func (w *worker) takeAll(k *work) {
	steps := k.steps
	for i := range min(far, len(steps)-1) {
		k.approach(&steps[i])
	}
	for i := range steps {
		if i+far < len(steps) {
			k.approach(&steps[i+far])
		}
		if i+near < len(steps) {
			steps[i+near].meet()
		}
		st := &steps[i]
		if st.clock > w.d.Due() || st.dialogue == nil && st.n > 0 {
			w.timers(k, st, i)
		}
		w.take(k, st)
	}
	w.passed(k)
}

// takeOwn takes those steps of a batch that are the worker's.
func (w *worker) takeOwn(k *work, own []int32) {
	next := 0 // the first step before which timers may be due
	for i := range min(far, len(own)-1) {
		k.approach(&k.steps[own[i]])
	}
	for i, at := range own {
		if i+far < len(own) {
			k.approach(&k.steps[own[i+far]])
		}
		if i+near < len(own) {
			k.steps[own[i+near]].meet()
		}
		w.timersTo(k, next, int(at))
		next = int(at) + 1
		st := &k.steps[at]
		if st.clock > w.d.Due() || st.dialogue == nil && st.n > 0 {
			w.timers(k, st, int(at))
		}
		w.d.TurnToPacket(w.first + int64(at))
		w.take(k, st)
	}
	w.timersTo(k, next, len(k.steps))
	w.passed(k)
}

// What a step needs is asked for so many steps before it is taken, in two rounds: the second one needs what the first one has brought.
const (
	far  = 32
	near = 12
)

// approach brings near what bytes and their connection need. Whether there are bytes, or only an acknowledgement, is not asked: to guess it
// wrong takes longer than what is asked for in vain.
func (k *work) approach(st *step) {
	if c := st.dialogue; c != nil {
		five, one := c.Needs(&st.Whole, st.n)
		first := unsafe.Pointer(&k.batch.Data[st.at])
		prefetch.Eight(five, one, first, unsafe.Add(first, max(st.n, 1)-1))
	}
}

// meet brings near what a session ID leads to.
func (st *step) meet() {
	if st.dialogue != nil {
		prefetch.One(st.dialogue.Leads(&st.Whole))
	}
}

// timersTo runs the timers before each of the steps from one on to another, as if the clock had been looked at with each of
// them.
func (w *worker) timersTo(k *work, from, to int) {
	for from < to && k.steps[to-1].clock > w.d.Due() {
		from += sort.Search(to-1-from, func(i int) bool { return k.steps[from+i].clock > w.d.Due() })
		w.timers(k, &k.steps[from], from)
		from++
	}
}

// timers runs the timers up to a packet, and takes what those of the reassembly told, in the order of time: a hole becomes a gap before a
// later silence is judged.
func (w *worker) timers(k *work, st *step, at int) {
	from, to := st.changed()
	w.turnTo(dissect.Moment{Packet: w.first + int64(at), Phase: dissect.TimersBefore})
	from = w.changes(k, from, to, dissect.TimersBefore)
	w.d.Advance(st.Time)
	w.turnTo(dissect.Moment{Packet: w.first + int64(at), Phase: dissect.TimersWith})
	w.changes(k, from, to, dissect.TimersWith)
	w.d.Advance(st.clock)
}

// turnTo tells when what is done next happens, if there is an order to tell.
func (w *worker) turnTo(m dissect.Moment) {
	if !w.alone {
		w.d.Turn(m)
	}
}

// changes takes the changes of a phase among some, and returns the one behind them.
func (w *worker) changes(k *work, i, to int32, phase dissect.Phase) int32 {
	for ; i < to && k.changes[i].phase == phase; i++ {
		e := &k.changes[i]
		if phase == dissect.TimersBefore {
			w.d.Advance(e.due)
		}
		if e.party.worker != w.id {
			continue
		}
		if phase != dissect.ThePacket {
			m := w.d.Moment()
			w.turnTo(dissect.Moment{Packet: m.Packet, Phase: m.Phase, At: e.due, Order: e.order})
		}
		w.handle(e)
	}
	return i
}

// take takes what a packet itself brings.
func (w *worker) take(k *work, st *step) {
	w.d.Advanced(st.clock)
	if st.dialogue != nil {
		if st.Mark == w.id && st.dialogue.Opened() {
			w.next(k, st)
		}
		return
	}
	if st.n == 0 {
		return
	}
	i, to := st.changed()
	for i < to && k.changes[i].phase != dissect.ThePacket {
		i++
	}
	w.changes(k, i, to, dissect.ThePacket)
}

// next takes the next bytes of a direction, and what is acknowledged with them.
func (w *worker) next(k *work, st *step) {
	c := st.dialogue
	if st.acked > 0 {
		dir := int(1 - st.Dir)
		w.d.Acked(c, dir, c.Near(dir, st.acked), st.Packet)
	}
	if st.n == 0 {
		return
	}
	payload := k.payload(st)
	if !w.d.Usual(c, payload, &st.Whole) {
		w.d.Bytes(c, int(st.Dir), payload, &dissect.Part{Offset: st.Offset, Time: st.Time, Packet: st.Packet, Push: st.Push})
	}
	if st.ackedIn > 0 {
		w.d.Acked(c, int(st.Dir), st.Offset+int64(st.n), st.Packet+int64(st.ackedIn))
	}
}

// passed tells that all steps are done.
func (w *worker) passed(k *work) {
	if n := len(k.steps); n > 0 {
		w.d.Advanced(k.steps[n-1].clock)
		w.d.Reached(dissect.Moment{Packet: w.first + int64(n)})
	}
}

// payload are the bytes of a step that has a dialogue.
func (k *work) payload(st *step) []byte { return k.batch.Data[st.at:][:st.n:st.n] }

// handle takes a change.
func (w *worker) handle(e *change) {
	p, d := e.party, int(e.dir)
	switch e.kind {
	case bytesCame:
		w.chunk(e)
	case stalled:
		if c := w.dialogue(e); c != nil {
			w.d.Stall(c, d, e.on)
		}
	case directionUp:
		w.end(e)
	case heard:
		p.heard[d] = 1
	case acked:
		w.acked(e)
	case resent:
		w.resent(e)
	case before:
		p.before[d] = e.chunk.Gap
	}
}

// acked takes an acknowledgement that may be of bytes that were not captured.
func (w *worker) acked(e *change) {
	p, ch := e.party, &e.chunk
	if p.opened {
		w.d.AckedAhead(p.dialogue, int(e.dir), ch.Offset, ch.Packet)
	} else {
		p.acks.Add(int(e.dir), ch.Offset, ch.Packet)
	}
}

// dialogue returns the dissector's side of a connection, opened when its first bytes come: then it is
// known where it starts. It is nil for a connection that is not to be dissected, or has ended.
func (w *worker) dialogue(e *change) *dissect.Dialogue {
	p := e.party
	if !p.asked {
		w.open(e)
	}
	if !p.opened {
		return nil
	}
	return p.dialogue
}

// open asks the dissector to open a connection's dialogue.
func (w *worker) open(e *change) {
	p := e.party
	p.asked = true
	c := p.conn
	p.opened = w.d.Open(p.dialogue, &dissect.Opening{
		Stream: c.Stream, Order: c.Opened, Addr: c.Addr, Opener: e.opener, FromStart: e.fromStart, Heard: &p.heard, Before: &p.before,
		TCP: p, Acks: &p.acks, Time: c.First,
	})
	switch {
	case !p.opened:
		w.other(c)
	case p.early:
		w.d.End(p.dialogue, int(p.earlyDir), endings[p.earlyWhy], p.earlyAt)
	}
}

// chunk hands on bytes or a gap.
func (w *worker) chunk(e *change) {
	c := w.dialogue(e)
	if c == nil {
		return
	}
	d, ch := int(e.dir), &e.chunk
	if e.fromStart[d] {
		c.FromStart(d)
	}
	p := &dissect.Part{Offset: ch.Offset, Time: ch.Time, Packet: ch.Packet, Push: ch.Push, More: ch.More, Cut: ch.Cut, Large: ch.Large, Clock: ch.Clock}
	if ch.Gap > 0 {
		w.d.Gap(c, d, ch.Gap, p)
		return
	}
	w.d.Bytes(c, d, ch.Bytes, p)
}

// endings maps the reasons of the reassembly to those of the dissector.
var endings = map[reassembly.End]dissect.Ending{
	reassembly.EndFIN: dissect.EndFIN, reassembly.EndRST: dissect.EndReset, reassembly.EndReopen: dissect.EndReopen,
	reassembly.EndEvict: dissect.EndFile, reassembly.EndFile: dissect.EndFile,
}

// end takes the end of a direction.
func (w *worker) end(e *change) {
	p := e.party
	if e.why == reassembly.EndFIN || e.why == reassembly.EndRST {
		p.ended[e.dir] = e.chunk.Packet
	}
	if p.ends++; p.ends == 2 {
		w.out.over = append(w.out.over, p)
	}
	switch {
	case p.opened:
		w.d.End(p.dialogue, int(e.dir), endings[e.why], e.chunk.Time)
		if p.dialogue.Finished() {
			if !p.dialogue.Confirmed() {
				w.other(p.conn)
			}
			p.dialogue.Forget()
			p.opened = false
		}
	case p.asked:
	case !p.early:
		p.early, p.earlyDir, p.earlyWhy, p.earlyAt = true, e.dir, e.why, e.chunk.Time
	default:
		w.other(p.conn)
	}
}

// other notes a connection without NUBISON.
func (w *worker) other(c *reassembly.Conn) {
	w.out.ports = append(w.out.ports, portUse{w.d.Moment(), min(c.Addr[0].Port(), c.Addr[1].Port())})
}

// resent notes bytes that were sent again, and tells of them.
func (w *worker) resent(e *change) {
	p, ch := e.party, &e.chunk
	k := &p.again[e.dir]
	if *k == nil {
		*k = &resents{}
	}
	(*k).add(ch.Offset, ch.Offset+ch.Gap, ch.Packet)
	if c := p.dialogue; w.told != nil && p.opened && c.Confirmed() {
		x := Resent{Conn: c.Conn(), From: c.Sender(int(e.dir)), Packet: ch.Packet, Time: ch.Time, Bytes: ch.Gap}
		w.d.Tell(func() { w.told(x) })
	}
}
