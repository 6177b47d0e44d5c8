package export

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// Format is a way to write records.
type Format string

// The formats.
const (
	Table    Format = "table"
	Text     Format = "text"
	JSON     Format = "json"
	NDJSON   Format = "ndjson"
	CSV      Format = "csv"
	Markdown Format = "markdown"
)

// Formats are all formats, as they are named on the command line.
var Formats = []Format{Table, Text, JSON, NDJSON, CSV, Markdown}

// View is the part of the records that is shown.
type View string

// The views.
const (
	Default      View = ""
	Summary      View = "summary"
	Packets      View = "packets"
	Transactions View = "transactions"
	Violations   View = "violations"
	Streams      View = "streams"
	All          View = "all"
)

// Views are all views that can be named.
var Views = []View{Summary, Packets, Transactions, Violations, Streams, All}

// Options steer a Writer.
type Options struct {
	Format Format
	View   View
	// ShowSecrets writes client secrets, tokens and keys in clear.
	ShowSecrets bool
	// Detail writes each packet's fields in full, Hex its bytes; both with the format text only.
	Detail, Hex bool
	// Flush writes every line out at once.
	Flush bool
	// Width is the number of terminal columns that tables may use; 0 means DefaultWidth.
	Width int
	// Color uses the terminal's colours.
	Color bool
	// Live shows, where no view is named, packets and violations as they come, and the first look at the end.
	Live bool
}

// DefaultWidth is used where the output is no terminal.
const DefaultWidth = 100

// Writer writes the records of a run. It is a dissect.Sink; the first error of the output is
// returned by Close.
type Writer interface {
	dissect.Sink
	// Close writes what comes last, and flushes. It must be called once, after all records.
	Close(t Totals) error
	// Worst is the severity of the worst violation so far, Note if there was none.
	Worst() protocol.Severity
	// Flush hands on what was written so far.
	Flush() error
	// Interim writes the first look at what is known so far. It may be called at any time between records.
	Interim(out io.Writer, t Totals) error
}

// New returns a Writer, or an error where format and view do not fit together.
func New(w io.Writer, o Options) (Writer, error) {
	if o.Width <= 0 {
		o.Width = DefaultWidth
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &base{out: newOutput(w), o: o, tally: newTally()}
	b.showsFrames, b.showsTransactions = b.shows(Packets), b.shows(Transactions)
	b.out.eager = o.Flush
	switch o.Format {
	case NDJSON, JSON:
		return &jsonWriter{base: b, array: o.Format == JSON}, nil
	case CSV:
		return newCSV(b), nil
	case Text:
		if o.Detail || o.Hex {
			return &detailWriter{base: b, lines: &textWriter{base: b}}, nil
		}
		return &textWriter{base: b}, nil
	}
	return newTables(b), nil
}

// check fills in the default view and refuses what does not fit.
func (o *Options) check() error {
	if (o.Detail || o.Hex) && o.Format != Text {
		return fmt.Errorf("fields and bytes of packets are written as text, not as %s", o.Format)
	}
	if o.View != Default && !slices.Contains(Views, o.View) {
		return fmt.Errorf("view %q is not known; there are: %v", o.View, Views)
	}
	switch o.Format {
	case JSON, NDJSON:
		if o.View == Default {
			o.View = All
		}
	case CSV:
		if o.View == Default {
			o.View = Packets
		}
		if o.View == All || o.View == Summary {
			return errors.New("csv holds one table: use --view packets, transactions, violations or streams")
		}
	case Text:
		if o.View == Default && !o.Live {
			o.View = Packets
		}
	case Table, Markdown:
	default:
		return fmt.Errorf("format %q is not known; there are: %v", o.Format, Formats)
	}
	return nil
}

// base is what all writers share.
type base struct {
	out   *output
	o     Options
	tally *tally
	clock clock
	some  bool // a line was written
	// showsFrames and showsTransactions tell that they are shown: each of them asks.
	showsFrames, showsTransactions bool
}

// Worst implements Writer.
func (b *base) Worst() protocol.Severity { return b.tally.worst }

// Count implements dissect.Counter.
func (b *base) Count(c *dissect.Counts) { b.tally.Count(c) }

// CountsOnly reports whether a writer shows no packet and no transaction, so that it is enough to count them.
func CountsOnly(w Writer) bool {
	c, ok := w.(interface{ options() *Options })
	if !ok {
		return false // what stands between may look at each
	}
	v := c.options().View
	return v == Default || v == Summary || v == Streams
}

// FramesOnly reports whether a writer shows nothing of transactions, not even in packets.
func FramesOnly(w Writer) bool {
	t, ok := w.(*textWriter)
	return ok && t.o.View == Packets && !t.o.Live
}

func (b *base) options() *Options { return &b.o }

// shows reports whether records of a kind are shown.
func (b *base) shows(v View) bool {
	if b.o.Live && b.o.View == Default && b.o.Format == Text {
		return v == Packets || v == Violations || v == Summary
	}
	return b.o.View == v || b.o.View == All
}

// Flush hands on what was written.
func (b *base) Flush() error { return b.out.Flush() }

// end ends a line.
func (b *base) end(line []byte) {
	b.some = true
	b.out.take(line)
}

func (b *base) flush() {
	if b.o.Flush {
		b.out.Flush()
	}
}
