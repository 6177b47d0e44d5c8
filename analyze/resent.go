package analyze

import (
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// Resent is a segment with bytes that had been captured before: TCP sent them again.
type Resent struct {
	Conn *dissect.Conn
	From dissect.Side
	// Packet is the capture packet, Time its time (ns), Bytes how many bytes came again.
	Packet, Time, Bytes int64
}

// resent hands on what the reassembly met.
func (r *run) resent(c *reassembly.Conn, d reassembly.Direction, bytes, time, packet int64) {
	if dc, ok := c.Data.(*dissect.Conn); ok && dc != nil && dc.Confirmed() {
		r.opts.Resent(Resent{Conn: dc, From: dc.Sender(int(d)), Packet: packet, Time: time, Bytes: bytes})
	}
}
