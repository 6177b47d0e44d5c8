package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
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
