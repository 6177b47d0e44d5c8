package lua_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/protocol"
)

var (
	update   = flag.Bool("update", false, "rewrite testdata/differences.txt")
	captures = flag.String("captures", "", "a folder of captures to compare the plugin and the analyzer on; what differs is printed")
	roots    = flag.String("wireshark", "", "folders with other versions of tshark, as debootstrap makes them, separated by commas")
)

// wireshark is an installation: the machine's own, or one in a folder.
type wireshark struct{ root string }

// run starts a program of the installation on a capture with the plugin loaded.
func (w wireshark) run(t *testing.T, path string, args ...string) []byte {
	t.Helper()
	var cmd *exec.Cmd
	if w.root == "" {
		script, err := filepath.Abs(plugin)
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command(needed(t, "tshark"), append([]string{"-X", "lua_script:" + script, "-r", path}, args...)...)
	} else {
		w.place(t, plugin, "/tmp/plugin.lua")
		w.place(t, path, "/tmp/capture")
		// Lua is off for root from Wireshark 4.2 on.
		all := append([]string{"--userspec=1000:1000", w.root, "tshark", "-X", "lua_script:/tmp/plugin.lua", "-r", "/tmp/capture"}, args...)
		cmd = exec.Command("chroot", all...)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, errs.String())
	}
	if strings.Contains(errs.String(), "Lua: Error") {
		t.Fatalf("the plugin does not load: %s", errs.String())
	}
	return out.Bytes()
}

func (w wireshark) place(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.root, to), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// rows returns what the plugin shows of a capture. A Lua error fails the test.
func (w wireshark) rows(t *testing.T, path string, args ...string) []string {
	t.Helper()
	all := append([]string{"-o", "nubison.mask:FALSE", "-T", "pdml"}, args...)
	return concluded(t, shownIn(t, w.run(t, path, all...)))
}

// shownIn reads PDML: the fields of each item of the protocol by name.
func shownIn(t *testing.T, pdml []byte) (items []map[string]string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(bytes.ToValidUTF8(pdml, []byte("?")))) // long labels are cut within a letter
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var item map[string]string
	number, stream := "", ""
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return items
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := tok.(xml.StartElement)
		if end, done := tok.(xml.EndElement); done && end.Name.Local == "proto" {
			item = nil
		}
		if !ok {
			continue
		}
		name, show := attr(start, "name"), attr(start, "show")
		switch field, ours := strings.CutPrefix(name, "nubison."); {
		case start.Name.Local == "proto" && name == "nubison":
			item = map[string]string{"packet": number, "size": attr(start, "size"), "stream": stream}
			items = append(items, item)
		case name == "_ws.lua.error":
			t.Errorf("packet %s: %s %s", number, show, attr(start, "showname"))
		case name == "num":
			number = show
		case name == "tcp.stream":
			stream = show
		case ours && item != nil && !strings.HasPrefix(field, "rule."):
			if field == "payload" || field == "encryption_key" {
				show = strings.ReplaceAll(show, ":", "")
			}
			if field == "error_code" { // 3.4 writes eight digits
				n, _ := strconv.ParseUint(strings.TrimPrefix(show, "0x"), 16, 32)
				show = fmt.Sprintf("0x%04x", n)
			}
			if old, ok := item[field]; ok {
				show = old + "," + show
			}
			item[field] = show
		}
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// The settings of Wireshark's that decide what its TCP hands over.
var (
	inOrder = []string{"-o", "tcp.reassemble_out_of_order:TRUE"}
	anyPort = []string{"-o", "nubison.ports:1-65535"}
)

// sample is traffic to compare on.
type sample struct {
	name string
	o    simulate.Options
	args []string
	// why is the reason of what differs, "" where nothing does.
	why string
}

