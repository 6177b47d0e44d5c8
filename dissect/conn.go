package dissect

import (
	"net/netip"

	"github.com/nubishark/nubishark/protocol"
)

// Conn is a connection as records refer to it: what is known of it when they are told. What each of them needs stands first,
// in a few lines of the processor's cache.
type Conn struct {
	// Stream is the number of the connection, the same as Wireshark's tcp.stream.
	Stream int
	// DeviceDir is the index in Addr of the device.
	DeviceDir int

	ends  [2]End  // of Addr
	first numbers // of the transaction in the first slot
	// Seal is the sink's.
	Seal   Seal
	device string
	done   [2][]uint32 // the numbers of finished ones, by requester and place
	open   []numbers   // of those that are not over, by their slots behind the first

	// Addr are the endpoints; Addr[0] opened the connection where that is known.
	Addr [2]netip.AddrPort
}

// Seal is room for what stands for a connection's token in the output, beside the token: it comes with every request.
type Seal struct {
	Token [protocol.TokenSize]byte
	Shown uint64
}

// Device returns the device key as far as it is known, "" before.
func (c *Conn) Device() string { return c.device }

// Dialogue is what goes on on one connection. The zero value is one that was not opened. What the usual packet needs stands first, in as few lines
// of the processor's cache as can be: with many connections, each of them is time.
type Dialogue struct {
	easy      bool  // the usual way is open
	waits     uint8 // a bit for each direction in which a packet waits for its tail
	ahead     uint8 // a bit for each direction of which more was acknowledged than is settled
	holding   bool  // there are late ones
	sideKnown bool
	standing  standing
	changed   bool // the records' Conn is to be told what is known
	finished  bool
	uncertain bool // what is unproved of either direction
	named     bool // device is known
	noted     bool // the chronicle is kept
	deviceDir uint8
	changes   uint32 // counts what became known

	d            *Dissector
	conn         *Conn
	deadline     int64  // of the earliest timer, but for the one of wait; 0 if there is none
	taken        uint64 // of the first places for transactions, those that are used
	frames       int64
	transactions int64

	session session
	told    uint8 // of the device's silence: 1 that a beat is missed, 2 that it is silent
	guesses bool  // something that was taken for a request may be the rest of something behind a gap
	pulse   pulse
	order   int64 // tells which of two connections was there first

	spots [2]spot // of each direction

	beats  beats
	device string

	wait [2]waiting

	half      [2]half
	chronicle *chronicle // nil while nobody asked
	last      int64      // time, but for that of the directions' bytes
	state     ConnState
	// patient tells that nothing is let go because of the time that it waited, as long as something
	// else moves; waited, that something was kept so.
	patient, waited bool

	tokens    tokens
	ended     map[token]int64 // tokens that were logged out, and when (ns)
	unclaimed []*unclaimed

	prev, next *Dialogue // others that have not ended

	heard  *[2]int64 // packets seen of each direction
	before *[2]int64 // bytes of each that were sent before the first one seen
	acks   *Acks
	tcp    TCP // nil where it is not known
	start  int64
	closer int   // the direction that ended first, -1 while none has
	clock  int64 // the latest time (ns) of the capture when a packet came with an earlier one

	guessed bool // neither a SYN nor an option tells the sides
	// forced rises when both directions ended and yet each waits for the other: then responses
	// are held only for requests that stand in the bytes at hand, and at last for none.
	forced   uint8
	evidence int32
	held     []record       // records that wait until the connection is known to be NUBISON
	late     []*Transaction // unanswered ones whose answer may yet come, by age

	loginTime int64          // of the last login's answer
	accused   map[token]bool // unknown tokens that were reported
	slots     []int32        // places for transactions behind the first ones, free to be used again
	slotCount int32

	violations, missing int64
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
	token    token // of the last login
	loggedIn bool
	sure     bool // token is known to be the last login's
	carried  bool // and it is among the connection's tokens
}

// Conn returns the connection as records refer to it.
func (c *Dialogue) Conn() *Conn { return c.conn }

