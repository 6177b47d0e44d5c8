package analyze

import (
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// party is what a worker knows of a connection: its dissector's side, and what of TCP explains a silence, which is the dissector's to ask.
// The reassembly, which is packets ahead, never looks at it. With many connections, each line of the processor's cache that a packet
// touches is time: the first one has what packets with payload need, the others are an acknowledgement's.
type party struct {
	dialogue *dissect.Dialogue // nil before the first bytes, and where it is not to be dissected
	acked    [2]int64          // how far each direction was acknowledged
	heard    [2]int64          // of each direction, 1 once there was a packet, with or without payload
	nextAck  [2]uint8
	worker   int8
	asked    bool // the dissector was asked for a dialogue
	early    bool // a direction ended before there was one
	earlyDir uint8
	earlyWhy reassembly.End
	ends     uint8 // how many of the directions have ended
	earlyAt  int64
	conn     *reassembly.Conn // only what never changes of it is looked at

	acks  [2]acks
	trail trail
	_     [16]byte // so that each starts a line
}

// trail is what seldom happens to a connection.
type trail struct {
	before [2]int64 // bytes of each direction that were sent before the first one seen
	ended  [2]int64 // the capture packet with the FIN or RST that ended a direction, 0 if none did
	again  [2]*resents
}

// maxAcks is how many acknowledgements of a direction are remembered.
const maxAcks = 8

// acks are the latest acknowledgements of a direction, a ring: the lower halves of how far they went, and of their packets' numbers.
type acks [maxAcks]struct{ to, packet uint32 }

// acknowledge notes how far a direction was acknowledged.
func (p *party) acknowledge(dir uint8, to, packet int64) {
	p.acked[dir] = to
	x := &p.acks[dir][p.nextAck[dir]%maxAcks]
	x.to, x.packet = uint32(to), uint32(packet)
	p.nextAck[dir]++
}

// below returns the largest number up to top with this lower half.
func below(top int64, lower uint32) int64 { return top - int64(uint32(top)-lower) }

// resents are the latest stretches of a direction that were sent again, a ring.
type resents struct {
	list [8]struct{ from, to, packet int64 }
	n    uint32
}

func (k *resents) add(from, to, packet int64) {
	m := &k.list[k.n%uint32(len(k.list))]
	m.from, m.to, m.packet = from, to, packet
	k.n++
}

// proven lets the dissector ask what TCP proves of a connection.
type proven struct {
	*party
	w *worker
}

// AckedAt implements dissect.TCP, by the latest 8 acknowledgements.
func (p *proven) AckedAt(dir int, end int64) (packet int64, ok bool) {
	for i := range uint8(maxAcks) {
		x := &p.acks[dir][(p.nextAck[dir]+i)%maxAcks]
		if x.packet != 0 && below(p.acked[dir], x.to) >= end {
			return below(p.w.latest, x.packet), true
		}
	}
	return 0, false
}

// ResentAt implements dissect.TCP, by the latest 8 packets that carried bytes of the direction again.
func (p *proven) ResentAt(dir int, from, to int64) (packets []int64) {
	k := p.trail.again[dir]
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

// EndedAt implements dissect.TCP.
func (p *proven) EndedAt(dir int) int64 { return p.trail.ended[dir] }
