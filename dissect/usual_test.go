package dissect

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nubishark/nubishark/protocol"
)

// conversation plays random writes on a connection: whole packets, mostly, whose payloads look like packets, too.
type conversation struct {
	*rand.Rand
	k    *talk
	open [2][]string // session IDs of each side's requests that were not answered
	next int
	// logins are the session IDs of logins; token is what the last answer to one handed out, mostly.
	logins map[string]bool
	token  string
	// rubbish is sent, too.
	rubbish bool
}

func (c *conversation) id() string {
	c.next++
	return fmt.Sprintf("%c%07d", "abLRD"[c.IntN(5)], c.next)
}

// bait is a payload that holds what may be taken for a packet.
func (c *conversation) bait(dir int) string {
	var b strings.Builder
	for range c.IntN(4) {
		switch c.IntN(6) {
		case 0:
			b.WriteString("LODCHR"[c.IntN(6):][:1])
		case 1:
			b.WriteString(data(c.id(), ""))
		case 2:
			if ids := c.open[1-dir]; len(ids) > 0 {
				b.WriteString(ok(ids[c.IntN(len(ids))]))
			}
		case 3:
			b.WriteString("H" + c.id() + tok)
		case 4:
			b.WriteString(strings.Repeat("x", c.IntN(9)))
		case 5:
			b.WriteByte(byte(c.IntN(256)))
		}
	}
	return b.String()[:min(b.Len(), 255)]
}

func (c *conversation) request(dir int) string {
	id := c.id()
	if c.IntN(30) == 0 && len(c.open[dir]) > 0 {
		id = c.open[dir][0]
	}
	c.open[dir] = append(c.open[dir], id)
	if dir == 0 && c.IntN(10) == 0 {
		c.logins[id] = true
		return "L" + id + login[9:]
	}
	t := c.token
	if c.IntN(40) == 0 {
		t = other
	}
	p := c.bait(dir)
	letter := "H"
	if dir == 1 {
		letter = "C"
	} else if c.IntN(2) == 0 {
		return "D" + id + t + string([]byte{0, byte(len(p))}) + p
	}
	if c.IntN(2) == 0 {
		return letter + id + t
	}
	return letter + id + t + string([]byte{byte(len(p))}) + p
}

func (c *conversation) response(dir int) string {
	ids := c.open[1-dir]
	if len(ids) == 0 {
		return c.request(dir)
	}
	i := c.IntN(len(ids))
	id := ids[i]
	if c.IntN(10) > 0 {
		c.open[1-dir] = append(ids[:i:i], ids[i+1:]...)
	}
	s := "R" + id + string([]byte{byte(min(c.IntN(30), 1))})
	if c.logins[id] && s[9] == 1 {
		return s + c.handOut()
	}
	if dir == 0 && c.IntN(2) == 0 {
		p := c.bait(dir)
		s += string([]byte{byte(len(p))}) + p
	}
	return s
}

// handOut is what follows the status of a login's answer: a token, and sometimes a key, or the next packet in the same write.
func (c *conversation) handOut() string {
	t := fmt.Sprintf("%s%08d", tok[8:], c.next)
	if c.IntN(8) > 0 {
		c.token = t
	}
	switch c.IntN(8) {
	case 0:
		p := c.bait(1)
		return t + string([]byte{byte(len(p))}) + p
	case 1:
		return t + "C" + c.id() + t
	case 2:
		return t + "\x10" + "0123456789abcdef"
	}
	return t
}

func (c *conversation) step() {
	dir := c.IntN(2)
	s := c.request(dir)
	if c.IntN(2) == 0 {
		s = c.response(dir)
	}
	switch n := c.IntN(300); {
	case n < 2:
		i := c.IntN(len(s)) + 1
		c.k.piece(dir, s[:i])
		c.k.send(dir, true, s[min(i, len(s)-1):])
	case n == 2:
		c.k.send(dir, true, s+"\r\n")
	case n == 3:
		c.k.send(dir, true, s[:len(s)-1])
	case n == 4:
		c.k.gap(dir, int64(c.IntN(50)+1))
	case n > 5 && n < 12 && c.rubbish:
		c.k.piece(dir, strings.Repeat("?", c.IntN(3000)))
		for range c.IntN(20) {
			c.k.piece(dir, "?"+c.bait(dir))
		}
	case n == 5:
		c.k.wait(time.Duration(c.IntN(3000)) * time.Millisecond)
	default:
		c.k.send(dir, true, s)
	}
	if c.IntN(8) == 0 {
		c.k.wait(1100 * time.Millisecond)
	}
}

func newConversation(k *talk, seed, kind uint64) *conversation {
	return &conversation{Rand: rand.New(rand.NewPCG(seed, kind)), k: k, logins: map[string]bool{}, token: tok}
}

// converse starts a random conversation, in which the device is logged in, mostly.
func converse(k *talk, seed uint64) *conversation {
	c := newConversation(k, seed, 1)
	c.rubbish = seed%2 == 1
	if c.IntN(3) > 0 {
		in(k)
	} else {
		k.device(login)
		c.logins["session1"], c.open[0] = true, []string{"session1"}
	}
	return c
}

