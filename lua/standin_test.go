package lua_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/protocol"
	"github.com/nubishark/nubishark/reassembly"
)

var streams = flag.Int("streams", 60, "random conversations to compare the plugin and the analyzer on")

// segments writes the TCP segments of a capture for the stand-in.
func segments(t *testing.T, path string) *bytes.Buffer {
	t.Helper()
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var (
		b     capture.Batch
		d     reassembly.Decoder
		seg   reassembly.Segment
		out   bytes.Buffer
		start int64
	)
	for {
		err := src.Next(&b)
		if errors.Is(err, io.EOF) {
			return &out
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Refs {
			p := b.Packet(i)
			if start == 0 {
				start = p.Time
			}
			if !d.Decode(&p, &seg) || len(seg.Payload) == 0 {
				continue
			}
			from, to := seg.Addr()
			fmt.Fprintf(&out, "%d %d.%09d %s %s %x\n", p.Number, (p.Time-start)/1e9, (p.Time-start)%1e9, from, to, seg.Payload)
		}
	}
}

// played runs the plugin in a plain Lua interpreter.
func played(t *testing.T, interpreter string, in []byte, passes string) (items []map[string]string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(interpreter, filepath.Join("testdata", "standin.lua"), plugin, passes)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", interpreter, err, errs.String())
	}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		m := map[string]string{}
		for _, word := range strings.Fields(line) {
			k, v, _ := strings.Cut(word, "=")
			m[k] = v
		}
		if c := m["error_code"]; c != "" {
			var n int
			fmt.Sscan(c, &n)
			m["error_code"] = fmt.Sprintf("0x%04x", n)
		}
		items = append(items, m)
	}
	return items
}

// differences lists where the plugin, played in an interpreter, says something else than the analyzer.
func differences(t *testing.T, interpreter string, o simulate.Options, passes string) []string {
	t.Helper()
	file := synthetic(t, o)
	return differ(analysed(t, file), concluded(t, played(t, interpreter, segments(t, file).Bytes(), passes)))
}

// Random conversations are cut into the same packets by the plugin and by the analyzer, whatever the version of Lua
// and however the bytes were cut into segments, and in any order of looking at them again.
func TestRandomConversations(t *testing.T) {
	for _, interpreter := range []string{"lua5.2", "lua5.4", "luajit"} {
		t.Run(interpreter, func(t *testing.T) {
			path := needed(t, interpreter)
			for seed := range *streams / 10 {
				for i, passes := range []string{"1", "2", "1", "2"} {
					o := simulate.Options{
						Seed: uint64(seed + 1), Connections: 10, Requests: 12, PayloadMax: 300, Interval: 300e6, Spacing: 50e6, Recut: i > 1, Coalesce: seed%2 == 1,
					}
					if d := differences(t, path, o, passes); len(d) > 0 {
						t.Errorf("seed %d recut %v pass %s:\n%s", seed, o.Recut, passes, strings.Join(d, "\n"))
					}
				}
			}
		})
	}
}

// Where each write is a segment, the plugin finds the faults that the analyzer finds, of each kind. Only what a
// connection's end proves is missing: Wireshark does not tell of it.
func TestRandomFaults(t *testing.T) {
	path := needed(t, "lua5.4")
	for _, fault := range simulate.FaultNames() {
		t.Run(fault, func(t *testing.T) {
			for seed := range max(*streams/60, 1) {
				o := simulate.Options{
					Seed: uint64(seed + 1), Connections: 10, Requests: 12, PayloadMax: 300, Interval: 300e6, Spacing: 50e6, Coalesce: seed%2 == 1,
					Faults: []string{fault}, FaultRate: 0.2,
				}
				for _, d := range differences(t, path, o, "1") {
					if fault != protocol.TruncatedPacket.ID || !strings.HasPrefix(d, "- ") || !strings.Contains(d, "["+fault+"]") {
						t.Errorf("seed %d: %s", seed, d)
					}
				}
			}
		})
	}
}
