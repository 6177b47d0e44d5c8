package reassembly

// trail is what explains a silence: of each direction the latest acknowledgements of its bytes and the latest bytes that
// were sent again; and which segments came last, to know a packet that was captured twice. Every packet adds to it, and there
// are many connections, so it is small.
type trail struct {
	acks  [2]acks
	twins [2]twins
	again [2]*resents // nil while nothing was sent again
}

// maxAcks is how many acknowledgements of a direction are remembered.
const maxAcks = 7

// acks are the latest acknowledgements of a direction, a ring: the lower halves of how far they went, and of their packets' numbers.
type acks struct {
	to, packet [maxAcks]uint32
	next       uint8
	_          [7]byte // it fills a line of the processor's cache
}

// resents are the latest stretches of a direction that were sent again.
type resents struct {
	list [8]struct{ from, to, packet int64 }
	n    uint32
}

// below returns the largest number up to top with this lower half.
func below(top int64, lower uint32) int64 { return top - int64(uint32(top)-lower) }

// AckedIn tells whether the receiver of a direction has acknowledged its bytes before a stream offset, and in which capture
// packet: the first one that is remembered, of the latest 7 acknowledgements.
func (c *Conn) AckedIn(d Direction, end int64) (packet int64, ok bool) {
	k := &c.trail.acks[d]
	at := int(k.next)
	for range maxAcks {
		if k.packet[at] != 0 && below(c.Acked[d], k.to[at]) >= end {
			return below(max(c.latest[0], c.latest[1]), k.packet[at]), true
		}
		if at++; at == maxAcks {
			at = 0
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
	c.Acked[d] = to
	k := &c.trail.acks[d]
	at := k.next
	k.to[at], k.packet[at] = uint32(to), uint32(packet)
	if at++; at == maxAcks {
		at = 0
	}
	k.next = at
}

// twins are a direction's latest segments with data, a ring: what two captures of the same packet have in common, and a segment that
// TCP sent again has not, its IP ID or the checksum over its timestamps and acknowledgement. The times are in units of 2^twinUnit ns.
type twins struct {
	seq, id, time [4]uint32
	n             [4]uint16
	next          uint8
	_             [7]byte // it fills a line of the processor's cache
}

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
	for i := range t.seq {
		if t.seq[i] == s.Seq && t.id[i] == s.id && s.id != 0 && t.n[i] == uint16(s.Length) && now-t.time[i]+twinTime <= 2*twinTime {
			return true
		}
	}
	return false
}

// remember notes a segment with data.
func (c *Conn) remember(d Direction, s *Segment, time int64) {
	t := &c.trail.twins[d]
	at := t.next % uint8(len(t.seq))
	t.seq[at], t.id[at], t.n[at], t.time[at] = s.Seq, s.id, uint16(s.Length), uint32(time>>twinUnit)
	t.next = at + 1
}

// ID tells a packet that was captured twice from one that TCP sent again: IPv4's identification in the upper half, TCP's checksum
// in the lower.
func (s *Segment) ID() uint32 { return s.id }