func samples() []sample {
	small := simulate.Options{Connections: 2, Requests: 5, PayloadMax: 60, Interval: 300e6, Spacing: 50e6}
	with := func(f func(o *simulate.Options)) simulate.Options {
		o := small
		f(&o)
		return o
	}
	var faults []string
	for _, f := range simulate.FaultNames() {
		if f != "truncated-packet" { // most end a connection
			faults = append(faults, f)
		}
	}
	return []sample{
		{name: "each write is a segment", o: with(func(o *simulate.Options) { o.Connections, o.Requests, o.PayloadMax = 5, 15, 3000 })},
		{name: "IPv6", o: with(func(o *simulate.Options) { o.V6 = true })},
		{name: "writes share segments", o: with(func(o *simulate.Options) { o.Connections, o.Coalesce = 10, true })},
		{name: "writes cut at random", o: with(func(o *simulate.Options) { o.Connections, o.Recut = 10, true }), args: anyPort},
		{name: "writes cut at random, packets in order", o: with(func(o *simulate.Options) { o.Connections, o.Recut = 10, true }), args: slices.Concat(anyPort, inOrder)},
		{name: "faults", o: with(func(o *simulate.Options) { o.Connections, o.Requests, o.Faults, o.FaultRate = 20, 12, faults, 0.3 })},
		{name: "segments out of order, put in order", o: with(func(o *simulate.Options) { o.Connections, o.Reorder = 10, 0.1 }), args: inOrder},
		{name: "packets cut by the snap length", o: with(func(o *simulate.Options) { o.Seed, o.SnapLen, o.PayloadMax = 6, 120, 80 })},
		{name: "segments sent again", o: with(func(o *simulate.Options) { o.Connections, o.Duplicate = 10, 0.2 })},
		{
			name: "a login cut in two", o: with(func(o *simulate.Options) { o.Seed, o.Recut = 2, true }),
			why: "Without a port, Wireshark hands each segment to the plugin by itself until one looks like NUBISON:\n" +
				"a request that is cut is not seen before, and offsets count from there.",
		},
		{
			name: "segments out of order", o: with(func(o *simulate.Options) { o.Seed, o.Reorder = 3, 0.1 }),
			why: "Wireshark's TCP never hands over a segment that came out of order.",
		},
		{
			name: "segments that were not captured", o: with(func(o *simulate.Options) { o.Seed, o.Loss, o.PayloadMax = 5, 0.1, 4000 }),
			why: "Wireshark does not tell the plugin of a gap: what it hid is nowhere, and offsets do not count it.",
		},
		{
			name: "connections that end in a packet", o: with(func(o *simulate.Options) { o.Seed, o.Faults, o.FaultRate = 2, []string{"truncated-packet"}, 0.3 }),
			why: "Wireshark does not tell the plugin that a connection ended: what was waited for stays TCP's.",
		},
	}
}

var offset = regexp.MustCompile(`\+[0-9]+`)

// differencesIn compares plugin and analyzer on a sample, in one pass and in two.
func (w wireshark) differencesIn(t *testing.T, s sample) []string {
	t.Helper()
	path := synthetic(t, s.o)
	want := analysed(t, path)
	once := w.rows(t, path, s.args...)
	twice := w.rows(t, path, append([]string{"-2"}, s.args...)...)
	if s.why != "" { // then offsets differ, too
		for _, lines := range [][]string{want, once, twice} {
			for i := range lines {
				lines[i] = offset.ReplaceAllString(lines[i], "")
			}
		}
	} else if d := cmp.Diff(once, twice); d != "" {
		t.Errorf("%s: one pass and two differ:\n%s", s.name, d)
	}
	return differ(want, twice)
}

const differencesFile = "testdata/differences.txt"

