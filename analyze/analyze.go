// Package analyze is the pipeline: packets from a capture source, through TCP
// reassembly, to the dissector, whose records reach the sink in order.
package analyze

import (
	"context"
	"errors"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/reassembly"
)

// Options steer a run. The zero value analyses everything.
type Options struct {
	Dissect dissect.Options
	// MaxPackets stops the run after so many packets; 0 means all.
	MaxPackets int64
	// MaxDuration stops it when so much capture time (ns) has passed; 0 means all.
	MaxDuration int64
	// Workers is how many connections are worked on at the same time; 0 leaves it to the machine. The records are
	// the same for any number.
	Workers int
	// Resent is told of segments with bytes that had been captured before, of NUBISON connections; it may be nil.
	Resent func(Resent)
	// Progress is called now and then with the bytes read of the input and its size, 0 if unknown.
	Progress func(read, size int64)
}

// Result is what a run knows beside its records.
type Result struct {
	// Packets is the number of packets read, TCPStreams that of TCP connections, whatever they carry,
	// NubisonStreams that of those that carry NUBISON.
	Packets, TCPStreams, NubisonStreams int64
	// First and Last are the earliest and the latest packet time (ns).
	First, Last int64
	// Capture is what the capture says of itself.
	Capture capture.Stats
	// Cut counts packets cut by the snap length, OneSided the NUBISON connections of which only one
	// side was captured, Midstream those whose start was not.
	Cut, OneSided, Midstream int64
	// Gaps of NUBISON connections hold Missing bytes that were never captured.
	Gaps, Missing int64
	// Backwards counts the packets whose time is more than backStep before that of the packet before.
	Backwards int64
	// FirstCut and FirstBackwards are the first packets of their kind, 0 if there is none.
	FirstCut, FirstBackwards int64
	// TCP is what the reassembly met.
	TCP reassembly.Stats
	// OtherPorts are the lower ports of the connections without NUBISON, in the order of the first
	// one of each, at most 16, with how many there were.
	OtherPorts []PortCount
}

// PortCount is a TCP port and the number of connections that used it.
type PortCount struct {
	Port  uint16
	Count int64
}

// maxPorts bounds the ports that a result lists.
const maxPorts = 16

// ErrInterrupted tells that the context ended before the source did.
var ErrInterrupted = errors.New("interrupted")

// Run reads the source to its end, or until the context ends, and hands every record to the sink. The result
// is valid for what was read even when an error is returned. The source belongs to Run, which closes it: where
// reading it blocks, only once that ends.
func Run(ctx context.Context, src capture.Source, opts Options, sink dissect.Sink) (Result, error) {
	p := newPipeline(opts, sink)
	go p.read(src)
	go p.end(ctx)
	for _, w := range p.workers {
		go w.run()
	}
	return p.merge()
}
