package simulate

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/protocol"
)

// Options say what traffic to make. The zero value is one connection that says hello and goodbye.
type Options struct {
	Seed uint64
	// Connections is the number of TCP connections, Requests that of requests on each beside
	// login and logout. Packets ends the capture after so many packets, if it is not 0.
	Connections, Requests int
	Packets               int64
	// PayloadMin and PayloadMax bound the payloads of data packets, in bytes.
	PayloadMin, PayloadMax int
	// Start is the time of the first packet, Spacing the time between the starts of connections,
	// Interval the greatest time between requests; all in ns.
	Start, Spacing, Interval int64
	// Faults are the violations to commit, by their IDs; FaultRate is the share of requests that
	// commit one.
	Faults    []string
	FaultRate float64
	// Loss is the share of data segments that the capture misses, Duplicate that of those sent
	// again, Reorder that of packets captured out of order.
	Loss, Duplicate, Reorder float64
	// Recut cuts writes into segments at random places, Coalesce joins writes.
	Recut, Coalesce bool
	// SnapLen cuts packets; 0 keeps them whole.
	SnapLen int
	// V6 uses IPv6.
	V6 bool
}

// Stats count what was made.
type Stats struct {
	Packets, Lost, Connections, Frames int64
}

// PacketWriter takes the packets in order; their bytes are lent for the call.
type PacketWriter interface {
	Write(capture.Packet) error
}

// The greatest TCP payload of a segment, and its likely delay.
const (
	segmentSize = 1400
	ackDelay    = 200 * int64(1e3)
	resendDelay = 60 * millisecond
	jitter      = 3 * millisecond
)

// Generate writes traffic. truth is told about each connection once all of it is written; it may be nil.
func Generate(w PacketWriter, o Options, truth func(*Truth)) (Stats, error) {
	if o.Start == 0 {
		o.Start = 1767225600 * second // 2026-01-01
	}
	if o.Connections <= 0 {
		o.Connections = 1
	}
	g := &generator{w: w, o: &o, truth: truth}
	err := g.run()
	return g.stats, err
}

// generator merges the connections' packets in the order of time. It holds those of running
// connections only.
type generator struct {
	w       PacketWriter
	o       *Options
	truth   func(*Truth)
	running conns
	pending packets
	order   int64
	stats   Stats
	next    int // connection to start
}

// done tells that enough packets were written.
func (g *generator) done() bool { return g.o.Packets > 0 && g.stats.Packets >= g.o.Packets }

func (g *generator) more() bool {
	return g.next < g.o.Connections || g.o.Packets > 0
}

func (g *generator) run() error {
	for !g.done() {
		if g.more() && (len(g.running) == 0 || g.startOf(g.next) <= g.running[0].at) {
			g.start()
			continue
		}
		if len(g.running) == 0 {
			break
		}
		c := g.running[0]
		if err := g.flush(c.at); err != nil {
			return err
		}
		if c.step(g) {
			heap.Fix(&g.running, 0)
		} else {
			heap.Pop(&g.running)
		}
	}
	return g.flush(1<<63 - 1)
}

func (g *generator) startOf(i int) int64 { return g.o.Start + int64(i)*g.o.Spacing }

func (g *generator) start() {
	i := g.next
	g.next++
	g.stats.Connections++
	c := &conn{i: i, base: g.startOf(i), rnd: rand.New(rand.NewPCG(g.o.Seed^0x5eed, uint64(i))), script: write(g.o, i)}
	c.seq[0], c.seq[1] = c.rnd.Uint32(), c.rnd.Uint32()
	c.at = c.base
	heap.Push(&g.running, c)
}

