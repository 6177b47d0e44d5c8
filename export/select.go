package export

import (
	"slices"

	"github.com/nubishark/nubishark/dissect"
)

// Selection lets only some records through to a Writer. An empty one lets all.
type Selection struct {
	Writer
	// Device is the device key, as it is shown; Streams are connection numbers.
	Device  string
	Streams []int
}

func (s *Selection) wants(c *dissect.Conn) bool {
	return (s.Device == "" || Escape([]byte(c.Device())) == s.Device) &&
		(len(s.Streams) == 0 || slices.Contains(s.Streams, c.Stream))
}

// Frame implements dissect.Sink.
func (s *Selection) Frame(f *dissect.Frame) {
	if s.wants(f.Conn) {
		s.Writer.Frame(f)
	}
}

// Transaction implements dissect.Sink.
func (s *Selection) Transaction(t *dissect.Transaction) {
	if s.wants(t.Conn) {
		s.Writer.Transaction(t)
	}
}

// Violation implements dissect.Sink.
func (s *Selection) Violation(v *dissect.Violation) {
	if s.wants(v.Conn) {
		s.Writer.Violation(v)
	}
}

// Stream implements dissect.Sink.
func (s *Selection) Stream(x *dissect.Stream) {
	if s.wants(x.Conn) {
		s.Writer.Stream(x)
	}
}
