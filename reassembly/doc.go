// Package reassembly finds the TCP segments in captured packets and joins them to the two byte
// streams of each connection.
//
// A Decoder strips link, network and tunnel headers. An Assembler tells connections apart as Wireshark
// numbers tcp.stream, orders each direction by 64-bit stream offsets, and hands on bytes and
// gaps through a Handler. Of bytes that come twice the first copy wins; the length on the wire
// moves the stream, not the captured one; and a hole becomes a gap once nothing can fill it
// any more, or a bound on memory is met. Time is capture time alone.
package reassembly
