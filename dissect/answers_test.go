package dissect

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nubishark/nubishark/protocol"
)

// script is a conversation of which all is known that is concluded.
type script struct {
	name string
	talk func(*talk) *talk
	want string
}

// play plays it behind a login, as it is and the long way.
func (s *script) play(t *testing.T) {
	t.Run(s.name, func(t *testing.T) {
		for _, o := range []Options{{}, {Thorough: true}} {
			k := newTalk(o, Opening{Opener: true, FromStart: [2]bool{true, true}})
			got, found := strings.CutPrefix(s.talk(in(k)).close(), loggedIn)
			if !found || got != s.want {
				t.Errorf("%+v: got\n%s\nwant\n%s", o, got, s.want)
			}
		}
	})
}

// An answer waits for its request as long as that may yet be longer, or shorter, than it seems.
func TestAnswerWaitsForItsRequest(t *testing.T) {
	const rest = 2 * time.Second
	next := data("bbbbbbbb", "y")
	json := "Hbeatbeat" + tok + "{" + strings.Repeat("x", '{') + "Dabcdefghi"
	short := "Daaaaaaaa" + tok + "\x00\x02hiDabcdefgh"
	const (
		request  = "device 96 D aaaaaaaa 36\n"
		answered = "server 44 R aaaaaaaa 10\n  aaaaaaaa answered"
	)
	for _, s := range []script{
		{
			"the next packet has begun", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")+next[:5]).server(ok("aaaaaaaa")).wait(rest).device(next[5:]).server(ok("bbbbbbbb"))
			},
			request + "device 132 D bbbbbbbb 36\n" + answered + "\nserver 54 R bbbbbbbb 10\n  bbbbbbbb answered",
		},
		{
			"and its token has, behind a tail", func(k *talk) *talk {
				return k.piece(0, "Hbeatbeat"+tok+"\x02hi"+next[:30]).server(ok("beatbeat")).wait(rest).device(next[30:])
			},
			"device 96 H beatbeat 36\ndevice 132 D bbbbbbbb 36\nserver 44 R beatbeat 10\n  beatbeat answered\n  bbbbbbbb pending",
		},
		{
			"of the server", func(k *talk) *talk {
				return k.piece(1, "Ccommand1"+tok+"\x02hi"+"Ccomm").device(ok("command1"), next).wait(rest).server("and2"+tok, ok("bbbbbbbb")).device(ok("command2"))
			},
			"server 44 C command1 36\ndevice 96 R command1 10\n  command1 answered\ndevice 106 D bbbbbbbb 36\nserver 80 C command2 33\nserver 113 R bbbbbbbb 10\n" +
				"  bbbbbbbb answered\ndevice 142 R command2 10\n  command2 answered",
		},
		{
			"the answer was captured first", func(k *talk) *talk {
				return k.server(ok("aaaaaaaa")).piece(0, data("aaaaaaaa", "x")+next[:5]).wait(rest).device(next[5:])
			},
			request + answered + "\ndevice 132 D bbbbbbbb 36\n  bbbbbbbb pending",
		},
		{
			"that used the session ID before", func(k *talk) *talk {
				return k.piece(0, data("first---", "x")+next[:5]).server(ok("first---")).wait(rest).device(next[5:])
			},
			"device 96 D first--- 36\n! session-id-reused device 96\ndevice 132 D bbbbbbbb 36\nserver 44 R first--- 10\n  first--- answered\n  bbbbbbbb pending",
		},
		{
			"nothing more comes", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")+next[:5]).server(ok("aaaaaaaa")).wait(31 * time.Second)
			},
			request + "! stray-bytes device 132\n" + answered,
		},
		{
			"the direction ends", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")+next[:30]).server(ok("aaaaaaaa")).wait(rest).end(0)
			},
			request + "device 132 D bbbbbbbb 30 missing 5\n! truncated-packet device 132\n" + answered,
		},
		{
			"the capture ends", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")+next[:30]).server(ok("aaaaaaaa")).wait(rest)
			},
			request + answered,
		},
		{
			"what stands for a length ends before a letter", func(k *talk) *talk { return k.device(json).server(ok("beatbeat")).wait(rest).device(next) },
			"device 96 H beatbeat 167\n! length-missing device 96\nserver 44 R beatbeat 10\n  beatbeat answered\ndevice 263 D bbbbbbbb 36\n  bbbbbbbb pending",
		},
		{
			"and nothing more comes", func(k *talk) *talk { return k.device(json).server(ok("beatbeat")).wait(31 * time.Second) },
			"device 96 H beatbeat 167\n! length-missing device 96\nserver 44 R beatbeat 10\n  beatbeat answered",
		},
		{
			"a length is too short, before a letter", func(k *talk) *talk { return k.device(short).server(ok("aaaaaaaa")).wait(rest).device(next) },
			"device 96 D aaaaaaaa 46\n! length-mismatch device 96\n" + answered + "\ndevice 142 D bbbbbbbb 36\n  bbbbbbbb pending",
		},
		{
			"an answer to nothing comes meanwhile", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")+next[:5]).server(ok("aaaaaaaa"), ok("nothing-")).wait(rest).device(next[5:])
			},
			request + "device 132 D bbbbbbbb 36\n" + answered + "\nserver 54 R nothing- 10\n! orphan-response server 54\n  nothing- orphan\n  bbbbbbbb pending",
		},
	} {
		s.play(t)
	}
}

