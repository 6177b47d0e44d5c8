package analyze

import (
	"sort"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// worker reassembles and dissects some of the connections. It is the handler of its reassembly.
type worker struct {
	id    int8
	alone bool // there is no other one, so that there is no order to tell
	in    chan *work
	last  chan result // what is left when the capture has ended
	a     *reassembly.Assembler
	d     *dissect.Dissector
	due   int64 // no timer has to run while the clock does not pass this
	turn  dissect.Moment
	first int64 // the first item of the batch is the so-many-th
	out   *result
	told  func(Resent) // may be nil
	// touched keeps what was looked at from being left out as useless.
	touched int64
}

func newWorker(id int, alone bool, opts Options, shared *dissect.Shared) *worker {
	w := &worker{id: int8(id), alone: alone, in: make(chan *work, depth+1), last: make(chan result, 1), d: dissect.NewPart(opts.Dissect, shared, id)}
	o := reassembly.Options{Turn: w.timer}
	if w.told = opts.Resent; w.told != nil {
		o.Resent = w.resent
	}
	w.a = reassembly.New(w, o)
	w.arm()
	return w
}

// timer tells when the reassembly does what it does.
func (w *worker) timer(at, opened int64) {
	w.turn.At, w.turn.Order = at, opened
	w.d.Turn(w.turn)
}

func (w *worker) run() {
	for k := range w.in {
		w.work(k)
		k.done.Done()
	}
	w.last <- w.finish()
}

// finish ends every connection: the capture is over.
func (w *worker) finish() (r result) {
	w.collect(&r)
	w.turn = dissect.Moment{Packet: always}
	w.a.Close()
	w.turn = dissect.Moment{Packet: always, Phase: dissect.TimersWith}
	w.d.Turn(w.turn)
	w.d.Close()
	w.d.Reached(dissect.Moment{Packet: always, Phase: dissect.ThePacket})
	return r
}

func (w *worker) collect(r *result) {
	w.out = r
	w.d.Collect(&r.records)
}

// work does the worker's part of a batch.
func (w *worker) work(k *work) {
	w.collect(&k.parts[w.id])
	w.first = k.first
	switch {
	case w.alone:
		w.takeAll(k.items)
	case len(k.items) > 0:
		w.takeOwn(k.items, k.own[w.id])
	}
}

// takeAll does the work of a list of items.
func (w *worker) takeAll(items []item) {
	for from := 0; from < len(items); from += ahead {
		some := items[from:min(from+ahead, len(items))]
		w.lookAhead(some)
		for i := range some {
			it := &some[i]
			if it.clock > w.due {
				w.timers(it, from+i)
			}
			if it.worker == w.id {
				w.take(it)
			}
		}
	}
	w.passed(items)
}

// takeOwn does the work of those in a list of items that are the worker's.
func (w *worker) takeOwn(items []item, own []int32) {
	next := 0 // the first item before which timers may be due
	for i, at := range own {
		if i%ahead == 0 {
			w.lookAheadOwn(items, own[i:min(i+ahead, len(own))])
		}
		next = w.timersTo(items, next, int(at))
		it := &items[at]
		w.turn = dissect.Moment{Packet: w.first + int64(at), Phase: dissect.ThePacket}
		w.d.Turn(w.turn)
		w.take(it)
	}
	w.timersTo(items, next, len(items)-1)
	w.passed(items)
}

// timersTo runs the timers before each of the items from one on to another, as if the clock had been looked at with each of
// them. It returns the one behind.
func (w *worker) timersTo(items []item, from, to int) int {
	for from <= to && items[to].clock > w.due {
		from += sort.Search(to-from, func(i int) bool { return items[from+i].clock > w.due })
		w.timers(&items[from], from)
		from++
	}
	return to + 1
}

// take takes in a segment.
func (w *worker) take(it *item) {
	w.a.Advanced(it.clock)
	w.d.Advanced(it.clock)
	c, off, ok := w.a.Quick(&it.Segment, it.time, it.number)
	switch {
	case !ok:
		w.a.Slow(&it.Segment, it.time, it.number)
	case it.Length > 0:
		w.bytes(it, c, off)
	default:
		return // an acknowledgement sets no timers
	}
	w.arm()
}

// bytes hands on what comes next in a direction.
func (w *worker) bytes(it *item, c *reassembly.Conn, off int64) {
	d, push := it.From(), it.Flags&reassembly.FlagPSH != 0
	if dc, ok := c.Data.(*dissect.Dialogue); ok && dc != nil && w.d.Usual(dc, int(d), it.Payload, dissect.Whole{Offset: off, Time: it.time, Packet: it.number, Push: push}) {
		return
	}
	w.Chunk(c, d, reassembly.Chunk{Offset: off, Bytes: it.Payload, Time: it.time, Packet: it.number, Push: push})
}

// passed tells that all items are done.
func (w *worker) passed(items []item) {
	if n := len(items); n > 0 {
		last := &items[n-1]
		w.d.Advance(last.clock)
		w.a.Advance(last.clock)
		w.d.Reached(dissect.Moment{Packet: w.first + int64(n)})
	}
}

// ahead is the number of packets that are looked up at once.
const ahead = 64

// lookAhead brings what packets need near the processor.
func (w *worker) lookAhead(items []item) {
	if len(items) == 1 {
		if items[0].worker == w.id {
			w.a.Find(&items[0].Segment)
		}
		return
	}
	var list [ahead]*item
	n := 0
	for i := range items {
		if items[i].worker == w.id {
			list[n] = &items[i]
			n++
		}
	}
	w.touch(list[:n])
}

func (w *worker) lookAheadOwn(items []item, own []int32) {
	var list [ahead]*item
	for i, at := range own {
		list[i] = &items[at]
	}
	w.touch(list[:len(own)])
}

func (w *worker) touch(list []*item) {
	for _, it := range list {
		w.a.Find(&it.Segment)
	}
	n := int64(0)
	var dialogues [ahead]*dissect.Dialogue
	for i, it := range list {
		data, k := it.Touch()
		dialogues[i], _ = data.(*dissect.Dialogue)
		n += k
	}
	for i, it := range list {
		if c := dialogues[i]; c != nil && len(it.Payload) > 0 {
			n += c.Touch(it.Payload)
		}
	}
	for i, it := range list {
		if c := dialogues[i]; c != nil && len(it.Payload) > 0 {
			n += c.TouchID(it.Payload)
		}
	}
	w.touched += n
}

// arm notes when the next timer has to run: the dissector's once the clock is behind it, the reassembly's as soon as the
// clock has reached it.
func (w *worker) arm() { w.due = min(w.a.Due()-1, w.d.Due()) }

// timers runs the timers of both stages up to a packet, in the order of time: a hole becomes a gap before a later
// silence is judged.
func (w *worker) timers(it *item, at int) {
	w.turn = dissect.Moment{Packet: w.first + int64(at), Phase: dissect.TimersBefore}
	w.d.Turn(w.turn)
	for t := min(w.a.Due(), w.d.Due()); t < it.time; t = min(w.a.Due(), w.d.Due()) {
		w.a.Advance(t)
		w.d.Advance(t + 1)
	}
	w.d.Advance(it.time)
	w.turn = dissect.Moment{Packet: w.first + int64(at), Phase: dissect.TimersWith}
	w.d.Turn(w.turn)
	w.a.Advance(it.clock)
	w.d.Advance(it.clock)
	w.arm()
}

// Open implements reassembly.Handler.
func (w *worker) Open(c *reassembly.Conn) { w.out.opened = append(w.out.opened, c) }

// noBytes marks a connection that ended in one direction before it carried anything.
type noBytes struct {
	dir  reassembly.Direction
	why  reassembly.End
	time int64
}

// dialogue returns the dissector's side of a connection, made when its first bytes come: then it is
// known where it starts. It is nil for a connection that is not to be dissected.
func (w *worker) dialogue(c *reassembly.Conn) *dissect.Dialogue {
	if dc, ok := c.Data.(*dissect.Dialogue); ok {
		return dc
	}
	dc := w.d.Open(dissect.Opening{
		Number: &c.Stream, Order: c.Opened, Addr: c.Addr, Opener: c.Opener, FromStart: c.FromStart, Heard: &c.Packets, Before: &c.Before, TCP: (*proven)(c), Time: c.First,
	})
	early, ended := c.Data.(noBytes)
	c.Data = dc
	switch {
	case dc == nil:
		w.other(c)
	case ended:
		w.d.End(dc, int(early.dir), endings[early.why], early.time)
	}
	return dc
}

// Chunk implements reassembly.Handler.
func (w *worker) Chunk(c *reassembly.Conn, d reassembly.Direction, ch reassembly.Chunk) {
	dc := w.dialogue(c)
	if dc == nil {
		return
	}
	if c.FromStart[d] {
		dc.FromStart(int(d))
	}
	p := dissect.Part{Offset: ch.Offset, Time: ch.Time, Packet: ch.Packet, Push: ch.Push, More: ch.More, Cut: ch.Cut, Large: ch.Large, Clock: ch.Clock}
	if ch.Gap > 0 {
		w.d.Gap(dc, int(d), ch.Gap, p)
		return
	}
	w.d.Bytes(dc, int(d), ch.Bytes, p)
}

// Stall implements reassembly.Handler.
func (w *worker) Stall(c *reassembly.Conn, d reassembly.Direction, on bool) {
	if dc := w.dialogue(c); dc != nil {
		w.d.Stall(dc, int(d), on)
	}
}

// endings maps the reasons of the reassembly to those of the dissector.
var endings = map[reassembly.End]dissect.Ending{
	reassembly.EndFIN: dissect.EndFIN, reassembly.EndRST: dissect.EndReset, reassembly.EndReopen: dissect.EndReopen,
	reassembly.EndEvict: dissect.EndFile, reassembly.EndFile: dissect.EndFile,
}

// End implements reassembly.Handler.
func (w *worker) End(c *reassembly.Conn, d reassembly.Direction, why reassembly.End, time, _ int64) {
	switch data := c.Data.(type) {
	case nil:
		c.Data = noBytes{d, why, time}
	case noBytes:
		w.other(c)
	case *dissect.Dialogue:
		if data == nil {
			return
		}
		w.d.End(data, int(d), endings[why], time)
		if data.Finished() && !data.Confirmed() {
			w.other(c)
		}
	}
}

// other notes a connection without NUBISON.
func (w *worker) other(c *reassembly.Conn) {
	w.out.ports = append(w.out.ports, portUse{w.d.Moment(), min(c.Addr[0].Port(), c.Addr[1].Port())})
}
