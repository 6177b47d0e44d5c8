package simulate

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nubishark/nubishark/protocol"
)

// Frame is a packet that was sent.
type Frame struct {
	Stream    int
	From      protocol.Side
	Offset    int64
	Length    int
	Letter    byte
	SessionID string
	// Packets are the numbers of the capture packets that carry it, Lost tells that some of its
	// bytes are in none.
	Packets []int64
	Lost    bool
}

// Transaction is what became of a request, by the protocol's rules.
type Transaction struct {
	Stream    int
	Letter    byte
	From      protocol.Side
	SessionID string
	State     string
}

// Violation is a rule that was broken on purpose.
type Violation struct {
	ID     string
	Stream int
	From   protocol.Side
	Offset int64
}

// Truth is what one connection carries.
type Truth struct {
	Frames       []*Frame
	Transactions []Transaction
	Violations   []Violation
}

// send is what one side writes at a moment: one write or several, each of which ends a segment.
type send struct {
	at     int64 // ns since the connection's start
	from   protocol.Side
	writes [][]byte
	solo   bool // its write ends matter: it is never joined with others
	// what it means; offsets are from its first byte
	frames     []*Frame
	violations []*Violation
}

// script is one connection's conversation.
type script struct {
	sends []*send
	truth Truth
	// unechoed are the session IDs of requests whose answers carry another one: nobody knows that those are finished.
	unechoed map[string]bool
	device   string
	end      int64
}

// author writes scripts.
type author struct {
	*rand.Rand
	o       *Options
	s       *script
	stream  int
	now     int64 // the next exchange starts here
	free    int64 // all answers have come by then
	token   []byte
	id      []byte // identifier
	used    [][]byte
	unknown bool // a token that nobody issued is used, and that was not noted yet
	session bool // logged in
	silence bool // a request was left without an answer
	closed  bool // nothing may follow
}

const (
	millisecond = int64(1e6)
	second      = int64(1e9)
)

// write makes the script of a connection.
func write(o *Options, stream int) *script {
	a := &author{Rand: rand.New(rand.NewPCG(o.Seed, uint64(stream))), o: o, s: &script{}, stream: stream}
	a.id = fmt.Appendf(nil, "dev-%05d", stream)
	a.now = 5 * millisecond
	a.login(a.pick("empty-identifier", "bad-text", "unknown-token"))
	for range o.Requests {
		if a.closed {
			break
		}
		a.exchange()
	}
	if !a.closed {
		a.logout()
	}
	a.finish()
	return a.s
}

// pick returns a fault that is wanted now, one of those named, or "".
func (a *author) pick(of ...string) string {
	var list []string
	for _, f := range a.o.Faults {
		if slices.Contains(of, f) {
			list = append(list, f)
		}
	}
	if len(list) == 0 || a.Float64() >= a.o.FaultRate {
		return ""
	}
	return list[a.IntN(len(list))]
}

// put adds what a side sends at a moment. frames are the sizes of packets from the first byte of
// the last write on.
func (a *author) put(at int64, from protocol.Side, solo bool, writes ...[]byte) *send {
	s := &send{at: at, from: from, writes: writes, solo: solo}
	a.s.sends = append(a.s.sends, s)
	a.free = max(a.free, at)
	return s
}

func (s *send) frame(offset int, packet, id []byte) *Frame {
	f := &Frame{From: s.from, Offset: int64(offset), Length: len(packet), Letter: packet[0], SessionID: string(id)}
	s.frames = append(s.frames, f)
	return f
}

func (s *send) violate(id string, offset int) {
	s.violations = append(s.violations, &Violation{ID: id, From: s.from, Offset: int64(offset)})
}

func (a *author) settle(letter byte, from protocol.Side, id []byte, state string) {
	a.s.truth.Transactions = append(a.s.truth.Transactions, Transaction{Letter: letter, From: from, SessionID: string(id), State: state})
}

func (a *author) latency() int64 { return a.Int64N(40*millisecond) + millisecond }

func (a *author) newID() []byte {
	id := word(a.Rand, protocol.SessionIDSize)
	a.used = append(a.used, id)
	return id
}

