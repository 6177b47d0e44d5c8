package main

import (
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/export"
	"github.com/nubishark/nubishark/sanitize"
)

func newSanitize() *cobra.Command {
	a := &analysis{format: string(export.Table), color: "never"}
	var (
		keep   bool
		verify bool
	)
	cmd := &cobra.Command{
		Use:   "sanitize IN OUT",
		Short: "Write a capture that can be passed on: pseudonyms for names and secrets",
		Long: `sanitize writes a capture in which client IDs and secrets, tokens, keys, identifiers, session IDs, payloads, and IP and MAC
addresses stand as pseudonyms of the same length, the same everywhere. Product codes, times, sizes and ports stay. Other
protocols' payloads, comments, names of interfaces and header options are not in it. The same input gives the same output.

It is searched for every secret of the input, and read again: what it leads to is the same but for the names, or it is not
written (--verify=false leaves that out).`,
		Example: "  nubishark sanitize ticket.pcapng to-vendor.pcapng",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := a.options()
			if err != nil {
				return err
			}
			if args[0] == "-" {
				return failed(statusUsage, "sanitize reads the capture several times: standard input cannot be")
			}
			if f, twice := sameTwice(args); twice {
				return failed(statusUsage, "%s is read: it cannot be written, too", f)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			open := func() (capture.Source, error) { return capture.Open(args[0]) }
			b, damage, err := sanitize.File(ctx, open, sanitize.Options{KeepPayload: keep, Analysis: opts}, !verify)
			if err != nil {
				return failed(statusInput, "%w", err)
			}
			out, err := openOutput(args[1], cmd.OutOrStdout(), args[0])
			if err != nil {
				return err
			}
			defer out.abort()
			if _, err := out.Write(b); err != nil {
				return failed(statusInput, "cannot write %s: %w", args[1], pathCause(err))
			}
			if err := out.commit(); err != nil {
				return err
			}
			how := "verified: it leads to the same packets, transactions, latencies and violations"
			if !verify {
				how = "not verified"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "nubishark: wrote %s, %s\n", args[1], how)
			if damage != nil {
				return failed(statusInput, "%w: what stands before is written", damage)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&keep, "keep-payload", false, "keep the payloads of packets as they are")
	f.BoolVar(&verify, "verify", true, "read what was written, and compare what it leads to")
	a.addProtocol(cmd)
	return cmd
}
