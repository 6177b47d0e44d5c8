package export

import "io"

// output collects what is written, and hands it on in large pieces. It is a bufio.Writer for lines that are written where they stay.
type output struct {
	w   io.Writer
	buf []byte // what waits, in front of the room
	err error
	// eager lines do not wait.
	eager bool
}

const (
	bufferSize = 128 << 10
	// roomOfLine is enough for most lines.
	roomOfLine = 2048
)

func newOutput(w io.Writer) *output { return &output{w: w, buf: make([]byte, 0, bufferSize)} }

// line returns the empty slice that a line is to be appended to; take ends it. Between the two nothing else may be written.
func (o *output) line() []byte {
	if cap(o.buf)-len(o.buf) < roomOfLine {
		o.Flush()
	}
	return o.buf[len(o.buf):]
}

// take takes in what was appended to the line. What did not fit is elsewhere by now.
func (o *output) take(line []byte) {
	if n := len(o.buf); len(line) > 0 && len(line) <= cap(o.buf)-n && &line[0] == &o.buf[:n+1][n] {
		o.buf = o.buf[:n+len(line)]
	} else {
		_, _ = o.Write(line) // the error is kept
	}
	if o.eager {
		o.Flush()
	}
}

// Write implements io.Writer. The first error is returned from then on.
func (o *output) Write(b []byte) (int, error) {
	if len(b) > cap(o.buf)-len(o.buf) {
		o.Flush()
	}
	switch {
	case o.err != nil:
		return 0, o.err
	case len(b) > cap(o.buf):
		_, o.err = o.w.Write(b)
		return len(b), o.err
	}
	o.buf = append(o.buf, b...)
	return len(b), nil
}

// WriteString implements io.StringWriter.
func (o *output) WriteString(s string) (int, error) { return o.Write([]byte(s)) }

// Flush hands on what waits.
func (o *output) Flush() error {
	if o.err == nil && len(o.buf) > 0 {
		_, o.err = o.w.Write(o.buf)
	}
	o.buf = o.buf[:0]
	return o.err
}
