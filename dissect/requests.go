package dissect

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/nubishark/nubishark/protocol"
)

// transaction is a request that waits for its answer, or a response that answers nothing known. It is used again once
// it is over.
type transaction struct {
	id     sid
	state  State
	letter byte // of the request, 0 if it was never seen
	dir    uint8
	// hidden tells that no answer finds it any more: requests with its session ID came before and after it, and the
	// later one is over.
	hidden  bool
	excused bool // something else explains that it is not answered
	faint   bool // it may be the rest of something behind a gap, as long as no other packet has its token
	claimed bool // a response to nothing may have been meant for it
	lacking bool // some of the request's bytes were never captured: they are zero in raw
	fresh   bool // no other one with its session ID was remembered or outstanding when it came, nor did one come since

	slot         int32        // where Numbering keeps its numbers
	older, newer *transaction // outstanding ones with the same session ID
	prev, next   *transaction // those that wait longer, and less long

	requestTime, responseTime int64
	errorCode                 uint16
	hasError                  bool
	reason                    Reason  // why it has no answer
	evidence                  []int64 // capture packets that prove it
	acked                     int64   // the capture packet that acknowledged all of it, 0 while none has

	faults int                // of the request: they explain a silence
	doubt  protocol.Artefacts // what makes it uncertain that it is a request
	why    string
	token  token
	// What the request was, as far as a violation shows it.
	size    int
	hash    uint64 // of a request of more than maxBytes
	offset  int64
	packets []int64
	raw     []byte
	secret  [2][2]int
	request *int64 // the frame's number, where the request was no request at first

	answer *Frame // the response that did not echo its session ID
}

// firstSlots is how many places for transactions are kept as bits of a word.
const firstSlots = 64

// newTransaction returns a transaction that is used for the first time, or again.
func (c *Dialogue) newTransaction(id sid, dir int) *transaction {
	d := c.d
	t := d.spare
	if t == nil {
		t = &transaction{}
	} else {
		d.spare = t.next
		packets, raw := t.packets[:0], t.raw[:0]
		*t = transaction{} // where it is: one with parts would be made elsewhere, and copied
		t.packets, t.raw = packets, raw
	}
	t.id, t.dir = id, uint8(dir)
	if c.taken != math.MaxUint64 {
		t.slot = int32(bits.TrailingZeros64(^c.taken))
		c.taken |= 1 << t.slot
	} else if n := len(c.slots); n > 0 {
		t.slot = c.slots[n-1]
		c.slots = c.slots[:n-1]
	} else {
		t.slot = firstSlots + c.slotCount
		c.slotCount++
	}
	return t
}

// release lets a transaction go that is over and was emitted.
func (c *Dialogue) release(t *transaction) {
	if t.slot < firstSlots {
		c.taken &^= 1 << t.slot
	} else {
		c.slots = append(c.slots, t.slot)
	}
	t.answer, t.request, t.prev = nil, nil, nil
	t.state = Answered
	t.next = c.d.spare
	c.d.spare = t
}

// releaseAll lets go of those that will never be emitted.
func (c *Dialogue) releaseAll(r *requests) {
	for t := r.first; t != nil; {
		next := t.next
		c.release(t)
		t = next
	}
	*r = requests{}
}

// copyRaw keeps the bytes of a request, as far as a violation shows them.
func (t *transaction) copyRaw(b []byte) {
	t.raw = append(t.raw, b[:min(len(b), maxBytes)]...)
	if len(b) > maxBytes {
		t.hash = hashOf(b)
	}
}

// keep notes what the request was.
func (t *transaction) keep(f *Frame) {
	t.size, t.offset, t.lacking = f.Length, f.Offset, f.Missing > 0
	t.packets = append(t.packets, f.Packets...)
	t.copyRaw(f.Raw)
	n := 0
	fields := f.Fields()
	for i := range fields {
		if from, to, ok := secretIn(&fields[i], len(t.raw)); ok && n < len(t.secret) {
			t.secret[n] = [2]int{from, to}
			n++
		}
	}
}

// repeats reports whether the request is the same, byte for byte, as far as both were captured.
func (t *transaction) repeats(old *transaction) bool {
	if t.size != old.size {
		return false
	}
	if !t.lacking && !old.lacking {
		return t.hash == old.hash && string(t.raw) == string(old.raw)
	}
	for i, b := range t.raw {
		if o := old.raw[i]; b != o && (b != 0 || !t.lacking) && (o != 0 || !old.lacking) {
			return false
		}
	}
	return true
}

// maxFinished is the number of finished transactions remembered of a requester.
const maxFinished = 1024

