package dissect

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nubishark/nubishark/protocol"
)

// notes writes down the records as short lines.
type notes struct{ lines []string }

func (n *notes) add(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) Frame(f *Frame) {
	s := fmt.Sprintf("%v %d %c %s %d", f.From, f.Offset, f.Letter, f.SessionID, f.Length)
	if f.Missing > 0 {
		s += fmt.Sprintf(" missing %d", f.Missing)
	}
	n.add("%s", s)
}

func (n *notes) Transaction(t *Transaction) { n.add("  %s %v", t.SessionID, t.State) }

func (n *notes) Violation(v *Violation) {
	n.add("! %s %v %d", v.Rule.ID, v.From, v.Offset)
}
func (n *notes) Stream(*Stream) {}

// talk is a connection being told to a dissector: device bytes, server bytes, time going by.
type talk struct {
	d      *Dissector
	c      *Dialogue
	n      *notes
	at     [2]int64
	now    int64
	packet int64
	heard  [2]int64
}

func newTalk(o Options, start Opening) *talk {
	t := &talk{n: &notes{}, now: 1e9}
	t.d = New(o, t.n)
	start.Heard, start.Time = &t.heard, t.now
	if !start.Addr[0].IsValid() {
		start.Addr = [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:9000")}
	}
	t.c = opened(t.d, start)
	return t
}

// opened adds a connection; nil if it is not to be dissected.
func opened(d *Dissector, o Opening) *Dialogue {
	if c := new(Dialogue); d.Open(c, &o) {
		return c
	}
	return nil
}

// fromSYN is a connection that was seen from its start.
func fromSYN() *talk {
	return newTalk(Options{}, Opening{Opener: true, FromStart: [2]bool{true, true}})
}

func (t *talk) send(dir int, push bool, parts ...string) *talk {
	for _, p := range parts {
		t.now += 1e6
		t.packet++
		t.heard[dir]++
		t.d.Bytes(t.c, dir, []byte(p), &Part{Offset: t.at[dir], Time: t.now, Packet: t.packet, Push: push})
		t.at[dir] += int64(len(p))
	}
	return t
}

func (t *talk) device(parts ...string) *talk { return t.send(0, true, parts...) }
func (t *talk) server(parts ...string) *talk { return t.send(1, true, parts...) }

// piece is a segment in the middle of a write.
func (t *talk) piece(dir int, s string) *talk { return t.send(dir, false, s) }

func (t *talk) gap(dir int, n int64) *talk {
	t.now += 1e6
	t.d.Gap(t.c, dir, n, &Part{Offset: t.at[dir], Time: t.now, Packet: t.packet})
	t.at[dir] += n
	return t
}

// stall tells whether bytes wait behind a hole.
func (t *talk) stall(dir int, on bool) *talk {
	t.d.Stall(t.c, dir, on)
	return t
}

// acked tells that all of a direction was acknowledged, and some bytes more.
func (t *talk) acked(dir int, more int64) *talk {
	t.packet++
	t.d.AckedAhead(t.c, dir, t.at[dir]+more, t.packet)
	return t
}

func (t *talk) wait(d time.Duration) *talk {
	t.now += int64(d)
	t.d.Advance(t.now)
	return t
}

func (t *talk) end(dir int) *talk {
	t.now += 1e6
	t.d.End(t.c, dir, EndFIN, t.now)
	return t
}

func (t *talk) close() string {
	t.d.Close()
	return strings.Join(t.n.lines, "\n")
}

const (
	tok   = "tokentokentokentokentoke"
	other = "otherotherotherotherothe"
	login = "Lsession1client-client-clientsecret-secret-secretPRODUCT0\x03one"
	ack   = "Rsession1\x01" + tok
)

func data(id, payload string) string {
	return "D" + id + tok + string([]byte{byte(len(payload) >> 8), byte(len(payload))}) + payload
}

func ok(id string) string { return "R" + id + "\x01" }

// in logs in, so that what follows stands on a healthy connection.
func in(t *talk) *talk {
	return t.device(login).server(ack).device(data("first---", "")).server(ok("first---"))
}

const loggedIn = "device 0 L session1 61\nserver 0 R session1 34\n  session1 answered\ndevice 61 D first--- 35\nserver 34 R first--- 10\n  first--- answered\n"

func TestFraming(t *testing.T) {
	beat := "Hbeatbeat" + tok
	for _, c := range []struct {
		name string
		talk func(*talk) *talk
		want string
	}{
		{
			"two packets in one segment", func(t *talk) *talk { return t.device(data("aaaaaaaa", "x") + data("bbbbbbbb", "y")) },
			"device 96 D aaaaaaaa 36\ndevice 132 D bbbbbbbb 36\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{"one byte at a time", func(t *talk) *talk {
			for _, b := range []byte(data("aaaaaaaa", "xyz")) {
				t.piece(0, string([]byte{b}))
			}
			return t.server(ok("aaaaaaaa"))
		}, "device 96 D aaaaaaaa 38\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered"},
		{
			"a tail that the next bytes settle", func(t *talk) *talk { return t.device(beat, "\x02hi"+data("aaaaaaaa", "")) },
			"device 96 H beatbeat 36\ndevice 132 D aaaaaaaa 35\n  beatbeat pending\n  aaaaaaaa pending",
		},
		{
			"no tail: the answer settles it", func(t *talk) *talk { return t.piece(0, beat).server(ok("beatbeat")) },
			"device 96 H beatbeat 33\nserver 44 R beatbeat 10\n  beatbeat answered",
		},
		{
			"no tail: the next packet settles it", func(t *talk) *talk { return t.device(beat, data("aaaaaaaa", "")) },
			"device 96 H beatbeat 33\ndevice 129 D aaaaaaaa 35\n  beatbeat pending\n  aaaaaaaa pending",
		},
		{
			"no tail: an answer to nothing settles it, whatever its shape", func(t *talk) *talk {
				return t.server("Ccommand1"+tok).device("Rnotechod\x01", data("aaaaaaaa", "")).server(ok("nor-this")).wait(32 * time.Second)
			},
			"server 44 C command1 33\ndevice 96 R notechod 10\ndevice 106 D aaaaaaaa 35\nserver 77 R nor-this 10\n" +
				"! session-id-not-echoed device 96\n  command1 answered\n! session-id-not-echoed server 77\n  aaaaaaaa answered",
		},
		{
			"no tail: the end settles it", func(t *talk) *talk { return t.piece(0, beat).end(0).end(1) },
			"device 96 H beatbeat 33\n! no-response device 96\n  beatbeat unanswered",
		},
		{"a tail of length 0", func(t *talk) *talk { return t.device(beat + "\x00") }, "device 96 H beatbeat 34\n  beatbeat pending"},
		{"a tail whose length is a letter", func(t *talk) *talk {
			return t.device(beat + "D" + strings.Repeat("x", 'D')).server(ok("beatbeat"))
		}, "device 96 H beatbeat 102\nserver 44 R beatbeat 10\n  beatbeat answered"},
		{
			"an answer before its request", func(t *talk) *talk { return t.server(ok("aaaaaaaa")).device(data("aaaaaaaa", "x")) },
			"device 96 D aaaaaaaa 36\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered",
		},
		{
			"an answer to nothing is held for a second, and no longer", func(t *talk) *talk { return t.server(ok("aaaaaaaa")).wait(1100 * time.Millisecond) },
			"server 44 R aaaaaaaa 10\n! orphan-response server 44\n  aaaaaaaa orphan",
		},
		{"a gap inside a payload", func(t *talk) *talk {
			return t.piece(0, data("aaaaaaaa", strings.Repeat("x", 100))[:60]).gap(0, 50).device("xxxxxxxxxxxxxxxxxxxxxxxxx" + data("bbbbbbbb", ""))
		}, "! capture-gap device 156\ndevice 96 D aaaaaaaa 135 missing 50\ndevice 231 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending"},
		{
			"a session ID behind a gap is no packet that only the other side may send", func(t *talk) *talk {
				for _, id := range []string{"id1-----", "id2-----", "id3-!---", "id4-----", "id5-----", "id6-----"} {
					t.device(data(id, ""))
				}
				t.stall(0, true).gap(1, 1).server("Lcommand"+tok, ok("id1-----"), ok("id2-----"), ok("id3-!---"), ok("id4-----"), ok("id5-----"), ok("id6-----"))
				return t.stall(0, false)
			},
			"device 96 D id1----- 35\ndevice 131 D id2----- 35\ndevice 166 D id3-!--- 35\ndevice 201 D id4----- 35\ndevice 236 D id5----- 35\ndevice 271 D id6----- 35\n" +
				"! capture-gap server 44\nserver 77 R id1----- 10\n  id1----- answered\nserver 87 R id2----- 10\n  id2----- answered\nserver 97 R id3-!--- 10\n  id3-!--- answered\nserver 107 R id4----- 10\n  id4----- answered\nserver 117 R id5----- 10\n  id5----- answered\nserver 127 R id6----- 10\n  id6----- answered",
		},
		{
			"what a wrong length runs over is known when the peer's hole is filled", func(t *talk) *talk {
				t.device("Daaaaaaaa"+tok+"\x00\xc8hello world").piece(1, "Raaa").stall(1, true).device(ok("command1"), data("bbbbbbbb", ""))
				t.d.Gap(t.c, 1, 6, &Part{Offset: t.at[1], Time: t.now, Packet: t.packet, More: true})
				t.d.Bytes(t.c, 1, []byte("Ccommand1"+tok), &Part{Offset: t.at[1] + 6, Time: t.now, Packet: t.packet - 2, Push: true, More: true})
				return t.stall(1, false)
			},
			"! capture-gap server 48\ndevice 96 D aaaaaaaa 46\n! length-mismatch device 96\nserver 44 R aaa 10 missing 6\nserver 54 C command1 33\n" +
				"device 142 R command1 10\n  command1 answered\ndevice 152 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"an answer whose session ID is in a gap is not held", func(t *talk) *talk {
				t.piece(0, "Rcomm").stall(0, true).server(ok("aaaaaaaa")).wait(900 * time.Millisecond)
				return t.gap(0, 5).device(data("aaaaaaaa", "x")).stall(0, false).wait(500 * time.Millisecond)
			},
			"! capture-gap device 101\ndevice 96 R comm 10 missing 5\ndevice 106 D aaaaaaaa 36\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered",
		},
		{
			"an answer whose status is in a gap has come", func(t *talk) *talk {
				return t.device(data("aaaaaaaa", "x"), data("bbbbbbbb", "")).piece(1, "Raaaaaaaa").gap(1, 1).server(ok("bbbbbbbb"))
			},
			"device 96 D aaaaaaaa 36\ndevice 132 D bbbbbbbb 35\n! capture-gap server 53\nserver 44 R aaaaaaaa 10 missing 1\n  aaaaaaaa answered\nserver 54 R bbbbbbbb 10\n  bbbbbbbb answered",
		},
		{
			"a gap over boundaries", func(t *talk) *talk { return t.gap(0, 300).device(data("bbbbbbbb", "")) },
			"! capture-gap device 96\ndevice 396 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"behind a gap, in the middle of a packet", func(t *talk) *talk { return t.gap(0, 300).device("D rest of a payload", data("bbbbbbbb", "")) },
			"! capture-gap device 96\ndevice 415 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{"the capture's end proves nothing", func(t *talk) *talk { return t.device(data("aaaaaaaa", "hello")[:30]) }, ""},
		{
			"nor does it of a length whose end it took the proof of", func(t *talk) *talk { return t.device(beat + "\x00\x0bhello world") },
			"device 96 H beatbeat 33\n  beatbeat pending",
		},
		{
			"cut off by the end", func(t *talk) *talk { return t.device(data("aaaaaaaa", "hello")[:30]).end(0) },
			"device 96 D aaaaaaaa 30 missing 5\n! truncated-packet device 96",
		},
		{
			"cut off by silence", func(t *talk) *talk { return t.device(data("aaaaaaaa", "hello")[:38]).wait(31 * time.Second) },
			"device 96 D aaaaaaaa 38 missing 2\n! truncated-packet device 96",
		},
		{
			"cut off by another packet", func(t *talk) *talk { return t.device(data("aaaaaaaa", "hello")[:30], data("bbbbbbbb", "")) },
			"device 96 D aaaaaaaa 30 missing 5\n! truncated-packet device 96\ndevice 126 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"a short write", func(t *talk) *talk { return t.device("ping", data("bbbbbbbb", "")) },
			"! short-packet device 96\ndevice 100 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{"short writes at the end", func(t *talk) *talk { return t.device("ping", "ping").end(0) }, "! short-packet device 96\n! short-packet device 100"},
		{
			"the start of a packet is no short write", func(t *talk) *talk { return t.piece(0, data("aaaaaaaa", "x")[:4]).device(data("aaaaaaaa", "x")[4:]) },
			"device 96 D aaaaaaaa 36\n  aaaaaaaa pending",
		},
		{
			"stray bytes", func(t *talk) *talk { return t.device(data("aaaaaaaa", "x")+"\r\n", data("bbbbbbbb", "")) },
			"device 96 D aaaaaaaa 36\n! stray-bytes device 132\ndevice 134 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"rubbish", func(t *talk) *talk { return t.device("AT+CIPSEND=43\r\n", data("bbbbbbbb", "")) },
			"! unknown-type device 96\ndevice 111 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"little-endian length", func(t *talk) *talk { return t.device("Daaaaaaaa"+tok+"\x03\x00abc", data("bbbbbbbb", "")) },
			"device 96 D aaaaaaaa 38\n! length-byte-order device 96\ndevice 134 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"one-byte length", func(t *talk) *talk { return t.device("Daaaaaaaa"+tok+"\x0bhello world", data("bbbbbbbb", "")) },
			"device 96 D aaaaaaaa 45\n! length-width device 96\ndevice 141 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"no length", func(t *talk) *talk { return t.device(beat+"{hello world}", data("bbbbbbbb", "")) },
			"device 96 H beatbeat 46\n! length-missing device 96\ndevice 142 D bbbbbbbb 35\n  beatbeat pending\n  bbbbbbbb pending",
		},
		{
			"no length, and what stands for one ends where a later write does", func(t *talk) *talk {
				t.stall(1, true).device(beat+"{"+strings.Repeat("x", 37), data("aaaaaaaa", strings.Repeat("y", 51)), data("bbbbbbbb", ""))
				return t.stall(1, false)
			},
			"device 96 H beatbeat 71\n! length-missing device 96\ndevice 167 D aaaaaaaa 86\ndevice 253 D bbbbbbbb 35\n  beatbeat pending\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"a wrong length", func(t *talk) *talk { return t.device("Daaaaaaaa"+tok+"\x00\x14hello world", data("bbbbbbbb", "")) },
			"device 96 D aaaaaaaa 46\n! length-mismatch device 96\ndevice 142 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"silence", func(t *talk) *talk { return t.device(data("aaaaaaaa", "")).wait(31 * time.Second) },
			"device 96 D aaaaaaaa 35\n! no-response device 96\n  aaaaaaaa unanswered",
		},
		{
			"a late answer", func(t *talk) *talk {
				return t.device(data("aaaaaaaa", "")).wait(31 * time.Second).server(ok("aaaaaaaa"))
			},
			"device 96 D aaaaaaaa 35\n! no-response device 96\nserver 44 R aaaaaaaa 10\n! late-response server 44\n  aaaaaaaa unanswered",
		},
		{
			"rubbish of which the middle is lost", func(t *talk) *talk {
				return t.piece(0, "+CIPS").gap(0, 15).device("0,1\r\n", data("aaaaaaaa", ""))
			},
			"! capture-gap device 101\n! unknown-type device 96\ndevice 121 D aaaaaaaa 35\n  aaaaaaaa pending",
		},
		{
			"an answer to a lost request is no payload", func(t *talk) *talk {
				return t.stall(0, true).server("Ccommand1"+tok, ok("lost----"), "ping-", "Ccommand2"+tok).gap(0, 35).stall(0, false)
			},
			"! capture-gap device 96\nserver 44 C command1 33\nserver 77 R lost---- 10\n  lost---- orphan\n! short-packet server 87\n" +
				"server 92 C command2 33\n  command1 pending\n  command2 pending",
		},
		{
			"an answer to a lost request is not what a length forgot", func(t *talk) *talk {
				return t.gap(1, 33).device(data("aaaaaaaa", "x")+"\r\n", ok("lost----"), data("bbbbbbbb", ""))
			},
			"! capture-gap server 44\ndevice 96 D aaaaaaaa 36\n! stray-bytes device 132\ndevice 134 R lost---- 10\n  lost---- orphan\n" +
				"device 144 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"an answer to a lost request with a bad status is no payload", func(t *talk) *talk {
				return t.stall(0, true).server("Ccommand1"+tok, "Rlost----1", "Ccommand2"+tok).gap(0, 35).stall(0, false)
			},
			"! capture-gap device 96\nserver 44 C command1 33\nserver 77 R lost---- 10\n! bad-status server 77\n  lost---- orphan\n" +
				"server 87 C command2 33\n  command1 pending\n  command2 pending",
		},
		{
			"a packet that is too short is no better for an answer to a lost request behind it", func(t *talk) *talk {
				return t.gap(1, 33).device(data("aaaaaaaa", strings.Repeat("x", 50))[:36], ok("lost----"), data("bbbbbbbb", ""))
			},
			"! capture-gap server 44\ndevice 96 D aaaaaaaa 46\n! length-mismatch device 96\ndevice 142 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"an answer to a lost request ends where a write does, not before a letter somewhere", func(t *talk) *talk {
				t.stall(0, true).server(ok("lost----"), "+CIPSEND=1,abcdefghi\r\n", "Ccommand1"+tok, "Ccommand2"+tok+"\x50"+strings.Repeat("R", 80))
				return t.gap(0, 35).stall(0, false).wait(2 * time.Second)
			},
			"! capture-gap device 96\nserver 44 R lost---- 10\n  lost---- orphan\n! unknown-type server 54\nserver 76 C command1 33\n" +
				"server 109 C command2 114\n  command1 pending\n  command2 pending",
		},
		{
			"another request with the session ID of one whose answer did not echo it", func(t *talk) *talk {
				return t.device(data("aaaaaaaa", "x")).server(ok("bbbbbbbb")).wait(2 * time.Second).device(data("aaaaaaaa", "y")).server(ok("aaaaaaaa"))
			},
			"device 96 D aaaaaaaa 36\nserver 44 R bbbbbbbb 10\ndevice 132 D aaaaaaaa 36\n! session-id-collision device 132\n" +
				"! session-id-not-echoed server 44\n  aaaaaaaa answered\nserver 54 R aaaaaaaa 10\n  aaaaaaaa answered",
		},
		{
			"a lost answer blames nobody", func(t *talk) *talk { return t.device(data("aaaaaaaa", "")).gap(1, 10).wait(31 * time.Second) },
			"device 96 D aaaaaaaa 35\n! capture-gap server 44\n  aaaaaaaa unanswered",
		},
		{
			"another token", func(t *talk) *talk { return t.device("Oaaaaaaaa" + other) },
			"device 96 O aaaaaaaa 33\n! token-mismatch device 96\n  aaaaaaaa pending",
		},
		{
			"an unknown error code", func(t *talk) *talk { return t.device(data("aaaaaaaa", "")).server("Raaaaaaaa\x00\x12\x34") },
			"device 96 D aaaaaaaa 35\nserver 44 R aaaaaaaa 12\n! error-response server 44\n! unknown-error-code server 44\n  aaaaaaaa failed",
		},
		{"a failed logout of either size", func(t *talk) *talk {
			return t.device("Oaaaaaaaa" + tok).server("Raaaaaaaa\x00").device("Obbbbbbbb" + tok).server("Rbbbbbbbb\x00\x00\x05").wait(2 * time.Second)
		}, "device 96 O aaaaaaaa 33\ndevice 129 O bbbbbbbb 33\nserver 44 R aaaaaaaa 10\n  aaaaaaaa failed\nserver 54 R bbbbbbbb 12\n  bbbbbbbb failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.talk(in(fromSYN())).close()
			got, found := strings.CutPrefix(got+"\n", loggedIn)
			if got = strings.TrimSuffix(got, "\n"); !found || got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestOtherProtocols(t *testing.T) {
	for name, s := range map[string][2]string{
		"HTTP":   {"HEAD / HTTP/1.1\r\nHost: example\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"Redis":  {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
		"TLS":    {"\x16\x03\x01\x00\x05hello", "\x16\x03\x03\x00\x05world"},
		"MQTT":   {"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "\x20\x02\x00\x00"},
		"letter": {"Hello there, this is a line of text that starts with a letter of ours\n", "Right, and so does this one, which is long enough to be anything\n"},
		"SMTP":   {"HELO example.org and a lot of other text that follows\r\n", "220 ready\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			k := fromSYN()
			for range 50 {
				k.device(s[0]).server(s[1])
			}
			if got := k.end(0).end(1).close(); got != "" {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// One answer, or a letter with text behind it, is not enough to take a connection for ours.
func TestLittleEvidence(t *testing.T) {
	for name, talk := range map[string]func(*talk) *talk{
		"one answer":         func(k *talk) *talk { return k.device("get\n").server("Rabcdefgh\x01") },
		"a heartbeat's size": func(k *talk) *talk { return k.device("Hello 12" + strings.Repeat(" text", 5)) },
	} {
		t.Run(name, func(t *testing.T) {
			if got := talk(fromSYN()).end(0).end(1).close(); got != "" {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// Rubbish must not pile up, however much comes.
func TestRubbishIsBounded(t *testing.T) {
	k := newTalk(Options{Ports: Ports{{9000, 9000}}}, Opening{Opener: true, FromStart: [2]bool{true, true}})
	for range 3000 {
		k.device(strings.Repeat("?", 1000))
	}
	if n := cap(k.c.half[0].back); n > 4*maxWait {
		t.Errorf("%d bytes are held", n)
	}
	if got := k.end(0).close(); got != "! unknown-type device 0" {
		t.Errorf("got\n%s", got)
	}
}

func TestSides(t *testing.T) {
	addr := func(a, b string) [2]netip.AddrPort {
		return [2]netip.AddrPort{netip.MustParseAddrPort(a), netip.MustParseAddrPort(b)}
	}
	high, low := addr("10.0.0.1:40000", "10.0.0.2:9000"), addr("10.0.0.2:9000", "10.0.0.1:40000")
	for _, c := range []struct {
		name string
		opts Options
		o    Opening
		dir  int
		want string
	}{
		{"the opener is the device", Options{}, Opening{Addr: low, Opener: true, FromStart: [2]bool{true, true}}, 0, "device 0 D aaaaaaaa 35"},
		{"the letter tells", Options{}, Opening{Addr: low}, 0, "device 0 D aaaaaaaa 35"},
		{"the port was named", Options{ServerPort: 40000}, Opening{Addr: high}, 0, "server 0 D aaaaaaaa 35"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalk(c.opts, c.o)
			got := k.send(c.dir, true, data("aaaaaaaa", ""), data("bbbbbbbb", "")).close()
			if !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant %s", got, c.want)
			}
		})
	}
}

func TestByteOrder(t *testing.T) {
	k := newTalk(Options{LittleEndian: true}, Opening{Opener: true, FromStart: [2]bool{true, true}})
	got := k.device(login).server(ack).device("Daaaaaaaa" + tok + "\x03\x00abc").server(ok("aaaaaaaa")).close()
	if strings.Contains(got, "!") || !strings.Contains(got, "device 61 D aaaaaaaa 38") {
		t.Errorf("got\n%s", got)
	}
}

func TestForcedPort(t *testing.T) {
	if c := opened(New(Options{Ports: Ports{{1, 2}, {9001, 9100}}}, &notes{}), Opening{
		Addr: [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:9000")},
	}); c != nil {
		t.Error("a connection on another port is dissected")
	}
}

// checker holds what every run must keep.
type checker struct {
	t    *testing.T
	next map[*Conn]*[3]int64
	last [3]int64 // numbers
	all  []string
}

func (k *checker) Frame(f *Frame) {
	n := k.next[f.Conn]
	if n == nil {
		n = &[3]int64{}
		k.next[f.Conn] = n
	}
	if f.Offset < n[f.dir] || f.Length <= 0 || len(f.Raw) != f.Length {
		k.t.Fatalf("frame at %d of %d bytes, after %d", f.Offset, f.Length, n[f.dir])
	}
	n[f.dir] = f.Offset + int64(f.Length)
	k.count(0, f.Number)
	at := 0
	for _, v := range f.Fields() {
		if v.At < at || v.At+len(v.Value) > f.Length {
			k.t.Fatalf("field %s at %d of a frame of %d bytes", v.Name, v.At, f.Length)
		}
		at = v.At + len(v.Value)
	}
	k.all = append(k.all, fmt.Sprint(f.Number, f.From, f.Offset, f.Length, f.Violations, f.Transaction))
}

func (k *checker) count(i int, n int64) {
	if n != k.last[i]+1 {
		k.t.Fatalf("number %d after %d", n, k.last[i])
	}
	k.last[i] = n
}

func (k *checker) Transaction(t *Transaction) {
	if t.State == Outstanding || t.Number == 0 {
		k.t.Fatalf("transaction %+v", t)
	}
	k.all = append(k.all, fmt.Sprint(t.Number, t.State, t.Request, t.Response))
}

func (k *checker) Violation(v *Violation) {
	k.count(1, v.Number)
	if v.Rule == nil || v.Message == "" || len(v.Bytes) > maxBytes || v.Offset < 0 {
		k.t.Fatalf("violation %+v", v)
	}
	if v.Rule.Severity == protocol.Note && v.Blame != protocol.Unknown {
		k.t.Fatalf("a note blames the %v", v.Blame)
	}
	k.all = append(k.all, fmt.Sprint(v.Rule.ID, v.From, v.Offset, v.Length))
}
func (k *checker) Stream(*Stream) {}

// FuzzDissector sends anything, cut anywhere, with gaps and pauses: what comes out keeps its order,
// memory stays bounded, and the same input gives the same records.
func FuzzDissector(f *testing.F) {
	f.Add([]byte(login + "\xff\x01" + ack + "\xff\x00" + data("aaaaaaaa", "x") + "\xff\x01" + ok("aaaaaaaa")))
	f.Add([]byte(login + "\xff\x01" + ack + "\xff\x02\xff\x00" + data("aaaaaaaa", "x") + "\xff\x03\xff\x01" + ok("aaaaaaaa")))
	f.Add([]byte("Hbeatbeat" + tok + "\x02hi\xff\x04\xff\x00" + data("aaaaaaaa", "x") + "\xff\x05"))
	f.Fuzz(func(t *testing.T, b []byte) {
		one, two := fuzzed(t, b), fuzzed(t, b)
		if fmt.Sprint(one) != fmt.Sprint(two) {
			t.Fatalf("two runs differ:\n%v\n%v", one, two)
		}
	})
}

// fuzzed plays bytes; 0xff begins an order.
func fuzzed(t *testing.T, b []byte) []string {
	k := &checker{t: t, next: map[*Conn]*[3]int64{}}
	x := newTalk(Options{}, Opening{Opener: true, FromStart: [2]bool{true, true}})
	x.d.out.sink = k
	dir := 0
	for len(b) > 0 {
		i := strings.IndexByte(string(b), 0xff)
		if i != 0 {
			if i < 0 {
				i = len(b)
			}
			x.send(dir, true, string(b[:i]))
			b = b[i:]
			continue
		}
		if len(b) < 2 {
			break
		}
		switch b[1] % 8 {
		case 0, 1:
			dir = int(b[1] % 8)
		case 2:
			x.gap(dir, int64(b[1])+1)
		case 3:
			x.wait(time.Duration(b[1]) * 200 * time.Millisecond)
		case 4:
			x.end(dir)
		case 5:
			x.d.Stall(x.c, dir, b[1]&8 != 0)
		case 6:
			x.gap(dir, 1<<20)
		case 7:
			x.piece(dir, "D")
		}
		b = b[2:]
		for i := range x.c.half {
			if n := len(x.c.half[i].buf); n > 1<<20 {
				t.Fatalf("%d bytes are held", n)
			}
		}
	}
	x.close()
	return k.all
}

func BenchmarkDissector(b *testing.B) {
	x := in(fromSYN())
	x.d.out.sink = discard{}
	p := []byte(data("aaaaaaaa", strings.Repeat("x", 64)))
	r := []byte(ok("aaaaaaaa"))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for k, n := 1, i; k < 9; k, n = k+1, n/26 {
			p[k] = byte('a' + n%26)
			r[k] = p[k]
		}
		x.now += 1e6
		x.d.Bytes(x.c, 0, p, &Part{Offset: x.at[0], Time: x.now, Packet: x.packet, Push: true})
		x.d.Bytes(x.c, 1, r, &Part{Offset: x.at[1], Time: x.now, Packet: x.packet + 1, Push: true})
		x.at[0] += int64(len(p))
		x.at[1] += int64(len(r))
		x.packet += 2
	}
}

type discard struct{}

func (discard) Frame(*Frame)             {}
func (discard) Transaction(*Transaction) {}
func (discard) Violation(*Violation)     {}
func (discard) Stream(*Stream)           {}

// What cannot be read behind an incomplete packet is passed over, even where it looks like an answer.
func TestGoesOnBehindDoubt(t *testing.T) {
	for _, answer := range []string{"R\x81\x82\x83\x84\x85\x86\x87\x88\x01", "Rabcdefgh1"} {
		k := in(fromSYN())
		k.device(data(answer[1:9], "hi"))
		k.piece(1, "Ccmd-----"+tok+"\x1401234").gap(1, 5).server("0123456789")
		k.server(answer + "garbage garbage garbage garbage")
		if got := k.close(); !strings.Contains(got, "server 44 C cmd----- 54 missing 5") {
			t.Errorf("got\n%s", got)
		}
	}
}

// The token of a login's answer is known at once, on every connection, though the answer may yet have a tail.
func TestTokenOfAnotherConnection(t *testing.T) {
	k := fromSYN().device(login).server(ack)
	o := Opening{Stream: 1, Opener: true, FromStart: [2]bool{true, true}, Heard: &k.heard, Time: k.now}
	o.Addr = [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:40001"), netip.MustParseAddrPort("10.0.0.2:9000")}
	k.c, k.at = opened(k.d, o), [2]int64{}
	if got := k.device(data("aaaaaaaa", "")).server(ok("aaaaaaaa")).close(); strings.Contains(got, "!") {
		t.Errorf("got\n%s", got)
	}
}

// A request that waits keeps none of those that were answered since.
func TestAnsweredRequestsAreForgotten(t *testing.T) {
	k := in(fromSYN()).device(data("neverans", ""))
	for i := range 20_000 {
		id := fmt.Sprintf("%08d", i)
		k.d.Bytes(k.c, 0, []byte(data(id, "")), &Part{Offset: k.at[0], Time: k.now, Packet: k.packet, Push: true})
		k.d.Bytes(k.c, 1, []byte(ok(id)), &Part{Offset: k.at[1], Time: k.now, Packet: k.packet + 1, Push: true})
		k.at[0] += 35
		k.at[1] += 10
		k.packet += 2
	}
	if n := k.c.half[0].requests.n; n > 1 {
		t.Errorf("%d requests are kept", n)
	}
}

// Where a capture starts in the middle, a session ID that starts with a letter of a request makes no packet of a response.
func TestSessionIDLikeARequest(t *testing.T) {
	k := newTalk(Options{}, Opening{})
	k.server("RHession1\x01" + tok).device(data("aaaaaaaa", "")).server(ok("aaaaaaaa"))
	if got, want := k.close(), "! capture-midstream device 0\nserver 0 R Hession1 34\n  Hession1 orphan\ndevice 0 D aaaaaaaa 35\nserver 34 R aaaaaaaa 10\n  aaaaaaaa answered"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// An answer settles its request by what had been seen before it, though there is a hole behind what came since.
func TestAnswerBeforeAHole(t *testing.T) {
	k := in(fromSYN()).device(data("aaaaaaaa", "x")+"\r\n").stall(1, true)
	k.packet++
	answer := k.packet
	k.device("Hbeat").stall(0, true).gap(1, 33)
	k.d.Bytes(k.c, 1, []byte(ok("aaaaaaaa")), &Part{Offset: k.at[1], Time: k.now, Packet: answer, Push: true})
	k.stall(1, false).wait(1100 * time.Millisecond)
	if got, want := strings.Join(k.n.lines, "\n"), loggedIn+"! capture-gap server 44\ndevice 96 D aaaaaaaa 36\n! stray-bytes device 132\nserver 77 R aaaaaaaa 10\n  aaaaaaaa answered"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Where the peer has acknowledged one byte more than was captured, that may be a FIN, or what a packet lacks: nobody is to blame then.
func TestLastByteMayBeLost(t *testing.T) {
	for _, c := range []struct {
		more int64
		want string
	}{
		{0, "device 96 D aaaaaaaa 39\n! length-mismatch device 96\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered\n" +
			"device 135 D bbbbbbbb 35\nserver 54 R bbbbbbbb 9 missing 1\n! truncated-packet server 54\n! no-response device 135\n  bbbbbbbb unanswered"},
		{1, "device 96 D aaaaaaaa 39 missing 1\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered\n! capture-gap device 135\n" +
			"device 136 D bbbbbbbb 35\nserver 54 R bbbbbbbb 9 missing 1\n  bbbbbbbb unanswered"},
	} {
		k := in(newTalk(Options{}, Opening{Opener: true, FromStart: [2]bool{true, true}, Acks: &Acks{}}))
		k.piece(0, data("aaaaaaaa", "hello")[:39]).acked(0, c.more).server(ok("aaaaaaaa")).wait(2 * time.Second)
		if c.more > 0 {
			k.gap(0, c.more)
		}
		k.device(data("bbbbbbbb", "")).acked(0, 0).piece(1, ok("bbbbbbbb")[:9]).acked(1, c.more).wait(31 * time.Second)
		if got, _ := strings.CutPrefix(k.close(), loggedIn); got != c.want {
			t.Errorf("%d more: got\n%s\nwant\n%s", c.more, got, c.want)
		}
	}
}

// An answer proves nothing of how much of its request there was where the capture has a part of that behind it.
func TestAnswerInTheMidstOfItsRequest(t *testing.T) {
	k := in(fromSYN())
	beat := "Hbeatbeat" + tok + "\x04text"
	p := k.packet
	for _, x := range []struct {
		dir, from, to int
		packet        int64
	}{{0, 0, 18, 1}, {1, 0, 10, 3}, {0, 18, 31, 5}, {0, 31, 33, 2}, {0, 33, 38, 4}} {
		b := []string{beat, ok("beatbeat")}[x.dir][x.from:x.to]
		if x.from == 18 {
			k.stall(0, false)
		}
		k.now += 1e6
		k.d.Bytes(k.c, x.dir, []byte(b), &Part{Offset: k.at[x.dir], Time: k.now, Packet: p + x.packet, Push: x.to == 38 || x.dir == 1, More: x.from == 18 || x.from == 31})
		k.at[x.dir] += int64(len(b))
		if x.to == 18 {
			k.stall(0, true)
		}
	}
	if got, want := k.close(), loggedIn+"device 96 H beatbeat 38\nserver 44 R beatbeat 10\n  beatbeat answered"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What was never captured of a request makes no other one of it.
func TestRepeatedWithAGap(t *testing.T) {
	for _, c := range []struct{ second, want string }{
		{"hello world, hello", "request-repeated"},
		{"hello worms, hello", "session-id-collision"},
	} {
		k := in(fromSYN()).device(data("aaaaaaaa", "hello world, hello"))
		b := data("aaaaaaaa", c.second)
		k.piece(0, b[:46]).gap(0, 3).device(b[49:]).wait(2 * time.Second)
		if got := k.close(); !strings.Contains(got, "device 149 D aaaaaaaa 53 missing 3\n! "+c.want+" device 149") {
			t.Errorf("got\n%s\nwant %s", got, c.want)
		}
	}
}

// Of a long request not all bytes are kept, but all of them tell it from another one.
func TestRepeatedLongRequest(t *testing.T) {
	for _, c := range []struct{ last, want string }{{"x", "request-repeated"}, {"y", "session-id-collision"}} {
		long := strings.Repeat("long", 320)
		k := in(fromSYN()).device(data("aaaaaaaa", long+"x")).device(data("aaaaaaaa", long+c.last)).wait(2 * time.Second)
		if got := k.close(); !strings.Contains(got, "! "+c.want+" device") {
			t.Errorf("got\n%s\nwant %s", got, c.want)
		}
	}
}
