package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/capture/live"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/export"
	"github.com/nubishark/nubishark/protocol"
)

// watching are the flags of live beside those that it shares with read.
type watching struct {
	analysis
	interfaces    []string
	filter        string
	snapLen       int
	unpromiscuous bool
	bufferMiB     int
	write         string
	ring          []string
	list, wait    bool
	trigger       string
	before, after time.Duration
	metrics       string
}

func newLive() *cobra.Command {
	w := &watching{}
	cmd := &cobra.Command{
		Use:   "live -i INTERFACE",
		Short: "Capture on interfaces and analyse as it happens",
		Long: `Capture on network interfaces, and show packets and violations the moment that they are settled. Ctrl-C ends
the run and shows what it came to; so does SIGUSR1, and the run goes on.

With -w, the packets are written as they come; reading that file gives the same records. With --trigger, only the seconds
around something that happened are written, for the connection that it happened on.`,
		Example: `  sudo nubishark live -i eth0
  sudo nubishark live -i any -f 'tcp port 9100' -w today.pcapng -b filesize:100000 -b files:10
  sudo nubishark live -i eth0 -q -w incident.pcapng --trigger error,no-response,latency>2s
  sudo nubishark live -i eth0 -q --metrics 127.0.0.1:9464`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if w.list {
				return listInterfaces(cmd)
			}
			return w.live(cmd)
		},
	}
	w.add(cmd)
	f := cmd.Flags()
	w.format = string(export.Text)
	f.Lookup("format").DefValue = w.format
	f.Lookup("quiet").Usage = "show nothing before the end"
	f.Lookup("autostop").Usage = "stop after so much time: duration:SECONDS"
	f.StringSliceVarP(&w.interfaces, "interface", "i", nil, "an interface to capture on, or any; several times for several")
	f.StringVarP(&w.filter, "filter", "f", "", "capture filter (BPF), as 'tcp port 9100'")
	f.IntVarP(&w.snapLen, "snapshot-length", "s", 0, "greatest number of bytes to capture of a packet (default: all)")
	f.BoolVarP(&w.unpromiscuous, "no-promiscuous-mode", "p", false, "capture only what this machine sends and receives")
	f.IntVarP(&w.bufferMiB, "buffer-size", "B", 16, "the kernel's buffer for each interface in MiB")
	f.StringVarP(&w.write, "write", "w", "", "write the packets to a pcapng file as they come")
	f.StringArrayVarP(&w.ring, "ring-buffer", "b", nil, "begin a new file after filesize:KB or duration:S; keep files:N of them")
	f.BoolVarP(&w.list, "list-interfaces", "D", false, "list the interfaces and exit")
	f.BoolVar(&w.wait, "wait", false, "wait for an interface that goes away to come back")
	f.StringVar(&w.trigger, "trigger", "", "write only around what happens: error, warning, IDs of violations, latency>TIME; separated by commas")
	f.DurationVar(&w.before, "before", 30*time.Second, "what --trigger writes from before")
	f.DurationVar(&w.after, "after", 10*time.Second, "what --trigger writes from after")
	err := cmd.RegisterFlagCompletionFunc("interface", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		list, err := live.List()
		var names []cobra.Completion
		for _, i := range list {
			names = append(names, i.Name)
		}
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is not defined
	}
	f.StringVar(&w.metrics, "metrics", "", "serve metrics for Prometheus at ADDRESS:PORT (without an address: this machine only)")
	return cmd
}

func newInterfaces() *cobra.Command {
	return &cobra.Command{
		Use:   "interfaces",
		Short: "List what can be captured on, and what is missing to do so",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return listInterfaces(cmd) },
	}
}

func listInterfaces(cmd *cobra.Command) error {
	list, err := live.List()
	if err != nil {
		return failed(statusInput, "%w", err)
	}
	out := cmd.OutOrStdout()
	for _, i := range list {
		fmt.Fprintf(out, "%-16s %s\n", i.Name, strings.TrimSpace(strings.Join(i.Addresses, ", ")+"  "+i.Description))
	}
	switch err := live.Permitted(); {
	case errors.Is(err, live.ErrPermission):
		return failed(statusInput, "%s", permission())
	case err != nil:
		return failed(statusInput, "%w", err)
	}
	return nil
}

// permission says what to type where capturing is not permitted.
func permission() string {
	path, err := os.Executable()
	if err != nil {
		path = "nubishark"
	}
	return fmt.Sprintf("capturing is not permitted: run it with sudo, or once\n  sudo setcap cap_net_raw,cap_net_admin=eip %s", path)
}

// rotation reads the values of -b.
func (w *watching) rotation() (r capture.Rotation, err error) {
	for _, v := range w.ring {
		kind, value, _ := strings.Cut(v, ":")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n <= 0 || n > 1<<40 {
			return r, badValue("ring-buffer", v, "filesize:KB, duration:SECONDS or files:N")
		}
		switch kind {
		case "filesize":
			r.Size = n * 1000
		case "duration":
			r.Duration = n * int64(time.Second)
		case "files":
			r.Files = int(n)
		default:
			return r, badValue("ring-buffer", v, "filesize:KB, duration:SECONDS or files:N")
		}
	}
	if r.Files > 0 && r.Size == 0 && r.Duration == 0 && w.trigger == "" {
		return r, failed(statusUsage, "-b files:%d needs filesize:KB or duration:SECONDS beside it", r.Files)
	}
	return r, nil
}

