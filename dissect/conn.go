package dissect

import (
	"net/netip"

	"github.com/nubishark/nubishark/protocol"
)

// Conn is one connection. Its exported part is set for good before the first record
// that refers to it.
type Conn struct {
	// Stream is the number of the connection, the same as Wireshark's tcp.stream.
	Stream int
	// Addr are the endpoints; Addr[0] opened the connection where that is known.
	Addr [2]netip.AddrPort
	// DeviceDir is the index in Addr of the device.
	DeviceDir int
}

// Src and Dst return the endpoints of packets that the side sends.
func (c *Conn) Src(from protocol.Side) netip.AddrPort { return c.Addr[c.dir(from)] }

// Dst returns the endpoint that receives what the side sends.
func (c *Conn) Dst(from protocol.Side) netip.AddrPort { return c.Addr[1-c.dir(from)] }

func (c *Conn) dir(s protocol.Side) int {
	if s == protocol.Device {
		return c.DeviceDir
	}
	return 1 - c.DeviceDir
}