// Src returns the endpoint of packets that the side sends.
func (c *Conn) Src(from protocol.Side) netip.AddrPort { return c.Addr[c.dir(from)] }

// Dst returns the endpoint that receives what the side sends.
func (c *Conn) Dst(from protocol.Side) netip.AddrPort { return c.Addr[1-c.dir(from)] }

// AppendSrc appends Src as text.
func (c *Conn) AppendSrc(b []byte, from protocol.Side) []byte { return c.appendEnd(b, c.dir(from)) }

// AppendDst appends Dst as text.
func (c *Conn) AppendDst(b []byte, from protocol.Side) []byte { return c.appendEnd(b, 1-c.dir(from)) }

func (c *Conn) appendEnd(b []byte, i int) []byte {
	if e := &c.ends[i]; e.Size > 0 {
		return append(b, e.Text[:e.Size]...)
	}
	return c.Addr[i].AppendTo(b)
}

// Ends returns Src and Dst as they were noted.
func (c *Conn) Ends(from protocol.Side) (src, dst *End) {
	i := c.dir(from)
	return &c.ends[i&1], &c.ends[i&1^1]
}

// End is an address as text, which each packet needs: the first Size bytes of Text. Where Size is 0, as of IPv6, the text has to
// be made each time.
type End struct {
	Size uint8
	Text [len("255.255.255.255:65535")]byte
}

// write notes the addresses as text.
func (c *Conn) write() {
	for i, a := range c.Addr {
		if a.Addr().Is4() {
			c.ends[i].Size = uint8(len(a.AppendTo(c.ends[i].Text[:0])))
		}
	}
}

func (c *Conn) dir(s protocol.Side) int { return c.DeviceDir ^ notDevice[s&3] }

// notDevice is 0 for the device. Nobody can guess who sends next, so it is not branched by.
var notDevice = [4]int{protocol.Unknown: 1, protocol.Device: 0, protocol.Server: 1, 3: 1}

// side returns the side that sends in a direction, Unknown while that is open.
func (c *Dialogue) side(dir int) protocol.Side {
	if !c.sideKnown {
		return protocol.Unknown
	}
	return c.sideOf(dir)
}

func (c *Dialogue) sideOf(dir int) protocol.Side { return sides[(dir^int(c.deviceDir))&1] }

// sides are that of the device and the other one. Nobody can guess which one it is, so it is not branched by.
var sides = [2]protocol.Side{protocol.Device, protocol.Server}

// gapless reports whether the connection was seen from its SYN on and whole.
func (c *Dialogue) gapless() bool {
	a, b := &c.half[0], &c.half[1]
	return a.fromStart && b.fromStart && !a.gaps && !b.gaps && !a.stalled && !b.stalled
}

// fixSide settles which side is the device, by the best there is: the port that was named,
// the SYN, a letter that only one side sends, the higher port.
func (c *Dialogue) fixSide(opener bool) {
	port := c.d.opts.ServerPort
	switch {
	case port != 0 && c.conn.Addr[1].Port() == port && c.conn.Addr[0].Port() != port:
		c.deviceDir, c.sideKnown = 0, true
	case port != 0 && c.conn.Addr[0].Port() == port && c.conn.Addr[1].Port() != port:
		c.deviceDir, c.sideKnown = 1, true
	case opener:
		c.deviceDir, c.sideKnown = 0, true
	case c.conn.Addr[1].Port() > c.conn.Addr[0].Port():
		c.deviceDir = 1
	}
	c.guessed = !c.sideKnown
}

// learnSide takes a settled packet's letter as evidence of the sides.
func (c *Dialogue) learnSide(dir int, letter byte) {
	if c.sideKnown || letter == 'R' {
		return
	}
	c.sideKnown, c.changed = true, true
	c.deviceDir = uint8(dir)
	if protocol.ByLetter(letter)[0].From == protocol.Server {
		c.deviceDir = 1 - c.deviceDir
	}
}
