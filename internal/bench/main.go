// Command bench measures the whole program beside others that read captures, and writes what it measured into
// docs/performance.md and a plot beside it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/nubishark/nubishark/internal/simulate"
)

var (
	runs   = flag.Int("runs", 5, "runs of each command, of which the median counts")
	large  = flag.Bool("large", true, "measure 20 million packets and a million connections, too: 4 GB of disk")
	doc    = flag.String("doc", "docs/performance.md", "the document to write the tables into")
	only   = flag.String("only", "", "measure only the part with this word in its title, and print it")
	unpack = flag.String("unpack", "", "only decompress a file: what reading it costs at least")
	making = flag.String("make", "", "only make a capture: a process that is measured counts the memory of the one that started it")
)

func main() {
	flag.Parse()
	var err error
	switch {
	case *unpack != "":
		err = unpacked(*unpack)
	case *making != "":
		err = made(*making)
	default:
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a run of all measurements.
type bench struct {
	dir, program string
	out          bytes.Buffer
}

func (b *bench) printf(format string, args ...any) { fmt.Fprintf(&b.out, format, args...) }

func run() error {
	dir, err := os.MkdirTemp("", "nubishark-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, program: filepath.Join(dir, "nubishark")}
	build := exec.Command("go", "build", "-trimpath", "-o", b.program, "./cmd/nubishark")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	b.printf("%d processors, %s, %s/%s. Medians of %d runs in turn, of the first table of %d, from the page cache.\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, *runs, moreRuns*(*runs))
	for _, part := range []struct {
		title   string
		measure func() error
	}{
		{"Beside others", b.peers},
		{"Beside tshark", b.tshark},
		{"Growth", b.growth},
		{"Connections", b.connections},
		{"Compressed files", b.packed},
		{"Worst cases", b.worst},
		{"Memory", b.memory},
	} {
		if !strings.Contains(part.title, *only) {
			continue
		}
		fmt.Fprintln(os.Stderr, part.title)
		b.printf("\n### %s\n\n", part.title)
		if err := part.measure(); err != nil {
			return err
		}
		if *only == "" { // what was measured stays, should the rest be interrupted
			if err := b.document(); err != nil {
				return err
			}
		}
	}
	if *only != "" {
		_, err := io.Copy(os.Stdout, &b.out)
		return err
	}
	return nil
}

// The tables stand between two lines of the document.
const (
	tablesStart = "<!-- make bench writes from here -->\n"
	tablesEnd   = "<!-- to here -->\n"
)

func (b *bench) document() error {
	old, err := os.ReadFile(*doc)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(old), tablesStart)
	_, after, ok2 := strings.Cut(rest, tablesEnd)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no place for the tables", *doc)
	}
	return os.WriteFile(*doc, []byte(before+tablesStart+b.out.String()+tablesEnd+after), 0o644)
}

// capture makes a capture of ordinary traffic.
func (b *bench) capture(name string, o simulate.Options) (string, error) {
	path := filepath.Join(b.dir, name+".pcap")
	if _, err := os.Stat(path); err == nil {
		return path, warm(path)
	}
	if err := b.make(order{Path: path, Options: &o}); err != nil {
		return "", err
	}
	return path, warm(path)
}

// order is a capture to be made: ordinary traffic, or the worst case of a number.
type order struct {
	Path     string
	Options  *simulate.Options
	Worst, N int
}

// make makes a capture in another process.
func (b *bench) make(o order) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = once([]string{self, "-make", string(text)})
	return err
}

func made(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	if o.Options != nil {
		return simulate.PcapFile(o.Path, *o.Options)
	}
	return worstCase(o.Path, o.Worst, o.N)
}

func (b *bench) read(path string, args ...string) []string {
	return append([]string{b.program, "read", path}, args...)
}

func seconds(c cost) string { return fmt.Sprintf("%.3f", c.wall.Seconds()) }

func (b *bench) row(name string, c, base cost, packets int64) {
	b.printf("| %s | %s | %.3f | %.3f | %.2f | %.2f | %.0f | %.1f |\n", name, seconds(c), c.least.Seconds(), c.cpu.Seconds(), c.wall.Seconds()/base.wall.Seconds(),
		c.least.Seconds()/base.least.Seconds(), float64(c.wall.Nanoseconds())/float64(packets), float64(c.kib)/1024)
}

const million = 1_000_000

// moreRuns is how many times as many runs the first table takes: where the processors are shared with others, minutes differ.
const moreRuns = 5

// views are the outputs that are measured.
var views = []struct {
	name string
	args []string
}{
	{"`read --view summary`", []string{"--view", "summary"}},
	{"`read -T text`", []string{"-T", "text"}},
	{"`read -T ndjson`", []string{"-T", "ndjson"}},
}

func (b *bench) peers() error {
	path, err := b.capture("two million", ordinary(2*million))
	if err != nil {
		return err
	}
	commands, names := [][]string{{"cat", path}}, []string{"`cat`: the file from the page cache"}
	if there("tcpdump") {
		commands, names = append(commands, []string{"tcpdump", "-r", path, "-w", "/dev/null"}), append(names, "`tcpdump -r FILE -w /dev/null`")
	}
	for _, v := range views {
		commands, names = append(commands, b.read(path, v.args...)), append(names, v.name)
	}
	costs, err := beside(moreRuns*(*runs), commands...)
	if err != nil {
		return err
	}
	base := costs[min(1, len(commands)-len(views)-1)]
	b.printf("2,000,000 packets, %d MB, up to 5,000 connections at a time.\n\n", size(path)>>20)
	b.printf("| | wall s | least s | CPU s | of tcpdump | least | ns/packet | MiB |\n|---|---|---|---|---|---|---|---|\n")
	for i, c := range costs {
		b.row(names[i], c, base, 2*million)
	}
	return nil
}

func size(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

func (b *bench) tshark() error {
	if !there("tshark") {
		b.printf("tshark is not installed.\n")
		return nil
	}
	const packets = 500_000
	path, err := b.capture("half a million", ordinary(packets))
	if err != nil {
		return err
	}
	plugin := filepath.Join(b.dir, "nubison.lua")
	if _, err := once([]string{b.program, "lua", "-o", plugin}); err != nil {
		return err
	}
	costs, err := beside(min(*runs, 3), []string{"tshark", "-X", "lua_script:" + plugin, "-r", path, "-T", "fields", "-e", "frame.number", "-e", "nubison.type"},
		b.read(path, "-T", "text"), b.read(path, "-T", "ndjson"))
	if err != nil {
		return err
	}
	b.printf("The first 500,000 of these packets; the start of the program is in it.\n\n| | wall s | packets/s | times as fast |\n|---|---|---|---|\n")
	for i, name := range []string{"`tshark -r FILE -T fields` with the plugin", "`read -T text`", "`read -T ndjson`"} {
		b.printf("| %s | %s | %.0f | %.0f |\n", name, seconds(costs[i]), packets/costs[i].wall.Seconds(), costs[0].wall.Seconds()/costs[i].wall.Seconds())
	}
	return nil
}

func (b *bench) growth() error {
	lines := []series{{name: "tcpdump", color: "#888"}, {name: "summary", color: "#06c"}, {name: "text", color: "#080"}, {name: "ndjson", color: "#c30"}}
	b.printf("| packets | tcpdump | summary | text | ndjson | ns/packet (ndjson) | MiB (ndjson) |\n|---|---|---|---|---|---|---|\n")
	for _, n := range []int64{100_000, 300_000, million, 3 * million, 10 * million} {
		path, err := b.capture(fmt.Sprint(n), ordinary(n))
		if err != nil {
			return err
		}
		commands := [][]string{{"cat", path}}
		if there("tcpdump") {
			commands[0] = []string{"tcpdump", "-r", path, "-w", "/dev/null"}
		}
		for _, v := range views {
			commands = append(commands, b.read(path, v.args...))
		}
		times := min(*runs, 3)
		if n > million {
			times = 1
		}
		costs, err := beside(times, commands...)
		if err != nil {
			return err
		}
		for i := range lines {
			lines[i].points = append(lines[i].points, point{float64(n), costs[i].wall.Seconds()})
		}
		last := costs[len(costs)-1]
		b.printf("| %d | %s | %s | %s | %s | %.0f | %.1f |\n", n, seconds(costs[0]), seconds(costs[1]), seconds(costs[2]), seconds(last),
			float64(last.wall.Nanoseconds())/float64(n), float64(last.kib)/1024)
		if n > 2*million {
			_ = os.Remove(path)
		}
	}
	b.printf("\n![Time over packets](growth.svg)\n")
	return plot(filepath.Join(filepath.Dir(*doc), "growth.svg"), lines)
}

func (b *bench) connections() error {
	b.printf("One million packets of so many connections, all at the same time.\n\n| connections | summary s | CPU s | ns/packet | MiB |\n|---|---|---|---|---|\n")
	for _, n := range []int{10, 100, 1000, 10_000, 20_000} {
		o := simulate.Options{Seed: 1, Connections: n, Requests: million/n/4 - 3, PayloadMax: 100, Interval: 2000 * millisecond, Spacing: microsecond}
		path, err := b.capture(fmt.Sprint(n, " connections"), o)
		if err != nil {
			return err
		}
		costs, err := beside(min(*runs, 3), b.read(path, "--view", "summary"))
		if err != nil {
			return err
		}
		c := costs[0]
		b.printf("| %d | %s | %.3f | %.0f | %.1f |\n", n, seconds(c), c.cpu.Seconds(), float64(c.wall.Nanoseconds())/million, float64(c.kib)/1024)
		_ = os.Remove(path)
	}
	return nil
}

func (b *bench) packed() error {
	path, err := b.capture("two million", ordinary(2*million))
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.printf("| | decompressor alone, wall s | `read --view summary`, wall s | more |\n|---|---|---|---|\n")
	for _, ext := range []string{".gz", ".zst"} {
		if err := pack(path, path+ext); err != nil {
			return err
		}
		costs, err := beside(*runs, []string{self, "-unpack", path + ext}, b.read(path+ext, "--view", "summary"))
		if err != nil {
			return err
		}
		b.printf("| %s | %s | %s | %+.0f %% |\n", ext, seconds(costs[0]), seconds(costs[1]), 100*(costs[1].wall.Seconds()/costs[0].wall.Seconds()-1))
	}
	return nil
}

func pack(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	var w io.WriteCloser = gzip.NewWriter(out)
	if strings.HasSuffix(to, ".zst") {
		if w, err = zstd.NewWriter(out); err != nil {
			return err
		}
	}
	if _, err := io.Copy(w, in); err != nil {
		return err
	}
	return errors.Join(w.Close(), out.Close())
}

// unpacked decompresses a file with the library that the program uses, and throws it away.
func unpacked(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader
	if strings.HasSuffix(path, ".zst") {
		z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	} else if r, err = gzip.NewReader(f); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return err
}

func (b *bench) worst() error {
	b.printf("`read -T ndjson`; a time that grows with the packets has a ratio of about 4 from one column to the next.\n\n")
	b.printf("| | 250,000 packets, s | 1,000,000 packets, s | ratio | MiB |\n|---|---|---|---|---|\n")
	report := func(name string, what func(n int) order) error {
		var costs []cost
		for _, n := range []int{250_000, million} {
			o := what(n)
			o.Path = filepath.Join(b.dir, "worst.pcap")
			if err := b.make(o); err != nil {
				return err
			}
			c, err := beside(min(*runs, 3), b.read(o.Path, "-T", "ndjson"))
			if err != nil {
				return err
			}
			costs = append(costs, c[0])
		}
		b.printf("| %s | %s | %s | %.1f | %.1f |\n", name, seconds(costs[0]), seconds(costs[1]), costs[1].wall.Seconds()/costs[0].wall.Seconds(), float64(costs[1].kib)/1024)
		return nil
	}
	if err := report("one connection that carries all", func(n int) order {
		return order{Options: &simulate.Options{Seed: 1, Connections: 1, Requests: n / 4, PayloadMax: 100, Interval: 20 * millisecond}}
	}); err != nil {
		return err
	}
	for i := range worst {
		if err := report(worst[i].name, func(n int) order { return order{Worst: i, N: n} }); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memory() error {
	if !*large {
		b.printf("Not measured.\n")
		return nil
	}
	b.printf("| | packets | wall s | ns/packet | peak MiB |\n|---|---|---|---|---|\n")
	for _, x := range []struct {
		name    string
		packets int64
		o       simulate.Options
	}{
		{"20 million packets", 20 * million, ordinary(20 * million)},
		{"a million connections, 5,000 at a time", 22 * million, simulate.Options{Seed: 1, Connections: million, Requests: 2, PayloadMax: 100, Interval: 1000 * millisecond, Spacing: 300 * microsecond}},
	} {
		path, err := b.capture(x.name, x.o)
		if err != nil {
			return err
		}
		for _, v := range views {
			c, err := beside(1, b.read(path, v.args...))
			if err != nil {
				return err
			}
			b.printf("| %s, %s | %d | %s | %.0f | %.1f |\n", x.name, v.name, x.packets, seconds(c[0]), float64(c[0].wall.Nanoseconds())/float64(x.packets), float64(c[0].kib)/1024)
		}
		_ = os.Remove(path)
	}
	return nil
}