// An answer settles its request by what had been seen before it, though other answers stand before it and wait.
func TestAnswerBehindAnswers(t *testing.T) {
	const (
		one    = "Haaaaaaaa" + tok + "\x02hi"
		little = "Dbbbbbbbb" + tok + "\x06\x00second"
		json   = tok + "{\"t\":20}"
		junk   = "zzzzzzzzzzzzzzzzzzzz"
		orphan = "server 44 R orphan-- 10\n! orphan-response server 44\n  orphan-- orphan\n"
		first  = orphan + "device 96 H aaaaaaaa 36\nserver 54 R aaaaaaaa 10\n  aaaaaaaa answered\n"
		rest   = 2 * time.Second
	)
	next := data("cccccccc", "")
	for _, s := range []script{
		{
			"an orphan before them", func(k *talk) *talk {
				return k.server(ok("orphan--")).device(one+little).server(ok("aaaaaaaa")+ok("bbbbbbbb")).device(junk, next).wait(rest)
			},
			first + "device 132 D bbbbbbbb 41\n! length-byte-order device 132\nserver 64 R bbbbbbbb 10\n  bbbbbbbb answered\n" +
				"! unknown-type device 173\ndevice 193 D cccccccc 35\n  cccccccc pending",
		},
		{
			"and among them", func(k *talk) *talk {
				return k.server(ok("orphan--")).device(one+little).server(ok("aaaaaaaa")+ok("orphan-2")+ok("bbbbbbbb")).device(junk, next).wait(rest)
			},
			first + "device 132 D bbbbbbbb 41\n! length-byte-order device 132\n! unknown-type device 173\nserver 64 R orphan-2 10\n" +
				"server 74 R bbbbbbbb 10\n  bbbbbbbb answered\n! orphan-response server 64\n  orphan-2 orphan\ndevice 193 D cccccccc 35\n  cccccccc pending",
		},
		{
			"in writes of their own", func(k *talk) *talk {
				return k.server(ok("orphan--")).device(one+"Hbbbbbbbb"+json).server(ok("aaaaaaaa"), ok("bbbbbbbb")).device("\r\n", next).wait(rest)
			},
			first + "device 132 H bbbbbbbb 41\n! length-missing device 132\nserver 64 R bbbbbbbb 10\n  bbbbbbbb answered\n" +
				"! short-packet device 173\ndevice 175 D cccccccc 35\n  cccccccc pending",
		},
		{
			"of the device", func(k *talk) *talk {
				k.device(ok("orphan--")).server("Caaaaaaaa" + tok + "Cbbbbbbbb" + json).device(ok("aaaaaaaa") + ok("bbbbbbbb"))
				return k.server("\r\n", "Ccccccccc"+tok).wait(rest)
			},
			"device 96 R orphan-- 10\n! orphan-response device 96\n  orphan-- orphan\nserver 44 C aaaaaaaa 33\ndevice 106 R aaaaaaaa 10\n  aaaaaaaa answered\n" +
				"server 77 C bbbbbbbb 41\n! length-missing server 77\n! short-packet server 118\ndevice 116 R bbbbbbbb 10\n  bbbbbbbb answered\n" +
				"server 120 C cccccccc 33\n  cccccccc pending",
		},
		{
			"what a payload holds is none", func(k *talk) *talk {
				return k.server(ok("orphan--")).device(little).server("Ccccccccc"+tok+"\x14xxxxxxxxxx"+ok("bbbbbbbb")).device(junk, next).wait(rest)
			},
			orphan + "device 96 D bbbbbbbb 61\n! length-mismatch device 96\nserver 54 C cccccccc 54\ndevice 157 D cccccccc 35\n" +
				"  bbbbbbbb pending\n  cccccccc pending\n  cccccccc pending",
		},
	} {
		s.play(t)
	}
}