// triggers reads --trigger: which violations are wanted, and from which latency on transactions are.
func (w *watching) triggers() (wants func(*dissect.Violation) bool, latency int64, err error) {
	limit := protocol.Severity(255)
	ids := map[string]bool{}
	for _, word := range strings.Split(w.trigger, ",") {
		word = strings.TrimSpace(word)
		if over, ok := strings.CutPrefix(word, "latency>"); ok {
			d, err := time.ParseDuration(over)
			if err != nil || d <= 0 {
				return nil, 0, badValue("trigger", word, "latency>TIME, such as latency>2s")
			}
			latency = int64(d)
			continue
		}
		switch {
		case word == "error":
			limit = min(limit, protocol.Error)
		case word == "warning":
			limit = min(limit, protocol.Warning)
		case protocol.RuleByID(word) != nil:
			ids[word] = true
		default:
			return nil, 0, badValue("trigger", word, "error, warning, latency>TIME, or an ID that nubishark violations lists")
		}
	}
	return func(v *dissect.Violation) bool { return v.Severity() >= limit || ids[v.Rule.ID] }, latency, nil
}

// counters is a sink that counts for Prometheus, and is told what the kernel counts.
type counters interface {
	dissect.Sink
	Captured(packets int64, received, dropped uint64)
}

// session is a live run.
type session struct {
	cmd     *cobra.Command
	w       *watching
	opts    analyze.Options
	limit   protocol.Severity
	term    terminal
	out     *output
	src     *live.Source
	spool   *export.Spool
	writer  export.Writer
	sink    dissect.Sink
	files   *capture.Files
	box     *analyze.BlackBox
	metrics counters // nil without --metrics
	broken  error    // of the output
	began   time.Time
}

// tell prints a line for the user beside the records.
func (s *session) tell(format string, args ...any) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), "nubishark: "+format+"\n", args...)
}

func (w *watching) live(cmd *cobra.Command) (err error) {
	s := &session{cmd: cmd, w: w, began: time.Now()}
	if err := s.check(); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	defer s.src.Close()
	if to, err := dropRoot(w.wait); err != nil {
		return failed(statusInput, "cannot give up root: %w", err)
	} else if to != "" {
		s.tell("going on as %s", to)
	}
	if err := s.prepare(); err != nil {
		return err
	}
	defer s.out.abort()
	return s.run()
}

// check looks at the flags before anything is opened.
func (s *session) check() (err error) {
	w := s.w
	if len(w.interfaces) == 0 {
		return failed(statusUsage, "live needs -i INTERFACE; nubishark interfaces lists them")
	}
	if w.bufferMiB <= 0 || w.bufferMiB > 2047 {
		return badValue("buffer-size", strconv.Itoa(w.bufferMiB), "MiB from 1 to 2047")
	}
	if w.snapLen < 0 || w.snapLen > live.DefaultSnapLen {
		return badValue("snapshot-length", strconv.Itoa(w.snapLen), "bytes up to "+strconv.Itoa(live.DefaultSnapLen))
	}
	if w.trigger != "" && w.write == "" {
		return failed(statusUsage, "--trigger needs -w FILE, which names what it writes")
	}
	if w.before < 0 || w.after < 0 {
		return failed(statusUsage, "--before and --after take times that are not negative")
	}
	if len(w.ring) > 0 && w.write == "" {
		return failed(statusUsage, "-b needs -w FILE")
	}
	if s.opts, err = w.options(); err != nil {
		return err
	}
	if s.limit, err = w.severity(); err != nil {
		return err
	}
	s.term, err = w.terminal(s.cmd)
	return err
}

// open opens the interfaces.
func (s *session) open() (err error) {
	w := s.w
	s.src, err = live.Open(live.Options{
		Interfaces: w.interfaces, Filter: w.filter, SnapLen: w.snapLen, Promiscuous: !w.unpromiscuous, Buffer: w.bufferMiB << 20, Wait: w.wait,
		Notice: func(text string) { s.tell("%s", text) },
	})
	var filter *live.FilterError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, live.ErrPermission):
		return failed(statusInput, "%s", permission())
	case errors.As(err, &filter), errors.Is(err, live.ErrNoInterface):
		return failed(statusUsage, "%w", err)
	}
	return failed(statusInput, "%w", err)
}

