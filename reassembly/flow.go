package reassembly

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// flow is a connection in the table. What is kept of one that is over is little: it tells what comes late
// from what is new. Its first 64 bytes are all that Quick reads of a connection.
type flow struct {
	*live
	at    [2]spot
	acked [2]int64 // as Conn.Acked tells
	// quiet has a bit for each direction that was heard, if the connection is known from its start on, and nothing of it is missing or over:
	// then Quick takes in what comes next.
	quiet uint8
	used  bool      // since the clock's hand last passed
	first Direction // of the first endpoint
	// marks are the place of the next twin, and a bit for each direction that was heard.
	marks uint8
	mark  uint32 // the handler's

	tag    uint64
	isn    [2]uint32 // of each direction, as Wireshark takes them
	slot   int32     // in the table's ring
	hasISN [2]bool
	part   uint8
	due    int64 // of the earliest timer, 0 if there is none
}

// What the marks are.
const (
	nextTwin = maxTwins - 1 // mask
	heardBit = 8            // of direction 0; nothing is above that of direction 1
)

// heard reports whether a packet of the direction was seen.
func (f *flow) heard(d Direction) bool { return f.marks>>d&heardBit != 0 }

// live is what a connection has until both its directions have ended. Its parts are laid out by what a segment touches: with many
// connections, each line of the processor's cache is time.
type live struct {
	Conn
	half [2]half
}

// whole is a flow with what it has while it lives, side by side.
type whole struct {
	flow
	_ [32]byte // so that Conn starts a line
	live
}

// over reports whether both directions have ended.
func (f *flow) over() bool { return f.live == nil }

// settle notes whether what comes next may be taken in by Quick.
func (f *flow) settle() {
	f.quiet = 0
	if !f.over() && f.hasISN[0] && f.hasISN[1] && f.half[0].quiet() && f.half[1].quiet() {
		f.quiet = f.marks / heardBit
	}
}

// note takes the ISNs as Wireshark does: of a SYN, else one before the first number seen or
// acknowledged.
func (f *flow) note(d Direction, s *Segment) {
	if !f.hasISN[d] {
		f.hasISN[d], f.isn[d] = true, s.Seq-1
		if s.Flags&FlagSYN != 0 {
			f.isn[d] = s.Seq
		}
	}
	if !f.hasISN[1-d] && s.Flags&FlagACK != 0 {
		f.hasISN[1-d], f.isn[1-d] = true, s.Ack-1
	}
	// Where Addr[0] is only who was captured first, the other side's SYN does not make it the opener.
	if s.Flags&FlagSYN != 0 && (s.Flags&FlagACK != 0) == (d == 1) {
		f.Opener = true
	}
}

// blank reports whether nothing is known of a connection yet but that there are packets.
func (f *flow) blank() bool {
	a, b := &f.half[0], &f.half[1]
	return !a.known && !b.known && len(a.start)+len(b.start) == 0 && !a.ended && !b.ended
}

// before notes that a direction whose start was not captured had come to a sequence number before its first byte was.
func (a *Assembler) before(f *flow, d Direction, seq uint32) {
	h := &f.half[d]
	if n := int64(int32(seq - h.ack)); h.hasAck && n > f.before[d] && n <= window {
		f.before[d] = n
		if a.w != nil {
			a.w.Before(&f.Conn, d, n)
		}
	}
}

// startAt fixes the start of a direction by its SYN.
func (f *flow) startAt(d Direction, seq uint32) {
	h := &f.half[d]
	switch {
	case !h.known && len(h.start) == 0 && !h.ended:
		h.known, h.base = true, seq
		f.FromStart[d] = true
	case h.known && h.base == seq && !h.ended:
		f.FromStart[d] = true
	case h.known && !h.ended && h.next == 0 && len(h.held) == 0 && h.fin < 0:
		h.base = seq // tried again with another ISN before anything was sent
		f.FromStart[d] = true
	}
}

func endpoint4(a []byte, port uint16) uint64 {
	return uint64(binary.BigEndian.Uint32(a))<<16 | uint64(port)
}

// locate finds out where in the table a segment's connection is. Connections are told from each other by the tag, a hash of the endpoints with
// a key that nobody knows: that two of the 32,768 that are remembered have the same happens in one of 2^34 captures.
func (s *Segment) locate() {
	if s.six != nil {
		s.locate6()
	} else {
		s.locate4(s.from, s.to)
	}
}

// locate4 does so for IPv4.
func (s *Segment) locate4(from, to uint64) {
	s.back = above(from, to)
	s.tag = tagOf(secrets[0], min(from, to), max(from, to))
}

// locate6 does so for IPv6.
func (s *Segment) locate6() {
	a, b, one, other := s.from, s.to, s.six[:16], s.six[16:]
	s.back = 0
	if x := bytes.Compare(one, other); x > 0 || x == 0 && a > b {
		s.back = 1
		a, b, one, other = b, a, other, one
	}
	h := secrets[0]
	for i := 0; i < 16; i += 8 {
		v, w := binary.BigEndian.Uint64(one[i:]), binary.BigEndian.Uint64(other[i:])
		h = mix(mix(h^v, secrets[1])^w, 0xe7037ed1a0b428db)
	}
	s.tag = tagOf(h^secrets[1], a, b) // no IPv4
}

