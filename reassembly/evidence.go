package reassembly

// trail is what explains a silence: of each direction the latest acknowledgements of its bytes and the latest bytes that
// were sent again; and which segments came last, to know a packet that was captured twice.
type trail struct {
	acks  [2]marks
	again [2]*marks // nil while nothing was sent again
	twins [2]struct {
		list [4]twin
		next uint8
	}
}

// marks are the latest of what capture packets told of a stretch of a stream.
type marks struct {
	list [8]mark
	n    uint32
}

type mark struct{ from, to, packet int64 }

func (m *marks) add(x mark) {
	m.list[m.n%uint32(len(m.list))] = x
	m.n++
}

// each calls do with what is remembered, the earliest first, until it returns false.
func (m *marks) each(do func(*mark) bool) {
	size := uint32(len(m.list))
	for i := m.n - min(m.n, size); i != m.n; i++ {
		if !do(&m.list[i%size]) {
			return
		}
	}
}

// AckedIn tells whether the receiver of a direction has acknowledged its bytes before a stream offset, and in which capture
// packet: the first one that is remembered, of the latest 8 acknowledgements.
func (c *Conn) AckedIn(d Direction, end int64) (packet int64, ok bool) {
	c.trail.acks[d].each(func(m *mark) bool {
		packet, ok = m.packet, m.to >= end
		return !ok
	})
	return packet, ok
}

// ResentIn lists the capture packets, of the latest 8 that carried bytes of a direction again, that did so with bytes between
// two stream offsets.
func (c *Conn) ResentIn(d Direction, from, to int64) (packets []int64) {
	if c.trail.again[d] == nil {
		return nil
	}
	c.trail.again[d].each(func(m *mark) bool {
		if m.from < to && m.to > from {
			packets = append(packets, m.packet)
		}
		return true
	})
	return packets
}

// resent notes bytes that were sent again.
func (c *Conn) resent(d Direction, from, to, packet int64) {
	c.Resent[d] = max(c.Resent[d], to)
	if c.trail.again[d] == nil {
		c.trail.again[d] = &marks{}
	}
	c.trail.again[d].add(mark{from, to, packet})
}

// acked notes how far a direction was acknowledged.
func (c *Conn) acked(d Direction, to, packet int64) {
	c.Acked[d] = to
	c.trail.acks[d].add(mark{0, to, packet})
}

// twin is what two captures of the same packet have in common, and a segment that TCP sent again has not: its IP ID, or the
// checksum over its timestamps and acknowledgement.
type twin struct {
	seq, id uint32
	n       int32
	time    int64
}

// twinTime is how far apart two captures of a packet may be (ns); TCP takes longer to send again.
const twinTime = int64(20e6)

// isTwin reports whether a segment was captured before, and remembers it.
func (c *Conn) isTwin(d Direction, s *Segment, time int64) bool {
	t := &c.trail.twins[d]
	x := twin{s.Seq, s.id, int32(s.Length), time}
	for i := range t.list {
		y := &t.list[i]
		if y.seq == x.seq && y.id == x.id && x.id != 0 && y.n == x.n && time-y.time <= twinTime && y.time-time <= twinTime {
			return true
		}
	}
	t.list[t.next] = x
	t.next = (t.next + 1) % uint8(len(t.list))
	return false
}

// ID tells a packet that was captured twice from one that TCP sent again: IPv4's identification in the upper half, TCP's checksum
// in the lower.
func (s *Segment) ID() uint32 { return s.id }
