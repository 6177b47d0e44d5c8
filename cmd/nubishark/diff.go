package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/export"
)

func newDiff() *cobra.Command {
	a := &analysis{}
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two captures: violations, failures, latency",
		Long: `diff compares two captures at the level of the protocol: yesterday's firmware with today's. Counts are compared on the
number of requests, and differ where chance does not explain it; latency differs where 90 % of the answers take half as long
again, of 20 answers or more.`,
		Example: "  nubishark diff yesterday.pcapng today.pcapng\n  nubishark diff --fail-on worse baseline.pcapng build-1234.pcapng",
		Args:    cobra.ExactArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.diff(cmd, args) },
	}
	f := cmd.Flags()
	f.StringVarP(&a.format, "format", "T", string(export.Table), "output: table|markdown|json")
	a.addProtocol(cmd)
	f.StringVarP(&a.output, "output", "o", "", "write to a file, which appears when it is complete")
	f.StringVar(&a.failOn, "fail-on", "", "exit with status 3 if B is worse: worse")
	f.StringVar(&a.color, "color", "auto", "colours: auto|always|never")
	complete(cmd, "format", []string{"table", "markdown", "json"})
	complete(cmd, "fail-on", []string{"worse"})
	return cmd
}

func (a *analysis) diff(cmd *cobra.Command, files []string) error {
	opts, err := a.options()
	if err != nil {
		return err
	}
	if a.failOn != "" && a.failOn != "worse" {
		return badValue("fail-on", a.failOn, "worse")
	}
	term, err := a.terminal(cmd)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	var sides [2]*export.Side
	for i, file := range files {
		if sides[i], err = side(ctx, file, opts); err != nil {
			return err
		}
	}
	out, err := openOutput(a.output, cmd.OutOrStdout(), files...)
	if err != nil {
		return err
	}
	defer out.abort()
	c := export.Compare(sides[0], sides[1])
	if err := c.Write(out, export.Options{Format: export.Format(a.format), Width: term.width, Color: term.color}); err != nil {
		return failed(statusUsage, "%w", err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	if a.failOn != "" && len(c.Worse()) > 0 {
		return errFound
	}
	return nil
}

// side counts a capture.
func side(ctx context.Context, file string, opts analyze.Options) (*export.Side, error) {
	src, err := capture.Open(file)
	if err != nil {
		return nil, failed(statusInput, "%w", err)
	}
	s := export.NewSide(file)
	if _, err := analyze.Run(ctx, src, opts, s); err != nil {
		return nil, failed(statusInput, "%w", err)
	}
	return s, nil
}
