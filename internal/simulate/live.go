package simulate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nubishark/nubishark/protocol"
)

// Live are the options that a stand-in device and a stand-in server share.
type Live struct {
	Seed uint64
	// Interval is the time between requests; Requests is how many are made, 0 for no end.
	Interval time.Duration
	Requests int
	// PayloadMax bounds the payloads of requests, in bytes.
	PayloadMax int
	// Faults are the violations to commit, by their IDs; FaultRate is the share of packets that
	// commit one.
	Faults    []string
	FaultRate float64
	// Delay is how late a late response is.
	Delay time.Duration
	// Log takes a line for each packet; nil for none.
	Log io.Writer
}

// DeviceFaults and ServerFaults are the violations that each can commit.
func DeviceFaults() []string {
	return []string{
		"empty-identifier", "bad-text", "short-packet", "unknown-type", "stray-bytes", "wrong-direction", "length-byte-order",
		"length-width", "length-missing", "length-mismatch", "session-id-reused", "session-id-collision", "request-repeated",
		"unknown-token", "token-mismatch", "token-after-logout", "login-repeated", "truncated-packet", "bad-status", "no-response",
		"late-response", "duplicate-response", "orphan-response", "session-id-not-echoed",
	}
}

// ServerFaults are the violations that a server can commit.
func ServerFaults() []string {
	return []string{
		"short-packet", "unknown-type", "wrong-direction", "length-width", "length-missing", "session-id-reused", "request-repeated",
		"bad-status", "unknown-error-code", "error-response", "no-response", "late-response", "duplicate-response", "orphan-response",
		"session-id-not-echoed",
	}
}

// peer is one end of a connection that talks the protocol.
type peer struct {
	Live
	conn net.Conn
	side protocol.Side

	mu      sync.Mutex // guards what follows
	rnd     *rand.Rand
	asked   map[string]byte // own requests without an answer
	lastID  []byte
	token   []byte
	arrived chan string // session IDs of answers
}

func newPeer(o Live, conn net.Conn, side protocol.Side, stream uint64) *peer {
	return &peer{
		Live: o, conn: conn, side: side, rnd: rand.New(rand.NewPCG(o.Seed, stream)), asked: map[string]byte{},
		arrived: make(chan string, 64),
	}
}

// fault picks one of those named, if one is due.
func (p *peer) fault(of ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(p.Faults), func(f string) bool { return !slices.Contains(of, f) })
	if len(list) == 0 || p.rnd.Float64() >= p.FaultRate {
		return ""
	}
	return list[p.rnd.IntN(len(list))]
}

func (p *peer) word(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return word(p.rnd, n)
}

// write sends one write.
func (p *peer) write(b []byte, what string) error {
	if p.Log != nil {
		fmt.Fprintf(p.Log, "%s sends %s, %d bytes\n", p.side, what, len(b))
	}
	_, err := p.conn.Write(b)
	return err
}

// ask sends a request, well or badly.
func (p *peer) ask(letter byte, v Values, fault string) error {
	id := p.word(protocol.SessionIDSize)
	if (fault == "session-id-reused" || fault == "session-id-collision") && p.lastID != nil {
		id = p.lastID
	}
	v["session_id"] = id
	b := Request(letter, v)
	p.mu.Lock()
	p.asked[string(id)] = letter
	before, b := junk(fault, p.rnd), deform(fault, b, p.rnd)
	p.mu.Unlock()
	p.lastID = id
	if before != nil {
		if err := p.write(before, "junk"); err != nil {
			return err
		}
		time.Sleep(separate) // so that the two are not one segment
	}
	what := protocol.Name(letter)
	if fault != "" {
		what += " with " + fault
	}
	switch fault {
	case "truncated-packet":
		return p.write(b[:protocol.TokenAt+1], what)
	case "request-repeated":
		if err := p.write(b, what); err != nil {
			return err
		}
	}
	return p.write(b, what)
}

// separate keeps writes from becoming one segment, pace is the least time between two requests.
const (
	separate = 20 * time.Millisecond
	pace     = time.Millisecond
)

