package dissect

import (
	"strings"
	"testing"
	"time"
)

// A packet that stands in a tail is payload where the tail's length ends before a packet, however that is cut.
func TestTailHoldsAPacket(t *testing.T) {
	inner := data("inner---", "inner")
	beat := "Hbeatbeat" + tok + "(" + inner
	next := data("bbbbbbbb", "")
	const (
		held  = "device 96 H beatbeat 74\ndevice 170 D bbbbbbbb 35\n  beatbeat pending\n  bbbbbbbb pending"
		stray = "device 96 H beatbeat 33\n! stray-bytes device 129\n"
	)
	for _, s := range []script{
		{"in one write", func(k *talk) *talk { return k.device(beat + next) }, held},
		{"in a write of its own", func(k *talk) *talk { return k.device(beat, next) }, held},
		{"cut inside", func(k *talk) *talk { return k.piece(0, beat[:70]).device(beat[70:], next) }, held},
		{"cut behind", func(k *talk) *talk { return k.piece(0, beat+next[:5]).device(next[5:]) }, held},
		{
			"with more behind it, cut in the next packet", func(k *talk) *talk {
				return k.piece(0, "Hbeatbeat"+tok+"*"+inner+"zz"+next[:5]).device(next[5:])
			},
			"device 96 H beatbeat 76\ndevice 172 D bbbbbbbb 35\n  beatbeat pending\n  bbbbbbbb pending",
		},
		{
			"byte by byte", func(k *talk) *talk {
				for i := range len(beat) {
					k.piece(0, beat[i:i+1])
				}
				return k.device(next)
			},
			held,
		},
		{
			"answered, and the next packet is late", func(k *talk) *talk { return k.device(beat).server(ok("beatbeat")).wait(2 * time.Second).device(next) },
			"device 96 H beatbeat 74\nserver 44 R beatbeat 10\n  beatbeat answered\ndevice 170 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"of a command", func(k *talk) *talk { return k.server("Ccommand1"+tok+"(Cinner---"+tok+"\x06inner!", "Ccommand2"+tok) },
			"server 44 C command1 74\nserver 118 C command2 33\n  command1 pending\n  command2 pending",
		},
		{
			"of an answer", func(k *talk) *talk { return k.server("Ccommand1"+tok).device(ok("command1")+"("+inner, next) },
			"server 44 C command1 33\ndevice 96 R command1 51\n  command1 answered\ndevice 147 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"no payload: it is answered", func(k *talk) *talk { return k.device(beat).server(ok("beatbeat"), ok("inner---")).device(next) },
			stray + "server 44 R beatbeat 10\n  beatbeat answered\ndevice 130 D inner--- 40\nserver 54 R inner--- 10\n  inner--- answered\n" +
				"device 170 D bbbbbbbb 35\n  bbbbbbbb pending",
		},
		{
			"no payload: the tail ends before no packet", func(k *talk) *talk { return k.device(beat, "zzzzzzzzzzzzzzzz", next) },
			stray + "device 130 D inner--- 40\n! unknown-type device 170\ndevice 186 D bbbbbbbb 35\n  beatbeat pending\n  inner--- pending\n  bbbbbbbb pending",
		},
		{
			"no payload: the length goes on behind the write", func(k *talk) *talk { return k.device("Hbeatbeat"+tok+"A"+inner, next+strings.Repeat("x", 9)) },
			stray + "device 130 D inner--- 40\ndevice 170 D bbbbbbbb 35\n  beatbeat pending\n  inner--- pending\n  bbbbbbbb pending",
		},
		{
			"no payload: the tail ends before a letter, which starts no packet", func(k *talk) *talk {
				return k.device("Hbeatbeat"+tok+"(x"+data("inner---", "inneD"), next)
			},
			stray + "device 131 D inner--- 40\ndevice 171 D bbbbbbbb 35\n  beatbeat pending\n  inner--- pending\n  bbbbbbbb pending",
		},
		{
			"no payload: a strong match goes before an end", func(k *talk) *talk { return k.device(beat).end(0) },
			stray + "device 130 D inner--- 40\n  beatbeat pending\n  inner--- pending",
		},
	} {
		s.play(t)
	}
}