// flush writes the packets up to a moment.
func (g *generator) flush(until int64) error {
	for len(g.pending) > 0 && g.pending[0].time <= until && !g.done() {
		p := heap.Pop(&g.pending).(*packet)
		if p.last != nil {
			g.stats.Frames += int64(len(p.last.Frames))
			if g.truth != nil {
				g.truth(p.last)
			}
			continue
		}
		g.stats.Packets++
		for _, f := range p.frames {
			if n := len(f.Packets); n == 0 || f.Packets[n-1] != g.stats.Packets {
				f.Packets = append(f.Packets, g.stats.Packets)
			}
		}
		b := p.data
		if g.o.SnapLen > 0 {
			b = b[:min(len(b), g.o.SnapLen)]
		}
		if err := g.w.Write(capture.Packet{Time: p.time, Link: 1, WireLen: len(p.data), Data: b}); err != nil {
			return err
		}
	}
	return nil
}

// packet waits for its time. last marks the end of a connection instead.
type packet struct {
	time, order int64
	data        []byte
	frames      []*Frame
	last        *Truth
}

func (g *generator) push(p *packet) {
	g.order++
	p.order = g.order
	heap.Push(&g.pending, p)
}

// conn is a connection being written.
type conn struct {
	i      int
	at     int64 // of the next thing to do
	base   int64
	rnd    *rand.Rand
	script *script
	seq    [2]uint32 // of the next byte: of the device, of the server
	state  int
	sent   int // sends done
	offset [2]int64
}

// The states of a connection.
const (
	stateSYN = iota
	stateSYNACK
	stateACK
	stateData
	stateFIN
	stateFINACK
	stateLast
	stateOver
)

// The TCP flags.
const (
	fin = 1
	syn = 2
	psh = 8
	ack = 16
)

const roundTrip = 2 * millisecond

// step does the next thing and reports whether there is more.
func (c *conn) step(g *generator) bool {
	switch c.state {
	case stateSYN:
		c.control(g, 0, syn)
		c.seq[0]++
		c.at += roundTrip / 2
	case stateSYNACK:
		c.control(g, 1, syn|ack)
		c.seq[1]++
		c.at += roundTrip / 2
	case stateACK:
		c.control(g, 0, ack)
		c.schedule()
	case stateData:
		if c.sent < len(c.script.sends) {
			c.data(g)
			c.schedule()
			return true
		}
		c.at = c.base + c.script.end + roundTrip
	case stateFIN:
		c.control(g, 0, fin|ack)
		c.seq[0]++
		c.at += roundTrip / 2
	case stateFINACK:
		c.control(g, 1, fin|ack)
		c.seq[1]++
		c.at += roundTrip / 2
	case stateLast:
		c.control(g, 0, ack)
		c.at += second
	case stateOver:
		g.push(&packet{time: c.at, last: &c.script.truth})
		return false
	}
	c.state++
	return true
}

// schedule sets the time of the next send.
func (c *conn) schedule() {
	if c.sent < len(c.script.sends) {
		c.at = max(c.at, c.base+roundTrip+c.script.sends[c.sent].at)
	}
}

func sideIndex(s protocol.Side) int {
	if s == protocol.Server {
		return 1
	}
	return 0
}

// data sends the next write, joined with those that follow closely if wanted.
func (c *conn) data(g *generator) {
	s := c.script.sends[c.sent]
	c.sent++
	d := sideIndex(s.from)
	frames := slices.Clone(s.frames)
	writes := s.writes
	const near = 5 * millisecond
	for g.o.Coalesce && !s.solo && c.sent < len(c.script.sends) {
		n := c.script.sends[c.sent]
		if n.solo || n.from != s.from || n.at-s.at > near {
			break
		}
		joined := slices.Concat(append(slices.Clone(writes), n.writes...)...)
		writes = [][]byte{joined}
		frames = append(frames, n.frames...)
		c.sent++
	}
	for _, w := range writes {
		c.write(g, d, w, frames)
	}
	c.at += ackDelay
	c.control(g, 1-d, ack)
}

