package lua_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/lua"
	"github.com/nubishark/nubishark/protocol"
)

const plugin = "nubison.lua"

// The plugin in the repository is what go generate makes.
func TestCurrent(t *testing.T) {
	want, err := os.ReadFile(plugin)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := lua.Generate(&got, lua.Options{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("%s is old: run go generate ./lua\n%s", plugin, d)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"Nubison", "a b", "9a", "x\n"} {
		if err := lua.Generate(io.Discard, lua.Options{Name: name}); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	var b bytes.Buffer
	if err := lua.Generate(&b, lua.Options{Name: "acme", Ports: "9100-9110", LittleEndian: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`Proto, "acme"`, `"9100-9110"`, "little = true", "-z acme,summary"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the plugin has no %s", want)
		}
	}
	if strings.Contains(b.String(), "@") {
		t.Error("a place of the template is left open")
	}
}

// needed returns the path of a program, and skips the test without it.
func needed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not there: make test installs it", program)
	}
	return path
}

// A support engineer can read the plugin: it is clean Lua 5.1, its lines and functions are short.
func TestReadable(t *testing.T) {
	text, err := os.ReadFile(plugin)
	if err != nil {
		t.Fatal(err)
	}
	start := 0
	for i, line := range strings.Split(string(text), "\n") {
		if len(line) > 120 {
			t.Errorf("line %d has %d characters", i+1, len(line))
		}
		switch {
		case strings.HasPrefix(line, "function ") || strings.HasPrefix(line, "local function "):
			start = i
		case start > 0 && line == "end" && i-start >= 60:
			t.Errorf("the function at line %d has %d lines", start+1, i-start+1)
			start = 0
		case line == "end":
			start = 0
		}
	}
	check := exec.Command(needed(t, "luacheck"), "--no-color", "--config", filepath.Join("testdata", "luacheckrc"), plugin)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("luacheck: %v\n%s", err, out)
	}
}

// The documentation lists the rules that the plugin cannot decide, and no others.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/wireshark.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range protocol.Rules {
		if listed := bytes.Contains(doc, []byte("| `"+r.ID+"` |")); listed == lua.Decidable(r) {
			t.Errorf("%s: listed %v, decidable %v", r.ID, listed, lua.Decidable(r))
		}
	}
}
