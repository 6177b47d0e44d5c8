package export

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
)

// Lines are written by appending, most of them where they stay. What most of a line is made of, numbers, hexadecimal digits
// and text that stands for itself, is appended eight bytes at a time.

// appendNum appends a number in decimal.
func appendNum(b []byte, v int64) []byte {
	if v < 0 {
		return strconv.AppendInt(b, v, 10)
	}
	u := uint64(v)
	if u >= eightDigits {
		b = appendNum(b, int64(u/eightDigits))
		b = extend(b, 8)
		binary.LittleEndian.PutUint64(b[len(b)-8:], zeros+digitsOf(u%eightDigits))
		return b
	}
	at, n := len(b), digitCount(u)
	b = extend(b, 8)
	binary.LittleEndian.PutUint64(b[at:], (zeros+digitsOf(u))>>(64-8*n))
	return b[:at+int(n)]
}

// digitCount returns how many digits a number below eightDigits has. What comes behind the number need not wait for the digits themselves: where
// it stands depends on their count.
func digitCount(u uint64) uint64 { return (u + digitCounts[bits.Len32(uint32(u))]) >> 32 }

// digitCounts are, by the number of bits that a number has, what brings it to its count of digits in the upper half if it is added.
var digitCounts = func() (counts [33]uint64) {
	counts[0] = 1 << 32
	for n := 1; n < len(counts); n++ {
		least, most := uint64(1)<<(n-1), uint64(1)<<n-1
		digits, ten := uint64(1), uint64(10)
		for ; ten <= least; ten *= 10 {
			digits++
		}
		counts[n] = digits << 32
		if ten <= most { // from there on there is one digit more
			counts[n] = (digits+1)<<32 - ten
		}
	}
	return counts
}()

// threeDigits are the numbers below a thousand: the digits, the first one in the lowest byte, zeros in front filling up three; smallNumbers have
// none of those, and the count of the digits in the highest byte.
var threeDigits, smallNumbers = func() (three, small [1000]uint32) {
	for i := range three {
		a, b, c := uint32(i/100), uint32(i/10%10), uint32(i%10)
		three[i] = '0' + a | ('0'+b)<<8 | ('0'+c)<<16
		n := uint32(digitCount(uint64(i)))
		small[i] = three[i]>>(24-8*n) | n<<24
	}
	return three, small
}()

const (
	fourDigits  = 1e4
	eightDigits = 1e8
	fourZeros   = '0' * (everyByte & 0xffffffff)
	zeros       = '0' * everyByte
)

// lastDigits is digitsOf for the four digits of a number below fourDigits.
func lastDigits(v uint64) uint64 {
	high := v * 10486 >> 20
	x := high | (v-100*high)<<16
	high = x * 103 >> 10 & 0x000f000f
	return high | (x-10*high)<<8
}

// digitsOf returns the eight digits of a number below eightDigits, the first one in the lowest byte. It halves the number, the
// halves and the quarters, all those of a size at once, by multiplying and shifting instead of dividing.
func digitsOf(v uint64) uint64 {
	short := uint32(v) // is divided faster
	x := uint64(short/1e4) | uint64(short%1e4)<<32
	high := x * 10486 >> 20 & 0x0000007f0000007f // a hundredth of four digits
	x = high | (x-100*high)<<16
	high = x * 103 >> 10 & 0x000f000f000f000f // a tenth of two
	return high | (x-10*high)<<8
}

// putTwo writes a number below 100.
func putTwo(b *[2]byte, v uint64) { b[0], b[1] = byte('0'+v/10), byte('0'+v%10) }

// extend makes a slice longer by bytes that are to be written.
func extend(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		b = slices.Grow(b, n)
	}
	return b[:len(b)+n]
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
)

// appendHex appends bytes in lower-case hexadecimal.
func appendHex(b, p []byte) []byte {
	at := len(b)
	b = extend(b, 2*len(p))
	out := b[at:]
	if len(p) < 8 {
		for i, c := range p {
			binary.LittleEndian.PutUint16(out[2*i:], hexBytes[c])
		}
		return b
	}
	for at := 0; at < len(p); at += 8 {
		at = min(at, len(p)-8) // the last eight, of which some may have been written
		in, to := (*[8]byte)(p[at:]), (*[16]byte)(out[2*at:])
		binary.LittleEndian.PutUint16(to[0:], hexBytes[in[0]])
		binary.LittleEndian.PutUint16(to[2:], hexBytes[in[1]])
		binary.LittleEndian.PutUint16(to[4:], hexBytes[in[2]])
		binary.LittleEndian.PutUint16(to[6:], hexBytes[in[3]])
		binary.LittleEndian.PutUint16(to[8:], hexBytes[in[4]])
		binary.LittleEndian.PutUint16(to[10:], hexBytes[in[5]])
		binary.LittleEndian.PutUint16(to[12:], hexBytes[in[6]])
		binary.LittleEndian.PutUint16(to[14:], hexBytes[in[7]])
	}
	return b
}

const hexDigits = "0123456789abcdef"

// hexBytes are the digits of each byte, the first one in the lower byte.
var hexBytes = func() (digits [256]uint16) {
	for c := range digits {
		digits[c] = uint16(hexDigits[c>>4]) | uint16(hexDigits[c&15])<<8
	}
	return digits
}()

// first8 returns the first eight bytes, the first one as the lowest; where there are fewer, zeros stand behind them.
func first8(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return fewer(b)
}

// fewer is first8 for fewer than eight bytes.
func fewer(b []byte) uint64 {
	if n := len(b); n >= 4 {
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4))
	}
	x := uint64(0)
	for i, c := range b {
		x |= uint64(c) << (8 * i)
	}
	return x
}

// eight returns the first eight bytes of a text that has so many, the first one as the lowest; it is one load.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// strangeBytes has the highest bit of each of eight bytes that is not printable ASCII, and may have that of bytes above the first such one.
func strangeBytes(x uint64) uint64 {
	return ((x-' '*everyByte)&^x | x | (x + everyByte)) & highBits // below a space, or from 7f on
}

// specialBytes has that of each byte that is not printable ASCII, or is one of two, likewise.
func specialBytes(x, one, other uint64) uint64 {
	y, z := x^one, x^other
	return strangeBytes(x) | ((y-everyByte)&^y|(z-everyByte)&^z)&highBits
}

// Bytes that cannot stand for themselves, eight times.
const (
	quotes      = '"' * everyByte
	backslashes = '\\' * everyByte
)