// part is the part of the connections that the segment's is in; it is the same for both directions.
func (s *Segment) part() uint8 {
	h := s.from ^ s.to
	if s.six != nil {
		y := uint64(0)
		for i := 0; i < 16; i += 8 {
			y = mix(y^binary.BigEndian.Uint64(s.six[i:])^binary.BigEndian.Uint64(s.six[16+i:]), 0xe7037ed1a0b428db)
		}
		h ^= y << 16
	}
	return uint8(mix(h^0xa0761d6478bd642f, 0x8ebc6af09c88c6e3) >> 32 * Parts >> 32)
}

// above is 1 if a is greater than b, else 0. The processor need not guess which: packets go this way and that.
func above(a, b uint64) (x Direction) {
	if a > b {
		x = 1
	}
	return x
}

func tagOf(h, a, b uint64) uint64 { return mix(mix(a^h, secrets[1])^b, 0xe7037ed1a0b428db) | 1 }

// mix multiplies and folds, so that every bit of the result depends on all those of a.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// secrets keep those who choose endpoints from choosing places in the table.
var secrets = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

// table finds the connection of a segment, by open addressing.
type table struct {
	slots []tableSlot // their number is a power of two
	n     int
}

// tableSlot holds a connection; the tag is a hash of its endpoints, 0 where the slot is free.
type tableSlot struct {
	tag uint64
	f   *flow
}

// lookup returns the slot of a tag, or the free one where the search for it ended.
func (t *table) lookup(tag uint64) int {
	mask := uint64(len(t.slots) - 1)
	i := tag >> 1 & mask
	for t.slots[i].tag != 0 && t.slots[i].tag != tag {
		i = (i + 1) & mask
	}
	return int(i)
}

// find returns the connection of a tag, nil if it is new.
func (t *table) find(tag uint64) *flow {
	if t.n == 0 {
		return nil
	}
	return t.slots[t.lookup(tag)].f
}

// add puts in a connection whose tag is new.
func (t *table) add(f *flow) {
	t.grow()
	t.slots[t.lookup(f.tag)] = tableSlot{f.tag, f}
	t.n++
}

// grow makes room for one more: at most a third of the slots are used, so that most are found where they are looked for first.
func (t *table) grow() {
	if 3*(t.n+1) <= len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]tableSlot, max(64, 2*len(old)))
	for _, s := range old {
		if s.tag != 0 {
			t.slots[t.lookup(s.tag)] = s
		}
	}
}

// remove takes out a connection, and moves those up that it was in the way of.
func (t *table) remove(f *flow) {
	mask := len(t.slots) - 1
	i := t.lookup(f.tag)
	for j := i; ; {
		t.slots[i] = tableSlot{}
		for {
			j = (j + 1) & mask
			if t.slots[j].tag == 0 {
				t.n--
				return
			}
			if home := int(t.slots[j].tag>>1) & mask; (j-home)&mask >= (j-i)&mask {
				break
			}
		}
		t.slots[i] = t.slots[j]
		i = j
	}
}

// from returns the direction of a segment.
func (f *flow) from(s *Segment) Direction { return (f.first ^ s.back) & 1 }

// Parts is the number of parts that connections are divided into by their endpoints, so that workers may share them out. What bounds the memory
// of one part depends on nothing in another.
const Parts = 24

// part is a part of the connections. It forgets the least recently used ones, as far as the second-chance algorithm tells them.
type part struct {
	ring []*flow
	n    int
	hand int
	free []int32
	held int     // memory of segments behind holes
	over []*flow // connections that are over, the oldest first
}

// add puts in a connection. It returns the one that has to go, if there are too many.
func (p *part) add(f *flow, limit int) (old *flow) {
	if p.n >= limit {
		old = p.victim()
	}
	if n := len(p.free); n > 0 {
		f.slot = p.free[n-1]
		p.free = p.free[:n-1]
		p.ring[f.slot] = f
	} else {
		f.slot = int32(len(p.ring))
		p.ring = append(p.ring, f)
	}
	p.n++
	return old
}

// victim is the next connection that was not used since the hand last passed.
func (p *part) victim() *flow {
	for {
		p.hand = (p.hand + 1) % len(p.ring)
		f := p.ring[p.hand]
		if f == nil {
			continue
		}
		if !f.used {
			return f
		}
		f.used = false
	}
}

// remove forgets a connection, and reports whether it was not forgotten before.
func (p *part) remove(f *flow) bool {
	if p.ring[f.slot] != f {
		return false
	}
	p.ring[f.slot] = nil
	p.free = append(p.free, f.slot)
	p.n--
	return true
}

// timer wakes a connection when the capture's clock has reached a moment.
type timer struct {
	at    int64
	order int64
	f     *flow
}

func (t timer) before(o timer) bool { return t.at < o.at || t.at == o.at && t.order < o.order }

type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].before(t[j]) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	old[len(old)-1] = timer{}
	*t = old[:len(old)-1]
	return x
}
