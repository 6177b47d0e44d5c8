package export

import (
	"encoding/binary"
	"slices"

	"github.com/nubishark/nubishark/dissect"
)

// room is where the part of a line is written whose size is bounded. What is written there has one of a few sizes, whatever counts
// of it: a move of a size that is known needs no call, and what is too much is written over by what comes next. What is written
// where depends on the sizes of what comes before alone, so that nothing is waited for.
type room [mostBounded + mostAtOnce]byte

const (
	mostBounded = 512
	mostAtOnce  = 64
)

// behind returns the room behind what is there of a line, and the line, which may have to go elsewhere.
func behind(b []byte) ([]byte, *room) {
	if cap(b)-len(b) < len(room{}) {
		b = elsewhere(b)
	}
	return b, (*room)(b[len(b):cap(b)])
}

// elsewhere is seldom needed, and would stand in the way of what is.
//
//go:noinline
func elsewhere(b []byte) []byte { return slices.Grow(b, len(room{})) }

// at returns the place that is n bytes, fewer than mostBounded, behind the start.
func (r *room) at(n int) *[mostAtOnce]byte { return (*[mostAtOnce]byte)(r[n&(mostBounded-1):]) }

// The methods that follow write something n bytes behind the start, and return how far behind the start it ends.

// word writes the first size bytes of eight, the lowest first.
func (r *room) word(n int, x uint64, size int) int {
	binary.LittleEndian.PutUint64(r.at(n)[:], x)
	return n + size
}

// word4 is word for four bytes.
func (r *room) word4(n int, x uint32, size int) int {
	binary.LittleEndian.PutUint32(r.at(n)[:], x)
	return n + size
}

// num writes a number in decimal.
func (r *room) num(n int, v int64) int {
	switch u := uint64(v); {
	case u < uint64(len(smallNumbers)):
		x := smallNumbers[u]
		return r.word4(n, x, int(x>>24))
	case u < fourDigits:
		size := digitCount(u)
		return r.word(n, (fourZeros+lastDigits(u))>>((32-8*size)&31), int(size))
	case u < eightDigits:
		size := digitCount(u)
		return r.word(n, (zeros+digitsOf(u))>>((64-8*size)&63), int(size))
	}
	return r.longNum(n, v)
}

func (r *room) longNum(n int, v int64) int { return n + len(appendNum(r.at(n)[:0], v)) }

// char writes a character of ASCII.
func (r *room) char(n int, c byte) int {
	r.at(n)[0] = c
	return n + 1
}

// time writes a time.
func (r *room) time(n int, c *clock, ns int64) int {
	c.write((*[timeSize]byte)(r.at(n)[:]), ns)
	return n + timeSize
}

// end writes an address.
func (r *room) end(n int, e *dissect.End) int {
	*(*[len(e.Text)]byte)(r.at(n)[:]) = e.Text
	return n + int(e.Size)
}

// short, piece and long write what is always the same.
func (r *room) short(n int, p *short) int {
	*(*[len(p.text)]byte)(r.at(n)[:]) = p.text
	return n + p.size
}

func (r *room) piece(n int, p *piece) int {
	*(*[len(p.text)]byte)(r.at(n)[:]) = p.text
	return n + p.size
}

func (r *room) long(n int, p *long) int {
	*(*[len(p.text)]byte)(r.at(n)[:]) = p.text
	return n + p.size
}

// plain writes a text, if all of it stands for itself in a JSON string, and it has as many bytes as are written at once, but not
// too many.
func (r *room) plain(n int, s string) (_ int, ok bool) {
	if len(s) < 8 || len(s) > mostAtOnce {
		return n, false
	}
	special := uint64(0)
	for at := 0; at < len(s); at += 8 {
		at = min(at, len(s)-8)
		x := eight(s[at:])
		special |= specialBytes(x, backslashes, quotes)
		r.word(n+at, x, 8)
	}
	return n + len(s), special == 0
}

// series writes numbers of which most are near the one before: only the last four digits are made anew. The zero value is ready.
type series struct {
	from  uint64 // it and those behind it have the first digits
	first uint64 // as they are written
	size  int    // how many there are
	// latest is the number that was written last by next, last are its last four digits as they are written.
	latest uint64
	last   uint32
}

// write is num for such a number.
func (c *series) write(r *room, n int, v int64) int {
	last := uint64(v) - c.from
	if last >= fourDigits || c.size == 0 {
		return c.turn(r, n, v)
	}
	n = r.word(n, c.first, c.size)
	return r.word4(n, uint32(fourZeros+lastDigits(last)), 4)
}

// next is write for numbers of which most follow the one before: then the last digit is one more.
func (c *series) next(r *room, n int, v int64) int {
	if uint64(v) == c.latest+1 && c.last < '9'<<24 && c.size > 0 {
		c.last += 1 << 24
	} else {
		last := uint64(v) - c.from
		if last >= fourDigits || c.size == 0 {
			c.last = '9' << 24
			return c.turn(r, n, v)
		}
		c.last = uint32(fourZeros + lastDigits(last))
	}
	c.latest = uint64(v)
	n = r.word(n, c.first, c.size)
	return r.word4(n, c.last, 4)
}

// turn writes a number with other first digits than the one before.
func (c *series) turn(r *room, n int, v int64) int {
	first := uint64(v) / fourDigits
	if first == 0 || first >= eightDigits {
		return r.num(n, v)
	}
	size := digitCount(first)
	c.from, c.first, c.size = first*fourDigits, (zeros+digitsOf(first))>>((64-8*size)&63), int(size)
	return c.write(r, n, v)
}

// short, piece and long are texts of at most so many bytes.
type (
	short struct {
		size int
		text [16]byte
	}
	piece struct {
		size int
		text [32]byte
	}
	long struct {
		size int
		text [mostAtOnce]byte
	}
)

func newShort(s string) (p short) {
	p.size = fill(p.text[:], s)
	return p
}

func newPiece(s string) (p piece) {
	p.size = fill(p.text[:], s)
	return p
}

func newLong(s string) *long {
	p := new(long)
	p.size = fill(p.text[:], s)
	return p
}

// fill puts a text into room that is large enough.
func fill(room []byte, s string) int {
	if len(s) > len(room) {
		panic("a text of " + s + " is too long")
	}
	return copy(room, s)
}
