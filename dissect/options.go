package dissect

import "time"

// DefaultTimeout is how long a request may stay unanswered.
const DefaultTimeout = 30 * time.Second

// Options steer a dissector. The zero value is the protocol as it is written.
type Options struct {
	// LittleEndian reads two-byte lengths in little-endian order.
	LittleEndian bool
	// Timeout is the response timeout in capture time; 0 means DefaultTimeout.
	Timeout time.Duration
	// ServerPort fixes which side is the server; 0 means that it is found out.
	ServerPort uint16
	// Ports restricts dissection to connections with one of these ports, and forces
	// it there; empty means that connections are found by their content.
	Ports Ports
	// Brief only counts the packets and the answered transactions, and hands the counts to the sink, which must be a
	// Counter. No record has a number then.
	Brief bool
	// FramesOnly leaves out the transactions that were answered as they should be, and the numbers of all of them: frames have none then.
	FramesOnly bool
	// Thorough lets every packet go the long way, which concludes the same: tests compare the two.
	Thorough bool
}

// timeout returns the response timeout that is in force.
func (o Options) timeout() time.Duration {
	if o.Timeout <= 0 {
		return DefaultTimeout
	}
	return o.Timeout
}

// PortRange is an inclusive range of TCP ports.
type PortRange struct{ From, To uint16 }

// Ports is a set of TCP ports.
type Ports []PortRange

// Contains reports whether the port is in the set.
func (p Ports) Contains(port uint16) bool {
	for _, r := range p {
		if port >= r.From && port <= r.To {
			return true
		}
	}
	return false
}