// maxOutstanding bounds the requests of one side that wait for an answer.
const maxOutstanding = 1 << 16

// requests are one side's requests: those outstanding, in the order of their times, and the latest finished ones.
type requests struct {
	first, last *transaction
	unacked     *transaction         // the first one of which the peer's TCP has not acknowledged all
	n, visible  int32                // of the outstanding ones; of those, the ones that an answer finds
	index       map[sid]*transaction // of these, once there are many
	done        history
}

// manyRequests is the number of outstanding requests that are looked through one by one.
const manyRequests = 16

// find returns the outstanding request that an answer with this session ID is for, nil if there is none.
func (r *requests) find(id sid) *transaction {
	if r.index != nil {
		return r.index[id]
	}
	for t := r.last; t != nil; t = t.prev {
		if t.id == id && t.newer == nil && !t.hidden {
			return t
		}
	}
	return nil
}

func (r *requests) outstanding(id sid) bool { return r.find(id) != nil }

// startsWith reports whether an outstanding session ID starts with the bytes.
func (r *requests) startsWith(b []byte) bool {
	if r.visible > 64 {
		return true
	}
	for t := r.first; t != nil; t = t.next {
		if t.newer == nil && !t.hidden && string(t.id[:len(b)]) == string(b) {
			return true
		}
	}
	return false
}

// letterOf returns the letter of the request with this session ID, 0 if it is not known.
func (r *requests) letterOf(id sid) byte {
	if t := r.find(id); t != nil {
		return t.letter
	}
	if p, _, ok := r.done.find(id); ok {
		return p.letter()
	}
	return 0
}

// excuse makes nobody responsible for the silence after the requests that wait now.
func (r *requests) excuse() {
	for t := r.first; t != nil; t = t.next {
		t.excused = true
	}
}

// trust takes the latest requests that wait and carry a token for what they seem to be.
func (r *requests) trust(t *token) {
	for x, n := r.last, 0; x != nil && n < maxTrusted; x, n = x.prev, n+1 {
		x.faint = x.faint && x.token != *t
	}
}

// maxTrusted bounds how many are looked at.
const maxTrusted = 16

// push adds an outstanding request, the latest of its session ID.
func (r *requests) push(t *transaction) {
	if old := r.find(t.id); old != nil {
		old.fresh = false
		t.older, old.newer = old, t
	} else {
		r.visible++
	}
	r.enqueue(t)
}

// pushNew does so where no other one has its session ID.
func (r *requests) pushNew(t *transaction) {
	t.fresh = r.visible == r.n
	r.visible++
	r.enqueue(t)
}

func (r *requests) enqueue(t *transaction) {
	t.prev = r.last
	if r.last != nil {
		r.last.next = t
	} else {
		r.first = t
	}
	r.last = t
	if r.unacked == nil && t.acked == 0 {
		r.unacked = t
	}
	r.n++
	switch {
	case r.index != nil:
		r.index[t.id] = t
	case r.n > manyRequests:
		r.index = make(map[sid]*transaction)
		for t := r.first; t != nil; t = t.next {
			if t.newer == nil && !t.hidden {
				r.index[t.id] = t
			}
		}
	}
}

// finish removes an outstanding transaction.
func (r *requests) finish(t *transaction) {
	switch {
	case t.newer != nil: // it ends the chain of those that an answer may find
		t.newer.older = nil
		t.hideOlder()
	case t.hidden:
		t.hideOlder()
	case t.older != nil:
		t.older.newer = nil
		if r.index != nil {
			r.index[t.id] = t.older
		}
	default:
		r.visible--
		if r.index != nil {
			delete(r.index, t.id)
		}
	}
	t.older, t.newer = nil, nil
	r.unlink(t)
	if r.n == 0 {
		r.index = nil
	}
}

func (t *transaction) hideOlder() {
	if t.older != nil {
		t.older.newer, t.older.hidden = nil, true
	}
}

func (r *requests) unlink(t *transaction) {
	if t == r.unacked {
		r.unacked = t.next
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		r.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		r.last = t.prev
	}
	t.prev, t.next = nil, nil
	r.n--
}

// waitingAt returns the one request that waited for an answer at a moment, nil if there was none or
// there were several. No answer that came later may have been settled yet.
func (r *requests) waitingAt(time int64) *transaction {
	var found *transaction
	for t := r.first; t != nil; t = t.next {
		if t.claimed {
			continue
		}
		if t.requestTime > time {
			break
		}
		if found != nil {
			return nil
		}
		found = t
	}
	return found
}

// nextLate returns the first request that was sent after a moment (ns), nil if there is none. Those before it are the oldest one, whose
// answer is at hand, and where the clock was set back.
func (r *requests) nextLate(sent int64) *transaction {
	t := r.first
	for t != nil && t.requestTime <= sent {
		t = t.next
	}
	return t
}

