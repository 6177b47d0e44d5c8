package export

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nubishark/nubishark/dissect"
)

// Selection lets only some records through to a Writer. An empty one lets all.
type Selection struct {
	Writer
	// Device is the device key, as it is shown; Streams are connection numbers.
	Device  string
	Streams []int

	found bool
	other []string // devices that do not fit, the first few
}

// maxOthers bounds the devices that are named where none fits.
const maxOthers = 8

// Empty reports whether no connection fitted.
func (s *Selection) Empty() bool { return !s.found }

// Others names what there is instead.
func (s *Selection) Others() string {
	if len(s.other) == 0 {
		return "none"
	}
	return strings.Join(s.other, ", ")
}

// Wants reports whether records of a connection are let through.
func (s *Selection) Wants(c *dissect.Conn) bool {
	return (s.Device == "" || Escape([]byte(c.Device())) == s.Device) &&
		(len(s.Streams) == 0 || slices.Contains(s.Streams, c.Stream))
}

// Frame implements dissect.Sink.
func (s *Selection) Frame(f *dissect.Frame) {
	if s.Wants(f.Conn) {
		s.Writer.Frame(f)
	}
}

// Transaction implements dissect.Sink.
func (s *Selection) Transaction(t *dissect.Transaction) {
	if s.Wants(t.Conn) {
		s.Writer.Transaction(t)
	}
}

// Violation implements dissect.Sink.
func (s *Selection) Violation(v *dissect.Violation) {
	if s.Wants(v.Conn) {
		s.Writer.Violation(v)
	}
}

// Close implements Writer.
func (s *Selection) Close(t Totals) error {
	t.Part = t.Part || s.Device != "" || len(s.Streams) > 0
	return s.Writer.Close(t)
}

// Stream implements dissect.Sink.
func (s *Selection) Stream(x *dissect.Stream) {
	if s.Wants(x.Conn) {
		s.found = true
		s.Writer.Stream(x)
		return
	}
	name := deviceName(x.Conn) + " (stream " + strconv.Itoa(x.Conn.Stream) + ")"
	switch {
	case len(s.other) < maxOthers:
		s.other = append(s.other, name)
	case len(s.other) == maxOthers:
		s.other = append(s.other, "and more")
	}
}
