package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/export"
	"github.com/nubishark/nubishark/filter"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/lua"
	"github.com/nubishark/nubishark/protocol"
)

// question is a filter of testdata/filters.txt.
type question struct {
	expr string
	only bool // only Wireshark takes it
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
		if !ok {
			t.Fatalf("%q has no tab", line)
		}
		list = append(list, question{expr, mark == "!"})
	}
	if len(list) < 150 {
		t.Fatalf("only %d filters", len(list))
	}
	return list
}

// askTshark returns what tshark with the plugin says of the filters: the packets that fit each, or "error".
func askTshark(t *testing.T, path string, list []question) []string {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not there")
	}
	var lines []string
	for _, q := range list {
		lines = append(lines, q.expr)
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "filters")
	if err := os.WriteFile(in, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/filters.lua")
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := filepath.Abs("../../lua/nubison.lua")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tshark", "-X", "lua_script:"+plugin, "-X", "lua_script:"+script, "-X", "lua_script2:"+in, "-2", "-q", "-r", path, "-z", "filters")
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
	list := questions(t)
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
			some := 0
			for i, theirs := range askTshark(t, path, list) {
				q := list[i]
				ours := q.answer(t, path, odd)
				if q.only {
					if ours != "error" || theirs == "error" {
						t.Errorf("%s\nWireshark says %q, nubishark %q: only Wireshark should take it", q.expr, theirs, ours)
					}
					continue
				}
				theirs = without(theirs, odd)
				if d := cmp.Diff(theirs, ours); d != "" {
					t.Errorf("%s (-Wireshark +nubishark):\n%s", q.expr, d)
				}
				if ours != "error" && ours != "" {
					some++
				}
			}
			if some < 80 {
				t.Errorf("only %d filters fit anything", some)
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
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := capture.NewPcapWriter(f, 1, true)
	if _, err := simulate.Generate(w, o, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
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
