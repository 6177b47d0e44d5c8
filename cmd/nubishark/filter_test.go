package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/export"
	"github.com/nubishark/nubishark/filter"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/lua"
	"github.com/nubishark/nubishark/protocol"
)

var wiresharks = flag.String("wireshark", "", "folders with other versions of tshark, as debootstrap makes them, separated by commas")

// question is a filter of testdata/filters.txt.
type question struct {
	expr string
	// mark is ! where only Wireshark takes it, 4.0 where later versions differ, 4.4 or 4.6 where versions before do.
	mark string
}

func questions(t *testing.T) (list []question) {
	t.Helper()
	b, err := os.ReadFile("testdata/filters.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		mark, expr, ok := strings.Cut(line, "\t")
		if !ok || !slices.Contains([]string{"", "!", "4.0", "4.4", "4.6"}, mark) {
			t.Fatalf("%q has no tab, or another mark", line)
		}
		list = append(list, question{expr, mark})
	}
	if len(list) < 300 {
		t.Fatalf("only %d filters", len(list))
	}
	return list
}

// concerns tells whether a version of Wireshark is to agree.
func (q question) concerns(version string) bool {
	switch q.mark {
	case "":
		return true
	case "!", "4.0":
		return version == "4.0"
	}
	return version >= q.mark
}

// tshark is an installation: the machine's own, or one in a folder.
type tshark struct{ root, version string }

// command returns a call of it in which files are where it sees them.
func (w tshark) command(args ...string) *exec.Cmd {
	if w.root == "" {
		return exec.Command("tshark", args...)
	}
	// Lua is off for root from Wireshark 4.2 on.
	cmd := exec.Command("chroot", append([]string{"--userspec=1000:1000", w.root, "tshark"}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"}
	return cmd
}

// tsharks returns the machine's own and those of -wireshark.
func tsharks(t *testing.T) (list []tshark) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not there")
	}
	list = append(list, tshark{})
	for _, root := range strings.Split(*wiresharks, ",") {
		if root != "" {
			list = append(list, tshark{root: root})
		}
	}
	for i := range list {
		out, err := list[i].command("--version").Output()
		if _, scan := fmt.Sscanf(string(out), "TShark (Wireshark) %3s", &list[i].version); err != nil || scan != nil {
			t.Fatalf("%s: %v, %v", out, err, scan)
		}
	}
	return slices.DeleteFunc(list, func(w tshark) bool { return w.version < "4" }) // filters are those of Wireshark 4
}

// place puts a file where the installation sees it.
func (w tshark) place(t *testing.T, from string) string {
	t.Helper()
	if w.root == "" {
		path, err := filepath.Abs(from)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := "/tmp/filters-" + filepath.Base(from)
	if err := os.WriteFile(filepath.Join(w.root, to), b, 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

// ask returns what tshark with the plugin says of the filters: the packets that fit each, or "error".
func (w tshark) ask(t *testing.T, path string, list []question) []string {
	t.Helper()
	var lines []string
	for _, q := range list {
		lines = append(lines, q.expr)
	}
	in := filepath.Join(t.TempDir(), "filters")
	if err := os.WriteFile(in, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := w.command("-X", "lua_script:"+w.place(t, "../../lua/nubison.lua"), "-X", "lua_script:"+w.place(t, "testdata/filters.lua"), "-X", "lua_script2:"+w.place(t, in),
		"-2", "-q", "-r", w.place(t, path), "-z", "filters")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, errs.String())
	}
	results := make([]string, len(list))
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		var n int
		if _, err := fmt.Sscanf(line, "filter %d", &n); err != nil || n < 1 || n > len(list) {
			t.Fatalf("tshark printed %q", line)
		}
		_, rest, _ := strings.Cut(strings.TrimPrefix(line, "filter "), " ")
		results[n-1] = rest
	}
	return results
}

// item is a record that a packet of the capture stands for.
type item struct {
	Record, ID string
	Packets    []int
	Frame      int64
	Number     int64
}

// fitting returns the packets that read shows with a filter, or "error".
func fitting(t *testing.T, path, expr string) []item {
	t.Helper()
	args := []string{"read", "-q", "-T", "ndjson", path}
	if expr != "" {
		args = append(args, "-Y", expr)
	}
	var out, errs bytes.Buffer
	switch status := run(args, nil, &out, &errs); {
	case status == statusUsage:
		return nil
	case status != statusOK:
		t.Fatalf("%s: status %d: %s", expr, status, errs.String())
	}
	list := []item{}
	for _, line := range bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n")) {
		if !bytes.HasPrefix(line, []byte(`{"record":"frame"`)) && !bytes.HasPrefix(line, []byte(`{"record":"violation"`)) {
			continue
		}
		var x item
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatal(err)
		}
		list = append(list, x)
	}
	return list
}

