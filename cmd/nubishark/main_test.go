package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nubishark/nubishark/internal/simulate"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nubishark": main})
}

// The scripts in testdata/script are the command as its users meet it.
func TestScripts(t *testing.T) {
	captures, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:             "testdata/script",
		UpdateScripts:   os.Getenv("UPDATE_SCRIPTS") != "",
		ContinueOnError: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "CAPTURES="+captures)
			return nil
		},
	})
}

// What the README shows is what its first command prints.
func TestReadmeSample(t *testing.T) {
	t.Chdir("../..")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const start = "```console\n$ nubishark "
	_, rest, found := strings.Cut(string(readme), start)
	block, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("README.md has no block that starts with %q", start)
	}
	command, want, _ := strings.Cut(block, "\n")
	var out, errs bytes.Buffer
	if status := run(strings.Fields(command), nil, &out, &errs); status != 0 {
		t.Fatalf("nubishark %s: status %d: %s", command, status, errs.String())
	}
	if got := out.String(); got != want {
		t.Errorf("README.md shows other than nubishark %s prints; it prints:\n%s", command, got)
	}
}

// The summary, for which packets are only counted, counts what a run that shows every record does.
func TestSummaryCountsAll(t *testing.T) {
	for seed := range uint64(6) {
		path := filepath.Join(t.TempDir(), "crowd.pcap")
		if err := simulate.PcapFile(path, simulate.Options{
			Seed: seed, Connections: 40, Requests: 20, PayloadMax: 200, Interval: 3e9, Spacing: 50e6, Faults: simulate.FaultNames(), FaultRate: 0.1,
			Loss: 0.02, Reorder: 0.02, Duplicate: 0.02, Recut: seed%2 == 1,
		}); err != nil {
			t.Fatal(err)
		}
		last := func(args ...string) string {
			var out, errs bytes.Buffer
			if status := run(append([]string{"read", "-q", "-T", "ndjson", path}, args...), nil, &out, &errs); status != 0 {
				t.Fatalf("status %d: %s", status, errs.String())
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			return lines[len(lines)-1]
		}
		want, got := last(), last("--view", "summary")
		if len(want) < 500 || got != want {
			t.Errorf("seed %d: the summary alone is\n%s\nand behind all records\n%s", seed, got, want)
		}
	}
}
