package main

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/export"
	"github.com/nubishark/nubishark/filter"
	"github.com/nubishark/nubishark/protocol"
)

// analysis are the flags of commands that analyse packets.
type analysis struct {
	format, view   string
	ports          string
	serverPort     uint16
	byteOrder      string
	timeout        time.Duration
	device         string
	streams        []int
	filter         string
	count          int64
	stop           string
	output         string
	showSecrets    bool
	failOn         string
	color          string
	detail, hex    bool
	quiet, perLine bool
	workers        int
	write          string
	context        int
}

// add defines the flags.
func (a *analysis) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&a.format, "format", "T", string(export.Table), "output: "+names(export.Formats))
	f.StringVar(&a.view, "view", "", "what to show: "+names(export.Views)+" (default: a first look; all for json and ndjson, packets for text and csv)")
	a.addProtocol(cmd)
	f.StringVar(&a.device, "device", "", "only the device with this key (product code _ identifier)")
	f.IntSliceVar(&a.streams, "stream", nil, "only these connections (Wireshark's tcp.stream)")
	f.StringVarP(&a.filter, "display-filter", "Y", "", "only what fits a display filter, with the fields of the Wireshark plugin, as 'nubison.type == \"D\" && nubison.latency > 0.5'")
	f.Int64VarP(&a.count, "count", "c", 0, "stop after so many packets")
	f.StringVarP(&a.stop, "autostop", "a", "", "stop after so much capture time: duration:SECONDS")
	f.StringVarP(&a.output, "output", "o", "", "write to a file, which appears when it is complete")
	f.BoolVar(&a.showSecrets, "show-secrets", false, "show client secrets, access tokens and encryption keys")
	f.StringVar(&a.failOn, "fail-on", "", "exit with status 3 if there is a violation: error|warning")
	f.StringVar(&a.color, "color", "auto", "colours: auto|always|never")
	f.BoolVarP(&a.detail, "detail", "V", false, "the fields of each packet in full, as text")
	f.BoolVarP(&a.hex, "hex", "x", false, "the bytes of each packet, in the colours of their fields")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	f.BoolVarP(&a.perLine, "line-buffered", "l", false, "write each line at once")
	f.IntVar(&a.workers, "workers", 0, "how many connections are worked on at the same time")
	if err := f.MarkHidden("workers"); err != nil {
		panic(err) // the flag is not defined
	}
	complete(cmd, "format", export.Formats)
	complete(cmd, "view", export.Views)
	complete(cmd, "fail-on", []string{"error", "warning"})
	complete(cmd, "color", []string{"auto", "always", "never"})
}

// addProtocol defines the flags that say how packets are found and judged, which all commands that read captures have.
func (a *analysis) addProtocol(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.ports, "port", "", "only these TCP ports, and these for certain: N,N-M (default: any, found by content)")
	f.Uint16Var(&a.serverPort, "server-port", 0, "the server's TCP port, where the capture does not tell which side is which")
	f.StringVar(&a.byteOrder, "byte-order", "big", "of two-byte lengths: big|little")
	f.DurationVar(&a.timeout, "timeout", dissect.DefaultTimeout, "until a request counts as unanswered")
	complete(cmd, "byte-order", []string{"big", "little"})
}

// names joins the values that a flag takes.
func names[S ~string](list []S) string {
	s := make([]string, len(list))
	for i, v := range list {
		s[i] = string(v)
	}
	return strings.Join(s, "|")
}

// complete offers a flag's values to the shell.
func complete[S ~string](cmd *cobra.Command, flag string, list []S) {
	values := strings.Split(names(list), "|")
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is not defined
	}
}

