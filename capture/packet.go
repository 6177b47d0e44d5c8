package capture

import "math"

// LinkType is the 16-bit link-layer type of a capture file or interface, as
// registered at https://www.tcpdump.org/linktypes.html.
type LinkType uint16

// Packet is one captured packet. Data is owned by the batch that it came from
// and is valid until that batch is filled again.
type Packet struct {
	// Number counts the packets of a run from 1, as Wireshark's frame.number.
	Number int64
	// Time is in nanoseconds since 1970 UTC, 0 where the file has none.
	Time int64
	// Link is the real 16-bit link type, kept for each packet because one
	// pcapng file may mix them.
	Link LinkType
	// WireLen is the length that the packet had on the wire; it is never
	// less than len(Data).
	WireLen int
	// Iface is the number of the interface in its capture, 0 where there is only one; those from 65,535 on share that number.
	Iface int
	// Data holds the captured bytes, cut at the snap length.
	Data []byte
}

// Ref places one packet in the Data of its batch. One with Number 0 is no packet: it tells that the capture's
// clock stood at Time before the next packet came. There is one for every packet on the way, so it is as small as the
// bounds of a record allow: two of them fill a line of the cache.
type Ref struct {
	Number  int64
	Time    int64
	Off     uint32 // a batch stays far below 4 GiB: see maxRecord
	Len     uint32
	WireLen uint32
	Link    LinkType
	Iface   uint16 // see Packet.Iface
}

// Batch carries many packets from a Source at once, so that no work is done
// per packet on the way. The zero value is ready to be filled; the owner may
// fill it again once it is done with the packets.
type Batch struct {
	Data []byte
	Refs []Ref
}

// Packet returns the i-th packet of the batch. The bytes belong to the batch.
func (b *Batch) Packet(i int) Packet {
	r := &b.Refs[i]
	return Packet{
		Number: r.Number, Time: r.Time, Link: r.Link, WireLen: int(r.WireLen), Iface: int(r.Iface),
		Data: b.Data[r.Off : r.Off+r.Len : r.Off+r.Len],
	}
}

// Add appends a packet with a copy of its bytes. It is for sources that come by their packets one at a time, and must
// not be given so many that they fill 4 GiB.
func (b *Batch) Add(p Packet) {
	b.Refs = append(b.Refs, Ref{
		Number: p.Number, Time: p.Time, Off: uint32(len(b.Data)), Len: uint32(len(p.Data)),
		WireLen: uint32(min(max(p.WireLen, len(p.Data)), maxWireLen)), Link: p.Link, Iface: ifaceNumber(p.Iface),
	})
	b.Data = append(b.Data, p.Data...)
}

// ifaceNumber is the number of an interface as a Ref has it.
func ifaceNumber(id int) uint16 { return uint16(min(id, math.MaxUint16)) }

// Source yields packets in the order in which they count.
type Source interface {
	// Next empties and fills b. At the end it returns io.EOF, with b empty. Any
	// other error tells what is damaged; the packets in b, read before the
	// damage, are good. After an error the source is at its end.
	Next(b *Batch) error
	// Stats tells what the file or interface says of itself so far.
	Stats() Stats
	Close() error
}

// Stats are the counts that a capture keeps of itself.
type Stats struct {
	// Received and Dropped come from interface statistics (pcapng ISB, or the
	// kernel); Known tells that there were any.
	Received, Dropped uint64
	Known             bool
	// Read and Size are the bytes consumed of the input files and in all; Size is 0
	// where it is unknown (standard input).
	Read, Size int64
}

// since is what was counted since another time.
func (s Stats) since(before Stats) Stats {
	return Stats{Known: s.Known, Received: s.Received - before.Received, Dropped: s.Dropped - before.Dropped}
}