// play returns all that is concluded of a random conversation, and how many of its packets went the short way.
func play(seed uint64, o Options) (string, int) {
	k := newTalk(o, Opening{Opener: true, FromStart: [2]bool{true, true}})
	c := converse(k, seed)
	for range 40 {
		c.step()
	}
	return k.close(), k.c.d.short
}

// The short way concludes what the long one does, whatever the payloads look like.
func TestShortWayConcludesTheSame(t *testing.T) {
	short := 0
	for seed := range uint64(3000) {
		got, n := play(seed, Options{})
		want, none := play(seed, Options{Thorough: true})
		if got != want {
			t.Fatalf("seed %d: the long way:\n%s\nthe short way:\n%s", seed, want, got)
		}
		if none != 0 {
			t.Fatal("the long way was left")
		}
		short += n
	}
	if short < 3000*4 {
		t.Errorf("only %d packets went the short way", short)
	}
}

// A sink that only counts gets the counts of what it would have been told.
func TestBriefCounts(t *testing.T) {
	for seed := range uint64(200) {
		k := newTalk(Options{Brief: true}, Opening{Opener: true, FromStart: [2]bool{true, true}})
		var n counter
		k.d.out.sink = &n
		c := converse(k, seed)
		for range 40 {
			c.step()
		}
		k.close()
		want, _ := play(seed, Options{})
		if got := strings.Count(want, "answered") - strings.Count(want, "unanswered"); n.answered != got {
			t.Errorf("seed %d: %d transactions were answered, counted %d", seed, got, n.answered)
		}
		frames := 0
		for _, l := range strings.Split(want, "\n") {
			if !strings.HasPrefix(l, "!") && !strings.HasPrefix(l, "  ") {
				frames++
			}
		}
		if n.frames != frames {
			t.Errorf("seed %d: %d packets, counted %d", seed, frames, n.frames)
		}
	}
}

type counter struct{ frames, answered int }

func (c *counter) Frame(*Frame) { c.frames++ }
func (c *counter) Transaction(t *Transaction) {
	if t.State == Answered {
		c.answered++
	}
}
func (c *counter) Violation(*Violation) {}
func (c *counter) Stream(*Stream)       {}
func (c *counter) Count(n *Counts) {
	for _, k := range n.Frames {
		c.frames += int(k)
	}
	c.answered += len(n.Answers)
}

// The usual packets, and what is remembered of them, cost no memory of their own.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	k := in(fromSYN())
	k.d.out.sink = discard{}
	hb, cmd := "H--------"+tok, "C--------"+tok+"\x02on"
	i := 0
	exchange := func(dir int, request, answer string) {
		i++
		p, r := []byte(request), []byte(answer)
		for at, n := 1, i; at < protocol.HeaderSize; at, n = at+1, n/26 {
			p[at] = byte('a' + n%26)
			r[at] = p[at]
		}
		k.now += 1e6
		k.packet += 2
		k.d.Bytes(k.c, dir, p, &Part{Offset: k.at[dir], Time: k.now, Packet: k.packet - 1, Push: true})
		k.d.Bytes(k.c, 1-dir, r, &Part{Offset: k.at[1-dir], Time: k.now, Packet: k.packet, Push: true})
		k.at[dir] += int64(len(p))
		k.at[1-dir] += int64(len(r))
	}
	round := func() {
		exchange(0, data("--------", "payload"), ok("--------"))
		exchange(0, hb, ok("--------"))
		exchange(1, cmd, ok("--------")+"\x01!")
		exchange(1, cmd[:33], ok("--------"))
	}
	for range 3 * maxFinished {
		round()
	}
	// The bytes that the test itself makes are 16 allocations a round.
	if n := testing.AllocsPerRun(2000, round) - 16; n > 0.1 {
		t.Errorf("%.2f allocations for 4 requests and their answers", n)
	}
}

// Tokens are known as long as they are remembered, by the device that they were issued to last.
func TestIssuedTokens(t *testing.T) {
	var s issuedTokens
	want := map[token]string{}
	r := rand.New(rand.NewPCG(1, 2))
	name := func(i int) (t token) { copy(t[:], fmt.Sprintf("token%019d", i)); return t }
	for i := range 50_000 {
		k := name(r.IntN(20_000))
		d := strings.Repeat("d", r.IntN(30)) + fmt.Sprint(i%7)
		s.add(k, d)
		want[k] = d
	}
	for i := range 20_000 {
		k := name(i)
		d, there := want[k]
		if s.has(k) != there || s.device(k) != d {
			t.Fatalf("%s: known %v by %q, want %v by %q", k, s.has(k), s.device(k), there, d)
		}
	}
	for i := range 2 * maxIssued {
		s.add(name(1_000_000+i), "x")
	}
	if s.has(name(1)) || !s.has(name(1_000_000+2*maxIssued-1)) || s.young.n+s.old.n > 2*maxIssued {
		t.Error("old tokens are not forgotten, or young ones are")
	}
}
