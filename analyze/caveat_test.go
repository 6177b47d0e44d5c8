package analyze

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// cautions are the violations with what of the capture may explain them, notes left out.
type cautions struct{ lines []string }

func (*cautions) Frame(*dissect.Frame)             {}
func (*cautions) Stream(*dissect.Stream)           {}
func (*cautions) Transaction(*dissect.Transaction) {}
func (c *cautions) Violation(v *dissect.Violation) {
	if v.Severity() != protocol.Note {
		c.lines = append(c.lines, fmt.Sprintf("%s%v", v.Rule.ID, v.Caveat.List()))
	}
}

func (x *wire) cautions() string {
	var c cautions
	x.read(0, &c)
	return strings.Join(c.lines, " ")
}

// halfWire is a connection of which only what a case sends is captured.
func halfWire(t *testing.T) *wire {
	x := &wire{t: t, seq: [2]uint32{100, 500}, acked: [2]uint32{500, 100}}
	x.w = capture.NewPcapWriter(&x.buf, 101, true)
	return x
}

// cut sends bytes of which the last n are beyond the snap length.
func (x *wire) cut(at float64, side int, s string, n int) *wire {
	p := tcp(side == 0, x.seq[side], x.acked[side], 24, s)
	x.packets++
	if err := x.w.Write(capture.Packet{Time: 1e9 + int64(at*1e9) + int64(x.packets), Link: 101, WireLen: len(p), Data: p[:len(p)-n]}); err != nil {
		x.t.Fatal(err)
	}
	x.seq[side] += uint32(len(s))
	return x
}

// data is a device's data packet with n bytes of payload, and its answer.
func ask(id, n int) string {
	return fmt.Sprintf("Dsession%d", id) + wireToken + string([]byte{byte(n >> 8), byte(n)}) + strings.Repeat("x", n)
}

func reply(id int) string { return fmt.Sprintf("Rsession%d\x01", id) }

// commands are a server's, back to back.
func commands(n int) (s string) {
	for i := range n {
		s += fmt.Sprintf("Ccomm%04d", i) + wireToken
	}
	return s
}

