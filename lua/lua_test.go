package lua_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
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
	for _, want := range []string{`Proto, "acme"`, `"9100-9110"`, "little = true"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the plugin has no %s", want)
		}
	}
	if strings.Contains(b.String(), "@") {
		t.Error("a place of the template is left open")
	}
}

func tshark(t *testing.T, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not there")
	}
	path, err := filepath.Abs(plugin)
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.Command("tshark", append([]string{"-X", "lua_script:" + path}, args...)...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, errs.String())
	}
	return out
}

// seen reads tshark's PDML: a line for each NUBISON packet or run of bytes.
func seen(t *testing.T, pdml []byte) (lines []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(pdml))
	number, fields := "", map[string][]string(nil)
	size := ""
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			name, show := attr(tok, "name"), attr(tok, "show")
			switch {
			case tok.Name.Local == "proto" && name == "nubison":
				fields, size = map[string][]string{}, attr(tok, "size")
			case tok.Name.Local == "field" && name == "num" && fields == nil:
				number = show
			case tok.Name.Local == "field" && fields != nil:
				fields[name] = append(fields[name], show)
			}
		case xml.EndElement:
			if tok.Name.Local == "proto" && fields != nil {
				get := func(k string) string { return strings.Join(fields["nubison."+k], ",") }
				violations := fields["nubison.violation"]
				slices.Sort(violations)
				lines = append(lines, fmt.Sprintf("%s %s/%s %s %s status %s error %s %v", number, get("type"), get("request_type"), get("session_id"),
					size, get("status"), get("error_code"), violations))
				fields = nil
			}
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

// concluded writes the analyzer's records as the same lines.
type concluded struct{ lines []string }

// undecided are the rules that a pass over the packets cannot tell.
var undecided = []*protocol.Rule{
	protocol.NoResponse, protocol.OrphanResponse, protocol.SessionIDNotEchoed, protocol.UnknownToken, protocol.CaptureGap, protocol.CaptureMidstream,
}

func (c *concluded) Frame(f *dissect.Frame) {
	var ids []string
	for _, r := range f.Violations {
		if !slices.Contains(undecided, r) {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	request, status, code := "", "", ""
	if f.RequestLetter != 0 {
		request = string(rune(f.RequestLetter))
	}
	if s, ok := f.Status(); ok {
		status = strconv.Itoa(int(s))
	}
	if e, ok := f.ErrorCode(); ok {
		code = fmt.Sprintf("0x%04x", e)
	}
	c.lines = append(c.lines, fmt.Sprintf("%d %c/%s %s %d status %s error %s %v", slices.Max(f.Packets), f.Letter, request, f.SessionID, f.Length, status, code, ids))
}

func (c *concluded) Violation(v *dissect.Violation) {
	switch v.Rule {
	case protocol.ShortPacket, protocol.StrayBytes, protocol.UnknownType:
		c.lines = append(c.lines, fmt.Sprintf("%d /  %d status  error  [%s]", slices.Max(v.Packets), v.Length, v.Rule.ID))
	}
}
func (*concluded) Transaction(*dissect.Transaction) {}
func (*concluded) Stream(*dissect.Stream)           {}

func compare(t *testing.T, path string) {
	t.Helper()
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var c concluded
	if _, err := analyze.Run(context.Background(), src, analyze.Options{}, &c); err != nil {
		t.Fatal(err)
	}
	for _, passes := range [][]string{nil, {"-2"}} {
		got := seen(t, tshark(t, append(passes, "-o", "nubison.mask:FALSE", "-r", path, "-T", "pdml")...))
		want := slices.Clone(c.lines)
		slices.Sort(want)
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%v (-analyzer +plugin):\n%s", passes, d)
		}
	}
}

func synthetic(t *testing.T, o simulate.Options) string {
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

// Where each write is a segment, in order, the plugin says what the analyzer says, in one pass and in two.
func TestAgainstAnalyzer(t *testing.T) {
	clean := simulate.Options{Connections: 5, Requests: 15, PayloadMax: 3000, Interval: 300e6, Spacing: 50e6}
	for name, path := range map[string]string{"session": "../testdata/session.pcapng", "clean": synthetic(t, clean)} {
		t.Run(name, func(t *testing.T) { compare(t, path) })
	}
}

// Nothing that a capture holds makes the plugin fail.
func TestNoLuaErrors(t *testing.T) {
	path := synthetic(t, simulate.Options{
		Seed: 5, Connections: 20, Requests: 20, PayloadMax: 500, Interval: 300e6, Spacing: 50e6, Recut: true, Loss: 0.05, Reorder: 0.1, Duplicate: 0.1,
		SnapLen: 200, Faults: simulate.FaultNames(), FaultRate: 0.2,
	})
	if out := tshark(t, "-r", path, "-Y", "_ws.lua.error"); len(out) > 0 {
		t.Errorf("Lua errors:\n%s", out)
	}
	if out := tshark(t, "-r", path, "-Y", "nubison.violation"); len(out) == 0 {
		t.Error("no violation was found: the plugin did not run")
	}
}
