package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
)

func newSimulate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "A stand-in device or server, or a capture of synthetic traffic",
		Long: `simulate speaks the protocol as a device or as a server over real sockets, or writes a capture of
traffic that never was. Faults are named like the violations that they commit.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSimulateDevice(), newSimulateServer(), newSimulateCapture())
	return cmd
}

// faultFlags are the flags that say what to do wrong.
type faultFlags struct {
	seed   uint64
	faults []string
	rate   float64
}

func (f *faultFlags) add(cmd *cobra.Command, known []string) {
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "of everything random: the same seed gives the same bytes")
	cmd.Flags().StringSliceVar(&f.faults, "fault", nil, "violations to commit, or all: "+strings.Join(known, ", "))
	cmd.Flags().Float64Var(&f.rate, "fault-rate", 0.1, "the share of requests that commit one, 0 to 1")
	complete(cmd, "fault", append([]string{"all"}, known...))
}

// names checks the faults, and resolves all.
func (f *faultFlags) names(known []string) ([]string, error) {
	if f.rate < 0 || f.rate > 1 {
		return nil, badValue("fault-rate", fmt.Sprint(f.rate), "a number from 0 to 1")
	}
	var list []string
	for _, name := range f.faults {
		if name == "all" {
			return known, nil
		}
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return nil, badValue("fault", name, strings.Join(known, ", "))
		}
		list = append(list, name)
	}
	return list, nil
}

func newSimulateCapture() *cobra.Command {
	var (
		faults            faultFlags
		o                 simulate.Options
		output            string
		spacing, interval time.Duration
		shares            = map[string]*float64{"loss": &o.Loss, "duplicate": &o.Duplicate, "reorder": &o.Reorder}
	)
	cmd := &cobra.Command{
		Use:     "capture -o FILE",
		Short:   "Write a capture of synthetic traffic",
		Example: "  nubishark simulate capture -o crowd.pcap --connections 100 --loss 0.01 --fault short-packet,late-response",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if output == "" {
				return failed(statusUsage, "simulate capture needs -o FILE, or -o - for standard output")
			}
			for name, v := range shares {
				if !(*v >= 0 && *v <= 1) {
					return badValue(name, fmt.Sprint(*v), "a share from 0 to 1")
				}
			}
			if o.Connections < 1 || o.Requests < 0 || o.Packets < 0 || o.SnapLen < 0 {
				return failed(statusUsage, "--connections takes a number from 1, --requests, --packets and --snaplen one from 0")
			}
			o.Seed, o.FaultRate = faults.seed, faults.rate
			o.Spacing, o.Interval = int64(spacing), int64(interval)
			if o.Faults, err = faults.names(simulate.FaultNames()); err != nil {
				return err
			}
			return writeCapture(cmd, output, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "the capture to write (pcap), - for standard output")
	f.IntVar(&o.Connections, "connections", 10, "number of TCP connections")
	f.IntVar(&o.Requests, "requests", 20, "requests on each, beside login and logout")
	f.Int64Var(&o.Packets, "packets", 0, "end the capture after so many packets, with as many connections as it takes")
	f.IntVar(&o.PayloadMin, "payload-min", 0, "smallest payload of a data packet, in bytes")
	f.IntVar(&o.PayloadMax, "payload-max", 200, "largest payload of a data packet, in bytes")
	f.DurationVar(&spacing, "spacing", 50*time.Millisecond, "time between the starts of connections")
	f.DurationVar(&interval, "interval", 500*time.Millisecond, "greatest time between requests")
	f.Float64Var(&o.Loss, "loss", 0, "share of data segments that the capture misses, 0 to 1")
	f.Float64Var(&o.Duplicate, "duplicate", 0, "share of data segments that are sent again, 0 to 1")
	f.Float64Var(&o.Reorder, "reorder", 0, "share of data segments that are captured out of order, 0 to 1")
	f.BoolVar(&o.Recut, "recut", false, "cut writes into segments at random places")
	f.BoolVar(&o.Coalesce, "coalesce", false, "join writes that follow each other closely")
	f.IntVar(&o.SnapLen, "snaplen", 0, "cut packets to so many bytes")
	f.BoolVar(&o.V6, "ipv6", false, "use IPv6")
	faults.add(cmd, simulate.FaultNames())
	return cmd
}

// interruptible stops writing when it is told to.
type interruptible struct {
	ctx context.Context
	simulate.PacketWriter
}

func (i interruptible) Write(p capture.Packet) error {
	if err := i.ctx.Err(); err != nil {
		return err
	}
	return i.PacketWriter.Write(p)
}

func writeCapture(cmd *cobra.Command, path string, o simulate.Options) error {
	const maxPayload = 65535
	if o.PayloadMin < 0 || o.PayloadMin > o.PayloadMax || o.PayloadMax > maxPayload {
		return badValue("payload-max", fmt.Sprint(o.PayloadMax), "at least --payload-min, at most 65535")
	}
	out, err := openOutput(path, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	defer out.abort()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	w := capture.NewPcapWriter(out, 1, true)
	s, err := simulate.Generate(interruptible{ctx, w}, o, nil)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return failed(statusInput, "cannot write %s: %w", path, err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%d packets of %d connections; %d segments left out\n", s.Packets, s.Connections, s.Lost)
	return err
}

// liveFlags are the flags of a stand-in that talks over sockets.
type liveFlags struct {
	faultFlags
	o simulate.Live
}

func (l *liveFlags) add(cmd *cobra.Command, known []string, interval time.Duration) {
	l.faultFlags.add(cmd, known)
	f := cmd.Flags()
	f.DurationVar(&l.o.Interval, "interval", interval, "time between requests")
	f.IntVar(&l.o.PayloadMax, "payload-max", 0, "largest payload, in bytes (default: a short text)")
	f.DurationVar(&l.o.Delay, "delay", 35*time.Second, "how late a late response is")
}

// options completes the options.
func (l *liveFlags) options(cmd *cobra.Command, known []string) (simulate.Live, error) {
	names, err := l.names(known)
	l.o.Seed, l.o.Faults, l.o.FaultRate, l.o.Log = l.seed, names, l.rate, cmd.OutOrStdout()
	return l.o, err
}

func newSimulateDevice() *cobra.Command {
	var (
		l liveFlags
		d simulate.Device
	)
	cmd := &cobra.Command{
		Use:     "device ADDRESS",
		Short:   "A stand-in device: connects to a server and talks to it",
		Example: "  nubishark simulate device 127.0.0.1:9100 --requests 5 --fault length-byte-order --fault-rate 0.5",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if d.Live, err = l.options(cmd, simulate.DeviceFaults()); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			if err := d.Run(ctx, args[0]); err != nil {
				return failed(statusInput, "%w", err)
			}
			return nil
		},
	}
	l.add(cmd, simulate.DeviceFaults(), time.Second)
	f := cmd.Flags()
	f.IntVar(&l.o.Requests, "requests", 10, "requests to send before logging out, 0 for no end")
	f.StringVar(&d.ClientID, "client-id", "stand-in-client", "client ID of the login")
	f.StringVar(&d.ClientSecret, "client-secret", "not-a-secret", "client secret of the login")
	f.StringVar(&d.Product, "product", "PRD00001", "product code of the login")
	f.StringVar(&d.Identifier, "identifier", "dev-00001", "identifier of the login")
	return cmd
}

func newSimulateServer() *cobra.Command {
	var l liveFlags
	cmd := &cobra.Command{
		Use:     "server ADDRESS",
		Short:   "A stand-in server: answers devices and sends them commands, until Ctrl-C",
		Example: "  nubishark simulate server 127.0.0.1:9100 --fault error-response,no-response",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := l.options(cmd, simulate.ServerFaults())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			var lc net.ListenConfig
			listener, err := lc.Listen(ctx, "tcp", args[0])
			if err != nil {
				return failed(statusInput, "%w", err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "listening on %s\n", listener.Addr())
			if err := (&simulate.Server{Live: o}).Serve(ctx, listener); err != nil {
				return failed(statusInput, "%w", err)
			}
			return nil
		},
	}
	l.add(cmd, simulate.ServerFaults(), 3*time.Second)
	cmd.Flags().IntVar(&l.o.Requests, "requests", 0, "commands to send to each device, 0 for no end")
	return cmd
}
