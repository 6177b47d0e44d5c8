package main

import (
	"errors"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/export"
)

func newFollow() *cobra.Command {
	a := &analysis{}
	payload := ""
	cmd := &cobra.Command{
		Use:   "follow --stream N | --device KEY FILE...",
		Short: "Show a conversation as a ladder: the device left, the server right",
		Long: `follow shows what one connection, or one device, said and heard: a line for each packet, with its capture packet, its time and
what passed since the one before. What TCP sent again, gaps and violations stand in their places.`,
		Example: `  nubishark follow --stream 1 ticket.pcapng
  nubishark follow --device PRD00001_gw-0113 --payload text ticket.pcapng | less -R
  nubishark follow --stream 1 --payload raw ticket.pcapng > payloads.bin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("follow needs a capture file, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.follow(cmd, args, export.Payloads(payload)) },
	}
	f := cmd.Flags()
	f.IntSliceVar(&a.streams, "stream", nil, "this connection (Wireshark's tcp.stream)")
	f.StringVar(&a.device, "device", "", "the device with this key (product code _ identifier)")
	f.StringVar(&payload, "payload", "", "show payloads, too: "+names(export.PayloadKinds)+" (raw: nothing but their bytes)")
	a.addProtocol(cmd)
	f.StringVarP(&a.output, "output", "o", "", "write to a file, which appears when it is complete")
	f.StringVar(&a.color, "color", "auto", "colours: auto|always|never")
	complete(cmd, "payload", export.PayloadKinds)
	return cmd
}

func (a *analysis) follow(cmd *cobra.Command, files []string, payload export.Payloads) error {
	if len(a.streams) == 0 && a.device == "" {
		return failed(statusUsage, "follow needs --stream N or --device KEY: nubishark read --view streams lists them")
	}
	if payload != "" && !slices.Contains(export.PayloadKinds, payload) {
		return badValue("payload", string(payload), names(export.PayloadKinds))
	}
	opts, err := a.options()
	if err != nil {
		return err
	}
	term, err := a.terminal(cmd)
	if err != nil {
		return err
	}
	if _, is := asTerminal(cmd.OutOrStdout()); is && a.output == "" && payload == export.PayloadRaw {
		return failed(statusUsage, "raw payloads are not for a terminal: send them to a file or a pipe")
	}
	src, err := capture.Open(files...)
	if err != nil {
		return failed(statusInput, "%w", err)
	}
	out, err := openOutput(a.output, cmd.OutOrStdout(), files...)
	if err != nil {
		return err
	}
	defer out.abort()
	ladder := export.NewLadder(out, export.Options{Width: term.width, Color: term.color}, payload)
	selection := &export.Selection{Writer: ladder, Device: a.device, Streams: a.streams}
	opts.Resent = func(r analyze.Resent) {
		if selection.Wants(r.Conn) {
			ladder.Resent(r.Conn, r.From, r.Packet, r.Bytes, r.Time)
		}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	_, damage := analyze.Run(ctx, src, opts, selection)
	if err := selection.Close(export.Totals{}); err != nil {
		return failed(statusInput, "write: %w", err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	switch {
	case damage != nil:
		return failed(statusInput, "%w", damage)
	case selection.Empty():
		return nothingFits(selection)
	}
	return nil
}
