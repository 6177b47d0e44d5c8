package analyze

import (
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// party is what a worker knows of a connection beside its dissector's side: what of TCP explains a silence, which is the dissector's to ask.
// Packets in order pass it by. The front, which is packets ahead, looks only at the first four parts, which it has written.
type party struct {
	conn     *reassembly.Conn  // only what never changes of it is looked at
	dialogue *dissect.Dialogue // nil before the first bytes
	mark     uint32            // of the connection, once there is a dialogue
	worker   int8

	asked    bool // the dissector was asked to open the dialogue
	opened   bool // and has, and it was not forgotten since
	early    bool // a direction ended before there was one
	earlyDir uint8
	earlyWhy reassembly.End
	ends     uint8 // how many of the directions have ended
	earlyAt  int64

	heard  [2]int64 // of each direction, 1 once there was a packet, with or without payload
	before [2]int64 // bytes of each direction that were sent before the first one seen
	ended  [2]int64 // the capture packet with the FIN or RST that ended a direction, 0 if none did
	again  [2]*resents
	acks   dissect.Acks
}

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

// ResentAt implements dissect.TCP, by the latest 8 packets that carried bytes of the direction again.
func (p *party) ResentAt(dir int, from, to int64) (packets []int64) {
	k := p.again[dir]
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
func (p *party) EndedAt(dir int) int64 { return p.ended[dir] }