// In tshark, the plugin says of each sample what the analyzer says, but for the differences that the file lists.
func TestTshark(t *testing.T) {
	var got strings.Builder
	got.WriteString("What the plugin, in tshark 4.0, says otherwise than the analyzer: - the analyzer, + the plugin.\n" +
		"A line is packet, sender + stream offset: packet type, fields, [violations]. The test of this folder writes it.\n")
	for _, s := range samples() {
		d := wireshark{}.differencesIn(t, s)
		if (len(d) > 0) != (s.why != "") {
			t.Errorf("%s: %d differences\n%s", s.name, len(d), strings.Join(d, "\n"))
		}
		if len(d) > 0 {
			fmt.Fprintf(&got, "\n# %s\n%s\n\n%s\n", s.name, s.why, strings.Join(d, "\n"))
		}
	}
	if *update {
		if err := os.WriteFile(differencesFile, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	if version := needed(t, "tshark"); !strings.Contains(versionOf(t, version), " 4.0.") {
		t.Skip("the file is for tshark 4.0")
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("-file +now (go test ./lua -run Tshark -update):\n%s", d)
	}
}

func versionOf(t *testing.T, tshark ...string) string {
	t.Helper()
	out, err := exec.Command(tshark[0], append(tshark[1:], "--version")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// On the captures of the repository the plugin says what the analyzer says.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.pcap*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		for _, passes := range [][]string{nil, {"-2"}} {
			same(t, analysed(t, path), wireshark{}.rows(t, path, passes...))
		}
	}
	if *captures == "" {
		return
	}
	more, err := filepath.Glob(filepath.Join(*captures, "*.pcap*"))
	if err != nil {
		t.Fatal(err)
	}
	agree := 0
	for _, path := range more {
		d := differ(analysed(t, path), wireshark{}.rows(t, path))
		if len(d) == 0 {
			agree++
			continue
		}
		t.Logf("%s: %d differences, the first: %s", filepath.Base(path), len(d), strings.Join(d[:min(len(d), 3)], "\n"))
	}
	t.Logf("%d of %d captures agree", agree, len(more))
}

// What a user does with the plugin: filters, expert information, statistics, preferences, payloads of their own.
func TestUse(t *testing.T) {
	const session = "../testdata/session.pcapng"
	addOn := filepath.Join(t.TempDir(), "nubison_acme.lua")
	text := `DissectorTable.get("nubison.product"):add("PRD00001", Dissector.get("data"))`
	if err := os.WriteFile(addOn, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// What comes of it was read once beside the analyzer's own tables.
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"violations", []string{"-Y", `nubison.violation == "short-packet"`, "-T", "fields", "-e", "frame.number"}, "15\n31\n"},
		{"rules", []string{"-Y", "nubison.rule.stray-bytes", "-T", "fields", "-e", "frame.number"}, "70\n102\n"},
		{"expert", []string{"-Y", `_ws.expert.message contains "duplicate-response"`, "-T", "fields", "-e", "frame.number"}, "26\n105\n"},
		{"slow answers", []string{"-2", "-Y", `nubison.type == "L" && nubison.latency > 0.00025`, "-T", "fields", "-e", "nubison.response_in"}, "6\n"},
		{"answers", []string{"-Y", "nubison.response_to == 50", "-T", "fields", "-e", "nubison.error_code", "-e", "nubison.status"}, "0x0006\t0\n"},
		{"text", []string{"-Y", `nubison.device_key == "PRD00001_온도센서-07" && nubison.type == "L"`, "-T", "fields", "-e", "nubison.identifier"}, "온도센서-07\n"},
		{"JSON", []string{"-Y", `json.key == "온도" && frame.number < 23`, "-T", "fields", "-e", "frame.number"}, "16\n20\n"},
		{"Decode As", []string{"-d", "tcp.port==9100,nubison", "-Y", "nubison && frame.number < 8", "-T", "fields", "-e", "frame.number"}, "4\n6\n"},
		{"several packets in a segment", []string{"-Y", "frame.number == 70", "-T", "fields", "-e", "_ws.col.Info"}, "data, Y1jfb6G7, 2 bytes that are no packet [stray-bytes]\n"},
		{"a payload's own dissector", []string{"-X", "lua_script:" + addOn, "-Y", "data && frame.number < 18", "-T", "fields", "-e", "frame.number"}, "16\n"},
	} {
		if got := string((wireshark{}).run(t, session, c.args...)); got != c.want {
			t.Errorf("%s: %q instead of %q", c.name, got, c.want)
		}
	}
	summary := string((wireshark{}).run(t, session, "-q", "-z", "nubison,summary"))
	for _, line := range []string{"  data                     15\n", "  short-packet             2\n", "        13       12        1        0          1  PRD00001_온도센서-07\n"} {
		if !strings.Contains(summary, line) {
			t.Errorf("the summary has no %q:\n%s", line, summary)
		}
	}
	if shown := string((wireshark{}).run(t, session, "-V", "-Y", "frame.number == 4")); strings.Contains(shown, "not-a-secret") || !strings.Contains(shown, "********") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
}

