package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
)

// The whole program reads half a million packets of 5,000 connections. `make profile` runs it to find out what the compiler is to make fast.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "ordinary.pcap")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := capture.NewPcapWriter(file, 1, true)
	o := simulate.Options{Seed: 1, Packets: 500_000, Connections: 1, Requests: 100, PayloadMax: 100, Interval: 2000e6, Spacing: 5e6}
	if _, err := simulate.Generate(w, o, nil); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	for _, args := range [][]string{{"--view", "summary"}, {"-T", "text"}, {"-T", "ndjson"}} {
		b.Run(args[1], func(b *testing.B) {
			for b.Loop() {
				if status := run(append([]string{"read", path}, args...), nil, io.Discard, io.Discard); status != 0 {
					b.Fatalf("status %d", status)
				}
			}
		})
	}
}