// late reports whether the oldest request was sent at a moment or before (ns).
func (r *requests) late(sent int64) bool { return r.first != nil && r.first.requestTime <= sent }

// oldest returns the request that has been waiting longest, nil if there is none.
func (r *requests) oldest() *transaction { return r.first }

// past is what is remembered of a finished transaction: of connections there are many, so it is small.
type past struct {
	id uint64
	// rest is the request's time (ns), the letter, the state: of the time, as many of the lower bits as there is room for.
	rest uint64
}

const (
	stateBits  = 3
	letterBits = 4
	timeShift  = stateBits + letterBits
)

// letterCodes number the type letters from 1.
var letterCodes = func() (codes [256]uint8) {
	for i := range len(protocol.Letters) {
		codes[protocol.Letters[i]] = uint8(i + 1)
	}
	return codes
}()

func (p past) state() State { return State(p.rest & (1<<stateBits - 1)) }

// letter is that of the request, 0 if it was never seen.
func (p past) letter() byte {
	if i := p.rest >> stateBits & (1<<letterBits - 1); i > 0 {
		return protocol.Letters[i-1]
	}
	return 0
}

// time is that of the request (ns), if it is within two years of a time of its connection.
func (p past) time(near int64) int64 {
	return near + (int64(p.rest)>>timeShift-near)<<timeShift>>timeShift
}

// history are the latest finished transactions of a requester: a ring, with a filter by session ID before it. Both stand in one piece of
// memory, of which there is one for each connection, and each request looks at it: so there is a word for what would otherwise be a slice.
// That a session ID was used before is rare: the filter mostly tells that it was not, and where it cannot, the ring is looked through.
type history struct {
	// words are the ring, two for each place; behind it is the filter, a word for each four places, in which each session ID sets some bits.
	words []uint64
	n     uint16 // places of the ring that are used
	next  uint16 // in the ring, once it is full
	log   uint8  // the ring has 1<<log places, if there are words
}

func (s sid) word() uint64 { return binary.LittleEndian.Uint64(s[:]) }