// The same plugin says the same in other versions of Wireshark.
func TestVersions(t *testing.T) {
	if *roots == "" {
		t.Skip("make test-wireshark runs it")
	}
	for _, root := range strings.Split(*roots, ",") {
		w := wireshark{root}
		t.Run(filepath.Base(root), func(t *testing.T) {
			for _, s := range samples() {
				if s.why != "" {
					continue // that differs between versions of TCP's dissector, too
				}
				if strings.Contains(versionOf(t, "chroot", root, "tshark"), " 3.") {
					// It hands over retransmissions: there bytes that are written again are not told from them.
					s.o.Faults = slices.DeleteFunc(slices.Clone(s.o.Faults), func(f string) bool {
						return f == protocol.RequestRepeated.ID || f == protocol.DuplicateResponse.ID || f == protocol.ShortPacket.ID
					})
				}
				if d := w.differencesIn(t, s); len(d) > 0 {
					t.Errorf("%s:\n%s", s.name, strings.Join(d, "\n"))
				}
			}
			path := synthetic(t, hostile(200))
			if out := w.run(t, path, "-Y", "_ws.lua.error"); len(out) > 0 {
				t.Errorf("Lua errors:\n%s", out)
			}
			if out := w.run(t, path, "-Y", "nubison.violation"); len(out) == 0 {
				t.Error("no violation was found: the plugin did not run")
			}
		})
	}
}

func hostile(connections int) simulate.Options {
	return simulate.Options{
		Seed: 5, Connections: connections, Requests: 20, PayloadMax: 500, Interval: 300e6, Spacing: 50e6, Recut: true, Loss: 0.05, Reorder: 0.1, Duplicate: 0.1,
		SnapLen: 200, Faults: simulate.FaultNames(), FaultRate: 0.2,
	}
}

