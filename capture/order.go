package capture

import (
	"encoding/binary"
	"math/bits"
)

// byteOrder is the order in which a file has the bytes of its numbers; the zero value is little endian. Other than a
// binary.ByteOrder it is known at the call, so that reading a number is a load and a branch that always goes the same way.
type byteOrder struct{ big bool }

func (o byteOrder) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if o.big {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func (o byteOrder) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if o.big {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (o byteOrder) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if o.big {
		v = bits.ReverseBytes64(v)
	}
	return v
}
