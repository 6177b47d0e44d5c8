package export

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
)

// Lines are written by appending, most of them where they stay. What most of a line is made of, numbers, hexadecimal digits
// and text that stands for itself, is appended eight bytes at a time.

// pairs are the numbers from 00 to 99.
const pairs = "00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" + "40414243444546474849" +
	"50515253545556575859" + "60616263646566676869" + "70717273747576777879" + "80818283848586878889" + "90919293949596979899"

// appendNum appends a number in decimal.
func appendNum(b []byte, v int64) []byte {
	if v < 0 {
		return strconv.AppendInt(b, v, 10)
	}
	n := decimals(uint64(v))
	b = extend(b, n)
	putNum(b[len(b)-n:], uint64(v))
	return b
}

// putNum writes the last digits of a number, as many as there is room for.
func putNum(b []byte, v uint64) {
	i := len(b)
	for ; i >= 2; i -= 2 {
		k := v % 100 * 2
		v /= 100
		b[i-1], b[i-2] = pairs[k+1], pairs[k]
	}
	if i == 1 {
		b[0] = byte('0' + v%10)
	}
}

// tens are the powers of ten.
var tens = func() (t [20]uint64) {
	t[0] = 1
	for i := range t[1:] {
		t[i+1] = 10 * t[i]
	}
	return t
}()

// decimals is the number of a number's digits.
func decimals(v uint64) int {
	n := bits.Len64(v|1) * 1233 >> 12 // the logarithm of 2 is 1233/4096
	if v >= tens[n] {
		n++
	}
	return max(n, 1)
}

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
	for ; len(p) >= 4 && len(out) >= 8; p, out = p[4:], out[8:] {
		binary.BigEndian.PutUint64(out, hexOf(binary.BigEndian.Uint32(p)))
	}
	for i, c := range p {
		out[2*i], out[2*i+1] = hexDigits[c>>4], hexDigits[c&15]
	}
	return b
}

// hexOf returns the digits of a number.
func hexOf(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (x + 6*everyByte) >> 4 & everyByte
	return x + '0'*everyByte + ('a'-'0'-10)*letters
}

// plainBytes counts how many of eight bytes, the lowest first, are printable ASCII before one that is not, or is one of two.
func plainBytes(x, one, other uint64) int {
	special := (x - ' '*everyByte) &^ x // below a space
	y := x ^ one
	special |= (y - everyByte) &^ y
	y = x ^ other
	special |= (y - everyByte) &^ y
	special |= x | (x + everyByte) // from 7f on
	return bits.TrailingZeros64(special&highBits) / 8
}

// Bytes that cannot stand for themselves, eight times.
const (
	quotes      = '"' * everyByte
	backslashes = '\\' * everyByte
	deletes     = 0x7f * everyByte // not printable anyway
)
