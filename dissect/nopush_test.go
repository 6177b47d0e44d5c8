package dissect

import (
	"strings"
	"testing"
)

// Where no segment tells a write's end, bytes in a segment of their own are a write of their own if the peer has said something before them.
func TestShortWriteOfWhoTellsNoWriteEnds(t *testing.T) {
	const (
		packet  = "device 96 D aaaaaaaa 36\n"
		after   = "server 44 R aaaaaaaa 10\n  aaaaaaaa answered"
		command = "Ccommand1" + tok + "\x02on"
	)
	for _, s := range []script{
		{
			"behind an answer", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")).piece(1, ok("aaaaaaaa")).piece(0, "Df").end(0).end(1)
			},
			packet + "! short-packet device 132\n" + after,
		},
		{
			"of the server", func(k *talk) *talk {
				return k.piece(1, command).piece(0, ok("command1")).piece(1, "\r\n").end(0).end(1)
			},
			"server 44 C command1 36\ndevice 96 R command1 10\n  command1 answered\n! short-packet server 80",
		},
		{
			"a packet's segment ends with them", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")+"Df").piece(1, ok("aaaaaaaa")).end(0).end(1)
			},
			packet + "! stray-bytes device 132\n" + after,
		},
		{
			"nothing was said between", func(k *talk) *talk {
				return k.piece(0, data("aaaaaaaa", "x")).piece(0, "Df").piece(1, ok("aaaaaaaa")).end(0).end(1)
			},
			packet + "! stray-bytes device 132\n" + after,
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			k := fromSYN().piece(0, login).piece(1, ack).piece(0, data("first---", "")).piece(1, ok("first---"))
			if got, found := strings.CutPrefix(s.talk(k).close(), loggedIn); !found || got != s.want {
				t.Errorf("got\n%s\nwant\n%s", got, s.want)
			}
		})
	}
	told := script{
		"write ends were told", func(k *talk) *talk {
			return k.piece(0, data("aaaaaaaa", "x")).piece(1, ok("aaaaaaaa")).piece(0, "Df").end(0).end(1)
		},
		packet + "! stray-bytes device 132\n" + after,
	}
	told.play(t)
}
