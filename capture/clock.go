package capture

import (
	"math"
	"math/bits"
)

// second is a second in nanoseconds.
const second = 1_000_000_000

// clock turns the ticks of a pcapng interface into nanoseconds, exactly: they
// are computed with 128 bits, rounded down, and clamped to what an
// int64 holds.
type clock struct {
	mul   uint64 // nanoseconds a tick, at least 1, times what div and shift undo
	div   uint64 // at least 1; 0 where a tick is too short to be worth anything
	shift uint   // 0 to 127, for powers of two
	// The offset in nanoseconds, as a 128-bit number.
	hi, lo uint64
	// below is where ticks begin of which the product alone is not the time, or does not fit; 0 where it never is.
	below uint64
}

// defaultResol is if_tsresol where an interface has none: microseconds.
const defaultResol = 6

// newClock takes if_tsresol (a power of 10, or with the top bit of 2) and
// if_tsoffset in seconds.
func newClock(resol uint8, offset int64) clock {
	c := clock{mul: 1, div: 1}
	exp := uint(resol & 0x7f)
	switch {
	case resol&0x80 != 0:
		c.mul, c.shift = second, exp
	case exp <= 9:
		c.mul = pow10(9 - exp)
	case exp <= 9+19:
		c.div = pow10(exp - 9)
	default: // 10^20 is over 64 bits: every time is less than a nanosecond
		c.div = 0
	}
	c.hi, c.lo = bits.Mul64(uint64(offset), second)
	if offset < 0 {
		c.hi -= second // uint64(offset) is too large by 2^64
	}
	if c.div == 1 && c.shift == 0 && offset == 0 {
		c.below = math.MaxInt64 / c.mul
	}
	return c
}

func pow10(exp uint) uint64 {
	p := uint64(1)
	for range exp {
		p *= 10
	}
	return p
}

func (c *clock) nanos(ticks uint64) int64 {
	if ticks < c.below {
		return int64(ticks * c.mul)
	}
	return c.exact(ticks)
}

func (c *clock) exact(ticks uint64) int64 {
	if c.div != 1 {
		if c.div == 0 {
			ticks = 0
		} else {
			ticks /= c.div
		}
	}
	hi, lo := bits.Mul64(ticks, c.mul)
	if c.shift != 0 {
		hi, lo = shiftRight(hi, lo, c.shift)
	}
	lo, carry := bits.Add64(lo, c.lo, 0)
	hi, _ = bits.Add64(hi, c.hi, carry)
	return clamp(int64(hi), lo)
}

func shiftRight(hi, lo uint64, n uint) (uint64, uint64) {
	if n >= 64 {
		return 0, hi >> (n - 64)
	}
	return hi >> n, lo>>n | hi<<(64-n)
}

func clamp(hi int64, lo uint64) int64 {
	switch {
	case hi == int64(lo)>>63: // the upper half is the sign and nothing more
		return int64(lo)
	case hi < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}