// mutated writes a capture with bytes of its packets changed at random.
func mutated(t *testing.T, from string, seed uint64) string {
	t.Helper()
	src, err := capture.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	path := filepath.Join(t.TempDir(), "mutated.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := capture.NewPcapWriter(f, 1, true)
	var b capture.Batch
	r := rand.New(rand.NewPCG(seed, 0))
	for src.Next(&b) == nil {
		for i := range b.Refs {
			p := b.Packet(i)
			p.Data = bytes.Clone(p.Data)
			for n := r.IntN(3); n > 0 && len(p.Data) > 54; n-- {
				p.Data[54+r.IntN(len(p.Data)-54)] = byte(r.UintN(256))
			}
			if err := w.Write(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Nothing that a capture holds makes the plugin fail. An error on the first of two passes is not seen: one pass.
func TestNoLuaErrors(t *testing.T) {
	wild := synthetic(t, hostile(20))
	paths := []string{wild}
	for seed := range uint64(3) {
		paths = append(paths, mutated(t, wild, seed), mutated(t, "../testdata/session.pcapng", seed))
	}
	for _, path := range paths {
		for _, args := range [][]string{nil, anyPort, slices.Concat(anyPort, inOrder), slices.Concat(anyPort, []string{"-o", "tcp.desegment_tcp_streams:FALSE"})} {
			if out := (wireshark{}).run(t, path, append(args, "-Y", "_ws.lua.error")...); len(out) > 0 {
				t.Errorf("%s %v: Lua errors:\n%s", path, args, out)
			}
		}
	}
	if out := (wireshark{}).run(t, wild, "-Y", "nubison.violation"); len(out) == 0 {
		t.Error("no violation was found: the plugin did not run")
	}
}

// As above, at length: what fuzzing the reader left, and 200,000 packets.
func TestNoLuaErrorsAtLength(t *testing.T) {
	if *roots == "" {
		t.Skip("make test-wireshark runs it")
	}
	seeds, err := filepath.Glob("../capture/testdata/fuzz/FuzzReader/*")
	if err != nil || len(seeds) == 0 {
		t.Fatal(seeds, err)
	}
	script, err := filepath.Abs(plugin)
	if err != nil {
		t.Fatal(err)
	}
	for _, seed := range seeds {
		text, err := os.ReadFile(seed)
		if err != nil {
			t.Fatal(err)
		}
		_, literal, _ := strings.Cut(strings.TrimSpace(string(text)), "[]byte(")
		b, err := strconv.Unquote(strings.TrimSuffix(literal, ")"))
		if err != nil {
			t.Fatalf("%s: %v", seed, err)
		}
		path := filepath.Join(t.TempDir(), "capture")
		if err := os.WriteFile(path, []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
		// tshark refuses most of them: what it prints before that counts.
		out, _ := exec.Command(needed(t, "tshark"), "-X", "lua_script:"+script, "-r", path, "-o", "nubison.ports:1-65535", "-Y", "_ws.lua.error").Output()
		if len(out) > 0 {
			t.Errorf("%s: Lua errors:\n%s", seed, out)
		}
	}
	o := hostile(100000)
	o.Packets = 200000
	if out := (wireshark{}).run(t, synthetic(t, o), "-Y", "_ws.lua.error"); len(out) > 0 {
		t.Errorf("Lua errors:\n%s", out)
	}
}

// Wireshark looks at packets again in any order, as the user clicks: what it shows does not depend on the order.
func TestRandomAccess(t *testing.T) {
	home := t.TempDir()
	folder := filepath.Join(home, ".local/lib/wireshark/plugins")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(plugin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, plugin), text, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, o := range []simulate.Options{hostile(4), {Connections: 4, Requests: 20, PayloadMax: 100, Interval: 300e6, Spacing: 50e6, Recut: true}} {
		path := synthetic(t, o)
		answers := map[int]string{}
		found := false
		r := rand.New(rand.NewPCG(1, 2))
		for range 3 {
			for n, tree := range clicked(t, home, path, r) {
				found = found || strings.Contains(tree, "nubison.session_id")
				if old, ok := answers[n]; ok && old != tree {
					t.Fatalf("packet %d is shown in two ways:\n%s", n, cmp.Diff(old, tree))
				}
				answers[n] = tree
			}
		}
		if !found {
			t.Error("no NUBISON packet was found: the plugin did not run")
		}
	}
}

// clicked loads a capture into sharkd and asks for its packets in random order.
func clicked(t *testing.T, home, path string, r *rand.Rand) map[int]string {
	t.Helper()
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	packets := 0
	var b capture.Batch
	for src.Next(&b) == nil {
		packets += len(b.Refs)
	}
	src.Close()
	var in bytes.Buffer
	fmt.Fprintf(&in, `{"jsonrpc":"2.0","id":1,"method":"load","params":{"file":%q}}`+"\n", path)
	order := r.Perm(packets)
	for i, n := range append(order, order[:packets/2]...) {
		fmt.Fprintf(&in, `{"jsonrpc":"2.0","id":%d,"method":"frame","params":{"frame":%d,"proto":true}}`+"\n", i+2, n+1)
	}
	cmd := exec.Command(needed(t, "sharkd"), "-")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, "config"))
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := map[int]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var m struct {
			ID     int
			Result json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if m.ID < 2 {
			continue
		}
		n := order[(m.ID-2)%packets]
		if old, ok := answers[n]; ok && old != string(m.Result) {
			t.Fatalf("packet %d is shown in two ways:\n%s", n+1, cmp.Diff(old, string(m.Result)))
		}
		answers[n] = string(m.Result)
	}
	if len(answers) != packets {
		t.Fatalf("%d answers for %d packets", len(answers), packets)
	}
	return answers
}
