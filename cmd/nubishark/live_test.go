package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/capture/live"
	"github.com/nubishark/nubishark/internal/simulate"
)

// limit ends a test that would wait for ever.
const limit = 60 * time.Second

// mayCapture skips where nothing can be captured.
func mayCapture(t *testing.T) {
	t.Helper()
	if !live.Built {
		t.Skip("built without libpcap")
	}
	if err := live.Permitted(); err != nil {
		t.Skip(err)
	}
}

// liveRun is nubishark live as a process.
type liveRun struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *lines
	errs *lines
	done chan error
}

// lines keeps what a process printed, and lets others wait for a part of it.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	close(l.more)
	l.more = make(chan struct{})
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits until enough is there.
func (l *lines) wait(t *testing.T, what string, enough func(text string) bool) {
	t.Helper()
	timeout := time.After(limit)
	for {
		l.mu.Lock()
		text, more := l.text.String(), l.more
		l.mu.Unlock()
		if enough(text) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("no %s in:\n...%s", what, text[max(0, len(text)-2000):])
		}
	}
}

func (l *lines) waitFor(t *testing.T, part string, n int) {
	t.Helper()
	l.wait(t, fmt.Sprintf("%d times %q", n, part), func(text string) bool { return strings.Count(text, part) >= n })
}

// startLive starts nubishark live, and returns when it captures. mayChange changes the process before it starts.
func startLive(t *testing.T, change func(*exec.Cmd), args ...string) *liveRun {
	t.Helper()
	r := &liveRun{t: t, out: &lines{more: make(chan struct{})}, errs: &lines{more: make(chan struct{})}, done: make(chan error, 1)}
	r.cmd = exec.Command("nubishark", append([]string{"live"}, args...)...)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.errs
	if change != nil {
		change(r.cmd)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.done <- r.cmd.Wait() }()
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	r.errs.waitFor(t, "capturing on", 1)
	return r
}

// stop asks the process to end, and returns its exit status.
func (r *liveRun) stop(s os.Signal) int {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
	return r.ended()
}

func (r *liveRun) ended() int {
	r.t.Helper()
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		r.t.Fatalf("it does not end: %s", r.errs)
		return -1
	}
}

// served starts a stand-in server, and returns its address and what both sides log.
func served(t *testing.T, o simulate.Live) (addr string, log *lines) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &lines{more: make(chan struct{})}
	o.Log = log
	ctx, cancel := context.WithCancel(context.Background())
	s := &simulate.Server{Live: o}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l.Addr().String(), log
}

// talks runs a stand-in device to its end.
func talks(t *testing.T, addr string, o simulate.Live) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	d := &simulate.Device{Live: o, ClientID: "c", ClientSecret: "s", Product: "PRD00001", Identifier: "gw-0001"}
	if err := d.Run(ctx, addr); err != nil && len(o.Faults) == 0 { // a server may hang up on one that is wrong
		t.Fatal(err)
	}
}

func filterFor(addr string) string { return "tcp port " + addr[strings.LastIndex(addr, ":")+1:] }

// readAgain is what nubishark read prints of a file.
func readAgain(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(append([]string{"read"}, args...), nil, &out, &errs); status != 0 {
		t.Fatalf("read: status %d: %s", status, errs.String())
	}
	return out.String()
}

