package dissect

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// endScript is a conversation on a healthy connection, and the records that it makes.
type endScript struct {
	name string
	talk func(*talk) *talk
	want string
}

func runEndScripts(t *testing.T, list []endScript) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			got, found := strings.CutPrefix(c.talk(in(fromSYN())).close()+"\n", loggedIn)
			if got = strings.TrimSuffix(got, "\n"); !found || got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

const (
	bareBeat    = "Hbeatbeat" + tok
	bareCommand = "Ccommand1" + tok
)

// What is cut off behind the answer to a login does not hold up the command that comes after it, nor its answer.
func TestCutOffBehindALogin(t *testing.T) {
	k := fromSYN().device(login).server(ack, "Ccutoff--", "Caaaaaaaa"+tok).device(ok("aaaaaaaa")).wait(5 * time.Second).device(data("bbbbbbbb", ""))
	want := "device 0 L session1 61\nserver 0 R session1 34\n  session1 answered\nserver 34 C cutoff-- 9 missing 24\n! truncated-packet server 34\n" +
		"server 43 C aaaaaaaa 33\ndevice 61 R aaaaaaaa 10\n  aaaaaaaa answered\ndevice 71 D bbbbbbbb 35\n  bbbbbbbb pending"
	if got := k.close(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A packet in a write of its own is whole, even where the next one breaks off.
func TestWholeBeforeWhatBreaksOff(t *testing.T) {
	next := data("aaaaaaaa", "hello")
	const whole = "device 96 H beatbeat 33\n"
	const unanswered = "! no-response device 96\n  beatbeat unanswered"
	runEndScripts(t, []endScript{
		{
			"a heartbeat, and the end", func(t *talk) *talk { return t.device(bareBeat, next[:12]).end(0) },
			whole + "device 129 D aaaaaaaa 12 missing 23\n! truncated-packet device 129\n  beatbeat pending",
		},
		{
			"a heartbeat, and silence", func(t *talk) *talk { return t.device(bareBeat, next[:25]).wait(31 * time.Second) },
			whole + "device 129 D aaaaaaaa 25 missing 10\n! truncated-packet device 129\n" + unanswered,
		},
		{
			"a heartbeat, and the end in what has a token from nowhere", func(t *talk) *talk { return t.device(bareBeat, "Daaaaaaaa"+other+"\x00").end(0).end(1) },
			whole + "device 129 D aaaaaaaa 34 missing 1\n! truncated-packet device 129\n" + unanswered,
		},
		{
			"a heartbeat, and the end in a login", func(t *talk) *talk { return t.device(bareBeat, login[:30]).end(0).end(1) },
			whole + "device 129 L session1 30 missing 28\n! truncated-packet device 129\n" + unanswered,
		},
		{"a heartbeat, and the capture's end", func(t *talk) *talk { return t.device(bareBeat, next[:7]) }, whole + "  beatbeat pending"},
		{"a heartbeat, and the capture's end behind a token", func(t *talk) *talk { return t.device(bareBeat, next[:34]) }, whole + "  beatbeat pending"},
		{
			"a heartbeat, and a gap", func(t *talk) *talk {
				return t.device(bareBeat).piece(0, next[:12]).gap(0, 200).device(data("zzzzzzzz", "q"))
			},
			"! capture-gap device 141\n" + whole + "device 341 D zzzzzzzz 36\n  beatbeat pending\n  zzzzzzzz pending",
		},
		{
			"a heartbeat, and a gap in what has a known size", func(t *talk) *talk { return t.device(bareBeat).piece(0, "Oaaaaaaaato").gap(0, 200).end(0).end(1) },
			"! capture-gap device 140\n" + whole + "device 129 O aaaaaaaa 33 missing 22\n" + unanswered + "\n! no-response device 129\n  aaaaaaaa unanswered",
		},
		{
			"a command, and the end", func(t *talk) *talk { return t.server(bareCommand, "Ccommand2tok").end(1).end(0) },
			"server 44 C command1 33\nserver 77 C command2 12 missing 21\n! truncated-packet server 77\n! no-response server 44\n  command1 unanswered",
		},
		{
			"an answer, and the end", func(t *talk) *talk { return t.server(bareCommand).device(ok("command1"), next[:11]).end(0).end(1) },
			"server 44 C command1 33\ndevice 96 R command1 10\n  command1 answered\ndevice 106 D aaaaaaaa 11 missing 24\n! truncated-packet device 106",
		},
		{
			"an answer, and a gap", func(t *talk) *talk {
				return t.server(bareCommand).device(ok("command1")).piece(0, next[:11]).gap(0, 200).device(data("zzzzzzzz", "q"))
			},
			"server 44 C command1 33\n! capture-gap device 117\ndevice 96 R command1 10\n  command1 answered\ndevice 317 D zzzzzzzz 36\n  zzzzzzzz pending",
		},
	})
	for _, c := range []struct {
		name string
		end  func(*talk) *talk
		want string
	}{
		{"the end", func(t *talk) *talk { return t.end(1) }, "server 34 C command1 12 missing 21\n! truncated-packet server 34"},
		{"the capture's end", func(t *talk) *talk { return t }, ""},
	} {
		t.Run("a login's answer, and "+c.name, func(t *testing.T) {
			got := c.end(fromSYN().device(login).server(ack, bareCommand[:12])).close()
			if want := strings.TrimSpace("device 0 L session1 61\nserver 0 R session1 34\n  session1 answered\n" + c.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// A packet whose length tells its end is whole, even where the next one in its write is lost in part.
func TestWholeBeforeAGap(t *testing.T) {
	first, next := data("aaaaaaaa", "hello"), data("bbbbbbbb", strings.Repeat("x", 60))
	const after = "device 196 D zzzzzzzz 36\n"
	runEndScripts(t, []endScript{
		{
			"in the token", func(t *talk) *talk { return t.piece(0, first+next[:20]).gap(0, 40).device(data("zzzzzzzz", "q")) },
			"! capture-gap device 156\ndevice 96 D aaaaaaaa 40\n" + after + "  aaaaaaaa pending\n  zzzzzzzz pending",
		},
		{
			"in the session ID", func(t *talk) *talk { return t.piece(0, first+next[:3]).gap(0, 57).device(data("zzzzzzzz", "q")) },
			"! capture-gap device 139\ndevice 96 D aaaaaaaa 40\n" + after + "  aaaaaaaa pending\n  zzzzzzzz pending",
		},
		{
			"in the token, and it was answered", func(t *talk) *talk {
				return t.piece(0, first+next[:20]).gap(0, 40).device("").server(ok("aaaaaaaa"), ok("bbbbbbbb")).device(data("zzzzzzzz", "q"))
			},
			"! capture-gap device 156\ndevice 96 D aaaaaaaa 40\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered\n" +
				"server 54 R bbbbbbbb 10\n  bbbbbbbb orphan\n" + after + "  zzzzzzzz pending",
		},
		{
			"in the token, and the end", func(t *talk) *talk { return t.piece(0, first+next[:20]).gap(0, 40).end(0).end(1) },
			"! capture-gap device 156\ndevice 96 D aaaaaaaa 40\n! no-response device 96\n  aaaaaaaa unanswered",
		},
		{
			"in the token, behind a heartbeat without a tail", func(t *talk) *talk { return t.piece(0, bareBeat+next[:20]).gap(0, 40).device(data("zzzzzzzz", "q")) },
			"! capture-gap device 149\ndevice 96 H beatbeat 33\ndevice 189 D zzzzzzzz 36\n  beatbeat pending\n  zzzzzzzz pending",
		},
		{
			"in the token, behind a heartbeat with a tail", func(t *talk) *talk {
				return t.piece(0, bareBeat+"\x02hi"+next[:20]).gap(0, 40).device(data("zzzzzzzz", "q"))
			},
			"! capture-gap device 152\ndevice 96 H beatbeat 36\ndevice 192 D zzzzzzzz 36\n  beatbeat pending\n  zzzzzzzz pending",
		},
	})
}

// Answers to requests that were never captured stand, as long as what follows proves where they end.
func TestAnswersToLostRequestsBeforeAGap(t *testing.T) {
	for _, lost := range []int64{10, 200} {
		k := in(fromSYN()).gap(0, 70).device(data("aaaaaaaa", "x"), data("bbbbbbbb", "x"), data("cccccccc", "x"))
		k.server(ok("lost1---")+ok("lost2---"), ok("aaaaaaaa")+ok("bbbbbbbb")+ok("cccccccc")).gap(1, lost)
		k.d.End(k.c, 1, EndFile, k.now)
		got, _ := strings.CutPrefix(k.close(), loggedIn)
		want := "! capture-gap device 96\ndevice 166 D aaaaaaaa 36\ndevice 202 D bbbbbbbb 36\ndevice 238 D cccccccc 36\n! capture-gap server 94\n" +
			"server 44 R lost1--- 10\n  lost1--- orphan\nserver 54 R lost2--- 10\n  lost2--- orphan\n" +
			"server 64 R aaaaaaaa 10\n  aaaaaaaa answered\nserver 74 R bbbbbbbb 10\n  bbbbbbbb answered\nserver 84 R cccccccc 10\n  cccccccc answered"
		if got != want {
			t.Errorf("%d bytes lost: got\n%s\nwant\n%s", lost, got, want)
		}
	}
}

// A length that is wrong is one, however little of it shows: an answer, or a packet beyond doubt, tells where the packet ended.
func TestWrongLengths(t *testing.T) {
	long := "Daaaaaaaa" + tok + "\x00\x40hello world"
	const answered = "device 96 D aaaaaaaa 46\n! length-mismatch device 96\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered"
	runEndScripts(t, []endScript{
		{
			"too large, answered, and the end", func(t *talk) *talk { return t.device(long).server(ok("aaaaaaaa")).end(0).end(1) },
			answered,
		},
		{
			"too large, answered, and silence", func(t *talk) *talk { return t.device(long).server(ok("aaaaaaaa")).wait(31 * time.Second) },
			answered,
		},
		{
			"too large, and the end before the answer", func(t *talk) *talk { return t.device(long).end(0).server(ok("aaaaaaaa")).end(1) },
			"device 96 D aaaaaaaa 46 missing 53\n! truncated-packet device 96\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered",
		},
		{
			"too large in a login, answered", func(t *talk) *talk {
				return t.device("Lsession2client-client-clientsecret-secret-secretPRODUCT0\x14one").server("Rsession2\x00\x00\x03").wait(2 * time.Second)
			},
			"device 96 L session2 61\n! length-mismatch device 96\n! login-repeated device 96\nserver 44 R session2 12\n! error-response server 44\n  session2 failed",
		},
		{
			"too large in a login, and another packet", func(t *talk) *talk {
				return t.device("Lsession2client-client-clientsecret-secret-secretPRODUCT0\x14one", data("bbbbbbbb", ""))
			},
			"device 96 L session2 61\n! length-mismatch device 96\n! login-repeated device 96\ndevice 157 D bbbbbbbb 35\n  session2 pending\n  bbbbbbbb pending",
		},
		{
			"none, answered", func(t *talk) *talk { return t.device("Daaaaaaaa" + tok + "\x00\x00hello world").server(ok("aaaaaaaa")) },
			answered,
		},
		{
			"none, and another packet", func(t *talk) *talk {
				return t.device("Daaaaaaaa"+tok+"\x00\x00hello world", data("bbbbbbbb", ""))
			},
			"device 96 D aaaaaaaa 46\n! length-mismatch device 96\ndevice 142 D bbbbbbbb 35\n  aaaaaaaa pending\n  bbbbbbbb pending",
		},
		{
			"none, and silence", func(t *talk) *talk { return t.device("Daaaaaaaa" + tok + "\x00\x00hello world").wait(31 * time.Second) },
			"device 96 D aaaaaaaa 46\n! length-mismatch device 96\n  aaaaaaaa unanswered",
		},
		{
			"none, and the capture's end", func(t *talk) *talk { return t.device("Daaaaaaaa" + tok + "\x00\x00hello world") },
			"device 96 D aaaaaaaa 35\n  aaaaaaaa pending",
		},
		{
			"the same in either byte order, answered", func(t *talk) *talk {
				return t.device("Daaaaaaaa" + tok + "\x01\x01" + strings.Repeat("x", 270)).server(ok("aaaaaaaa"))
			},
			"device 96 D aaaaaaaa 305\n! length-mismatch device 96\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered",
		},
		{
			"what only looks like the one of a login behind a gap", func(t *talk) *talk {
				t.stall(1, true).gap(0, 31).device("Llollollo" + strings.Repeat("lo", 20) + "PRO\x01UCT0\xa8" + strings.Repeat("lo", 8))
				return t.device(data("bbbbbbbb", ""), data("cccccccc", strings.Repeat("x", 83))).stall(1, false)
			},
			"! capture-gap device 96\ndevice 201 D bbbbbbbb 35\ndevice 236 D cccccccc 118\n  bbbbbbbb pending\n  cccccccc pending",
		},
	})
}

// A length of 0 does not make a packet wait for the end of a write where the next ones stand.
func TestLengthZeroWaitsForNoPacket(t *testing.T) {
	k := fromSYN().piece(0, login).piece(1, ack).piece(0, data("first---", "")).piece(1, ok("first---"))
	k.piece(0, "Ccommand1"+tok+"\x00\x00\x00\x00\x00\x00").wait(20*time.Millisecond).piece(1, ok("nothing1")).wait(150*time.Millisecond).piece(0, ok("nothing2"))
	k.wait(150*time.Millisecond).piece(0, data("aaaaaaaa", "x")).piece(1, ok("aaaaaaaa")).piece(0, data("bbbbbbbb", "y")).piece(1, ok("bbbbbbbb"))
	if got := k.end(0).end(1).close(); !strings.Contains(got, "D aaaaaaaa 36") || !strings.Contains(got, "D bbbbbbbb 36") {
		t.Errorf("got\n%s", got)
	}
}

// What follows a packet in a write of its own, and starts as the next one does, is no payload of it, however short it is.
func TestNoPayloadThatStartsAPacket(t *testing.T) {
	next := data("aaaaaaaa", "hello")
	const end = "device 129 D aaaaaaaa 20 missing 15\n! truncated-packet device 129\ndevice 149 D bbbbbbbb 35\n"
	runEndScripts(t, []endScript{
		{
			"answered, and another packet", func(t *talk) *talk {
				return t.device(bareBeat, next[:20]).server(ok("beatbeat")).device(data("bbbbbbbb", ""))
			},
			"device 96 H beatbeat 33\nserver 44 R beatbeat 10\n  beatbeat answered\n" + end + "  bbbbbbbb pending",
		},
		{
			"answered, and more of it", func(t *talk) *talk {
				return t.device(bareBeat).piece(0, next[:20]).server(ok("beatbeat")).wait(2 * time.Second).device(next[20:])
			},
			"device 96 H beatbeat 33\nserver 44 R beatbeat 10\n  beatbeat answered\ndevice 129 D aaaaaaaa 40\n  aaaaaaaa pending",
		},
		{
			"another packet", func(t *talk) *talk { return t.device(bareBeat, next[:20], data("bbbbbbbb", "")) },
			"device 96 H beatbeat 33\n" + end + "  beatbeat pending\n  bbbbbbbb pending",
		},
		{
			"of the server, answered", func(t *talk) *talk {
				return t.server(bareCommand, "Ccommand2tokentokent").device(ok("command1")).server("Ccommand3" + tok)
			},
			"server 44 C command1 33\nserver 77 C command2 20 missing 13\n! truncated-packet server 77\ndevice 96 R command1 10\n  command1 answered\n" +
				"server 97 C command3 33\n  command3 pending",
		},
		{
			"behind an answer", func(t *talk) *talk {
				return t.server(bareCommand).device(ok("command1"), next[:20], data("bbbbbbbb", ""))
			},
			"server 44 C command1 33\ndevice 96 R command1 10\n  command1 answered\ndevice 106 D aaaaaaaa 20 missing 15\n! truncated-packet device 106\n" +
				"device 126 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"a payload that starts with a letter only", func(t *talk) *talk { return t.device(bareBeat, "Hello world", data("bbbbbbbb", "")) },
			"device 96 H beatbeat 44\n! length-missing device 96\ndevice 140 D bbbbbbbb 35\n  beatbeat pending\n  bbbbbbbb pending",
		},
	})
}

// Bytes before a packet of the same segment are no write of their own, and behind no packet they are no stray bytes.
func TestBytesBeforeAPacketInItsSegment(t *testing.T) {
	packet := data("aaaaaaaa", "x")
	runEndScripts(t, []endScript{
		{
			"behind a write", func(t *talk) *talk { return t.device("\r\n" + packet) },
			"! unknown-type device 96\ndevice 98 D aaaaaaaa 36\n  aaaaaaaa pending",
		},
		{
			"of the server", func(t *talk) *talk { return t.server("\n" + bareCommand) },
			"! unknown-type server 44\nserver 45 C command1 33\n  command1 pending",
		},
		{
			"over two segments", func(t *talk) *talk { return t.piece(0, "\r").device("\n" + packet) },
			"! unknown-type device 96\ndevice 98 D aaaaaaaa 36\n  aaaaaaaa pending",
		},
		{
			"behind a short write", func(t *talk) *talk { return t.device("\x00\x00", "\r\n"+packet) },
			"! short-packet device 96\n! unknown-type device 98\ndevice 100 D aaaaaaaa 36\n  aaaaaaaa pending",
		},
		{
			"behind a packet", func(t *talk) *talk { return t.device(data("bbbbbbbb", "") + "\r\n" + packet) },
			"device 96 D bbbbbbbb 35\n! stray-bytes device 131\ndevice 133 D aaaaaaaa 36\n  bbbbbbbb pending\n  aaaaaaaa pending",
		},
		{
			"in a segment of their own, whatever its flags", func(t *talk) *talk { return t.piece(0, "\r\n").device(packet) },
			"! short-packet device 96\ndevice 98 D aaaaaaaa 36\n  aaaaaaaa pending",
		},
	})
}

// A status that is neither of the two is told, whatever is or is not behind it.
func TestBadStatusOfALoginsAnswer(t *testing.T) {
	const again = "Lsession2client-client-clientsecret-secret-secretPRODUCT0\x03one"
	const bad = "Rsession2\x02"
	const asked = "device 96 L session2 61\n! login-repeated device 96\n"
	runEndScripts(t, []endScript{
		{
			"nothing, and the end", func(t *talk) *talk { return t.device(again).server(bad).end(1).end(0) },
			asked + "server 44 R session2 10\n! bad-status server 44\n  session2 failed",
		},
		{
			"nothing, and another packet", func(t *talk) *talk { return t.device(again).server(bad, bareCommand).wait(2 * time.Second) },
			asked + "server 44 R session2 10\n! bad-status server 44\n  session2 failed\nserver 54 C command1 33\n  command1 pending",
		},
		{
			"nothing, and silence", func(t *talk) *talk { return t.device(again).server(bad).wait(31 * time.Second) },
			asked + "server 44 R session2 10\n! bad-status server 44\n  session2 failed",
		},
		{
			"a code", func(t *talk) *talk { return t.device(again).server(bad+"\x00\x03", bareCommand).wait(2 * time.Second) },
			asked + "server 44 R session2 12\n! bad-status server 44\n  session2 failed\nserver 56 C command1 33\n  command1 pending",
		},
		{
			"a token", func(t *talk) *talk { return t.device(again).server(bad+other, bareCommand).wait(2 * time.Second) },
			asked + "server 44 R session2 34\n! bad-status server 44\n  session2 failed\nserver 78 C command1 33\n  command1 pending",
		},
		{
			"a part of a token, and the end", func(t *talk) *talk { return t.device(again).server(bad + other[:12]).end(1).end(0) },
			asked + "server 44 R session2 22 missing 12\n! truncated-packet server 44\n! bad-status server 44\n  session2 unanswered",
		},
	})
}

// What would bound a packet whose length may be wrong is waited for until its answer would be late, whatever comes meanwhile.
func TestWaitsForABoundUntilTheTimeout(t *testing.T) {
	k := fromSYN().device(login + data("aaaaaaaa", "x"))
	for i := range 6 {
		k.wait(6 * time.Second).device(data(fmt.Sprintf("%08d", i), ""))
	}
	if got := strings.Join(k.n.lines, "\n"); !strings.HasPrefix(got, "device 0 L session1 61\ndevice 61 D aaaaaaaa 36\n") {
		t.Errorf("got\n%s", got)
	}
}
