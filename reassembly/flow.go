package reassembly

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// flow is a connection in the table. What is kept of one that is over is little: it tells what comes late
// from what is new. Its first 64 bytes are what every segment needs.
type flow struct {
	key4 key4
	*live
	at [2]spot
	// quiet tells that the connection is known from its start on, and that nothing of it is missing or over: then Quick
	// takes in what comes next.
	quiet  bool
	v6     bool
	used   bool      // since the clock's hand last passed
	first  Direction // of the key's first endpoint
	part   uint8
	twin   uint8 // the place of the next one
	hasISN [2]bool

	isn  [2]uint32 // of each direction, as Wireshark takes them
	slot int32     // in the table's ring
	key6 *key6
	due  int64 // of the earliest timer, 0 if there is none
}

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
	f.quiet = !f.over() && f.hasISN[0] && f.hasISN[1] && f.half[0].quiet() && f.half[1].quiet()
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

// key4 are two IPv4 endpoints, address and port in one number each, the lower first.
type key4 struct{ a, b uint64 }

// key6 are two IPv6 endpoints.
type key6 struct{ a, b [18]byte }

func endpoint4(a []byte, port uint16) uint64 {
	return uint64(binary.BigEndian.Uint32(a))<<16 | uint64(port)
}

func endpoint6(a []byte, port uint64) (e [18]byte) {
	copy(e[:], a[:16])
	e[16], e[17] = byte(port>>8), byte(port)
	return e
}

// keyOf4 returns the key of a segment, and whether its source is the key's first endpoint.
func keyOf4(s *Segment) (k key4, forward bool) {
	if s.from > s.to {
		return key4{s.to, s.from}, false
	}
	return key4{s.from, s.to}, true
}

func keyOf6(s *Segment) (k key6, forward bool) {
	x, y := endpoint6(s.six[:16], s.from), endpoint6(s.six[16:], s.to)
	if bytes.Compare(x[:], y[:]) > 0 {
		return key6{y, x}, false
	}
	return key6{x, y}, true
}

// Parts is the number of parts that connections are divided into by their endpoints. What bounds the memory of one
// part depends on nothing in another, so that parts can be worked on at the same time.
const Parts = 24

// Part returns the part of a segment's connection; it is the same for both directions.
func (s *Segment) Part() uint8 { return s.part }

// locate finds out in which part of the connections a segment's is, and where in its table.
func (s *Segment) locate() {
	if s.six == nil {
		k, _ := keyOf4(s)
		s.tag = k.tag()
		s.part = partOf(s.from ^ s.to)
		return
	}
	k, _ := keyOf6(s)
	s.tag = k.tag()
	var h uint64
	for i := 0; i < 16; i += 8 {
		h = mix(h^binary.BigEndian.Uint64(s.six[i:])^binary.BigEndian.Uint64(s.six[16+i:]), 0xe7037ed1a0b428db)
	}
	s.part = partOf(h<<16 ^ s.from ^ s.to)
}

func partOf(h uint64) uint8 {
	return uint8(mix(h^0xa0761d6478bd642f, 0x8ebc6af09c88c6e3) >> 32 * Parts >> 32)
}

// mix multiplies and folds, so that every bit of the result depends on all those of a.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// secrets keep those who choose endpoints from choosing places in the table.
var secrets = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

func (k *key4) tag() uint64 { return mix(mix(k.a^secrets[0], secrets[1])^k.b, 0xe7037ed1a0b428db) | 1 }

func (k *key6) tag() uint64 {
	h := secrets[0]
	for _, e := range [2]*[18]byte{&k.a, &k.b} {
		h = mix(h^binary.LittleEndian.Uint64(e[:]), secrets[1])
		h = mix(h^binary.LittleEndian.Uint64(e[8:]), secrets[1])
		h = mix(h^uint64(binary.LittleEndian.Uint16(e[16:])), secrets[1])
	}
	return h | 1
}

// table finds the connection of a segment. It forgets the least recently used ones, as far as the
// second-chance algorithm tells them.
type table struct {
	slots []tableSlot // open addressing; their number is a power of two
	n     int
	ring  []*flow
	hand  int
	free  []int32
}

