package reassembly

import "net/netip"

// Direction is 0 for the bytes that Conn.Addr[0] sends, 1 for the other's.
type Direction uint8

// Conn is one TCP connection as its handler sees it.
type Conn struct {
	latest [2]int64 // the latest packet of each direction
	twins  twins    // a line of the processor's cache, with what is before it
	// Data is the handler's own.
	Data any
	// Opener tells that the SYN or SYN-ACK was seen, so that Addr[0] did open it.
	Opener bool
	// FromStart[d] tells that the SYN of direction d was seen, so that offset 0 is
	// the direction's first byte.
	FromStart [2]bool
	// Stream is the connection's number among those of its assembler; of a capture that one assembler reads alone it
	// is Wireshark's tcp.stream.
	Stream int
	// First is the time of the first packet (ns).
	First int64
	// Part is the part of the connections that it is in.
	Part uint8
	// Opened is the number of the packet that it was opened with: no two connections have the same.
	Opened int64
	// Addr are the two endpoints; Addr[0] is the side that opened the connection
	// where a SYN shows it, else the sender of the first packet.
	Addr    [2]netip.AddrPort
	before  [2]int64 // what a Witness was told of bytes before offset 0
	packets [2]uint8 // of each direction, as far as it matters
	whole   *whole   // that it is a part of
}

// Mark sets a number that is at hand with each segment of the connection; it is 0 before.
func (c *Conn) Mark(n uint32) { c.whole.mark = n }

// Acked is how far the receiver of a direction has acknowledged its bytes, as a stream offset (a FIN counts as one byte); it may lie beyond what
// was captured.
func (c *Conn) Acked(d Direction) int64 { return c.whole.acked[d] }

// Chunk is a run of a direction's byte stream, in order and without overlap.
type Chunk struct {
	// Offset is the position of the first byte in the direction's stream.
	Offset int64
	// Bytes is valid during the call only. It is empty where Gap is set.
	Bytes []byte
	// Gap is the number of bytes that were never captured, from Offset on.
	Gap int64
	// Time (ns) and Packet are of the capture packet that carried the bytes; for a
	// gap, of the packet that made it known.
	Time   int64
	Packet int64
	// Push tells that the segment that ended with this chunk's last byte, captured or not,
	// had PSH or FIN: likely the end of one send by the application.
	Push bool
	// More tells that what follows in this direction is at hand already: another chunk, or Stall,
	// comes at once.
	More bool
	// Cut tells of a gap that the snap length made it; Large, that the segment is larger than an Ethernet frame, so that
	// offload may have joined writes in it.
	Cut, Large bool
	// Clock is the latest time of the capture (ns) where the packet came with an earlier one, else 0.
	Clock int64
}

// End says why a direction carries no more bytes.
type End uint8

// The reasons.
const (
	EndFIN    End = iota + 1 // the sender closed it
	EndRST                   // either side reset the connection
	EndReopen                // the port pair was opened anew
	EndEvict                 // the table of connections was full
	EndFile                  // the capture ended
)

// Handler is told what happens on connections, in the order of the packets. It must not keep
// the bytes of a chunk.
type Handler interface {
	// Open announces a connection, before anything else of it.
	Open(c *Conn)
	// Chunk hands on bytes or a gap.
	Chunk(c *Conn, d Direction, ch Chunk)
	// Stall tells that direction d has (or no longer has) a hole that a retransmission
	// may still fill, and what is behind it waits.
	Stall(c *Conn, d Direction, on bool)
	// End is called once for each direction, after its last chunk.
	End(c *Conn, d Direction, why End, time, packet int64)
}

// Witness is a Handler that is told, too, what TCP's own numbers tell of the connections.
type Witness interface {
	Handler
	// Heard tells of the first packet of a direction, with or without payload.
	Heard(c *Conn, d Direction)
	// Acked tells how far the receiver of direction d has acknowledged its bytes, as a stream offset (a FIN counts as one byte);
	// it may lie beyond what was captured. What Quick returns is not told.
	Acked(c *Conn, d Direction, to, packet int64)
	// Resent tells of bytes of a direction that had been captured before.
	Resent(c *Conn, d Direction, from, to, time, packet int64)
	// Before tells how many bytes of direction d were sent before its offset 0 and after its receiver's first packet was
	// captured: where its start was not, nothing else tells of them.
	Before(c *Conn, d Direction, n int64)
}
