package dissect

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkHostile is what an attacker, or a broken device, would send to keep the analyzer busy: time must grow
// with the bytes, not with their square.
func BenchmarkHostile(b *testing.B) {
	for name, f := range map[string]func(k *talk){
		"letters one by one": func(k *talk) {
			for range 100000 {
				k.device("D")
			}
		},
		"letters no push": func(k *talk) {
			for range 100000 {
				k.piece(0, "D")
			}
		},
		"letter runs": func(k *talk) {
			for range 3000 {
				k.device(strings.Repeat("D", 50))
			}
		},
		"H soup": func(k *talk) {
			for range 3000 {
				k.device(strings.Repeat("Hello wo", 10))
			}
		},
		"outstanding": func(k *talk) {
			in(k)
			for i := range 70000 {
				k.device(data(string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26), 'a' + byte(i/676%26), 'a' + byte(i/17576%26), 'x', 'x', 'x', 'x'}), ""))
			}
		},
		"orphans": func(k *talk) {
			in(k)
			for i := range 20000 {
				k.server(ok(string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26), 'a' + byte(i/676%26), 'a' + byte(i/17576%26), 'x', 'x', 'x', 'x'})))
			}
		},
		"big D slowly": func(k *talk) {
			in(k)
			s := data("aaaaaaaa", strings.Repeat("x", 65000))
			for i := range s {
				k.piece(0, s[i:i+1])
			}
		},
		"big D of letters, pushed": func(k *talk) {
			in(k)
			s := data("aaaaaaaa", strings.Repeat("D", 65000))
			for i := range s {
				k.device(s[i : i+1])
			}
		},
		"big D of R, pushed": func(k *talk) {
			in(k)
			s := data("aaaaaaaa", strings.Repeat("R", 65000))
			for i := range s {
				k.device(s[i : i+1])
			}
		},
		"big D of L, pushed": func(k *talk) {
			in(k)
			s := data("aaaaaaaa", strings.Repeat("L", 65000))
			for i := range s {
				k.device(s[i : i+1])
			}
		},
		"behind a gap": func(k *talk) {
			in(k)
			k.gap(0, 100)
			s := strings.Repeat("D", 65000)
			for i := range s {
				k.device(s[i : i+1])
			}
		},
		"behind a gap, rows": func(k *talk) {
			in(k)
			k.gap(0, 100)
			s := strings.Repeat("Habcdefghabcdefghabcdefghabcdefgh", 2000)
			for i := range len(s) / 3 {
				k.device(s[i*3 : i*3+3])
			}
		},
		"gaps": func(k *talk) {
			in(k)
			for range 5000 {
				k.gap(0, 100).device("D garbage behind a gap that is some bytes long")
			}
		},
		"requests beside rubbish": func(k *talk) {
			in(k)
			for range 69 {
				k.piece(1, strings.Repeat("x", 1000))
			}
			for i := range 20000 {
				k.device(data(fmt.Sprintf("%08d", i), ""))
			}
		},
		"requests beside a long packet": func(k *talk) {
			in(k)
			k.piece(1, "C--------"+tok)
			for range 20000 {
				k.device("x")
				k.piece(1, "D")
			}
		},
		"rubbish behind an answer that waits": func(k *talk) {
			in(k)
			k.piece(0, "Daaaaaaaa"+tok+"\xff\xffxDbbbbbbbb").server(ok("bbbbbbbb")).wait(1100 * time.Millisecond)
			for range 20000 {
				k.device("x")
				k.server("R", ok("bbbbbbbb"))
			}
		},
		"letters behind a gap, beside a held answer": func(k *talk) {
			in(k)
			k.gap(0, 100).server(strings.Repeat("R", 4096)).device("Oaaaaaaaa" + strings.Repeat("text", 6))
			for range 500 {
				k.device("R")
			}
		},
		"R with letters": func(k *talk) {
			in(k)
			for range 20000 {
				k.device("Rabcdefgh\x01\x52")
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				k := newTalk(Options{Ports: Ports{{9000, 9000}}}, Opening{Opener: true, FromStart: [2]bool{true, true}})
				f(k)
				k.close()
			}
		})
	}
}