// tableSlot holds a connection; the tag is a hash of its key, 0 where the slot is free.
type tableSlot struct {
	tag uint64
	f   *flow
}

// lookup returns the slot of a key, or the free one where the search for it ended.
func (t *table) lookup(tag uint64, same func(f *flow) bool) int {
	mask := uint64(len(t.slots) - 1)
	i := tag >> 1 & mask
	for t.slots[i].tag != 0 && (t.slots[i].tag != tag || !same(t.slots[i].f)) {
		i = (i + 1) & mask
	}
	return int(i)
}

// find returns the connection of a segment and the segment's direction, nil if it is new.
func (t *table) find(s *Segment) (*flow, Direction) {
	if t.n == 0 {
		return nil, 0
	}
	if s.six != nil {
		k, forward := keyOf6(s)
		return t.slots[t.lookup(s.tag, func(f *flow) bool { return f.v6 && *f.key6 == k })].f.from(forward)
	}
	k, forward := keyOf4(s)
	tag, mask := s.tag, uint64(len(t.slots)-1)
	for i := tag >> 1 & mask; t.slots[i].tag != 0; i = (i + 1) & mask {
		if f := t.slots[i].f; t.slots[i].tag == tag && f.key4 == k && !f.v6 {
			return f.from(forward)
		}
	}
	return nil, 0
}

// from returns the connection and the direction of a segment that comes from the key's first endpoint, or not.
func (f *flow) from(forward bool) (*flow, Direction) {
	if f == nil {
		return nil, 0
	}
	if forward {
		return f, f.first
	}
	return f, 1 - f.first
}

// add puts in a connection whose first segment went in direction d. It returns the one that
// has to go, if there are too many.
func (t *table) add(f *flow, s *Segment, d Direction, limit int) (old *flow) {
	if t.n >= limit {
		old = t.victim()
	}
	var forward bool
	f.v6 = s.six != nil
	if f.v6 {
		var k key6
		k, forward = keyOf6(s)
		f.key6 = &k
	} else {
		f.key4, forward = keyOf4(s)
	}
	f.first = d
	if !forward {
		f.first = 1 - d
	}
	if n := len(t.free); n > 0 {
		f.slot = t.free[n-1]
		t.free = t.free[:n-1]
		t.ring[f.slot] = f
	} else {
		f.slot = int32(len(t.ring))
		t.ring = append(t.ring, f)
	}
	t.grow()
	tag := f.tag()
	t.slots[t.lookup(tag, func(*flow) bool { return false })] = tableSlot{tag, f}
	t.n++
	return old
}

func (f *flow) tag() uint64 {
	if f.v6 {
		return f.key6.tag()
	}
	return f.key4.tag()
}

// grow makes room for one more: at most two thirds of the slots are used.
func (t *table) grow() {
	if 3*(t.n+1) <= 2*len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]tableSlot, max(64, 2*len(old)))
	for _, s := range old {
		if s.tag != 0 {
			t.slots[t.lookup(s.tag, func(*flow) bool { return false })] = s
		}
	}
}

// victim is the next connection that was not used since the hand last passed.
func (t *table) victim() *flow {
	for {
		t.hand = (t.hand + 1) % len(t.ring)
		f := t.ring[t.hand]
		if f == nil {
			continue
		}
		if !f.used {
			return f
		}
		f.used = false
	}
}

// place returns the slot of a connection in the table.
func (t *table) place(f *flow) int { return t.lookup(f.tag(), func(g *flow) bool { return f == g }) }

// replace puts another in the place of a connection.
func (t *table) replace(f, by *flow) {
	t.slots[t.place(f)].f = by
	t.ring[f.slot] = by
}

// remove forgets a connection, and moves those up that it was in the way of.
func (t *table) remove(f *flow) {
	if t.ring[f.slot] != f {
		return // forgotten before
	}
	mask := len(t.slots) - 1
	i := t.place(f)
	for j := i; ; {
		t.slots[i] = tableSlot{}
		for {
			j = (j + 1) & mask
			if t.slots[j].tag == 0 {
				t.ring[f.slot] = nil
				t.free = append(t.free, f.slot)
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