// What of its connection's capture may explain a violation stands in it, and nothing else does.
func TestCaveats(t *testing.T) {
	const logout, loggedOut = "Osession8" + wireToken, "Rsession8\x01"
	const failure = "\x00\x00\x06"
	ok := func(x *wire, at float64, id int) *wire { return x.say(at, 0, ask(id, 5)).say(at+.1, 1, reply(id)) }
	large := func(x *wire, size int) *wire { return x.say(.5, 0, ask(7, size-35)).say(.6, 1, reply(7)) }
	lose := func(x *wire, at float64, side int) *wire { // a data packet or its answer
		if side == 0 {
			return x.unseen(0, ask(6, 5)).ack(at, 1)
		}
		return x.unseen(1, reply(6)).ack(at, 0)
	}
	for name, c := range map[string]struct {
		from func(*testing.T) *wire
		make func(x *wire)
		want string
	}{
		"short, in a small world":           {newWire, func(x *wire) { ok(x.say(1, 0, "ping"), 2, 2) }, "short-packet[]"},
		"short, and segments are joined":    {newWire, func(x *wire) { ok(large(x, 1461).say(1, 0, "ping"), 2, 2) }, "short-packet[offload]"},
		"short, and segments are full":      {newWire, func(x *wire) { ok(large(x, 1460).say(1, 0, "ping"), 2, 2) }, "short-packet[]"},
		"short, and the other's are joined": {newWire, func(x *wire) { ok(x.say(.5, 1, commands(45)).say(1, 0, "ping"), 2, 2) }, "short-packet[]"},
		"stray, and segments are joined":    {newWire, func(x *wire) { ok(large(x, 1461).say(1, 0, ask(3, 5)+"\r\n").say(1.1, 1, reply(3)), 2, 2) }, "stray-bytes[offload]"},
		"mismatch, and segments are joined": {newWire, func(x *wire) { ok(large(x, 1461).say(1, 0, ask(3, 20)[:52]).say(1.1, 1, reply(3)), 2, 2) }, "length-mismatch[offload]"},
		"mismatch, in a small world":        {newWire, func(x *wire) { ok(x.say(1, 0, ask(3, 20)[:52]).say(1.1, 1, reply(3)), 2, 2) }, "length-mismatch[]"},
		"byte order, and segments are joined": {newWire, func(x *wire) {
			ok(large(x, 1461).say(1, 0, "Dsession3"+wireToken+"\x05\x00hello").say(1.1, 1, reply(3)), 2, 2)
		}, "length-byte-order[]"},
		"no answer, and segments are joined": {newWire, func(x *wire) { large(x, 1461).say(1, 0, ask(3, 5)).ack(1.1, 1).elsewhere(40) }, "no-response[]"},
		"stray, right behind a gap":          {newWire, func(x *wire) { ok(lose(x, 1, 0).elsewhere(3).say(4, 0, ask(3, 5)+"\r\n").say(4.1, 1, reply(3)), 5, 2) }, "stray-bytes[gap]"},
		"stray, a good packet behind a gap": {newWire, func(x *wire) {
			ok(ok(lose(x, 1, 0).elsewhere(3), 3.5, 4).say(4, 0, ask(3, 5)+"\r\n").say(4.1, 1, reply(3)), 5, 2)
		}, "stray-bytes[]"},
		"stray, the gap is the other's": {newWire, func(x *wire) { ok(lose(x, 1, 1).elsewhere(3).say(4, 0, ask(3, 5)+"\r\n").say(4.1, 1, reply(3)), 5, 2) }, "stray-bytes[]"},
		"stray, behind a packet cut short": {newWire, func(x *wire) {
			ok(x.cut(1, 0, ask(4, 50), 20).say(1.1, 1, reply(4)).say(2, 0, ask(3, 5)+"\r\n").say(4.1, 1, reply(3)), 5, 2)
		}, "stray-bytes[cut]"},
		"stray, first of what was captured":     {halfWire, func(x *wire) { ok(x.say(0, 0, ask(3, 5)+"\r\n").say(.1, 1, reply(3)), 5, 2) }, "stray-bytes[midstream]"},
		"stray, second of what was captured":    {halfWire, func(x *wire) { ok(ok(x, 0, 4).say(1, 0, ask(3, 5)+"\r\n").say(1.1, 1, reply(3)), 5, 2) }, "stray-bytes[]"},
		"wrong way, and nobody said who is who": {halfWire, func(x *wire) { ok(ok(x, 0, 4).say(1, 1, ask(3, 5)), 2, 2) }, "wrong-direction[midstream]"},
		"wrong way":                             {newWire, func(x *wire) { ok(x.say(1, 1, ask(3, 5)), 2, 2) }, "wrong-direction[]"},
		"short, and the other side is silent":   {newWire, func(x *wire) { x.say(1, 0, "ping").elsewhere(40) }, "short-packet[]"},
		"short, and the other was not captured": {halfWire, func(x *wire) {
			x.put(0, tcp(true, 99, 0, 2, ""))
			x.say(1, 0, ask(2, 5)).say(3, 0, "ping").elsewhere(40)
		}, "short-packet[one-sided]"},
		"no answer, asked when the clock was set back and when it had caught up": {newWire, func(x *wire) {
			x.elsewhere(50).say(10, 0, ask(2, 5)).ack(10.1, 1).say(51, 0, ask(3, 5)).ack(51.1, 1).elsewhere(90)
		}, "no-response[backwards] no-response[]"},
		"no answer, and another clock was odd": {newWire, func(x *wire) { x.elsewhere(50).elsewhere(10).say(51, 0, ask(2, 5)).ack(51.1, 1).elsewhere(90) }, "no-response[]"},
		"late, and an answer was lost": {newWire, func(x *wire) {
			lose(x.say(1, 0, ask(2, 5)).ack(1.1, 1), 3, 1).elsewhere(35).say(36, 1, reply(2)).elsewhere(90)
		}, "late-response[gap]"},
		"late, and a request was lost": {newWire, func(x *wire) {
			lose(x.say(1, 0, ask(2, 5)).ack(1.1, 1), 3, 0).elsewhere(35).say(36, 1, reply(2)).elsewhere(90)
		}, "no-response[] late-response[gap]"},
		"late, and something was lost before": {newWire, func(x *wire) {
			lose(x, .5, 1).elsewhere(3).say(4, 0, ask(2, 5)).ack(4.1, 1).elsewhere(36).say(37, 1, reply(2)).elsewhere(90)
		}, "no-response[] late-response[]"},
		"used after logout, and something was lost since":  {newWire, func(x *wire) { ok(lose(x.say(1, 0, logout).say(1.1, 1, loggedOut), 2, 0).elsewhere(4), 5, 2) }, "token-after-logout[gap]"},
		"used after logout, and something was lost before": {newWire, func(x *wire) { ok(lose(x, .5, 0).elsewhere(3).say(4, 0, logout).say(4.1, 1, loggedOut), 5, 2) }, "token-after-logout[]"},
		"mismatch, first of what was captured":             {halfWire, func(x *wire) { ok(x.say(0, 0, ask(3, 20)[:52]).say(.1, 1, reply(3)), 2, 2) }, "length-mismatch[midstream]"},
		"short, right before a gap":                        {newWire, func(x *wire) { ok(lose(x.say(1, 0, "ping"), 1.5, 0).elsewhere(4), 5, 2) }, "short-packet[gap]"},
		"short, some way before a gap":                     {newWire, func(x *wire) { ok(lose(ok(x.say(1, 0, "ping"), 1.2, 4), 1.5, 0).elsewhere(4), 5, 2) }, "short-packet[]"},
		"the request again, with the clock back by a hair": {newWire, func(x *wire) { x.say(1, 0, ask(2, 5)).elsewhere(6.005).say(6, 0, ask(2, 5)) }, "request-repeated[]"},
		"logged in again, with the clock set back": {newWire, func(x *wire) {
			x.elsewhere(20).say(6, 0, "Lsession5"+"client00000000000000"+"secret00000000000000"+"PRODUCT1"+"\x03"+"dev")
		}, "login-repeated[backwards]"},
		"another token, with the clock set back": {newWire, func(x *wire) {
			x.elsewhere(20).say(6, 0, "Dsession5"+strings.ToUpper(wireToken)+"\x00\x00").say(6.1, 1, reply(5))
		}, "token-mismatch[backwards]"},
		"bad text, right behind the start": {halfWire, func(x *wire) {
			x.say(0, 0, "Lsession5"+"client\x01\x0200000000000"+"0secret00000000000000"+"PRODUCT1"+"\x03"+"dev").say(.1, 1, "Rsession5\x01"+wireToken)
		}, "bad-text[midstream]"},
		"mismatch, before the other side spoke": {halfWire, func(x *wire) {
			x.say(0, 0, ask(4, 5)).say(.01, 0, ask(3, 20)[:52]).say(.02, 0, ask(2, 5)).say(.5, 1, reply(4)).say(.51, 1, reply(3)).say(.52, 1, reply(2))
		}, "length-mismatch[]"},
		"late, with the clock set back on the way": {newWire, func(x *wire) {
			ok(x.say(1, 0, ask(2, 5)).elsewhere(20), 6, 4).elsewhere(34).say(36, 1, reply(2)).elsewhere(90)
		}, "no-response[backwards] late-response[backwards]"},
		"late, and a packet was cut": {newWire, func(x *wire) {
			x.say(1, 0, ask(2, 5)).ack(1.1, 1).cut(3, 1, reply(6), 3).elsewhere(35).say(36, 1, reply(2)).elsewhere(90)
		}, "late-response[cut]"},
		"stray, a gap that no packet reaches over": {newWire, func(x *wire) {
			x.say(1, 0, ask(6, 300)[:100]).unseen(0, strings.Repeat("x", 200_000))
			ok(x.ack(1, 1).elsewhere(3).say(4, 0, ask(3, 5)+"\r\n").say(4.1, 1, reply(3)), 5, 2)
		}, "stray-bytes[gap]"},
		"stray, far behind a gap": {newWire, func(x *wire) {
			x.unseen(0, strings.Repeat("x", 200_000))
			ok(x.ack(1, 1).elsewhere(3).say(4, 0, ask(3, 5)+"\r\n").say(4.1, 1, reply(3)), 5, 2)
		}, "stray-bytes[gap]"},
		"stray, and its SYN was seen late": {halfWire, func(x *wire) {
			x.say(0, 1, "Csession9"+wireToken)
			x.put(.4, tcp(true, 99, 0, 2, ""))
			ok(x.say(.5, 0, ask(3, 5)+"\r\n").say(.6, 1, reply(3)), 5, 2)
		}, "stray-bytes[]"},
		"failed, the request is of before": {halfWire, func(x *wire) { ok(ok(x, 0, 4).say(1, 1, "Rsession9"+failure), 2, 2) }, "error-response[midstream]"},
		"failed, there was no request":     {newWire, func(x *wire) { ok(x.say(1, 1, "Rsession9"+failure), 4, 2) }, "error-response[] orphan-response[]"},
		"a reset of before": {halfWire, func(x *wire) {
			x.put(0, tcp(false, 77, 0, 4, ""))
			x.put(.1, tcp(true, 99, 0, 2, ""))
			x.put(.1, tcp(false, 499, 100, 18, ""))
			ok(x.ack(.1, 0).say(1, 0, ask(3, 5)+"\r\n").say(1.1, 1, reply(3)), 2, 2)
		}, "unknown-token[] stray-bytes[]"},
		"a packet of before": {halfWire, func(x *wire) {
			x.put(0, tcp(false, 77, 0, 8, ""))
			x.put(.1, tcp(true, 99, 0, 2, ""))
			x.put(.1, tcp(false, 499, 100, 18, ""))
			ok(x.ack(.1, 0).say(1, 0, ask(3, 5)+"\r\n").say(1.1, 1, reply(3)), 2, 2)
		}, "unknown-token[] stray-bytes[]"},
		"a command of the start, and its answer was lost": {halfWire, func(x *wire) { ok(x.say(0, 1, "Csession9"+wireToken).unseen(0, reply(9)), 1, 2).elsewhere(40) }, ""},
		"a command of the start, and only its answer was lost": {halfWire, func(x *wire) {
			x.say(0, 1, "Csession9"+wireToken).unseen(0, reply(9)).ack(.1, 1).ack(.2, 0).elsewhere(40)
		}, ""},
		"a command of the start, and nothing was lost": {halfWire, func(x *wire) { ok(x.say(0, 1, "Csession9"+wireToken), 1, 2).elsewhere(40) }, "no-response[]"},
		"a command of the start, and nothing was said": {halfWire, func(x *wire) { x.say(0, 1, "Csession9"+wireToken).ack(.1, 0).elsewhere(40) }, "no-response[]"},
		"a later command, and something was lost at the start": {halfWire, func(x *wire) {
			ok(x.say(0, 1, "Csession8"+wireToken).unseen(0, reply(8)), 1, 2).say(2, 1, "Csession9"+wireToken).elsewhere(40)
		}, "no-response[]"},
		"mismatch, and a byte more was acknowledged": {newWire, func(x *wire) {
			x.say(1, 0, ask(3, 20)[:54]).unseen(0, "x").ack(1.1, 1).say(1.2, 1, reply(3)).elsewhere(1.5)
		}, "length-mismatch[gap]"},
		"mismatch, and no more was acknowledged": {newWire, func(x *wire) { x.say(1, 0, ask(3, 20)[:54]).ack(1.1, 1).say(1.2, 1, reply(3)).elsewhere(3) }, "length-mismatch[]"},
		"a token behind a session ID that ends in R": {halfWire, func(x *wire) {
			const other = "YJGbjQ8oxPMzpFabcdefghij"
			lose(ok(x, 0, 4), .5, 0).elsewhere(3).cut(4, 1, "CsessionH"+other, 10).cut(4.01, 0, "DsessionR"+other+"\x00\x96"+strings.Repeat("x", 150), 162)
			ok(x.elsewhere(8), 9, 2).elsewhere(60)
		}, ""},
		"failed, and the request was not seen":       {halfWire, func(x *wire) { ok(x.say(0, 1, "Rsession9"+failure), .5, 2) }, "error-response[midstream]"},
		"failed":                                     {newWire, func(x *wire) { x.say(1, 0, ask(3, 5)).say(1.1, 1, "Rsession3"+failure) }, "error-response[]"},
		"not asked for, and the clock was set back":  {newWire, func(x *wire) { x.elsewhere(50).say(10, 1, reply(9)).elsewhere(51).elsewhere(90) }, "orphan-response[backwards]"},
		"not asked for":                              {newWire, func(x *wire) { x.say(10, 1, reply(9)).elsewhere(51).elsewhere(90) }, "orphan-response[]"},
		"not asked for, and something was lost":      {newWire, func(x *wire) { lose(x, 1, 0).elsewhere(3).say(10, 1, reply(9)).elsewhere(90) }, ""},
		"no answer, and something was lost":          {newWire, func(x *wire) { lose(x.say(1, 0, ask(2, 5)).ack(1.1, 1), 3, 1).elsewhere(40) }, ""},
		"the request again, and something was lost":  {newWire, func(x *wire) { lose(x.say(1, 0, ask(2, 5)), 3, 1).elsewhere(5).say(6, 0, ask(2, 5)) }, ""},
		"the request again":                          {newWire, func(x *wire) { x.say(1, 0, ask(2, 5)).say(6, 0, ask(2, 5)) }, "request-repeated[]"},
		"the request again, with the clock set back": {newWire, func(x *wire) { x.say(1, 0, ask(2, 5)).elsewhere(20).say(6, 0, ask(2, 5)) }, "request-repeated[backwards]"},
	} {
		t.Run(name, func(t *testing.T) {
			x := c.from(t)
			c.make(x)
			if d := cmp.Diff(c.want, x.cautions()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