func newRead() *cobra.Command {
	a := &analysis{}
	cmd := &cobra.Command{
		Use:   "read FILE...",
		Short: "Read captures and say what is wrong",
		Long: `Read pcap and pcapng files, plain or packed with gzip or zstd, - for standard input. Several files
are one capture in the order of time.`,
		Example: `  nubishark read ticket.pcapng
  nubishark read --view transactions ticket.pcapng
  nubishark read -T ndjson ticket.pcapng | jq 'select(.record == "violation")'
  nubishark read --fail-on error firmware-test.pcapng`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("read needs a capture file, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.read(cmd, args) },
	}
	a.add(cmd)
	cmd.Flags().StringVarP(&a.write, "write", "w", "", "write the packets of the connections that are shown to a pcapng file, with violations as comments")
	cmd.Flags().IntVar(&a.context, "context", -1, "with -w: only the packets that carried what is shown, and so many of their connection around them")
	return cmd
}

// options turns the flags into those of the analysis.
func (a *analysis) options() (o analyze.Options, err error) {
	ports, err := parsePorts(a.ports)
	if err != nil {
		return o, err
	}
	o.Dissect = dissect.Options{Timeout: a.timeout, ServerPort: a.serverPort, Ports: ports}
	switch a.byteOrder {
	case "big":
	case "little":
		o.Dissect.LittleEndian = true
	default:
		return o, badValue("byte-order", a.byteOrder, "big or little")
	}
	if a.timeout <= 0 {
		return o, badValue("timeout", a.timeout.String(), "a time above 0, such as 30s")
	}
	for _, n := range a.streams {
		if n < 0 {
			return o, badValue("stream", strconv.Itoa(n), "the number of a connection")
		}
	}
	if a.count < 0 {
		return o, badValue("count", strconv.FormatInt(a.count, 10), "a number of packets")
	}
	o.MaxPackets, o.Workers = a.count, a.workers
	if a.stop != "" {
		kind, value, _ := strings.Cut(a.stop, ":")
		seconds, err := strconv.ParseFloat(value, 64)
		if kind != "duration" || err != nil || !(seconds > 0) || seconds > 1e9 {
			return o, badValue("autostop", a.stop, "duration:SECONDS")
		}
		o.MaxDuration = int64(seconds * 1e9)
	}
	return o, nil
}

func badValue(flag, value, want string) error {
	return failed(statusUsage, "--%s %q does not fit: it takes %s", flag, value, want)
}

func parsePorts(s string) (dissect.Ports, error) {
	if s == "" {
		return nil, nil
	}
	var ports dissect.Ports
	for _, part := range strings.Split(s, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		x, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
		y, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
		if err1 != nil || err2 != nil || x > y {
			return nil, badValue("port", s, "ports and ranges such as 9100,9200-9210")
		}
		ports = append(ports, dissect.PortRange{From: uint16(x), To: uint16(y)})
	}
	return ports, nil
}

// severity returns what --fail-on asks for, Note for nothing.
func (a *analysis) severity() (protocol.Severity, error) {
	switch a.failOn {
	case "":
		return protocol.Note, nil
	case "warning":
		return protocol.Warning, nil
	case "error":
		return protocol.Error, nil
	}
	return 0, badValue("fail-on", a.failOn, "error or warning")
}

func (a *analysis) read(cmd *cobra.Command, files []string) error {
	a.asText(cmd)
	opts, err := a.options()
	if err != nil {
		return err
	}
	limit, err := a.severity()
	if err != nil {
		return err
	}
	term, err := a.terminal(cmd)
	if err != nil {
		return err
	}
	if f, twice := sameTwice(files); twice {
		return failed(statusUsage, "%s is named twice", f)
	}
	if err := a.checkCut(files); err != nil {
		return err
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
	w, err := export.New(out, export.Options{
		Format: export.Format(a.format), View: export.View(a.view), ShowSecrets: a.showSecrets, Flush: a.perLine,
		Width: term.width, Color: term.color, Detail: a.detail, Hex: a.hex,
	})
	if err != nil {
		return failed(statusUsage, "%w", err)
	}
	w, shown := a.cutting(w)
	sink, selection, err := a.selected(w)
	if err != nil {
		return err
	}
	paceCollector(src.Stats().Size)
	bar := newProgress(cmd.ErrOrStderr(), !a.quiet && term.progress)
	opts.Progress = bar.show
	opts.Dissect.Brief, opts.Dissect.FramesOnly = export.CountsOnly(sink), export.FramesOnly(sink)
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	res, damage := analyze.Run(ctx, src, opts, sink)
	bar.clear()
	if err := sink.Close(totals(files, a.ports != "", &res, damage)); err != nil {
		return failed(statusInput, "write: %w", err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	if errors.Is(damage, analyze.ErrInterrupted) {
		return failed(statusInput, "interrupted: this is what was read so far, %d packets", res.Packets)
	}
	if damage != nil {
		return failed(statusInput, "%w", damage)
	}
	if selection != nil && selection.Empty() {
		return nothingFits(selection)
	}
	if err := a.cutOut(ctx, cmd, files, &opts, shown); err != nil {
		return err
	}
	if limit > protocol.Note && sink.Worst() >= limit {
		return errFound
	}
	return nil
}

func nothingFits(s *export.Selection) error {
	return failed(statusInput, "nothing fits --device and --stream; there are: %s", s.Others())
}

// selected puts in front of a writer what leaves out the rest of the records. The selection is nil where none was asked for.
func (a *analysis) selected(w export.Writer) (export.Writer, *export.Selection, error) {
	if a.filter != "" {
		f, err := filter.Compile(a.filter, export.FilterFields())
		if err != nil {
			return nil, nil, failed(statusUsage, "filter: %w", err)
		}
		w = export.NewFiltered(w, f)
	}
	if a.device == "" && len(a.streams) == 0 {
		return w, nil, nil
	}
	s := &export.Selection{Writer: w, Device: a.device, Streams: a.streams}
	return s, s, nil
}

// asText makes text the format of -V and -x, if none is named.
func (a *analysis) asText(cmd *cobra.Command) {
	if (a.detail || a.hex) && !cmd.Flags().Changed("format") {
		a.format = string(export.Text)
	}
}

// totals are what the output says beside the records.
func totals(files []string, restricted bool, r *analyze.Result, damage error) export.Totals {
	t := export.Totals{
		Restricted: restricted,
		Name:       strings.Join(files, ", "), Packets: r.Packets, TCPStreams: r.TCPStreams, NubisonStreams: r.NubisonStreams,
		First: r.First, Last: r.Last, Received: r.Capture.Received, Dropped: r.Capture.Dropped, Counted: r.Capture.Known,
		Gaps: r.Gaps, Missing: r.Missing, Cut: r.Cut, OneSided: r.OneSided, Midstream: r.Midstream, Duplicates: r.TCP.Duplicates, Large: r.TCP.Large, Backwards: r.Backwards, Forgotten: r.TCP.Evicted, GivenUp: r.TCP.Forced,
	}
	for _, p := range r.OtherPorts {
		t.OtherPorts = append(t.OtherPorts, export.PortCount(p))
	}
	if damage != nil {
		t.Damage = damage.Error()
	}
	return t
}
