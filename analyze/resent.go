package analyze

import "github.com/nubishark/nubishark/dissect"

// Resent is a segment with bytes that had been captured before: TCP sent them again.
type Resent struct {
	Conn *dissect.Conn
	From dissect.Side
	// Packet is the capture packet, Time its time (ns), Bytes how many bytes came again.
	Packet, Time, Bytes int64
}