// An answer waits for its request as long as an answer to nothing stands before that, though its own direction has ended.
func TestAnswerOfAnEndedDirection(t *testing.T) {
	const (
		rest    = 3 * time.Second
		command = "Ccommand1" + tok
		orphan  = "server 44 R orphan-- 10\n! orphan-response server 44\n  orphan-- orphan\n"
		ours    = "device 96 R command1 10\n  command1 answered"
	)
	logout := "Ologout--" + tok
	for _, s := range []script{
		{
			"of the device", func(k *talk) *talk {
				return k.server(ok("orphan--"), command+"\x02on").device(ok("command1")).end(0).wait(rest)
			},
			orphan + "server 54 C command1 36\n" + ours,
		},
		{
			"to a command without a tail", func(k *talk) *talk { return k.server(ok("orphan--"), command).device(ok("command1")).end(0).wait(rest) },
			orphan + "server 54 C command1 33\n" + ours,
		},
		{
			"behind two answers to nothing", func(k *talk) *talk {
				return k.server(ok("orphan--")).wait(500*time.Millisecond).server(ok("orphan-2"), command).device(ok("command1")).end(0).wait(rest)
			},
			orphan + "server 54 R orphan-2 10\n! orphan-response server 54\n  orphan-2 orphan\nserver 64 C command1 33\n" + ours,
		},
		{
			"the other direction ends, too", func(k *talk) *talk {
				return k.server(ok("orphan--"), command).device(ok("command1")).end(0).wait(rest).end(1)
			},
			orphan + "server 54 C command1 33\n" + ours,
		},
		{
			"of the server", func(k *talk) *talk {
				return k.device(ok("orphan--"), data("aaaaaaaa", "x")).server(ok("aaaaaaaa")).end(1).wait(rest)
			},
			"device 96 R orphan-- 10\n! orphan-response device 96\n  orphan-- orphan\ndevice 106 D aaaaaaaa 36\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered",
		},
		{
			"the answer to nothing was meant for the one request", func(k *talk) *talk {
				k.device(data("aaaaaaaa", "x")).server(ok("orphan--")).device("Hbeatbeat" + tok + "\x01x").server(ok("beatbeat"))
				return k.device(logout).server(ok("logout--")).end(0).wait(40 * time.Second)
			},
			"device 96 D aaaaaaaa 36\nserver 44 R orphan-- 10\ndevice 132 H beatbeat 35\nserver 54 R beatbeat 10\n  beatbeat answered\n" +
				"device 167 O logout-- 33\nserver 64 R logout-- 10\n  logout-- answered\n! session-id-not-echoed server 44\n  aaaaaaaa answered",
		},
		{
			"none comes, and the time is over", func(k *talk) *talk {
				return k.server(ok("orphan--")).device(data("aaaaaaaa", "x")).server(ok("aaaaaaaa")).device(logout).end(0).wait(40 * time.Second)
			},
			orphan + "device 96 D aaaaaaaa 36\nserver 54 R aaaaaaaa 10\n  aaaaaaaa answered\ndevice 132 O logout-- 33\n" +
				"! no-response device 132\n  logout-- unanswered",
		},
		{
			"none comes to a command", func(k *talk) *talk {
				return k.device(ok("orphan--")).server("Caaaaaaaa" + tok + "\x02on").device(ok("aaaaaaaa")).server(command + "\x02on").end(1).wait(40 * time.Second)
			},
			"device 96 R orphan-- 10\n! orphan-response device 96\n  orphan-- orphan\nserver 44 C aaaaaaaa 36\nserver 80 C command1 36\n" +
				"device 106 R aaaaaaaa 10\n  aaaaaaaa answered\n! no-response server 80\n  command1 unanswered",
		},
	} {
		s.play(t)
	}
}

