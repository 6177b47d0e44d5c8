package main

import (
	"fmt"
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
	cmd.AddCommand(newSimulateCapture())
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
	w := capture.NewPcapWriter(out, 1, true)
	s, err := simulate.Generate(w, o, nil)
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
