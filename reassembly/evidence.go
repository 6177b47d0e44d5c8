package reassembly

// twins are the latest segments with data of a connection, a ring. Of each there is a print of what two captures of the same packet have in
// common, and a segment that TCP sent again has not, its IP ID or the checksum over its timestamps and acknowledgement. The times are in
// units of 2^twinUnit ns.
type twins struct {
	print [maxTwins]uint32
	time  [maxTwins]uint16 // a minute and a bit until they come again
}

const (
	maxTwins = 8
	twinUnit = 20
)

// twinTime is how far apart two captures of a packet may be; TCP takes longer to send again.
const twinTime = 20e6 >> twinUnit

// isTwin reports whether a segment was captured before, and remembers it.
func (f *flow) isTwin(d Direction, s *Segment, time int64) bool {
	if f.twins.has(s, d, time) {
		return true
	}
	f.remember(print(d, s.Seq, s.id, int64(s.Length)), time)
	return false
}

func (t *twins) has(s *Segment, d Direction, time int64) bool {
	now, print := uint16(time>>twinUnit), print(d, s.Seq, s.id, int64(s.Length))
	for i := range t.print {
		if t.print[i] == print && s.id != 0 && now-t.time[i]+twinTime <= 2*twinTime {
			return true
		}
	}
	return false
}

// remember notes a segment with data, by its print.
func (f *flow) remember(print uint32, time int64) {
	at := f.marks & nextTwin
	f.twins.print[at], f.twins.time[at] = print, uint16(time>>twinUnit)
	f.marks = f.marks&^nextTwin | (at+1)&nextTwin
}

// print is a hash of what tells a segment from others, with a key that nobody knows: that two segments out of order within twinTime have the same
// happens once in 2^29 times.
func print(d Direction, seq, id uint32, length int64) uint32 {
	return uint32(mix(uint64(seq)<<32|uint64(id), secrets[1]^uint64(length)<<1^uint64(d)<<32))
}

// ID tells a packet that was captured twice from one that TCP sent again: IPv4's identification in the upper half, TCP's checksum
// in the lower.
func (s *Segment) ID() uint32 { return s.id }
