package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/export"
)

// noted is a Writer that lets -w know what was shown.
type noted struct {
	export.Writer
	shown *analyze.Shown
}

func (n *noted) Frame(f *dissect.Frame)             { n.shown.Frame(f); n.Writer.Frame(f) }
func (n *noted) Transaction(t *dissect.Transaction) { n.shown.Transaction(t); n.Writer.Transaction(t) }
func (n *noted) Violation(v *dissect.Violation)     { n.shown.Violation(v); n.Writer.Violation(v) }
func (n *noted) Stream(s *dissect.Stream)           { n.shown.Stream(s); n.Writer.Stream(s) }

// Note implements dissect.NoteSink.
func (n *noted) Note(x *dissect.Note) {
	if next, ok := n.Writer.(dissect.NoteSink); ok {
		next.Note(x)
	}
}

// checkCut looks at -w and --context before anything is opened.
func (a *analysis) checkCut(files []string) error {
	switch {
	case a.write == "" && a.context >= 0:
		return failed(statusUsage, "--context needs -w FILE")
	case a.write == "":
		return nil
	case slices.Contains(files, "-"):
		return failed(statusUsage, "-w reads the capture twice: standard input cannot be")
	}
	if f, twice := sameTwice(append(slices.Clone(files), a.write)); twice {
		return failed(statusUsage, "%s is read: it cannot be written, too", f)
	}
	return nil
}

// cutting has the writer remember what it shows, if there is -w.
func (a *analysis) cutting(w export.Writer) (export.Writer, *analyze.Shown) {
	if a.write == "" {
		return w, nil
	}
	s := &analyze.Shown{}
	return &noted{w, s}, s
}

// cutOut writes the file of -w.
func (a *analysis) cutOut(ctx context.Context, cmd *cobra.Command, files []string, opts *analyze.Options, shown *analyze.Shown) error {
	if shown == nil {
		return nil
	}
	src, err := capture.Open(files...)
	if err != nil {
		return failed(statusInput, "%w", err)
	}
	out, err := openOutput(a.write, cmd.OutOrStdout(), files...)
	if err != nil {
		return err
	}
	defer out.abort()
	w := capture.NewPcapngWriter(out)
	n, err := analyze.Cut(ctx, src, *opts, shown, a.context, w)
	if err != nil {
		return failed(statusInput, "%w", err)
	}
	if err := w.Close(); err != nil {
		return failed(statusInput, "cannot write %s: %w", a.write, pathCause(err))
	}
	if err := out.commit(); err != nil {
		return err
	}
	if !a.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "nubishark: wrote %d packets to %s\n", n, a.write)
	}
	return nil
}