// login opens the session, unless it is left out on purpose.
func (a *author) login(fault string) {
	if fault == "unknown-token" {
		a.token, a.unknown = word(a.Rand, protocol.TokenSize), true
		return
	}
	v := Values{
		"session_id": a.newID(), "client_id": word(a.Rand, 20), "client_secret": word(a.Rand, 20),
		"product_code": []byte("PRD00001"), "identifier": a.id,
	}
	switch fault {
	case "empty-identifier":
		v["identifier"] = nil
	case "bad-text":
		v["client_id"] = append([]byte{0xb0, 0xa1, 1}, v["client_id"][3:]...)
	}
	p := Request('L', v)
	s := a.put(a.now, protocol.Device, true, p)
	s.frame(0, p, v["session_id"])
	if fault != "" {
		s.violate(fault, 0)
	}
	a.token = word(a.Rand, protocol.TokenSize)
	at := a.now + a.latency()
	w := Values{"session_id": v["session_id"], "status": {1}, "access_token": a.token}
	if a.IntN(4) == 0 {
		w["encryption_key"] = word(a.Rand, 16)
	}
	r := Response('L', w)
	a.put(at, protocol.Server, true, r).frame(0, r, v["session_id"])
	a.settle('L', protocol.Device, v["session_id"], "answered")
	a.session, a.unknown = true, false
	a.now = at + a.gap()
}

func (a *author) gap() int64 {
	if a.o.Interval <= 0 {
		return 0
	}
	return a.Int64N(a.o.Interval) + 1
}

// requestFaults are the faults of one exchange.
var requestFaults = []string{
	"short-packet", "unknown-type", "stray-bytes", "wrong-direction", "length-byte-order", "length-width", "length-missing",
	"length-mismatch", "bad-status", "unknown-error-code", "error-response", "no-response", "late-response", "duplicate-response",
	"orphan-response", "session-id-not-echoed", "session-id-reused", "session-id-collision", "request-repeated",
	"token-mismatch", "login-repeated", "token-after-logout", "truncated-packet",
}

// FaultNames are the violations that can be asked for.
func FaultNames() []string {
	return append([]string{"empty-identifier", "bad-text", "unknown-token"}, requestFaults...)
}

// exchange is one request with its answer, with a fault if one is due.
func (a *author) exchange() {
	fault := a.pick(requestFaults...)
	if !a.session && slices.Contains([]string{"token-mismatch", "token-after-logout", "truncated-packet"}, fault) {
		fault = ""
	}
	switch fault {
	case "no-response", "late-response", "request-repeated", "session-id-collision":
		a.silence = true
	case "session-id-not-echoed", "orphan-response":
		if a.silence { // then it is not known which request was meant
			fault = ""
		}
	case "unknown-type", "truncated-packet":
		// What stands behind a packet with an optional tail could be its payload without a length.
		a.now = max(a.now, a.free+100*millisecond)
		(&exchange{author: a, letter: 'D'}).run()
		a.now = max(a.now, a.free+100*millisecond)
	}
	if fault != "" {
		a.now = max(a.now, a.free+100*millisecond) // nothing else is outstanding
	}
	e := &exchange{author: a, fault: fault, letter: "DDHC"[a.IntN(4)]}
	if a.unknown {
		e.letter = 'D'
	}
	switch fault {
	case "length-byte-order", "length-mismatch", "stray-bytes":
		e.letter = 'D'
	case "length-missing":
		e.letter = "HC"[a.IntN(2)]
	case "unknown-error-code", "error-response":
		e.letter = "DH"[a.IntN(2)]
	case "token-after-logout":
		a.logout()
		e.letter = 'D'
	case "login-repeated":
		a.loginAgain()
		return
	}
	e.run()
	if fault != "" {
		a.now = max(a.now, a.free+100*millisecond)
	}
}

// loginAgain logs in while logged in.
func (a *author) loginAgain() {
	n, again := len(a.s.sends), a.session
	a.login("")
	if again {
		a.s.sends[n].violate("login-repeated", 0)
	}
	a.now = max(a.now, a.free+100*millisecond)
}

