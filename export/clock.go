package export

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// clock writes times in UTC. It keeps the latest second and its day, because the next record mostly has the same.
type clock struct {
	second, day int64
	start       int64                 // of the second (ns)
	known       bool                  // and it is in the range of such times
	date        [len(dateLayout)]byte // up to the second
}

const (
	dateLayout   = "2006-01-02T15:04:05."
	secondsOfDay = 24 * 60 * 60
)

// timeSize is the size of RFC 3339 with nanoseconds.
const timeSize = len(dateLayout) + len("000000000Z")

// append appends RFC 3339 with nanoseconds.
func (c *clock) append(b []byte, ns int64) []byte {
	b = extend(b, timeSize)
	c.write((*[timeSize]byte)(b[len(b)-timeSize:]), ns)
	return b
}

// write writes it.
func (c *clock) write(b *[timeSize]byte, ns int64) {
	frac := ns - c.start
	if uint64(frac) >= 1e9 || !c.known {
		sec := ns / 1e9
		if ns < sec*1e9 {
			sec--
		}
		c.turn(sec)
		frac = ns - c.start
	}
	short := uint32(frac) // is divided faster
	ms, us := short/1e6, short/1e3
	*(*[len(dateLayout)]byte)(b[:]) = c.date
	const at = len(dateLayout)
	binary.LittleEndian.PutUint32(b[at:], threeDigits[ms])
	binary.LittleEndian.PutUint32(b[at+3:], threeDigits[us-1e3*ms])
	binary.LittleEndian.PutUint32(b[at+6:], threeDigits[short-1e3*us]|'Z'<<24)
}

// turn sets the clock.
func (c *clock) turn(sec int64) {
	if day := (sec - ((sec%secondsOfDay)+secondsOfDay)%secondsOfDay) / secondsOfDay; c.date[0] == 0 || day != c.day {
		time.Unix(sec, 0).UTC().AppendFormat(c.date[:0], dateLayout)
		c.day = day
	}
	s := uint64(sec - c.day*secondsOfDay)
	putTwo((*[2]byte)(c.date[11:]), s/3600)
	putTwo((*[2]byte)(c.date[14:]), s/60%60)
	putTwo((*[2]byte)(c.date[17:]), s%60)
	c.second, c.start, c.known = sec, sec*1e9, sec >= math.MinInt64/1_000_000_000
}

// dayTime writes a time for a column: month, day, and the time to the millisecond.
func dayTime(ns int64) string { return time.Unix(0, ns).UTC().Format("01-02 15:04:05.000") }

// wholeTime writes a time for a sentence, cut to the second.
func wholeTime(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05") }

// duration writes a number of nanoseconds with three significant digits.
func duration(ns int64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	switch {
	case ns < 1e3:
		return sign + strconv.FormatInt(ns, 10) + " ns"
	case ns < 1e6:
		return sign + digits(float64(ns)/1e3) + " µs"
	case ns < 1e9:
		return sign + digits(float64(ns)/1e6) + " ms"
	case ns < 120e9:
		return sign + digits(float64(ns)/1e9) + " s"
	}
	s := ns / 1e9
	if s < 3600 {
		return sign + strconv.FormatInt(s/60, 10) + " min " + strconv.FormatInt(s%60, 10) + " s"
	}
	return sign + strconv.FormatInt(s/3600, 10) + " h " + strconv.FormatInt(s/60%60, 10) + " min"
}

func digits(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}