// incomparable are the packets that hold several items, of which Wireshark asks as one, and those of
// violations that the plugin cannot know of.
func incomparable(t *testing.T, path string) map[int]bool {
	odd, seen := map[int]bool{}, map[int]bool{}
	frames := map[int64][]int{}
	for _, x := range fitting(t, path, "") {
		r := protocol.RuleByID(x.ID)
		if x.Record == "violation" && !lua.Decidable(r) {
			for _, p := range append(x.Packets, frames[x.Frame]...) {
				odd[p] = true
			}
			continue
		}
		if x.Record == "violation" && x.Frame != 0 {
			continue
		}
		frames[x.Number] = x.Packets
		last := x.Packets[len(x.Packets)-1]
		odd[last] = odd[last] || seen[last]
		seen[last] = true
	}
	return odd
}

func (q question) answer(t *testing.T, path string, odd map[int]bool) string {
	list := fitting(t, path, q.expr)
	if list == nil {
		return "error"
	}
	var packets []int
	for _, x := range list {
		if x.Record == "violation" && (x.Frame != 0 || !lua.Decidable(protocol.RuleByID(x.ID))) {
			continue
		}
		if last := x.Packets[len(x.Packets)-1]; !odd[last] {
			packets = append(packets, last)
		}
	}
	slices.Sort(packets)
	return strings.Trim(fmt.Sprint(slices.Compact(packets)), "[]")
}

// The same filter fits the same packets in Wireshark and here, and what is wrong there is wrong here.
func TestFiltersAsInWireshark(t *testing.T) {
	list, versions := questions(t), tsharks(t)
	var faults []string
	for _, f := range simulate.FaultNames() {
		// The plugin is not told of a connection's end, and shows a packet of a wrong length where the next one proves it.
		if f != "truncated-packet" && !strings.HasPrefix(f, "length-") {
			faults = append(faults, f)
		}
	}
	o := simulate.Options{Seed: 3, Connections: 10, Requests: 12, PayloadMax: 60, Interval: 300e6, Spacing: 50e6}
	faulty, v6 := o, o
	faulty.Faults, faulty.FaultRate = faults, 0.3
	v6.V6 = true
	for name, path := range map[string]string{
		"session": "../../testdata/session.pcapng", "faults": synthetic(t, faulty), "v6": synthetic(t, v6),
	} {
		t.Run(name, func(t *testing.T) {
			odd := incomparable(t, path)
			ours := make([]string, len(list))
			some := 0
			for i, q := range list {
				if ours[i] = q.answer(t, path, odd); ours[i] != "error" && ours[i] != "" {
					some++
				}
				if q.mark == "!" && ours[i] != "error" {
					t.Errorf("%s: only Wireshark should take it", q.expr)
				}
			}
			if some < 150 {
				t.Errorf("only %d filters fit anything", some)
			}
			for _, w := range versions {
				var asked []question
				var answers []string
				for i, q := range list {
					if q.concerns(w.version) {
						asked, answers = append(asked, q), append(answers, ours[i])
					}
				}
				for i, theirs := range w.ask(t, path, asked) {
					q := asked[i]
					if q.mark == "!" {
						if theirs == "error" {
							t.Errorf("%s: Wireshark %s refuses it", q.expr, w.version)
						}
						continue
					}
					if d := cmp.Diff(without(theirs, odd), answers[i]); d != "" {
						t.Errorf("%s (-Wireshark %s +nubishark):\n%s", q.expr, w.version, d)
					}
				}
			}
		})
	}
}

func without(packets string, odd map[int]bool) string {
	var kept []string
	for _, p := range strings.Fields(packets) {
		var n int
		if _, err := fmt.Sscan(p, &n); err == nil && odd[n] {
			continue
		}
		kept = append(kept, p)
	}
	return strings.Join(kept, " ")
}

func synthetic(t testing.TB, o simulate.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pcap")
	if err := simulate.PcapFile(path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// The plugin's fields are those of filters, but for the two that tell of its own doings.
func TestFilterFieldsAreThePlugins(t *testing.T) {
	var plugin bytes.Buffer
	if err := lua.Generate(&plugin, lua.Options{}); err != nil {
		t.Fatal(err)
	}
	fields := lua.FieldNames()
	if len(fields) < 20 {
		t.Fatalf("the plugin has only %d fields", len(fields))
	}
	for _, name := range fields {
		own := name == "ends_in" || name == "tail_of"
		if _, err := filter.Compile("nubison."+name, export.FilterFields()); (err != nil) != own {
			t.Errorf("nubison.%s: %v", name, err)
		}
	}
}
