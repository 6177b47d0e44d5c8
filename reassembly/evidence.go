package reassembly

// trail is what explains a silence: of each direction the latest acknowledgements of its bytes and the latest bytes that
// were sent again; and which segments came last, to know a packet that was captured twice. Every packet adds to it, and there
// are many connections, so it is small.
type trail struct {
	acks  [2]acks
	twins [2]twins
	again [2]*resents // nil while nothing was sent again
}

// acks are the latest acknowledgements of a direction, the latest first: the lower halves of how far they went, and of their packets' numbers.
type acks [8]struct{ to, packet uint32 }

// resents are the latest stretches of a direction that were sent again.
type resents struct {
	list [8]struct{ from, to, packet int64 }
	n    uint32
}

// below returns the largest number up to top with this lower half.
func below(top int64, lower uint32) int64 { return top - int64(uint32(top)-lower) }

// AckedIn tells whether the receiver of a direction has acknowledged its bytes before a stream offset, and in which capture
// packet: the first one that is remembered, of the latest 8 acknowledgements.
func (c *Conn) AckedIn(d Direction, end int64) (packet int64, ok bool) {
	k := &c.trail.acks[d]
	for i := len(k) - 1; i >= 0; i-- {
		if k[i].packet != 0 && below(c.Acked[d], k[i].to) >= end {
			return below(c.acknowledging, k[i].packet), true
		}
	}
	return 0, false
}

// ResentIn lists the capture packets, of the latest 8 that carried bytes of a direction again, that did so with bytes between
// two stream offsets.
func (c *Conn) ResentIn(d Direction, from, to int64) (packets []int64) {
	k := c.trail.again[d]
	if k == nil {
		return nil
	}
	size := uint32(len(k.list))
	for i := k.n - min(k.n, size); i != k.n; i++ {
		if m := &k.list[i%size]; m.from < to && m.to > from {
			packets = append(packets, m.packet)
		}
	}
	return packets
}

// resent notes bytes that were sent again.
func (c *Conn) resent(d Direction, from, to, packet int64) {
	if c.trail.again[d] == nil {
		c.trail.again[d] = &resents{}
	}
	k := c.trail.again[d]
	m := &k.list[k.n%uint32(len(k.list))]
	m.from, m.to, m.packet = from, to, packet
	k.n++
}

// acked notes how far a direction was acknowledged.
func (c *Conn) acked(d Direction, to, packet int64) {
	c.Acked[d], c.acknowledging = to, packet
	k := &c.trail.acks[d]
	copy(k[1:], k[:])
	k[0].to, k[0].packet = uint32(to), uint32(packet)
}

// twin is what two captures of the same packet have in common, and a segment that TCP sent again has not: its IP ID, or the
// checksum over its timestamps and acknowledgement. The time is in units of 2^twinUnit ns.
type twin struct{ seq, id, n, time uint32 }

// twins are a direction's latest segments with data, the latest first.
type twins [4]twin

const twinUnit = 16

// twinTime is how far apart two captures of a packet may be; TCP takes longer to send again.
const twinTime = 20e6 >> twinUnit

// isTwin reports whether a segment was captured before, and remembers it.
func (c *Conn) isTwin(d Direction, s *Segment, time int64) bool {
	if c.trail.twins[d].has(s, time) {
		return true
	}
	c.remember(d, s, time)
	return false
}

func (t *twins) has(s *Segment, time int64) bool {
	now := uint32(time >> twinUnit)
	for i := range t {
		y := &t[i]
		if y.seq == s.Seq && y.id == s.id && s.id != 0 && y.n == uint32(s.Length) && now-y.time+twinTime <= 2*twinTime {
			return true
		}
	}
	return false
}

// remember notes a segment with data.
func (c *Conn) remember(d Direction, s *Segment, time int64) {
	t := &c.trail.twins[d]
	copy(t[1:], t[:])
	t[0] = twin{s.Seq, s.id, uint32(s.Length), uint32(time >> twinUnit)}
}

// ID tells a packet that was captured twice from one that TCP sent again: IPv4's identification in the upper half, TCP's checksum
// in the lower.
func (s *Segment) ID() uint32 { return s.id }
