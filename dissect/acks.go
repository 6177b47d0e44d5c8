package dissect

// maxAcks is how many acknowledgements of a direction are remembered.
const maxAcks = 8

// Acks are the latest acknowledgements of each direction of a connection, where more than usual is to be known of them: as long as
// something is in doubt, a request may be found in bytes that were acknowledged before. The zero value has none.
type Acks struct {
	to, packet [2]int64 // the largest ones
	next       [2]uint8
	rings      [2][maxAcks]struct{ to, packet uint32 } // the lower halves
}

// Add notes that a direction was acknowledged up to a stream offset, in a capture packet. Where nobody keeps them, it does nothing.
func (k *Acks) Add(dir int, to, packet int64) {
	if k == nil {
		return
	}
	dir &= 1
	k.to[dir], k.packet[dir] = max(k.to[dir], to), max(k.packet[dir], packet)
	x := &k.rings[dir][k.next[dir]%maxAcks]
	x.to, x.packet = uint32(to), uint32(packet)
	k.next[dir]++
}

// at returns the first of the packets that acknowledged a direction up to a stream offset. What waited for its tail may be noted later than
// what was acknowledged behind it.
func (k *Acks) at(dir int, end int64) (packet int64, ok bool) {
	if k == nil || k.to[dir] < end {
		return 0, false
	}
	for i := range k.rings[dir] {
		x := &k.rings[dir][i]
		if x.packet == 0 || below(k.to[dir], x.to) < end {
			continue
		}
		if p := below(k.packet[dir], x.packet); !ok || p < packet {
			packet, ok = p, true
		}
	}
	return packet, ok
}

// past reports whether a direction was acknowledged further than to a stream offset.
func (k *Acks) past(dir int, end int64) bool { return k != nil && k.to[dir&1] > end }

// below returns the largest number up to top with this lower half.
func below(top int64, lower uint32) int64 { return top - int64(uint32(top)-lower) }

// Acked tells that a direction's bytes were acknowledged up to a stream offset, in a capture packet: further than before.
func (d *Dissector) Acked(c *Dialogue, dir int, to, packet int64) {
	dir &= 1
	s := &c.spots[dir]
	if t := s.requests.unacked; t != nil && t.end() <= to {
		for t != nil && t.end() <= to {
			t.acked = packet
			t = t.next
		}
		s.requests.unacked = t
	}
	if !c.easy {
		c.acks.Add(dir, to, packet)
		if h := &c.half[dir]; h.gaps && h.gapAcked == 0 && to >= h.gapEnd {
			h.gapAcked = packet
		}
		return
	}
	if c.waits>>dir&1 != 0 {
		if x := &c.wait[dir]; x.acked == 0 && s.pos+int64(x.size) <= to {
			x.acked = packet
		}
	}
}

// Near is the stream offset of a direction that has a lower half, near where the direction has come to.
func (c *Dialogue) Near(dir int, lower uint32) int64 {
	pos := c.spots[dir&1].pos
	return pos + int64(int32(lower-uint32(pos)))
}

// AckedAhead tells the same where what is acknowledged may not have been captured yet.
func (d *Dissector) AckedAhead(c *Dialogue, dir int, to, packet int64) {
	d.Acked(c, dir, to, packet)
	if c.easy && c.acks != nil {
		c.acks.Add(dir, to, packet)
		c.ahead |= 1 << (dir & 1)
	}
}

// end is the stream offset behind the request.
func (t *transaction) end() int64 { return t.offset + int64(t.size) }

// ackedBefore notes which packet acknowledged a request that was found only then.
func (c *Dialogue) ackedBefore(t *transaction) {
	if packet, ok := c.acks.at(int(t.dir), t.end()); ok {
		t.acked = packet
	}
}

// ackedAhead does so on the usual way, where more was acknowledged than is settled.
func (c *Dialogue) ackedAhead(t *transaction) {
	if t.acked == 0 {
		c.ackedBefore(t)
	}
	if c.acks.to[t.dir] <= t.end() {
		c.ahead &^= 1 << t.dir
	}
}
