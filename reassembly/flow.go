package reassembly

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// flow is a connection in the table. What is kept of one that is over is little: it tells what comes late
// from what is new.
type flow struct {
	*live
	number int       // the same as Conn.Stream
	isn    [2]uint32 // of each direction, as Wireshark takes them
	hasISN [2]bool
	key4   key4
	key6   key6
	v6     bool
	// first is the direction of the key's first endpoint.
	first Direction
	used  bool  // since the clock's hand last passed
	due   int64 // of the earliest timer, 0 if there is none
	slot  int   // in the table's ring
}

// live is what a connection has until both its directions have ended.
type live struct {
	Conn
	half [2]half
}

// over reports whether both directions have ended.
func (f *flow) over() bool { return f.live == nil }

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
func (f *flow) before(d Direction, seq uint32) {
	h := &f.half[d]
	if n := int64(int32(seq - h.ack)); h.hasAck && n > f.Before[d] && n <= window {
		f.Before[d] = n
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

func endpoint4(a *[16]byte, port uint16) uint64 {
	return uint64(binary.BigEndian.Uint32(a[:4]))<<16 | uint64(port)
}

func endpoint6(a *[16]byte, port uint16) (e [18]byte) {
	copy(e[:], a[:])
	e[16], e[17] = byte(port>>8), byte(port)
	return e
}

// keyOf4 returns the key of a segment, and whether its source is the key's first endpoint.
func keyOf4(s *Segment) (k key4, forward bool) {
	x, y := endpoint4(&s.Src, s.SrcPort), endpoint4(&s.Dst, s.DstPort)
	if x > y {
		return key4{y, x}, false
	}
	return key4{x, y}, true
}

func keyOf6(s *Segment) (k key6, forward bool) {
	x, y := endpoint6(&s.Src, s.SrcPort), endpoint6(&s.Dst, s.DstPort)
	if slices.Compare(x[:], y[:]) > 0 {
		return key6{y, x}, false
	}
	return key6{x, y}, true
}

// table finds the connection of a segment. It forgets the least recently used ones, as far as the
// second-chance algorithm tells them.
type table struct {
	v4   map[key4]*flow
	v6   map[key6]*flow
	ring []*flow
	hand int
	free []int
}

// find returns the connection of a segment and the segment's direction, nil if it is new.
func (t *table) find(s *Segment) (*flow, Direction) {
	var f *flow
	var forward bool
	if s.V6 {
		var k key6
		k, forward = keyOf6(s)
		f = t.v6[k]
	} else {
		var k key4
		k, forward = keyOf4(s)
		f = t.v4[k]
	}
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
	if t.v4 == nil {
		t.v4, t.v6 = make(map[key4]*flow), make(map[key6]*flow)
	}
	if len(t.v4)+len(t.v6) >= limit {
		old = t.victim()
	}
	var forward bool
	f.v6 = s.V6
	if s.V6 {
		f.key6, forward = keyOf6(s)
		t.v6[f.key6] = f
	} else {
		f.key4, forward = keyOf4(s)
		t.v4[f.key4] = f
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
		f.slot = len(t.ring)
		t.ring = append(t.ring, f)
	}
	return old
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

// remove forgets a connection.
func (t *table) remove(f *flow) {
	if t.ring[f.slot] != f {
		return // forgotten before
	}
	if f.v6 {
		if t.v6[f.key6] == f {
			delete(t.v6, f.key6)
		}
	} else if t.v4[f.key4] == f {
		delete(t.v4, f.key4)
	}
	t.ring[f.slot] = nil
	t.free = append(t.free, f.slot)
}

// sorted returns the connections that are not over, in the order of their numbers.
func (t *table) sorted() []*flow {
	list := slices.DeleteFunc(slices.Clone(t.ring), func(f *flow) bool { return f == nil || f.over() })
	slices.SortFunc(list, func(x, y *flow) int { return cmp.Compare(x.Stream, y.Stream) })
	return list
}

// timer wakes a connection when the capture's clock has reached a moment.
type timer struct {
	at     int64
	stream int
	f      *flow
}

type timers []timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].stream < t[j].stream
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	old[len(old)-1] = timer{}
	*t = old[:len(old)-1]
	return x
}
