package analyze

import (
	"testing"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
)

// batches collects packets in batches of usual size.
type batches struct {
	list    []capture.Batch
	packets int
}

// Write implements simulate.PacketWriter.
func (b *batches) Write(p capture.Packet) error {
	if n := len(b.list); n == 0 || len(b.list[n-1].Data) > 128<<10 {
		b.list = append(b.list, capture.Batch{})
	}
	b.packets++
	p.Number = int64(b.packets)
	b.list[len(b.list)-1].Add(p)
	return nil
}

// ordinary is traffic of 2,000 connections at the same time, in which each packet belongs to another one.
func ordinary(b *testing.B) *batches {
	b.Helper()
	var w batches
	o := simulate.Options{Seed: 1, Connections: 2000, Requests: 20, PayloadMax: 100, Interval: 2000e6, Spacing: 1000}
	if _, err := simulate.Generate(&w, o, nil); err != nil {
		b.Fatal(err)
	}
	return &w
}

// perPacket reports what a stage costs for each packet, when one round goes through all of them.
func perPacket(b *testing.B, w *batches, round func()) {
	b.ReportAllocs()
	rounds := 0
	for b.Loop() {
		round()
		rounds++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*w.packets), "ns/packet")
}

// Decoding and reassembly.
func BenchmarkFront(b *testing.B) {
	w := ordinary(b)
	perPacket(b, w, func() {
		f := newFront(Options{}, 1)
		k := &work{parts: make([]result, 1)}
		for i := range w.list {
			k.batch = w.list[i]
			f.batch(k)
		}
	})
}

// Dissection, of what the front has made before.
func BenchmarkWorker(b *testing.B) {
	w := ordinary(b)
	for _, brief := range []bool{false, true} {
		b.Run(map[bool]string{false: "records", true: "counts"}[brief], func(b *testing.B) {
			opts := Options{Dissect: dissect.Options{Brief: brief}}
			rounds := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				f, works := newFront(opts, 1), make([]work, len(w.list))
				for i := range works {
					works[i] = work{batch: w.list[i], parts: make([]result, 1)}
					f.batch(&works[i])
				}
				k := newWorker(0, true, opts, dissect.NewShared(1))
				b.StartTimer()
				for i := range works {
					k.work(&works[i])
				}
				rounds++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*w.packets), "ns/packet")
		})
	}
}