// A live run sees all that was sent, and reading the file that it wrote gives the same records, byte for byte.
func TestLiveEqualsItsFile(t *testing.T) {
	mayCapture(t)
	addr, log := served(t, simulate.Live{Seed: 1, Interval: time.Hour}) // no command that a device may be gone for
	file := filepath.Join(t.TempDir(), "x.pcapng")
	r := startLive(t, nil, "-i", "lo", "-f", filterFor(addr), "-w", file, "-T", "ndjson")
	devices := &lines{more: make(chan struct{})}
	for seed := range uint64(3) {
		talks(t, addr, simulate.Live{Seed: seed, Requests: 15, Interval: time.Millisecond, Log: devices})
	}
	sent := strings.Count(devices.String()+log.String(), " sends ")
	r.out.waitFor(t, `"record":"stream"`, 3)
	if status := r.stop(os.Interrupt); status != 0 {
		t.Fatalf("status %d: %s", status, r.errs)
	}
	if got := strings.Count(r.out.String(), `"record":"frame"`); got != sent {
		t.Errorf("%d packets seen, %d sent", got, sent)
	}
	if d := cmp.Diff(r.out.String(), readAgain(t, "-T", "ndjson", file)); d != "" {
		t.Errorf("-live +read:\n%s", d)
	}
	if !strings.Contains(r.errs.String(), " 0 dropped by the kernel") {
		t.Errorf("no counts: %s", r.errs)
	}
}

// What only the clock settles is told while nothing else arrives, and the file gives it again.
func TestLiveTellsOfASilence(t *testing.T) {
	mayCapture(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	_, port, _ := strings.Cut(addr, ":")
	file := filepath.Join(t.TempDir(), "x.pcapng")
	r := startLive(t, nil, "-i", "lo", "-f", filterFor(addr), "--port", port, "-w", file, "-T", "ndjson", "--timeout", "300ms")
	device, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	if _, err := device.Write([]byte("Dsession1tokentokentokentokentoke\x00\x05hello")); err != nil {
		t.Fatal(err)
	}
	r.out.waitFor(t, `"state":"unanswered"`, 1) // the connection is open, and nothing moves
	if status := r.stop(syscall.SIGTERM); status != 0 {
		t.Fatalf("status %d: %s", status, r.errs)
	}
	if d := cmp.Diff(r.out.String(), readAgain(t, "-T", "ndjson", "--port", port, "--timeout", "300ms", file)); d != "" {
		t.Errorf("-live +read:\n%s", d)
	}
}

// For people: lines as they come, violations in colour, a summary on demand and at the end.
func TestLiveForPeople(t *testing.T) {
	mayCapture(t)
	addr, _ := served(t, simulate.Live{Seed: 1, Interval: time.Hour})
	r := startLive(t, nil, "-i", "lo", "-f", filterFor(addr), "--color", "always", "--metrics", "127.0.0.1:0")
	talks(t, addr, simulate.Live{Seed: 3, Requests: 5, Interval: time.Millisecond, Faults: []string{"stray-bytes"}, FaultRate: 1})
	r.out.waitFor(t, "\x1b[1;31merror\x1b[0m device stray-bytes", 1)
	r.out.waitFor(t, "R ", 7)
	if err := r.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	r.errs.waitFor(t, "lo: ", 1)
	if strings.Contains(r.out.String(), "lo: ") {
		t.Error("the summary on demand is among the records")
	}
	_, after, _ := strings.Cut(r.errs.String(), "metrics at ")
	url, _, _ := strings.Cut(after, "\n")
	resp, err := http.Get(url) //nolint:noctx // of this machine
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(text), `nubishark_violations_total{blame="device",id="stray-bytes",severity="error"}`) {
		t.Errorf("%v\n%s", err, text)
	}
	if status := r.stop(os.Interrupt); status != 0 {
		t.Fatalf("status %d: %s", status, r.errs)
	}
	if !strings.Contains(r.out.String(), "lo: ") {
		t.Errorf("no summary at the end:\n%s", r.out)
	}
}