// An answer that was captured in the middle of its request, where no write ends, tells nothing of where the request ends; where a write ends, it
// does if no reading of the whole is confirmed.
func TestAnswerInTheMiddleOfItsRequest(t *testing.T) {
	const (
		beat   = "Hbeatbeat" + tok
		little = "Daaaaaaaa" + tok + "\x03\x00abc"
		rest   = 10 * time.Second
		failed = "server 44 R beatbeat 12\n! error-response server 44\n  beatbeat failed"
		cut    = "device 96 H beatbeat 20 missing 13\n! truncated-packet device 96\n"
		whole  = "device 96 H beatbeat 33\nserver 44 R beatbeat 10\n  beatbeat answered"
		late   = "device 96 D aaaaaaaa 38\n! length-byte-order device 96\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered\ndevice 134 D bbbbbbbb 36\n  bbbbbbbb pending"
	)
	next := data("bbbbbbbb", "y")
	second := "Lsession2" + login[protocol.HeaderSize:]
	for _, s := range []script{
		{
			"a heartbeat", func(k *talk) *talk { return k.piece(0, beat[:20]).server(ok("beatbeat")).device(beat[20:]).wait(rest) },
			whole,
		},
		{
			"and the next packet", func(k *talk) *talk {
				return k.piece(0, beat[:20]).server(ok("beatbeat")).device(beat[20:]).wait(rest).device(next)
			},
			whole + "\ndevice 129 D bbbbbbbb 36\n  bbbbbbbb pending",
		},
		{
			"in two writes", func(k *talk) *talk { return k.device(beat[:20]).server(ok("beatbeat")).device(beat[20:]).wait(rest) },
			whole,
		},
		{
			"no write's end is told", func(k *talk) *talk {
				return k.piece(0, beat[:20]).server(ok("beatbeat")).piece(0, beat[20:]).wait(rest)
			},
			whole,
		},
		{
			"a command", func(k *talk) *talk {
				return k.piece(1, "Ccommand1"+tok[:11]).device(ok("command1")).server(tok[11:]).wait(rest)
			},
			"server 44 C command1 33\ndevice 96 R command1 10\n  command1 answered",
		},
		{
			"a login in three segments", func(k *talk) *talk {
				return k.piece(0, second[:20]).server("Rsession2\x01"+tok).piece(0, second[20:40]).wait(2 * time.Second).device(second[40:]).wait(rest)
			},
			"device 96 L session2 61\n! login-repeated device 96\nserver 44 R session2 34\n  session2 answered",
		},
		{
			"a length in the other byte order", func(k *talk) *talk {
				return k.piece(0, little[:20]).server(ok("aaaaaaaa")).device(little[20:]).wait(rest).device(next)
			},
			late,
		},
		{
			"and the answer before all of it", func(k *talk) *talk { return k.server(ok("aaaaaaaa")).device(little).wait(rest).device(next) },
			late,
		},
		{
			"in the payload, with a length in the other byte order", func(k *talk) *talk {
				return k.piece(0, little[:36]).server(ok("aaaaaaaa")).device(little[36:]).wait(rest).device(next)
			},
			late,
		},
		{
			"in a payload with no length", func(k *talk) *talk {
				return k.piece(0, beat+"{\"t\":").server(ok("beatbeat")).device("21.25}").wait(rest).device(next)
			},
			"device 96 H beatbeat 44\n! length-missing device 96\nserver 44 R beatbeat 10\n  beatbeat answered\ndevice 140 D bbbbbbbb 36\n  bbbbbbbb pending",
		},
		{
			"nothing follows", func(k *talk) *talk { return k.device(beat[:20]).server("Rbeatbeat\x00\x00\x02").wait(rest) },
			cut + failed,
		},
		{
			"nothing follows where no write's end is told", func(k *talk) *talk { return k.piece(0, beat[:20]).server("Rbeatbeat\x00\x00\x02").wait(rest) },
			cut + failed,
		},
		{
			"rubbish follows in a write of its own", func(k *talk) *talk {
				return k.device(beat[:20]).server("Rbeatbeat\x00\x00\x02").device("+CREG: 1,2,3,4,5,6 blah").wait(rest).device(next)
			},
			cut + failed + "\n! unknown-type device 116\ndevice 139 D bbbbbbbb 36\n  bbbbbbbb pending",
		},
	} {
		s.play(t)
	}
}