// logout ends the session; a.closed tells that only a fault may follow.
func (a *author) logout() {
	a.now = max(a.now, a.free+millisecond)
	id := a.newID()
	p := Request('O', Values{"session_id": id, "access_token": a.token})
	s := a.put(a.now, protocol.Device, true, p)
	s.frame(0, p, id)
	a.useToken(s, 0)
	at := a.now + a.latency()
	r := Response('O', Values{"session_id": id, "status": {1}})
	a.put(at, protocol.Server, true, r).frame(0, r, id)
	a.settle('O', protocol.Device, id, "answered")
	a.now = at + 50*millisecond
	a.closed = true
}

// useToken raises the first use of a token that nobody issued.
func (a *author) useToken(s *send, offset int) {
	if a.unknown {
		s.violate("unknown-token", offset)
		a.unknown = false
	}
}

// exchange is one request and its answer being written.
type exchange struct {
	*author
	fault   string
	letter  byte
	from    protocol.Side
	id      []byte
	payload []byte
}

// run writes the exchange.
func (e *exchange) run() {
	e.from = protocol.Device
	if e.letter == 'C' {
		e.from = protocol.Server
	}
	e.id = e.newID()
	e.payload = e.makePayload()
	token := e.token
	switch e.fault {
	case "token-mismatch":
		token = word(e.Rand, protocol.TokenSize)
	case "session-id-reused":
		if prior := e.finished(); prior != nil {
			e.id = prior
		}
	}
	v := Values{"session_id": e.id, "access_token": token}
	if e.payload != nil || e.letter == 'D' {
		v["payload"] = e.payload
	}
	e.request(v)
}

// finished returns the session ID of a finished request of the same side.
func (e *exchange) finished() []byte {
	for i := len(e.s.truth.Transactions) - 1; i >= 0; i-- {
		t := e.s.truth.Transactions[i]
		open := func(x Transaction) bool { return x.SessionID == t.SessionID && x.State == "unanswered" }
		if t.From == e.from && t.State != "orphan" && !e.s.unechoed[t.SessionID] && !slices.ContainsFunc(e.s.truth.Transactions, open) {
			return []byte(t.SessionID)
		}
	}
	return nil
}

// makePayload makes text, Korean text or bytes; for packets with an optional tail also nothing.
func (e *exchange) makePayload() []byte {
	lo, hi := e.o.PayloadMin, max(e.o.PayloadMin, e.o.PayloadMax)
	if e.letter != 'D' {
		hi = min(hi, 200)
		lo = min(lo, hi)
		if e.IntN(2) == 0 && !wantsPayload(e.fault) {
			return nil
		}
	}
	n := lo + e.IntN(hi-lo+1)
	switch e.fault {
	case "length-byte-order":
		n = max(1, n%200)
		if n == 0 {
			n = 1
		}
	case "length-width":
		n = 9 + n%100
	case "length-missing":
		n = 9 + n%40
	case "length-mismatch":
		n = 20 + n%180
	}
	text := fmt.Appendf(nil, `{"n":%d,"온도":%d.%d,"id":"%s"}`, e.IntN(1000), e.IntN(40), e.IntN(10), word(e.Rand, 6))
	b := make([]byte, 0, n+len(text))
	for len(b) < n {
		b = append(b, text...)
	}
	b = b[:n]
	if e.letter == 'D' && e.fault == "" && e.IntN(4) == 0 {
		for i := range b {
			b[i] = byte(e.Uint32())
		}
	}
	return b
}

func wantsPayload(fault string) bool {
	return fault == "length-width" || fault == "length-missing"
}

// request sends the request and what goes with it.
func (e *exchange) request(v Values) {
	p := e.deform(Request(e.letter, v))
	junk := e.junk()
	writes := [][]byte{p}
	if junk != nil {
		writes = [][]byte{junk, p}
	}
	if e.fault == "truncated-packet" {
		e.truncate(p)
		return
	}
	s := e.put(e.now, e.from, e.fault != "", writes...)
	at := len(junk)
	f := s.frame(at, p, e.id)
	if e.fault == "stray-bytes" {
		f.Length -= 2
	}
	e.useToken(s, at)
	e.raise(s, at, f)
	e.answer(p)
}