// hash spreads session IDs; its lower bits choose the word of the filter, the upper ones the bits in it.
func hash(id uint64) uint64 {
	h := id * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

// filterBits are those of a hash in its word of the filter.
func filterBits(h uint64) uint64 { return 1<<(h>>58) | 1<<(h>>52&63) | 1<<(h>>46&63) }

// size is the number of places of the ring.
func (f *history) size() int {
	if f.words == nil {
		return 0
	}
	return 1 << f.log
}

// wordOf is where a hash's word of the filter is.
func (f *history) wordOf(h uint64) int {
	size := 1 << (f.log & 15) // which is less than 16
	return 2*size + int(h&uint64(size/4-1))
}

func (f *history) at(place int) past { return past{f.words[2*place], f.words[2*place+1]} }

func (f *history) set(place int, p past) { f.words[2*place], f.words[2*place+1] = p.id, p.rest }

// find returns what is remembered by a session ID, and its place.
func (f *history) find(s sid) (p past, at int32, ok bool) {
	if !f.mayHave(s.word()) {
		return past{}, 0, false
	}
	id := s.word()
	for at := range int(f.n) {
		if f.words[2*at] == id {
			return f.at(at), int32(at), true
		}
	}
	return past{}, 0, false
}

// mayHave reports whether a session ID may be remembered; mostly it is, then.
func (f *history) mayHave(id uint64) bool {
	if f.n == 0 {
		return false
	}
	h := hash(id)
	bits := filterBits(h)
	return f.words[f.wordOf(h)]&bits == bits
}

// has reports whether a session ID is remembered.
func (f *history) has(s sid) bool {
	_, _, ok := f.find(s)
	return ok
}

// remember keeps a finished transaction in the place of the one that was remembered first, and returns that.
func (f *history) remember(t *transaction, s *stock) int32 {
	p := past{t.id.word(), uint64(t.requestTime)<<timeShift | uint64(letterCodes[t.letter])<<stateBits | uint64(t.state)}
	if !t.fresh {
		if _, at, ok := f.find(t.id); ok {
			f.set(int(at), p)
			return at
		}
	}
	at := int(f.n)
	if at < maxFinished {
		if at == f.size() {
			f.grow(s)
		}
		f.n++
	} else {
		at = int(f.next)
		f.next = (f.next + 1) % maxFinished
		if at%(maxFinished/2) == 0 {
			f.filter()
		}
	}
	f.set(at, p)
	f.note(p.id)
	return int32(at)
}

// note sets the bits of a session ID.
func (f *history) note(id uint64) {
	h := hash(id)
	f.words[f.wordOf(h)] |= filterBits(h)
}

// filter makes the filter anew. Once the ring is full, each that is remembered takes the place of another one, whose bits stay: nothing is
// wrong with that, but after a while the filter would tell little.
func (f *history) filter() {
	clear(f.words[2<<f.log:])
	for i := range int(f.n) {
		f.note(f.words[2*i])
	}
}

// grow makes room for twice as many.
func (f *history) grow(s *stock) {
	old := *f
	if f.words != nil {
		f.log++
	} else {
		f.log = leastLog
	}
	f.words = s.histories.get(f.log)
	copy(f.words, old.words[:2*int(f.n)])
	f.filter()
	s.histories.put(old)
}

// release gives back the memory of the history of a connection that has ended.
func (f *history) release(s *stock) {
	s.histories.put(*f)
	*f = history{}
}

// stock keeps memory to be used again: connections come and go, and what waits in them.
type stock struct {
	histories histories
	bytes     shelf[byte]
	segs      shelf[segment]
}

const (
	leastLog = 3
	mostLog  = 10 // for maxFinished
)

// histories keeps the memory of histories, by the logarithms of their sizes.
type histories struct {
	free [mostLog + 1][][]uint64
	n    int // words in all
}

// get returns memory for a history; what is in it is left from before.
func (k *histories) get(log uint8) []uint64 {
	list := &k.free[log]
	n := len(*list)
	if n == 0 {
		return make([]uint64, 2<<log+1<<log/4)
	}
	x := (*list)[n-1]
	(*list)[n-1] = nil
	*list = (*list)[:n-1]
	k.n -= len(x)
	return x
}

// put takes back the memory of a history, which may have none.
func (k *histories) put(f history) {
	if n := len(f.words); n > 0 && k.n+n <= 2*maxShelf {
		k.n += n
		k.free[f.log] = append(k.free[f.log], f.words)
	}
}

// fewSegments is how many segments wait mostly.
const fewSegments = 4

// room returns room for so many bytes at least.
func (s *stock) room(n int) []byte {
	if n > maxShelved {
		return make([]byte, 0, n)
	}
	return s.bytes.get(1 << bits.Len(uint(n-1)))
}

// shelf keeps slices by the powers of two that are their capacities.
type shelf[T any] struct {
	free [12][][]T
	n    int // elements in all
}

// maxShelf bounds the elements that a shelf keeps, maxShelved those of each of its slices.
const (
	maxShelf   = 1 << 18
	maxShelved = 1 << 11
)

// get returns a slice of a capacity that is a power of two, at most 2,048; what is in it is left from before.
func (s *shelf[T]) get(size int) []T {
	list := &s.free[bits.TrailingZeros(uint(size))]
	n := len(*list)
	if n == 0 {
		return make([]T, 0, size)
	}
	x := (*list)[n-1]
	(*list)[n-1] = nil
	*list = (*list)[:n-1]
	s.n -= size
	return x[:0]
}

func (s *shelf[T]) put(x []T) {
	if n := cap(x); n > 0 && n <= maxShelved && n&(n-1) == 0 && s.n+n <= maxShelf {
		list := &s.free[bits.TrailingZeros(uint(n))]
		*list = append(*list, x)
		s.n += n
	}
}

// tokens is a set of access tokens: few, mostly.
type tokens struct {
	list []token
	more map[token]struct{}
}

const fewTokens = 8

func (s *tokens) has(t token) bool {
	for i := range s.list {
		if s.list[i] == t {
			return true
		}
	}
	_, ok := s.more[t]
	return ok
}

func (s *tokens) len() int { return len(s.list) + len(s.more) }

// add puts in a token that is not there.
func (s *tokens) add(t token) {
	switch {
	case len(s.list) < fewTokens:
		s.list = append(s.list, t)
	case s.more == nil:
		s.more = map[token]struct{}{t: {}}
	default:
		s.more[t] = struct{}{}
	}
}

// startsWith reports whether a token starts with the bytes.
func (s *tokens) startsWith(b []byte) bool {
	for i := range s.list {
		if string(s.list[i][:len(b)]) == string(b) {
			return true
		}
	}
	for t := range s.more {
		if string(t[:len(b)]) == string(b) {
			return true
		}
	}
	return false
}

// secretIn returns the part of a secret field among the first n bytes of its frame.
func secretIn(v *FieldValue, n int) (from, to int, ok bool) {
	from, to = v.At, min(v.At+len(v.Value), n)
	return from, to, v.Secret && from < to
}
