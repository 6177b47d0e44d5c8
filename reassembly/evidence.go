package reassembly

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
	if c.twins[d].has(s, time) {
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
	t := &c.twins[d]
	at := t.next % uint8(len(t.seq))
	t.seq[at], t.id[at], t.n[at], t.time[at] = s.Seq, s.id, uint16(s.Length), uint32(time>>twinUnit)
	t.next = at + 1
}

// ID tells a packet that was captured twice from one that TCP sent again: IPv4's identification in the upper half, TCP's checksum
// in the lower.
func (s *Segment) ID() uint32 { return s.id }
