package analyze

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
)

// Of traffic without a fault, whatever a capture makes of it, no violation is told without saying that it may be the capture.
func TestDamagedCapturesAccuseNobodyForSure(t *testing.T) {
	shapes := []simulate.Options{
		{Loss: 0.05},
		{Loss: 0.02, Recut: true, Reorder: 0.03},
		{Loss: 0.01, PayloadMax: 3000, Duplicate: 0.02},
	}
	for seed := range uint64(6) {
		for i, o := range shapes {
			o.Seed, o.Connections, o.Requests, o.Interval, o.Spacing = seed+1, 60, 20, 500e6, 50e6
			file := generated(t, o)
			for name, keep := range map[string]func(p *capture.Packet) bool{
				"whole":           func(*capture.Packet) bool { return true },
				"from the middle": func(p *capture.Packet) bool { return p.Number > 1500 },
				"cut":             func(p *capture.Packet) bool { p.Data = p.Data[:min(len(p.Data), 70+7*int(seed))]; return true },
				"cut, from the middle": func(p *capture.Packet) bool {
					p.Data = p.Data[:min(len(p.Data), 100)]
					return p.Number > 1500
				},
				"one side": func(p *capture.Packet) bool {
					return len(p.Data) > 36 && p.Data[34] == 9100>>8 && p.Data[35] == 9100&255
				},
			} {
				var c cautions
				if n := told(t, file, keep, &c); n < 500 {
					t.Fatalf("%s: %d packets are left", name, n)
				}
				for _, line := range c.lines {
					if line[len(line)-2:] == "[]" {
						t.Errorf("seed %d, shape %d, %s: %s", seed+1, i, name, line)
					}
				}
			}
		}
	}
}

func generated(t *testing.T, o simulate.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := simulate.Pcap(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// told analyses what is kept of a capture, and returns how many packets that are.
func told(t *testing.T, file []byte, keep func(*capture.Packet) bool, c *cautions) (n int) {
	t.Helper()
	src, err := capture.NewReader(bytes.NewReader(file), "whole")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := capture.NewPcapWriter(&out, 1, true)
	for {
		var b capture.Batch
		err := src.Next(&b)
		for i := range b.Refs {
			if p := b.Packet(i); keep(&p) {
				n++
				if err := w.Write(p); err != nil {
					t.Fatal(err)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rest, err := capture.NewReader(&out, "rest")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), rest, Options{}, c); err != nil {
		t.Fatal(err)
	}
	return n
}
