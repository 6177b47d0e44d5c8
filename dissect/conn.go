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

	d      *Dissector
	half   [2]half
	heard  *[2]int64 // packets seen of each direction
	before *[2]int64 // bytes of each that were sent before the first one seen
	tcp    TCP       // nil where it is not known
	start  int64
	last   int64
	state  ConnState
	closer int // the direction that ended first, -1 while none has

	sideKnown bool
	guessed   bool // neither a SYN nor an option tells the sides
	standing  standing
	evidence  int
	held      []event // records that wait until the connection is known to be NUBISON

	tokens    map[token]struct{}
	changes   uint64
	session   session
	device    string
	accused   map[token]bool // unknown tokens that were reported
	unclaimed []*unclaimed

	pulse    pulse
	clock    int64 // the latest time (ns) of the capture when a packet came with an earlier one
	deadline int64 // of the earliest timer in the heap, 0 if there is none

	frames, transactions, violations, missing int64
	finished                                  bool

	// forced rises when both directions ended and yet each waits for the other: then responses
	// are held only for requests that stand in the bytes at hand, and at last for none.
	forced int
	// patient tells that nothing is let go because of the time that it waited, as long as something
	// else moves; waited, that something was kept so.
	patient, waited bool
}

// standing says whether the connection is known to carry NUBISON.
type standing uint8

const (
	undecided standing = iota
	confirmed
	rejected
)

// session is what the logins of a connection came to.
type session struct {
	loggedIn bool
	token    token           // of the last login
	sure     bool            // token is known to be the last login's
	ended    map[token]int64 // tokens that were logged out, and when (ns)
	time     int64           // of the login's answer
}

// Src returns the endpoint of packets that the side sends.
func (c *Conn) Src(from protocol.Side) netip.AddrPort { return c.Addr[c.dir(from)] }

// Dst returns the endpoint that receives what the side sends.
func (c *Conn) Dst(from protocol.Side) netip.AddrPort { return c.Addr[1-c.dir(from)] }

func (c *Conn) dir(s protocol.Side) int {
	if s == protocol.Device {
		return c.DeviceDir
	}
	return 1 - c.DeviceDir
}

// side returns the side that sends in a direction, Unknown while that is open.
func (c *Conn) side(dir int) protocol.Side {
	if !c.sideKnown {
		return protocol.Unknown
	}
	return c.sideOf(dir)
}

func (c *Conn) sideOf(dir int) protocol.Side {
	if dir == c.DeviceDir {
		return protocol.Device
	}
	return protocol.Server
}

// gapless reports whether the connection was seen from its SYN on and whole.
func (c *Conn) gapless() bool {
	a, b := &c.half[0], &c.half[1]
	return a.fromStart && b.fromStart && !a.gaps && !b.gaps && !a.stalled && !b.stalled
}

// fixSide settles which side is the device, by the best there is: the port that was named,
// the SYN, a letter that only one side sends, the higher port.
func (c *Conn) fixSide(opener bool) {
	port := c.d.opts.ServerPort
	switch {
	case port != 0 && c.Addr[1].Port() == port && c.Addr[0].Port() != port:
		c.DeviceDir, c.sideKnown = 0, true
	case port != 0 && c.Addr[0].Port() == port && c.Addr[1].Port() != port:
		c.DeviceDir, c.sideKnown = 1, true
	case opener:
		c.DeviceDir, c.sideKnown = 0, true
	case c.Addr[1].Port() > c.Addr[0].Port():
		c.DeviceDir = 1
	}
	c.guessed = !c.sideKnown
}

// learnSide takes a settled packet's letter as evidence of the sides.
func (c *Conn) learnSide(dir int, letter byte) {
	if c.sideKnown || letter == 'R' {
		return
	}
	c.sideKnown = true
	c.DeviceDir = dir
	if protocol.ByLetter(letter)[0].From == protocol.Server {
		c.DeviceDir = 1 - dir
	}
}
