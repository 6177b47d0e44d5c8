package analyze

import "github.com/nubishark/nubishark/reassembly"

// proven lets the dissector ask a connection of the reassembly what TCP proves.
type proven reassembly.Conn

// AckedAt implements dissect.TCP.
func (c *proven) AckedAt(dir int, end int64) (packet int64, ok bool) {
	return (*reassembly.Conn)(c).AckedIn(reassembly.Direction(dir), end)
}

// ResentAt implements dissect.TCP.
func (c *proven) ResentAt(dir int, from, to int64) []int64 {
	return (*reassembly.Conn)(c).ResentIn(reassembly.Direction(dir), from, to)
}

// EndedAt implements dissect.TCP.
func (c *proven) EndedAt(dir int) int64 { return (*reassembly.Conn)(c).Ended[dir] }
