package export

import (
	"fmt"

	"github.com/nubishark/nubishark/dissect"
)

// maxRows bounds the rows of a list that is shown beside others: it has to wait for them.
const maxRows = 10_000

// list is one of the lists, as it comes or kept until its turn.
type list struct {
	view View
	name string
	cols []column
	grid *grid
	kept [][]string
	more int64
}

// tablesWriter writes tables for people. One list is written as it comes; several one after the
// other at the end.
type tablesWriter struct {
	*base
	lists []*list
}

func newTables(b *base) *tablesWriter {
	w := &tablesWriter{base: b}
	all := []*list{
		{view: Streams, name: "Connections", cols: streamColumns},
		{view: Violations, name: "Violations", cols: violationColumns},
		{view: Transactions, name: "Transactions", cols: transactionColumns},
		{view: Packets, name: "Packets", cols: packetColumns},
	}
	for _, l := range all {
		switch b.o.View {
		case l.view:
			l.grid = newGrid(b.out, l.cols, b.o.Width, b.o.Format == Markdown)
			w.lists = append(w.lists, l)
		case All:
			w.lists = append(w.lists, l)
		}
	}
	return w
}

func (w *tablesWriter) add(v View, cells func() []string) {
	for _, l := range w.lists {
		switch {
		case l.view != v:
		case l.grid != nil:
			l.grid.row(cells())
			w.flush()
		case len(l.kept) < maxRows:
			l.kept = append(l.kept, cells())
		default:
			l.more++
		}
	}
}

// Frame implements dissect.Sink.
func (w *tablesWriter) Frame(f *dissect.Frame) {
	w.tally.Frame(f)
	w.add(Packets, func() []string { return packetCells(f, &w.o) })
}

// Transaction implements dissect.Sink.
func (w *tablesWriter) Transaction(t *dissect.Transaction) {
	w.tally.Transaction(t)
	w.add(Transactions, func() []string { return transactionCells(t) })
}

// Violation implements dissect.Sink.
func (w *tablesWriter) Violation(v *dissect.Violation) {
	w.tally.Violation(v)
	w.add(Violations, func() []string { return violationCells(v) })
}

// Stream implements dissect.Sink.
func (w *tablesWriter) Stream(s *dissect.Stream) {
	w.tally.Stream(s)
	w.add(Streams, func() []string { return streamCells(s) })
}

// Close implements Writer.
func (w *tablesWriter) Close(t Totals) error {
	if v := w.o.View; v == Default || v == Summary || v == All {
		if err := newReport(w.base, w.o.Format == Markdown).write(&t); err != nil {
			return err
		}
	}
	for _, l := range w.lists {
		if err := w.finish(l); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

func (w *tablesWriter) finish(l *list) error {
	if l.grid != nil {
		if l.grid.rows == 0 {
			defer fmt.Fprintln(w.out, " none")
		}
		return l.grid.close()
	}
	markdown := w.o.Format == Markdown
	heading(w.out, l.name, markdown)
	g := newGrid(w.out, l.cols, w.o.Width, markdown)
	for _, c := range l.kept {
		g.row(c)
	}
	if err := g.close(); err != nil {
		return err
	}
	if l.more > 0 {
		fmt.Fprintf(w.out, "and %s more: --view %s shows all\n", thousands(l.more), l.view)
	}
	return nil
}