// prepare opens what is written.
func (s *session) prepare() (err error) {
	w := s.w
	rot, err := w.rotation()
	if err != nil {
		return err
	}
	if s.out, err = openOutput(w.output, s.cmd.OutOrStdout()); err != nil {
		return err
	}
	view := export.View(w.view)
	if w.quiet && w.view == "" && w.format == string(export.Text) {
		view = export.Summary
	}
	s.spool = export.NewSpool(s.out)
	s.writer, err = export.New(s.spool, export.Options{
		Format: export.Format(w.format), View: view, ShowSecrets: w.showSecrets, Flush: true, Width: s.term.width, Color: s.term.color, Live: true,
		Detail: w.detail, Hex: w.hex,
	})
	if err != nil {
		return failed(statusUsage, "%w", err)
	}
	if s.writer, _, err = w.selected(s.writer); err != nil {
		return err
	}
	sinks := analyze.Tee{s.writer}
	if w.metrics != "" {
		if s.metrics, err = s.serve(); err != nil {
			return err
		}
		sinks = append(sinks, s.metrics)
	}
	switch {
	case w.trigger != "":
		if err := s.blackBox(rot); err != nil {
			return err
		}
		sinks = append(sinks, s.box)
	case w.write != "":
		if s.files, err = capture.CreateFiles(w.write, rot, s.src.Interfaces()); err != nil {
			return failed(statusInput, "cannot write %s: %w", w.write, pathCause(err))
		}
		s.files.Stats = s.src.InterfaceStats
	}
	s.sink = sinks
	return nil
}

func (s *session) blackBox(rot capture.Rotation) error {
	wants, latency, err := s.w.triggers()
	if err != nil {
		return err
	}
	s.box = &analyze.BlackBox{
		Path: s.w.write, Interfaces: s.src.Interfaces(), Before: int64(s.w.before), After: int64(s.w.after), Late: int64(s.w.timeout) + int64(time.Second),
		Files: rot.Files, Wants: wants, Latency: latency,
		Wrote: func(name string, err error) {
			if err != nil {
				s.tell("cannot write %s: %v", name, pathCause(err))
				return
			}
			s.tell("wrote %s", name)
		},
	}
	return nil
}

// run captures until it is told to stop.
func (s *session) run() error {
	signal.Ignore(syscall.SIGPIPE) // a reader that is gone is an error of writing
	ctx, stop := signal.NotifyContext(s.cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if d := s.opts.MaxDuration; d > 0 {
		s.opts.MaxDuration = 0
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(d))
		defer cancel()
	}
	watch := analyze.Watching{Options: s.opts, Asked: asked(), Answer: s.answer, Settled: s.settled}
	if s.files != nil {
		watch.Recorder = s.files
		watch.Failed = func(err error) {
			s.tell("cannot write %s any more: %v; the analysis goes on", s.files.Name(), pathCause(err))
		}
	}
	if s.box != nil {
		watch.Tap, watch.Idle = s.box.Tap, s.box.Idle
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.guard(ctx, cancel)
	s.src.Start()
	s.tell("capturing on %s; Ctrl-C ends it", strings.Join(s.w.interfaces, ", "))
	res, err := analyze.Watch(ctx, s.src, watch, s.sink)
	if err := s.src.Close(); err != nil {
		s.tell("%v", err)
	}
	return s.finish(&res, err)
}

// guard ends a run of which nothing is left to do: its output has failed, and it writes no file and serves no metrics.
func (s *session) guard(ctx context.Context, cancel context.CancelFunc) {
	if s.files != nil || s.box != nil || s.metrics != nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
			if s.spool.Err() != nil {
				cancel()
				return
			}
		}
	}
}

// settled is called when what came was analysed.
func (s *session) settled() {
	if s.metrics != nil {
		st := s.src.Stats()
		s.metrics.Captured(int64(st.Received), st.Received, st.Dropped)
	}
	if err := s.spool.Err(); err != nil && s.broken == nil {
		s.broken = err
		s.tell("the output cannot be written: %v", pathCause(err))
	}
}

// answer prints the summary so far.
func (s *session) answer(res analyze.Result) {
	if err := s.writer.Interim(s.cmd.ErrOrStderr(), s.totals(&res)); err != nil {
		s.tell("%v", err)
	}
}

func (s *session) totals(res *analyze.Result) export.Totals {
	return totals(s.w.interfaces, s.w.ports != "", res, nil)
}

// lastWait is how long the end waits for a reader of the output that is slow.
const lastWait = 3 * time.Second

// finish ends the run: what is settled is printed, files are closed, and the counts are told.
func (s *session) finish(res *analyze.Result, ended error) error {
	st := s.src.Stats()
	res.Capture = st
	if s.box != nil {
		s.box.Close()
	}
	if s.files != nil {
		if err := s.files.Close(); err != nil {
			ended = errors.Join(ended, fmt.Errorf("cannot write %s: %w", s.files.Name(), pathCause(err)))
		}
	}
	err := s.writer.Close(s.totals(res))
	skipped, stuck := s.spool.Close(lastWait)
	s.tell("%d packets captured, %d received, %d dropped by the kernel, %d lines left out for a slow reader", res.Packets, st.Received, st.Dropped, skipped)
	switch {
	case stuck:
		return failed(statusInput, "the output was not read to its end")
	case err == nil:
		err = s.spool.Err()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return failed(statusInput, "write: %w", err)
	}
	if err := s.out.commit(); err != nil {
		return err
	}
	if ended != nil {
		return failed(statusInput, "%w", ended)
	}
	if s.limit > protocol.Note && s.writer.Worst() >= s.limit {
		return errFound
	}
	return nil
}