// The seconds around what happened are written, for its connection alone, with the violation as a comment.
func TestLiveBlackBox(t *testing.T) {
	mayCapture(t)
	addr, _ := served(t, simulate.Live{Seed: 1, Interval: time.Hour})
	dir := t.TempDir()
	r := startLive(t, nil, "-i", "lo", "-f", filterFor(addr), "-q", "-w", filepath.Join(dir, "x.pcapng"), "--trigger", "stray-bytes", "--after", "300ms")
	talks(t, addr, simulate.Live{Seed: 3, Requests: 3, Interval: time.Millisecond})
	talks(t, addr, simulate.Live{Seed: 4, Requests: 3, Interval: time.Millisecond, Faults: []string{"stray-bytes"}, FaultRate: 1})
	r.errs.waitFor(t, "wrote ", 1)
	if status := r.stop(os.Interrupt); status != 0 {
		t.Fatalf("status %d: %s", status, r.errs)
	}
	files, err := filepath.Glob(filepath.Join(dir, "x_00001_*_stray-bytes.pcapng"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	got := readAgain(t, "-T", "ndjson", files[0])
	if n := strings.Count(got, `"record":"stream"`); n != 1 || !strings.Contains(got, `"id":"stray-bytes"`) {
		t.Errorf("%d connections:\n%s", n, got)
	}
	if tshark, err := exec.LookPath("tshark"); err == nil {
		out, err := exec.Command(tshark, "-r", files[0], "-T", "fields", "-e", "frame.comment").Output()
		if err != nil || !strings.Contains(string(out), "stray-bytes (error): ") {
			t.Errorf("no comment: %v\n%s", err, out)
		}
	}
}

// A full disk is told at once, and the analysis goes on.
func TestLiveFullDisk(t *testing.T) {
	mayCapture(t)
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	addr, _ := served(t, simulate.Live{Seed: 1, Interval: time.Hour})
	r := startLive(t, nil, "-i", "lo", "-f", filterFor(addr), "-w", filepath.Join(dir, "x.pcapng"), "-T", "ndjson")
	talks(t, addr, simulate.Live{Seed: 3, Requests: 60, Interval: time.Millisecond, PayloadMax: 1000})
	r.errs.waitFor(t, "no space left on device; the analysis goes on", 1)
	r.out.waitFor(t, `"record":"stream"`, 1)
	if status := r.stop(os.Interrupt); status != 0 && status != 1 {
		t.Fatalf("status %d: %s", status, r.errs)
	}
}

// A reader that dies ends a run that has nothing else to do; with a file, the run goes on.
func TestLiveReaderDies(t *testing.T) {
	mayCapture(t)
	for _, withFile := range []bool{false, true} {
		addr, _ := served(t, simulate.Live{Seed: 1, Interval: time.Hour})
		args := []string{"-i", "lo", "-f", filterFor(addr), "-T", "ndjson"}
		file := filepath.Join(t.TempDir(), "x.pcapng")
		if withFile {
			args = append(args, "-w", file)
		}
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r := startLive(t, func(c *exec.Cmd) { c.Stdout = out }, args...)
		out.Close()
		in.Close()
		talks(t, addr, simulate.Live{Seed: 3, Requests: 5, Interval: time.Millisecond})
		r.errs.waitFor(t, "broken pipe", 1)
		if !withFile {
			if status := r.ended(); status != 1 {
				t.Errorf("status %d", status)
			}
			continue
		}
		talks(t, addr, simulate.Live{Seed: 4, Requests: 5, Interval: time.Millisecond})
		if status := r.stop(os.Interrupt); status != 1 {
			t.Errorf("status %d", status)
		}
		if got := readAgain(t, "-T", "ndjson", file); strings.Count(got, `"record":"stream"`) != 2 {
			t.Errorf("the file:\n%s", got)
		}
	}
}

// A pipe that nobody reads does not hold up the end for ever.
func TestLiveReaderIsStuck(t *testing.T) {
	mayCapture(t)
	addr, _ := served(t, simulate.Live{Seed: 1, Interval: time.Hour})
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	file := filepath.Join(t.TempDir(), "x.pcapng")
	r := startLive(t, func(c *exec.Cmd) { c.Stdout = out }, "-i", "lo", "-f", filterFor(addr), "-T", "ndjson", "-w", file)
	out.Close()
	talks(t, addr, simulate.Live{Seed: 3, Requests: 200, Interval: time.Microsecond})
	if status := r.stop(os.Interrupt); status != 1 || !strings.Contains(r.errs.String(), "was not read to its end") {
		t.Errorf("status %d: %s", status, r.errs)
	}
	if got := readAgain(t, "-T", "ndjson", file); strings.Count(got, `"type":"D"`) == 0 || !strings.Contains(got, `"state":"closed"`) {
		t.Error("the file is not whole")
	}
}

// An interface that goes away is reported, and taken up again when it is back.
func TestLiveInterfaceGoesAway(t *testing.T) {
	mayCapture(t)
	ip, err := exec.LookPath("ip")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and iproute2")
	}
	do := func(args ...string) error {
		out, err := exec.Command(ip, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	}
	const a, b, ns = "nubi-a", "nubi-b", "nubishark-test"
	clean := func() {
		_ = do("link", "del", a)
		_ = do("netns", "del", ns)
	}
	clean()
	t.Cleanup(clean)
	for _, args := range [][]string{
		{"netns", "add", ns},
		{"link", "add", a, "type", "veth", "peer", "name", b},
		{"link", "set", b, "netns", ns},
		{"link", "set", a, "up"},
		{"netns", "exec", ns, ip, "link", "set", b, "up"},
	} {
		if err := do(args...); err != nil {
			t.Skip(err)
		}
	}
	r := startLive(t, nil, "-i", a, "--wait", "-T", "ndjson")
	if err := do("link", "set", a, "down"); err != nil {
		t.Fatal(err)
	}
	r.errs.waitFor(t, a+" went away", 1)
	if err := do("link", "set", a, "up"); err != nil {
		t.Fatal(err)
	}
	r.errs.waitFor(t, a+" is back", 1)
	if status := r.stop(os.Interrupt); status != 0 {
		t.Errorf("status %d: %s", status, r.errs)
	}

	r = startLive(t, nil, "-i", a, "-T", "ndjson")
	if err := do("link", "set", a, "down"); err != nil {
		t.Fatal(err)
	}
	if status := r.ended(); status != 1 || !strings.Contains(r.errs.String(), a+": ") {
		t.Errorf("status %d: %s", status, r.errs)
	}
}

// Root is given up for the user who called sudo; without permission, what to type is told.
func TestLivePrivileges(t *testing.T) {
	mayCapture(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const nobody = "65534"
	r := startLive(t, func(c *exec.Cmd) { c.Env = append(os.Environ(), "SUDO_UID="+nobody, "SUDO_GID="+nobody) }, "-i", "lo", "-f", "tcp port 1")
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	defer status.Close()
	want := strings.Repeat("\t"+nobody, 4)
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if id, values, _ := strings.Cut(lines.Text(), ":"); (id == "Uid" || id == "Gid") && values != want {
			t.Errorf("%s:%s", id, values)
		}
	}
	if status := r.stop(os.Interrupt); status != 0 {
		t.Errorf("status %d: %s", status, r.errs)
	}

	path, err := exec.LookPath("nubishark")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(os.TempDir(), fmt.Sprintf("nubishark-%d", os.Getpid())) // a folder that all may enter
	if err := os.WriteFile(own, b, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(own)
	cmd := exec.Command(own, "live", "-i", "lo")
	cmd.Args[0] = "nubishark"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = os.TempDir()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "sudo setcap cap_net_raw,cap_net_admin=eip "+own) {
		t.Errorf("%v: %s", err, out)
	}
}

// Flags that do not fit are told before anything is captured.
func TestLiveFlags(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "live needs -i"},
		{"-i lo -B 0", "MiB"},
		{"-i lo -b files:3", "-b needs -w"},
		{"-i lo --trigger error", "--trigger needs -w"},
		{"-i lo -T nothing", "is not known"},
	} {
		var out, errs bytes.Buffer
		status := run(append([]string{"live"}, strings.Fields(c.args)...), nil, &out, &errs)
		if !live.Built && strings.Contains(errs.String(), "no libpcap") {
			continue
		}
		if status != statusUsage && !strings.Contains(errs.String(), "setcap") || !strings.Contains(errs.String(), c.want) && !strings.Contains(errs.String(), "setcap") {
			t.Errorf("%q: status %d: %s", c.args, status, errs.String())
		}
	}
}