// listen reads what the other side sends, packet by packet, until the connection ends.
func (p *peer) listen(handle func(letter byte, packet []byte) error) error {
	var buf []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for len(buf) > 0 {
			size := p.packetSize(buf)
			if size == 0 {
				break
			}
			if buf[0] != 0 && size >= protocol.HeaderSize {
				if e := handle(buf[0], buf[:size]); e != nil {
					return e
				}
			}
			buf = buf[size:]
		}
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// packetSize returns the size of the packet at the front, 0 while it is not whole. What is no packet is
// let go of byte by byte. An optional tail is there if that explains the bytes at hand.
func (p *peer) packetSize(b []byte) int {
	for _, l := range protocol.ByLetter(b[0]) {
		if l.From == p.side || !p.fits(l, b) {
			continue
		}
		sh := l.Shape()
		n := sh.Fixed
		if len(b) < n {
			return 0
		}
		if sh.LengthWidth > 0 {
			n += number(b[sh.LengthAt : sh.LengthAt+sh.LengthWidth])
		}
		if sh.TailLengthWidth > 0 && len(b) > n {
			tail := n + sh.TailLengthWidth + number(b[n:n+sh.TailLengthWidth])
			if tail == len(b) || len(protocol.ByLetter(b[n])) == 0 {
				n = tail
			}
		}
		if len(b) < n {
			return 0
		}
		return n
	}
	return 1
}

// fits reports whether a response has the layout of its request's answer.
func (p *peer) fits(l *protocol.Layout, b []byte) bool {
	if l.Outcome == protocol.NoStatus || len(b) <= protocol.StatusAt {
		return true
	}
	if (l.Outcome == protocol.Success) != (b[protocol.StatusAt] != 0) {
		return false
	}
	p.mu.Lock()
	letter, known := p.asked[string(b[1:protocol.HeaderSize])]
	p.mu.Unlock()
	return !known || slices.Contains([]byte(l.Answers), letter)
}

func number(b []byte) (n int) {
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n
}

// answered notes that a request was answered.
func (p *peer) answered(packet []byte) {
	id := string(packet[1:protocol.HeaderSize])
	p.mu.Lock()
	delete(p.asked, id)
	p.mu.Unlock()
	select {
	case p.arrived <- id:
	default: // nobody waits for it
	}
}

// answer sends the response to a request, well or badly.
func (p *peer) answer(request byte, packet []byte, v Values) error {
	fault := p.fault("bad-status", "unknown-error-code", "error-response", "no-response", "late-response", "duplicate-response",
		"orphan-response", "session-id-not-echoed")
	if request == 'L' || request == 'O' {
		fault = ""
	}
	if request == 'C' && (fault == "unknown-error-code" || fault == "error-response") {
		fault = ""
	}
	v["session_id"] = slices.Clone(packet[1:protocol.HeaderSize])
	switch fault {
	case "no-response":
		return nil
	case "late-response":
		b := Response(request, v)
		time.AfterFunc(p.Delay, func() { _ = p.write(b, "a late response") })
		return nil
	case "unknown-error-code", "error-response":
		code := uint16(0x0042)
		if fault == "error-response" {
			code = 0x0006
		}
		v["status"], v["error_code"] = []byte{0}, binary.BigEndian.AppendUint16(nil, code)
	case "session-id-not-echoed":
		v["session_id"] = p.word(protocol.SessionIDSize)
	}
	b := Response(request, v)
	if fault == "bad-status" {
		b = b[:protocol.StatusAt+1]
		b[protocol.StatusAt] = 0x31
	}
	if err := p.write(b, strings.TrimSpace("response "+fault)); err != nil {
		return err
	}
	switch fault {
	case "duplicate-response":
		time.Sleep(separate)
		return p.write(b, "the response again")
	case "orphan-response":
		time.Sleep(separate)
		return p.write(Response('D', Values{"session_id": p.word(protocol.SessionIDSize), "status": {1}}), "an orphan response")
	}
	return nil
}

// Device is a stand-in device.
type Device struct {
	Live
	// ClientID, ClientSecret, Product and Identifier go into the login.
	ClientID, ClientSecret, Product, Identifier string
}

// Run connects to a server, logs in, sends data and heartbeats, answers commands, and logs out.
func (d *Device) Run(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	p := newPeer(d.Live, conn, protocol.Device, 0)
	done := make(chan error, 1)
	go func() { done <- p.listen(p.deviceHears) }()
	if err := d.talk(ctx, p); err != nil {
		return ignoreStop(ctx, err)
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
	return ignoreStop(ctx, <-done)
}

// ignoreStop makes no error of having been asked to stop.
func ignoreStop(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *peer) deviceHears(letter byte, packet []byte) error {
	switch letter {
	case 'R':
		if len(packet) >= protocol.StatusAt+1+protocol.TokenSize {
			p.mu.Lock()
			p.token = slices.Clone(packet[protocol.StatusAt+1:][:protocol.TokenSize])
			p.mu.Unlock()
		}
		p.answered(packet)
	case 'C':
		return p.answer('C', packet, Values{"status": {1}, "payload": []byte("done")})
	}
	return nil
}

// pause waits, or stops.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, pace))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// settle waits until an answer came, but not longer than a device would.
func (p *peer) settle(ctx context.Context) error {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.arrived:
	case <-t.C:
	}
	return nil
}

const patience = 2 * time.Second

func (d *Device) login(ctx context.Context, p *peer, fault string) error {
	v := Values{
		"client_id": []byte(d.ClientID), "client_secret": []byte(d.ClientSecret), "product_code": []byte(d.Product),
		"identifier": []byte(d.Identifier),
	}
	switch fault {
	case "empty-identifier":
		v["identifier"] = nil
	case "bad-text":
		v["client_id"] = append([]byte{0xb0, 0xa1, 1}, d.ClientID...)
	}
	if err := p.ask('L', v, ""); err != nil {
		return err
	}
	return p.settle(ctx)
}

// talk is the device's side of the conversation.
func (d *Device) talk(ctx context.Context, p *peer) error {
	first := p.fault("empty-identifier", "bad-text", "unknown-token")
	if first == "unknown-token" {
		p.token = p.word(protocol.TokenSize)
	} else if err := d.login(ctx, p, first); err != nil {
		return err
	}
	for i := 0; d.Requests == 0 || i < d.Requests; i++ {
		if err := pause(ctx, d.Interval); err != nil {
			return err
		}
		fault := p.fault("short-packet", "unknown-type", "stray-bytes", "wrong-direction", "length-byte-order", "length-width",
			"length-missing", "length-mismatch", "session-id-reused", "session-id-collision", "request-repeated", "token-mismatch",
			"login-repeated", "truncated-packet")
		if err := d.request(ctx, p, i, fault); err != nil || fault == "truncated-packet" {
			return err
		}
	}
	v := Values{"access_token": p.accessToken()}
	if err := p.ask('O', v, ""); err != nil {
		return err
	}
	if err := p.settle(ctx); err != nil || p.fault("token-after-logout") == "" {
		return err
	}
	v["payload"] = []byte("still here")
	if err := p.ask('D', v, ""); err != nil {
		return err
	}
	return p.settle(ctx)
}

func (p *peer) accessToken() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token
}