// A response with its own session ID in its tail is whole: behind it, its request waits no longer. One that stands where it may end, or in a write of its
// own, is a second one.
func TestResponseWithItsSessionIDInItsTail(t *testing.T) {
	const (
		command = "Ccommand1" + tok + "\x02on"
		one     = "server 44 C command1 36\n"
		rest    = 2 * time.Second
	)
	twice := func(at int) string {
		return fmt.Sprintf("device %d R command1 10\n! duplicate-response device %d\n", at, at)
	}
	next := data("bbbbbbbb", "y")
	then := func(at int) string { return fmt.Sprintf("device %d D bbbbbbbb 36\n  bbbbbbbb pending", at) }
	for _, s := range []script{
		{
			"behind some text", func(k *talk) *talk {
				return k.server(command).device(ok("command1") + "\x20ack:Rcommand1 done, thank you...").wait(rest).device(next)
			},
			one + "device 96 R command1 43\n  command1 answered\n" + then(139),
		},
		{
			"first", func(k *talk) *talk {
				return k.server(command).device(ok("command1") + "\x0fRcommand1 done!").wait(rest).device(next)
			},
			one + "device 96 R command1 26\n  command1 answered\n" + then(122),
		},
		{
			"and it was captured before its request", func(k *talk) *talk {
				return k.device(ok("command1") + "\x0fRcommand1 done!").server(command).wait(rest).device(next)
			},
			one + "device 96 R command1 26\n  command1 answered\n" + then(122),
		},
		{
			"cut inside", func(k *talk) *talk {
				return k.server(command).piece(0, ok("command1")+"\x0f").device("Rcommand1 done!").wait(rest).device(next)
			},
			one + "device 96 R command1 26\n  command1 answered\n" + then(122),
		},
		{
			"of the server", func(k *talk) *talk {
				return k.device("Lsession2" + login[protocol.HeaderSize:]).server("Rsession2\x01" + tok + "\x15key:Rsession2 -------").wait(rest).device(next)
			},
			"device 96 L session2 61\n! login-repeated device 96\nserver 44 R session2 56\n  session2 answered\ndevice 157 D bbbbbbbb 36\n  bbbbbbbb pending",
		},
		{
			"where it may end", func(k *talk) *talk { return k.server(command).device(ok("command1") + ok("command1") + next) },
			one + "device 96 R command1 10\n  command1 answered\n" + twice(106) + then(116),
		},
		{
			"in a write of its own", func(k *talk) *talk {
				return k.server(command).device(ok("command1")+"{abcdefghijklm}", ok("command1"), next)
			},
			one + "device 96 R command1 25\n! length-missing device 96\n  command1 answered\n" + twice(121) + then(131),
		},
		{
			"two requests have it", func(k *talk) *talk {
				return k.server(command, command).device(ok("command1") + "\r\n" + ok("command1")).wait(rest)
			},
			one + "server 80 C command1 36\n! request-repeated server 80\ndevice 96 R command1 10\n  command1 answered\n! stray-bytes device 106\n" +
				"device 108 R command1 10\n  command1 answered",
		},
	} {
		s.play(t)
	}
}

// An answer that waits for a request which is seen does not wait for one that waits for it.
func TestNeitherWaitsForTheOther(t *testing.T) {
	both := data("bbbbbbbb", "y") + data("aaaaaaaa", "x")
	for _, s := range []struct{ name, got, want string }{
		{
			"a login that is sent again, while the answer comes",
			fromSYN().device(login).piece(0, login[:30]).server(ack).device(login[30:]).wait(2 * time.Second).device(data("cccccccc", "")).close(),
			"device 0 L session1 61\nserver 0 R session1 34\n  session1 answered\ndevice 61 L session1 61\n! login-repeated device 61\n" +
				"! session-id-reused device 61\ndevice 122 D cccccccc 35\n  session1 pending\n  cccccccc pending",
		},
		{
			"a request whose answer stands behind that",
			in(fromSYN()).device(data("aaaaaaaa", "x")).piece(0, both[:56]).server(ok("aaaaaaaa") + ok("bbbbbbbb")).device(both[56:]).wait(2 * time.Second).
				device(data("cccccccc", "")).close(),
			loggedIn + "device 96 D aaaaaaaa 36\nserver 44 R aaaaaaaa 10\n  aaaaaaaa answered\ndevice 132 D bbbbbbbb 36\n" +
				"device 168 D aaaaaaaa 36\n! session-id-reused device 168\nserver 54 R bbbbbbbb 10\n  bbbbbbbb answered\ndevice 204 D cccccccc 35\n  aaaaaaaa pending\n  cccccccc pending",
		},
	} {
		if s.got != s.want {
			t.Errorf("%s: got\n%s\nwant\n%s", s.name, s.got, s.want)
		}
	}
}

// An answer behind others settles its request where they are the first bytes of their direction, too.
func TestAnswerBehindTheFirstAnswer(t *testing.T) {
	k := fromSYN().device("Dbbbbbbbb"+tok+"\x06\x00second").server(ok("orphan--")+ok("bbbbbbbb")).device("zzzzzzzzzzzzzzzzzzzz", data("cccccccc", ""))
	want := "device 0 D bbbbbbbb 41\n! length-byte-order device 0\n"
	if got := k.wait(2 * time.Second).close(); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
