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
	conn     *reassembly.Conn  // only what never changes of it is looked at
	worker   int8
	asked    bool // the dissector was asked for a dialogue
	early    bool // a direction ended before there was one
	earlyDir uint8
	earlyWhy reassembly.End
	earlyAt  int64
	heard    [2]int64 // of each direction, 1 once there was a packet, with or without payload

	_     [8]byte
	acks  [2]acks
	trail trail
}

// trail is what seldom happens to a connection.
type trail struct {
	before [2]int64 // bytes of each direction that were sent before the first one seen
	ended  [2]int64 // the capture packet with the FIN or RST that ended a direction, 0 if none did
	again  [2]*resents
}

// maxAcks is how many acknowledgements of a direction are remembered.
const maxAcks = 6

// acks are the latest acknowledgements of a direction, a ring: the lower halves of how far they went, and of their packets' numbers.
type acks struct {
	last       int64 // how far the latest went
	to, packet [maxAcks]uint32
	next       uint8
	_          [7]byte
}

// add notes how far a direction was acknowledged.
func (k *acks) add(to, packet int64) {
	k.last = to
	at := k.next
	k.to[at], k.packet[at] = uint32(to), uint32(packet)
	if at++; at == maxAcks {
		at = 0
	}
	k.next = at
}

// reached returns the first of the remembered packets, at most the latest one, that acknowledged what is before a stream offset.
func (k *acks) reached(end, latest int64) (packet int64, ok bool) {
	at := int(k.next)
	for range maxAcks {
		if k.packet[at] != 0 && below(k.last, k.to[at]) >= end {
			return below(latest, k.packet[at]), true
		}
		if at++; at == maxAcks {
			at = 0
		}
	}
	return 0, false
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

// AckedAt implements dissect.TCP, by the latest 6 acknowledgements.
func (p *proven) AckedAt(dir int, end int64) (packet int64, ok bool) {
	return p.acks[dir].reached(end, p.w.latest)
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