// raise notes what the request breaks.
func (e *exchange) raise(s *send, at int, f *Frame) {
	switch e.fault {
	case "short-packet", "unknown-type":
		s.violate(e.fault, 0)
	case "stray-bytes":
		s.violate(e.fault, at+f.Length)
	case "length-byte-order", "length-width", "length-missing", "length-mismatch", "token-mismatch", "token-after-logout":
		s.violate(e.fault, at)
	case "session-id-reused":
		if e.finishedID() {
			s.violate(e.fault, at)
		}
	}
}

func (e *exchange) finishedID() bool {
	return slices.ContainsFunc(e.s.truth.Transactions, func(t Transaction) bool { return t.From == e.from && t.SessionID == string(e.id) })
}

// junk is what stands before the request.
func (e *exchange) junk() []byte { return junk(e.fault, e.Rand) }

func junk(fault string, r *rand.Rand) []byte {
	switch fault {
	case "short-packet":
		return []byte("ping-pon")[:1+r.IntN(8)]
	case "unknown-type":
		return fmt.Appendf(nil, "+CIPSEND=%d,%s\r\n", r.IntN(9), word(r, 4+r.IntN(30)))
	}
	return nil
}

// deform changes a request as the fault has it.
func (e *exchange) deform(p []byte) []byte { return deform(e.fault, p, e.Rand) }

func deform(fault string, p []byte, r *rand.Rand) []byte {
	l := protocol.ByLetter(p[0])[0].Shape()
	switch fault {
	case "stray-bytes":
		return append(p, '\r', '\n')
	case "length-byte-order":
		p[l.LengthAt], p[l.LengthAt+1] = p[l.LengthAt+1], p[l.LengthAt]
	case "length-mismatch":
		binary.BigEndian.PutUint16(p[l.LengthAt:], uint16(len(p)-l.Fixed+3+r.IntN(40)))
	case "length-width":
		if l.LengthWidth == 2 {
			return slices.Delete(p, l.LengthAt, l.LengthAt+1)
		}
		return slices.Insert(p, l.Fixed, 0)
	case "length-missing":
		return slices.Delete(p, l.Fixed, l.Fixed+1)
	}
	return p
}

// truncate sends a part of a request and ends the connection.
func (e *exchange) truncate(p []byte) {
	whole := protocol.ByLetter(e.letter)[0].Shape().Fixed // this many may be a packet without its tail
	cut := protocol.HeaderSize + e.IntN(whole-protocol.HeaderSize)
	s := e.put(e.now, e.from, true, p[:cut])
	s.frame(0, p[:cut], e.id)
	s.violate(e.fault, 0)
	e.now += 20 * millisecond
	e.closed = true
}

// answer sends what comes back.
func (e *exchange) answer(p []byte) {
	back := e.from.Other()
	at := e.now + e.latency()
	state := "answered"
	v := Values{"session_id": e.id, "status": {1}}
	if e.letter == 'C' && e.IntN(2) == 0 {
		v["payload"] = []byte("done")
	}
	switch e.fault {
	case "no-response":
		e.settle(e.letter, e.from, e.id, "unanswered")
		e.s.sends[len(e.s.sends)-1].violate(e.fault, 0)
		e.now = at + e.gap()
		return
	case "unknown-error-code", "error-response", "token-mismatch", "token-after-logout":
		state = "failed"
		code := protocol.ErrorCodes[e.IntN(len(protocol.ErrorCodes))].Code
		if e.fault == "unknown-error-code" {
			code = 0x0042
		}
		v["status"], v["error_code"] = []byte{0}, binary.BigEndian.AppendUint16(nil, code)
	case "late-response":
		at = e.now + 31*second + e.latency()
		state = "unanswered"
	case "session-id-not-echoed":
		v["session_id"] = word(e.Rand, protocol.SessionIDSize)
		if e.s.unechoed == nil {
			e.s.unechoed = make(map[string]bool)
		}
		e.s.unechoed[string(e.id)] = true
	}
	r := Response(e.letter, v)
	if e.fault == "bad-status" {
		r[protocol.StatusAt] = 0x31
		r = r[:protocol.StatusAt+1]
		state = "failed"
	}
	e.meddle(p, back, at)
	s := e.put(at, back, e.fault != "", r)
	s.frame(0, r, v["session_id"])
	switch e.fault {
	case "bad-status", "late-response", "session-id-not-echoed":
		s.violate(e.fault, 0)
	case "unknown-error-code":
		s.violate(e.fault, 0)
		s.violate("error-response", 0)
	case "error-response", "token-mismatch", "token-after-logout":
		if v["status"][0] == 0 {
			s.violate("error-response", 0)
		}
	}
	if e.fault == "late-response" {
		e.s.sends[len(e.s.sends)-2].violate("no-response", 0)
	}
	e.settle(e.letter, e.from, e.id, state)
	e.after(r, back, at)
	if e.fault == "" && e.IntN(5) == 0 {
		e.now += e.gap() / 8 // the next request does not wait for this answer
	} else {
		e.now = at + e.gap()
	}
}