// request sends one request and waits for its answer.
func (d *Device) request(ctx context.Context, p *peer, i int, fault string) error {
	v := Values{"access_token": p.accessToken(), "payload": fmt.Appendf(nil, `{"n":%d,"온도":%d.5}`, i, 18+i%9)}
	letter := byte('D')
	switch {
	case fault == "login-repeated":
		return d.login(ctx, p, "")
	case fault == "wrong-direction":
		letter = 'C'
	case fault == "token-mismatch":
		v["access_token"] = p.word(protocol.TokenSize)
	case fault == "length-missing" || fault == "" && i%3 == 2:
		letter = 'H'
	}
	if n := d.PayloadMax; n > 0 && letter == 'D' && fault == "" {
		v["payload"] = padded(v["payload"], min(n, 20+i*7%n))
	}
	if letter == 'H' && fault == "" && i%2 == 0 {
		delete(v, "payload")
	}
	if err := p.ask(letter, v, fault); err != nil || letter == 'C' {
		return err
	}
	return p.settle(ctx)
}

// Server is a stand-in server.
type Server struct{ Live }

// Serve talks to each device that connects, until the context ends. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var wait sync.WaitGroup
	defer wait.Wait()
	for n := uint64(1); ; n++ {
		conn, err := l.Accept()
		if err != nil {
			return ignoreStop(ctx, err)
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			s.talk(ctx, newPeer(s.Live, conn, protocol.Server, n))
		}()
	}
}

// talk answers one device, and sends it commands.
func (s *Server) talk(ctx context.Context, p *peer) {
	defer p.conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	defer stop()
	started := make(chan struct{})
	var once sync.Once
	go func() {
		select {
		case <-started:
			_ = s.command(ctx, p)
		case <-ctx.Done():
		}
	}()
	err := p.listen(func(letter byte, packet []byte) error {
		switch letter {
		case 'R':
			p.answered(packet)
			return nil
		case 'L':
			p.mu.Lock()
			p.token = word(p.rnd, protocol.TokenSize)
			p.mu.Unlock()
			defer once.Do(func() { close(started) })
			return p.answer('L', packet, Values{"status": {1}, "access_token": p.accessToken()})
		}
		return p.answer(letter, packet, Values{"status": {1}})
	})
	if err != nil && p.Log != nil {
		fmt.Fprintf(p.Log, "server: %v\n", err)
	}
}

// command sends commands to a device that logged in.
func (s *Server) command(ctx context.Context, p *peer) error {
	for i := 0; s.Requests == 0 || i < s.Requests; i++ {
		if err := pause(ctx, s.Interval); err != nil {
			return err
		}
		fault := p.fault("short-packet", "unknown-type", "wrong-direction", "length-width", "length-missing", "session-id-reused",
			"request-repeated")
		v := Values{"access_token": p.accessToken(), "payload": fmt.Appendf(nil, "SET %d", i)}
		letter := byte('C')
		if fault == "wrong-direction" {
			letter = 'D'
		}
		if err := p.ask(letter, v, fault); err != nil {
			return err
		}
		if err := p.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}
