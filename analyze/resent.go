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
func (w *worker) resent(c *reassembly.Conn, d reassembly.Direction, bytes, time, packet int64) {
	if dc, ok := c.Data.(*dissect.Dialogue); ok && dc != nil && dc.Confirmed() {
		x := Resent{Conn: dc.Conn(), From: dc.Sender(int(d)), Packet: packet, Time: time, Bytes: bytes}
		w.d.Tell(func() { w.told(x) })
	}
}
