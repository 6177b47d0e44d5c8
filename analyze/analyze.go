// Package analyze is the pipeline: packets from a capture source, through TCP
// reassembly, to the dissector, whose records reach the sink in order.
package analyze

import (
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
)

// Options steer a run. The zero value analyses everything.
type Options struct {
	Dissect dissect.Options
	// MaxPackets stops the run after so many packets; 0 means all.
	MaxPackets int64
	// MaxDuration stops it when so much capture time (ns) has passed; 0 means all.
	MaxDuration int64
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
	// BoundDropped is the number of bytes given up because a bound on memory was met.
	BoundDropped int64
	// OtherPorts are the lower ports of the connections without NUBISON, in the order of the first
	// one of each, at most 16, with how many there were.
	OtherPorts []PortCount
}

// PortCount is a TCP port and the number of connections that used it.
type PortCount struct {
	Port  uint16
	Count int64
}

// Run reads the source to its end and hands every record to the sink. The result is valid
// for what was read even when an error is returned.
func Run(src capture.Source, opts Options, sink dissect.Sink) (Result, error) {
	panic("not yet")
}