// meddle sends what comes between a request and its answer.
func (e *exchange) meddle(p []byte, back protocol.Side, at int64) {
	switch e.fault {
	case "request-repeated":
		s := e.put(e.now+(at-e.now)/2, e.from, true, p)
		s.frame(0, p, e.id)
		s.violate(e.fault, 0)
		e.settle(e.letter, e.from, e.id, "unanswered")
	case "session-id-collision":
		other := Request('H', Values{"session_id": e.id, "access_token": e.token, "payload": []byte("other")})
		if e.from == protocol.Server {
			other = Request('C', Values{"session_id": e.id, "access_token": e.token, "payload": []byte("other one")})
		}
		s := e.put(e.now+(at-e.now)/2, e.from, true, other)
		s.frame(0, other, e.id)
		s.violate(e.fault, 0)
		e.settle(e.letter, e.from, e.id, "unanswered")
		e.letter = other[0]
	case "wrong-direction":
		w := Request('D', Values{"session_id": e.newID(), "access_token": e.token, "payload": []byte("from the server")})
		if back == protocol.Device {
			w = Request('C', Values{"session_id": e.newID(), "access_token": e.token, "payload": []byte("from the device")})
		}
		s := e.put(e.now+(at-e.now)/2, back, true, w)
		s.frame(0, w, w[1:protocol.HeaderSize])
		s.violate(e.fault, 0)
	}
}

// after sends what follows an answer.
func (e *exchange) after(r []byte, back protocol.Side, at int64) {
	switch e.fault {
	case "duplicate-response":
		s := e.put(at+20*millisecond, back, true, r)
		s.frame(0, r, e.id)
		s.violate(e.fault, 0)
	case "orphan-response":
		id := word(e.Rand, protocol.SessionIDSize)
		o := Response('D', Values{"session_id": id, "status": {1}})
		s := e.put(at+20*millisecond, back, true, o)
		s.frame(0, o, id)
		s.violate(e.fault, 0)
		e.settle(0, e.from, id, "orphan")
	}
}

// finish sorts what is sent and gives it its place in the streams.
func (a *author) finish() {
	s := a.s
	slices.SortStableFunc(s.sends, func(x, y *send) int { return cmp.Compare(x.at, y.at) })
	var at [3]int64
	for _, x := range s.sends {
		for _, f := range x.frames {
			f.Stream, f.Offset = a.stream, f.Offset+at[x.from]
			s.truth.Frames = append(s.truth.Frames, f)
		}
		for _, v := range x.violations {
			v.Stream, v.Offset = a.stream, v.Offset+at[x.from]
			s.truth.Violations = append(s.truth.Violations, *v)
		}
		for _, w := range x.writes {
			at[x.from] += int64(len(w))
		}
	}
	for i := range s.truth.Transactions {
		s.truth.Transactions[i].Stream = a.stream
	}
	s.end = max(a.now, a.free) + 20*millisecond
	s.device = "PRD00001_" + string(a.id)
}
