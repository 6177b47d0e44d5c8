package analyze

import (
	"cmp"
	"slices"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// front finds segments and reassembles them. What follows for the connections' bytes it writes into steps, one for each packet, which
// the workers take up while it goes on. It is the handler of its reassembly.
type front struct {
	opts  Options
	dec   reassembly.Decoder
	a     *reassembly.Assembler
	who   [reassembly.Parts]int8 // the worker of each part of the connections
	segs  [ahead]reassembly.Segment
	found [ahead]bool
	w     *work
	at    moment
	seen  Result // what follows from the packets themselves, so far
	time  int64  // of the latest packet
	clock int64  // the latest time so far
	// ticked is the clock at the end of the last batch.
	ticked int64
	steps  int64 // so far
	own    bool  // workers have lists of their own steps
	// limited tells that not all of the capture may be asked for.
	limited bool
	spare   []spare  // of each worker
	talks   []talk   // of the connections by their marks; that of mark 0 is nobody's
	free    []uint32 // marks to be used again
	// prompt is the time in which an acknowledgement is told together with what it acknowledges (ns).
	prompt int64
	handOn func(*work) *work // once the capture is over
}

// talk is what is at hand with each segment of a connection.
type talk struct {
	dialogue *dissect.Dialogue // nil while there were no bytes
	latest   [2]uint32         // the steps of each direction's latest bytes, see promptly
	told     [2]uint8          // of which directions acknowledgements are to be told, see tells
	worker   int8
	_        [5]byte
	_        uint64 // two to a line of the processor's cache
}

// moment is when the reassembly does what it does.
type moment struct {
	phase dissect.Phase
	due   int64 // of a timer (ns)
	order int64 // and its connection's
}

// ahead is the number of packets that are looked up at once.
const ahead = reassembly.AtOnce

// step is what a packet of a batch, or a mark of the clock, brings. It is on its way from one processor to another, so it is as small as
// a line of their caches.
type step struct {
	// dialogue is whose bytes come next, or are acknowledged next, as is most usual; nil if it is not so simple: then there are changes.
	dialogue *dissect.Dialogue
	// at is where the bytes stand in the data of the batch, or the first of the changes; n is how many there are of either.
	at, n uint32
	// acked is how far their receiver's own bytes are acknowledged, of the stream offset the lower half; 0 where that is not new. The bytes
	// themselves are acknowledged ackedIn packets later, 0 where it is not known yet.
	acked, ackedIn uint32
	clock          int64 // the latest time so far
	// Whole tells of the bytes; of every packet it has its number and time. Its Mark is the worker, or nobody.
	dissect.Whole
}

// changed tells of the changes that a step brings.
func (st *step) changed() (from, to int32) {
	if st.dialogue != nil {
		return 0, 0
	}
	return int32(st.at), int32(st.at + st.n)
}

const nobody = -1

// change is what the reassembly tells of a connection.
type change struct {
	party *party
	chunk reassembly.Chunk
	moment
	kind      kind
	dir       uint8
	on        bool
	opener    bool // of the connection, now
	fromStart [2]bool
	why       reassembly.End
}

// kind is what a change tells.
type kind uint8

const (
	bytesCame   kind = iota
	stalled          // or no longer
	directionUp      // it has ended
	heard            // the first packet of a direction
	acked            // up to Offset, by Packet
	resent           // Gap bytes from Offset on, in Packet
	before           // Gap bytes
)

func newFront(opts Options, workers int) *front {
	f := &front{
		opts: opts, limited: opts.MaxPackets > 0 || opts.MaxDuration > 0, own: workers > 1, spare: make([]spare, workers),
		talks: make([]talk, 1), prompt: maxPrompt,
	}
	if t := opts.Dissect.Timeout; t > 0 {
		f.prompt = min(f.prompt, int64(t))
	}
	for i := range f.who {
		f.who[i] = int8(i % workers)
	}
	f.a = reassembly.New(f, reassembly.Options{Turn: func(due, order int64) { f.at.due, f.at.order = due, order }})
	return f
}

// begin starts the steps of a batch.
func (f *front) begin(w *work) {
	f.w = w
	f.reuse(w)
	w.steps, w.changes, w.first = w.steps[:0], w.changes[:0], f.steps+1
	for i := range w.own {
		w.own[i] = w.own[i][:0]
	}
}

// reuse takes back what a work that has gone all its way tells to be over.
func (f *front) reuse(w *work) {
	for i := range w.parts {
		for _, p := range w.parts[i].over {
			f.a.Reuse(p.conn)
			s := &f.spare[i]
			if p.mark != 0 {
				f.talks[p.mark].dialogue = nil
				f.free = append(f.free, p.mark)
				if len(s.dialogues) < maxSpare {
					s.dialogues = append(s.dialogues, p.dialogue)
				}
			}
			if len(s.parties) < maxSpare {
				s.parties = append(s.parties, p)
			}
		}
		clear(w.parts[i].over)
		w.parts[i].over = w.parts[i].over[:0]
	}
}

// spare is memory of connections that have ended, to be used again. It stays with its worker, whose timers may still lead there.
type spare struct {
	parties   []*party
	dialogues []*dissect.Dialogue
}

// maxSpare bounds what is kept of either.
const maxSpare = 4096

// batch makes the steps of a batch, and reports whether to go on.
func (f *front) batch(w *work) bool {
	f.begin(w)
	for from := 0; from < len(w.batch.Refs); from += ahead {
		n, last := f.lookAhead(&w.batch, from)
		refs := w.batch.Refs[from : from+n]
		for i := range refs {
			f.take(&refs[i], &f.segs[i&(ahead-1)], f.found[i&(ahead-1)])
		}
		if last {
			f.tick()
			return false
		}
	}
	f.tick()
	return true
}

// tick makes a step of the clock, if it went on since the last step of the batch: what is due by then is told with the batch.
func (f *front) tick() {
	if n := len(f.w.steps); f.clock > f.ticked && (n == 0 || f.w.steps[n-1].clock < f.clock) {
		st := f.step(&capture.Ref{Time: f.clock})
		st.dialogue, st.at, st.n, st.Mark = nil, uint32(len(f.w.changes)), 0, nobody
	}
	f.ticked = f.clock
}

// lookAhead finds the segments of some packets and brings what they need near the processor. It returns how many packets there are,
// and whether the run is to stop behind them.
func (f *front) lookAhead(b *capture.Batch, from int) (n int, last bool) {
	refs := b.Refs[from:min(from+ahead, len(b.Refs))]
	n, last = f.count(refs)
	refs = refs[:n]
	if found := reassembly.Look(b.Data, refs, f.segs[:], f.found[:]); found < n {
		f.decode(b, from, n)
	}
	f.a.Find(f.segs[:n], &f.found)
	return n, last
}

// decode looks for the segments of those of some packets that Look has passed by.
func (f *front) decode(b *capture.Batch, from, n int) {
	for i := range n {
		if !f.found[i] && b.Refs[from+i].Number > 0 {
			k := b.Packet(from + i)
			f.found[i] = f.dec.Decode(&k, &f.segs[i])
		}
	}
}

// count takes in what is to be known of packets as such. It returns how many of them are asked for, and whether the run is to stop behind them.
func (f *front) count(refs []capture.Ref) (n int, last bool) {
	r := &f.seen
	if f.limited || r.Packets == 0 {
		return f.countEach(refs)
	}
	usual := int64(0)
	for i := range refs {
		if ref := &refs[i]; ref.Number > 0 && ref.Time >= r.Last && ref.Len >= ref.WireLen {
			usual++
			r.Last, f.time = ref.Time, ref.Time
		} else if ref.Number > 0 {
			f.countOne(ref)
		}
	}
	r.Packets += usual
	return len(refs), false
}

// countEach does so where not all of them may be asked for.
func (f *front) countEach(refs []capture.Ref) (n int, last bool) {
	for n < len(refs) && !last {
		if ref := &refs[n]; ref.Number > 0 {
			if f.isOver(ref.Time) {
				return n, true
			}
			last = !f.countOne(ref)
		}
		n++
	}
	return n, last
}

// isOver reports whether a moment is behind the part of the capture that is asked for.
func (f *front) isOver(time int64) bool {
	return f.opts.MaxDuration > 0 && f.seen.Packets > 0 && time-f.seen.First > f.opts.MaxDuration
}

// countOne takes in what is to be known of a packet as such, and reports whether to go on behind it.
func (f *front) countOne(ref *capture.Ref) bool {
	r := &f.seen
	if r.Packets == 0 {
		r.First, r.Last, f.time = ref.Time, ref.Time, ref.Time
	}
	r.Packets++
	switch {
	case ref.Time >= r.Last:
		r.Last = ref.Time
	case ref.Time < f.time-backStep:
		r.Backwards++
		r.FirstBackwards = cmp.Or(r.FirstBackwards, ref.Number)
		r.First = min(r.First, ref.Time)
	case ref.Time < r.First:
		r.First = ref.Time
	}
	f.time = ref.Time
	if ref.Len < ref.WireLen {
		r.Cut++
		r.FirstCut = cmp.Or(r.FirstCut, ref.Number)
	}
	return f.opts.MaxPackets == 0 || r.Packets < f.opts.MaxPackets
}

// backStep is how much earlier than the one before a packet may be without a word (ns): several interfaces are not read in
// perfect order.
const backStep = int64(10e6)

// take makes a step of a packet, with its segment if there is one, or of a mark of the clock, unless nothing follows from it.
func (f *front) take(ref *capture.Ref, s *reassembly.Segment, found bool) {
	f.clock = max(f.clock, ref.Time)
	first := len(f.w.changes)
	if f.a.Due() <= f.clock {
		f.timers(ref.Time)
	}
	if found && f.segment(s, ref, first) {
		return
	}
	if n := len(f.w.changes) - first; n > 0 || ref.Number == 0 {
		st := f.step(ref)
		st.dialogue, st.at, st.n, st.Mark = nil, uint32(first), uint32(n), nobody
		if f.own {
			f.assign(st)
		}
	}
}

// step adds a step, whose parts may hold anything but for the packet's number and the times.
func (f *front) step(ref *capture.Ref) *step {
	w := f.w
	if len(w.steps) == cap(w.steps) {
		w.steps = slices.Grow(w.steps, max(len(w.batch.Refs)-len(w.steps), 1)) // most packets make one at most
	}
	w.steps = w.steps[:len(w.steps)+1]
	st := &w.steps[len(w.steps)-1]
	f.steps++
	st.Packet, st.Time, st.clock = ref.Number, ref.Time, f.clock
	return st
}

// segment takes in a segment. It reports whether what follows is in a step, or nothing does; else it is in the changes, if there is something. The
// first of them that the packet brought is the so-many-th.
func (f *front) segment(s *reassembly.Segment, ref *capture.Ref, first int) (done bool) {
	f.a.Advanced(f.clock)
	off, to, how := f.a.Quick(s, ref.Time, ref.Number)
	if how == 0 && f.a.Again(s) { // what is told of a packet is not to depend on where batches start
		off, to, how = f.a.Quick(s, ref.Time, ref.Number)
	}
	if how == 0 {
		f.slowly(s, ref)
		return false
	}
	w, t, d := f.w, &f.talks[s.Mark()], s.From()&1
	if to > 0 && !t.tells(d^1, how&reassembly.AllAcked != 0) {
		to = 0
	}
	n := s.Length
	if n == 0 && (to == 0 || f.promptly(t, d^1, to, ref)) {
		return len(w.changes) == first
	}
	var b []byte
	at, there, push := s.At(), true, s.Flags&reassembly.FlagPSH != 0
	switch {
	case n == 0:
		at = 0
	case at > 0:
		b = w.batch.Data[at:][:n:n]
	default:
		at, b, there = w.bytesOf(s, ref)
	}
	if n > 0 {
		t.noteAnswer(d, dissect.OnlyAnswer(b, push))
	}
	if len(w.changes) > first || !there || t.dialogue == nil || to > 0 && uint32(to) == 0 {
		// There are changes already, or IP fragments were put together elsewhere, or there were no bytes yet, or 4 GiB are acknowledged.
		f.change(s, ref, off, to, b)
		return false
	}
	st := f.step(ref)
	st.dialogue, st.Mark = t.dialogue, t.worker
	st.at, st.n, st.Offset, st.acked, st.ackedIn, st.Dir, st.Push = at, uint32(n), off, uint32(to), 0, uint8(d), push
	if to > 0 {
		t.latest[d^1] = 0 // no later one may be told before this one
	}
	if n > 0 {
		st.Letter, st.Hint = b[0], dissect.Hint(b)
		t.latest[d] = 0
		if how&reassembly.Alone != 0 {
			t.latest[d] = uint32(f.steps)
		}
	}
	if f.own {
		f.assign(st)
	}
	return true
}

// slowly takes in a segment that is not usual.
func (f *front) slowly(s *reassembly.Segment, ref *capture.Ref) {
	f.at = moment{phase: dissect.ThePacket}
	s.Fill(f.w.batch.Data[ref.Off : ref.Off+ref.Len : ref.Off+ref.Len])
	f.a.Slow(s, ref.Time, ref.Number)
}

// change tells what a segment brings that Quick has taken in as changes.
func (f *front) change(s *reassembly.Segment, ref *capture.Ref, off, to int64, b []byte) {
	f.at = moment{phase: dissect.ThePacket}
	c, d := s.Conn(), s.From()
	if to > 0 {
		f.Acked(c, 1-d, to, ref.Number)
	}
	if len(b) > 0 {
		f.Chunk(c, d, reassembly.Chunk{Offset: off, Bytes: b, Time: ref.Time, Packet: ref.Number, Push: s.Flags&reassembly.FlagPSH != 0})
	}
}

// maxPrompt bounds the time between bytes and an acknowledgement that is told together with them (ns): it is less than the time in which
// anything is concluded of its absence.
const maxPrompt = int64(1e9)

// promptly tells that a direction was acknowledged, in a packet that brings nothing else, together with the bytes that it acknowledges: if those
// are in the batch, nothing before them was open, and nothing came between that asks for it. A step for each such packet would be a third of all.
func (f *front) promptly(t *talk, d reassembly.Direction, to int64, ref *capture.Ref) bool {
	latest := t.latest[d]
	i := latest - uint32(f.w.first)
	if latest == 0 || i >= uint32(len(f.w.steps)) {
		return false
	}
	st := &f.w.steps[i]
	if st.Offset+int64(st.n) != to || uint64(f.clock-st.Time) >= uint64(f.prompt) {
		return false
	}
	st.ackedIn = uint32(ref.Number - st.Packet)
	return true
}

// What the front keeps of a direction to know which acknowledgements are to be told.
const (
	askedBit  = 1 << iota // some of the bytes that were not acknowledged yet may be asked about
	answerBit             // the latest bytes were only an answer
)

// noteAnswer notes whether bytes of a direction are only an answer, which is 1 then. The first ones behind others are not believed: those may
// go on in them. It does not branch, because nobody can guess what comes next.
func (t *talk) noteAnswer(d reassembly.Direction, only uint8) {
	told := t.told[d&1]
	t.told[d&1] = told&askedBit | askedBit&^(only&(told>>1)) | only<<1
}

// tells reports whether an acknowledgement of a direction may be asked about: not if it is all of answers, each a write of its own.
func (t *talk) tells(d reassembly.Direction, all bool) bool {
	tells := t.told[d&1]&askedBit != 0
	if all {
		t.told[d&1] &^= askedBit
	}
	return tells
}

// bytesOf returns the payload of a segment that Quick has taken in and Look has not found, where it stands in the batch's data, and whether it
// does.
func (w *work) bytesOf(s *reassembly.Segment, ref *capture.Ref) (at uint32, b []byte, ok bool) {
	b = s.Payload[:s.Length]
	place, ok := w.place(ref, b)
	return uint32(place), b, ok
}

// place returns where bytes of a packet stand in the batch's data, and whether they do.
func (w *work) place(ref *capture.Ref, b []byte) (at int, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	at = int(ref.Off) + int(ref.Len) - cap(b) // what is cut out of a packet has room up to the packet's end
	return at, at >= 0 && at < len(w.batch.Data) && &w.batch.Data[at] == &b[0]
}

// timers runs the timers of the reassembly up to the clock: those from before a packet's time, then those from before the latest one.
func (f *front) timers(time int64) {
	f.at.phase = dissect.TimersBefore
	for due := f.a.Due(); due < time; due = f.a.Due() {
		f.a.Advance(due)
	}
	f.at.phase = dissect.TimersWith
	f.a.Advance(f.clock)
}

// assign puts a step onto the lists of the workers that it is for.
func (f *front) assign(st *step) {
	w, at := f.w, int32(len(f.w.steps)-1)
	add := func(worker int8) {
		if own := w.own[worker]; len(own) == 0 || own[len(own)-1] != at {
			w.own[worker] = append(own, at)
		}
	}
	if st.Mark != nobody {
		add(st.Mark)
	}
	for i, to := st.changed(); i < to; i++ {
		add(w.changes[i].party.worker)
	}
}

// finish ends every connection: the capture is over. What comes of it is in a work, or in several, each of which is handed on for
// another one.
func (f *front) finish(w *work, handOn func(*work) *work) *work {
	f.begin(w)
	f.at, f.handOn = moment{}, handOn
	f.a.Close()
	return f.w
}

// portion is the number of changes that are handed on at once when the capture is over.
const portion = 256

// tell adds a change of a direction. Its parts are written by themselves: what is written to be copied at once is waited for.
func (f *front) tell(c *reassembly.Conn, k kind, d reassembly.Direction) *change {
	if f.handOn != nil && len(f.w.changes) >= portion {
		f.begin(f.handOn(f.w))
	}
	f.w.changes = append(f.w.changes, change{})
	e := &f.w.changes[len(f.w.changes)-1]
	e.party, _ = c.Data.(*party)
	e.kind, e.dir, e.opener, e.fromStart = k, uint8(d), c.Opener, c.FromStart
	e.phase, e.due, e.order = f.at.phase, f.at.due, f.at.order
	t := &f.talks[e.party.mark]
	t.latest[0], t.latest[1], t.told[0], t.told[1] = 0, 0, askedBit, askedBit // whatever it is, it is not usual
	return e
}

// Open implements reassembly.Handler.
func (f *front) Open(c *reassembly.Conn) {
	worker := f.who[c.Part]
	p := last(&f.spare[worker].parties)
	*p = party{}
	p.conn, p.worker = c, worker
	c.Data = p
}

// Chunk implements reassembly.Handler. The bytes are in the batch, or in memory that nobody uses again.
func (f *front) Chunk(c *reassembly.Conn, d reassembly.Direction, ch reassembly.Chunk) {
	f.converse(c)
	f.tell(c, bytesCame, d).chunk = ch
}

// converse gives a connection room for what its bytes say, which is for its worker to use.
func (f *front) converse(c *reassembly.Conn) {
	p, _ := c.Data.(*party)
	if p.mark != 0 {
		return
	}
	p.dialogue = last(&f.spare[p.worker].dialogues)
	if n := len(f.free); n > 0 {
		p.mark, f.free = f.free[n-1], f.free[:n-1]
	} else {
		p.mark = uint32(len(f.talks))
		f.talks = append(f.talks, talk{})
	}
	t := &f.talks[p.mark]
	t.dialogue, t.worker = p.dialogue, p.worker
	c.Mark(p.mark)
}

// last takes the last one out of a list, or makes one.
func last[T any](list *[]*T) *T {
	n := len(*list)
	if n == 0 {
		return new(T)
	}
	x := (*list)[n-1]
	(*list)[n-1] = nil
	*list = (*list)[:n-1]
	return x
}

// Stall implements reassembly.Handler.
func (f *front) Stall(c *reassembly.Conn, d reassembly.Direction, on bool) {
	f.converse(c)
	f.tell(c, stalled, d).on = on
}

// End implements reassembly.Handler.
func (f *front) End(c *reassembly.Conn, d reassembly.Direction, why reassembly.End, time, packet int64) {
	e := f.tell(c, directionUp, d)
	e.why, e.chunk.Time, e.chunk.Packet = why, time, packet
}

// Heard implements reassembly.Witness.
func (f *front) Heard(c *reassembly.Conn, d reassembly.Direction) {
	f.tell(c, heard, d)
}

// Acked implements reassembly.Witness.
func (f *front) Acked(c *reassembly.Conn, d reassembly.Direction, to, packet int64) {
	e := f.tell(c, acked, d)
	e.chunk.Offset, e.chunk.Packet = to, packet
}

// Resent implements reassembly.Witness.
func (f *front) Resent(c *reassembly.Conn, d reassembly.Direction, from, to, time, packet int64) {
	e := f.tell(c, resent, d)
	e.chunk.Offset, e.chunk.Gap, e.chunk.Time, e.chunk.Packet = from, to-from, time, packet
}

// Before implements reassembly.Witness.
func (f *front) Before(c *reassembly.Conn, d reassembly.Direction, n int64) {
	f.tell(c, before, d).chunk.Gap = n
}
