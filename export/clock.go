package export

import (
	"strconv"
	"time"
)

// clock writes times in UTC. It keeps the latest second, because the next record mostly has the same.
type clock struct {
	second int64
	date   []byte // up to the second
}

// append writes RFC 3339 with nanoseconds.
func (c *clock) append(b []byte, ns int64) []byte {
	sec, frac := ns/1e9, ns%1e9
	if frac < 0 {
		sec, frac = sec-1, frac+1e9
	}
	if c.date == nil || sec != c.second {
		c.second = sec
		c.date = time.Unix(sec, 0).UTC().AppendFormat(c.date[:0], "2006-01-02T15:04:05.")
	}
	b = append(b, c.date...)
	b = appendFraction(b, frac, 9)
	return append(b, 'Z')
}

// appendFraction writes the first digits of a number of nanoseconds.
func appendFraction(b []byte, ns int64, digits int) []byte {
	var d [9]byte
	for i := len(d) - 1; i >= 0; i-- {
		d[i] = byte('0' + ns%10)
		ns /= 10
	}
	return append(b, d[:digits]...)
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