// write sends bytes as segments, the last one with PSH.
func (c *conn) write(g *generator, d int, b []byte, frames []*Frame) {
	for len(b) > 0 {
		n := min(len(b), segmentSize)
		if g.o.Recut && n > 1 && c.rnd.IntN(3) > 0 {
			n = 1 + c.rnd.IntN(n)
		}
		flags := byte(ack)
		if n == len(b) {
			flags |= psh
		}
		c.segment(g, d, flags, b[:n], frames)
		b = b[n:]
		c.at += 20 * int64(1e3)
	}
}

// segment sends one data segment.
func (c *conn) segment(g *generator, d int, flags byte, b []byte, frames []*Frame) {
	from, to := c.offset[d], c.offset[d]+int64(len(b))
	var carried []*Frame
	for _, f := range frames {
		if f.Offset < to && f.Offset+int64(f.Length) > from {
			carried = append(carried, f)
		}
	}
	p := &packet{time: c.at, data: c.frameBytes(g, d, flags, b), frames: carried}
	if g.o.Reorder > 0 && c.rnd.Float64() < g.o.Reorder {
		p.time += c.rnd.Int64N(jitter)
	}
	again := g.o.Duplicate > 0 && c.rnd.Float64() < g.o.Duplicate
	c.seq[d] += uint32(len(b))
	c.offset[d] = to
	if g.o.Loss > 0 && c.rnd.Float64() < g.o.Loss {
		g.stats.Lost++
		for _, f := range carried {
			f.Lost = true
		}
		return
	}
	g.push(p)
	if again {
		g.push(&packet{time: p.time + resendDelay + c.rnd.Int64N(resendDelay), data: p.data})
	}
}

// control sends a segment without data.
func (c *conn) control(g *generator, d int, flags byte) {
	g.push(&packet{time: c.at, data: c.frameBytes(g, d, flags, nil)})
}

// frameBytes makes an Ethernet frame with IP and TCP; checksums are left out, as offloading does.
func (c *conn) frameBytes(g *generator, d int, flags byte, payload []byte) []byte {
	b := make([]byte, 0, 14+40+20+len(payload))
	b = append(b, 2, 0, 0, 0, 0, byte(2-d), 2, 0, 0, 0, 0, byte(1+d))
	tcp := 20 + len(payload)
	device := uint32(10<<24 | 1<<16 | c.i/16&0xffff) // 10.1.x.y
	server := uint32(10<<24 | 200<<16 | 1)
	src, dst := device, server
	sport, dport := uint16(20000+c.i%16+c.i/16>>16*16), uint16(9100)
	if d == 1 {
		src, dst, sport, dport = server, device, dport, sport
	}
	if g.o.V6 {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(tcp))
		b = append(b, 6, 64)
		b = appendIPv6(appendIPv6(b, src), dst)
	} else {
		b = append(b, 8, 0, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+tcp))
		b = append(b, 0, 0, 0x40, 0, 64, 6, 0, 0)
		b = binary.BigEndian.AppendUint32(b, src)
		b = binary.BigEndian.AppendUint32(b, dst)
	}
	b = binary.BigEndian.AppendUint16(b, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint32(b, c.seq[d])
	seen := uint32(0)
	if flags&ack != 0 {
		seen = c.seq[1-d]
	}
	b = binary.BigEndian.AppendUint32(b, seen)
	b = append(b, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	return append(b, payload...)
}

// appendIPv6 appends an address of the documentation prefix.
func appendIPv6(b []byte, a uint32) []byte {
	b = append(b, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, a)
}

// conns is a heap of connections by the time of their next thing to do.
type conns []*conn

func (h conns) Len() int { return len(h) }
func (h conns) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].i < h[j].i
}
func (h conns) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *conns) Push(x any)   { *h = append(*h, x.(*conn)) }
func (h *conns) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// packets is a heap of packets by their time.
type packets []*packet

func (h packets) Len() int { return len(h) }
func (h packets) Less(i, j int) bool {
	return h[i].time < h[j].time || h[i].time == h[j].time && h[i].order < h[j].order
}
func (h packets) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *packets) Push(x any)   { *h = append(*h, x.(*packet)) }
func (h *packets) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return x
}
