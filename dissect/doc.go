// Package dissect turns the byte streams of connections into NUBISON packets,
// transactions and violations.
//
// It takes bytes, times and packet numbers and hands records to a Sink; it
// never sees files, sockets, clocks or the libraries that decode packets, so it can be fuzzed
// and used by itself. Time is capture time: a run is a function of its input.
//
// A packet has no overall length, and tails are optional, so where a packet
// ends is a matter of evidence. One mechanism decides it, at each boundary:
// candidates yields the possible ends in order of preference, judge says how
// well an end is confirmed now and how well it still could be, and the first
// end that nothing can beat any more settles the packet (choose).
package dissect
