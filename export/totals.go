package export

// Totals are what is known of a run beside its records.
type Totals struct {
	// Name is what was read.
	Name string
	// Packets, TCPStreams and NubisonStreams count what was read, whatever it carries.
	Packets, TCPStreams, NubisonStreams int64
	// First and Last are the earliest and the latest packet time (ns).
	First, Last int64
	// Received and Dropped are what the capture says of itself, if Counted.
	Received, Dropped uint64
	Counted           bool
	// Cut counts packets cut by the snap length, OneSided the NUBISON connections of which only one
	// side was captured, Midstream those whose start was not.
	Cut, OneSided, Midstream int64
	// Gaps of the whole capture hold Missing bytes that were never captured.
	Gaps, Missing int64
	// Duplicates counts packets that were captured twice, Large segments that are larger than an Ethernet frame, Backwards
	// packets whose time is before that of the packet before.
	Duplicates, Large, Backwards int64
	// Forgotten counts connections, and GivenUp holes, that a bound on memory made the reassembly
	// let go of.
	Forgotten, GivenUp int64
	// OtherPorts are the lower ports of connections without NUBISON, with how many each had.
	OtherPorts []PortCount
	// Restricted tells that only some ports were looked at.
	Restricted bool
	// Part tells that only some connections are shown, or parts of them.
	Part bool
	// Filtered tells that only what fits a filter is shown: Fitting records, FittingPackets of FramesInAll NUBISON packets.
	Filtered                             bool
	Fitting, FittingPackets, FramesInAll int64
	// Damage says where the input is damaged, "" if it is whole.
	Damage string
}

// PortCount is a TCP port and the number of connections that used it.
type PortCount struct {
	Port  uint16
	Count int64
}
