package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/capture/live"
)

// A program that reads files starts without what only a capture needs: filling gopacket's tables alone would take
// longer than all the rest.
func TestStaticProgramIsSmall(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Skip(err)
	}
	list := strings.Fields(string(out))
	if len(list) < 50 {
		t.Fatalf("only %d packages: %s", len(list), out)
	}
	for _, p := range list {
		for _, not := range []string{"github.com/google/gopacket", "github.com/prometheus/", "google.golang.org/protobuf", "net/http"} {
			if strings.HasPrefix(p, not) {
				t.Errorf("%s is in it", p)
			}
		}
	}
}

// Where nothing can be captured, --metrics is known, and the error says what is missing.
func TestMetricsWithoutCapture(t *testing.T) {
	if live.Built {
		t.Skip("built with libpcap")
	}
	var out, errs bytes.Buffer
	if status := run(strings.Fields("live -i lo --metrics :0"), nil, &out, &errs); status != statusInput || !strings.Contains(errs.String(), "no libpcap") {
		t.Errorf("status %d: %s", status, errs.String())
	}
	s := &session{w: &watching{metrics: ":0"}}
	if _, err := s.serve(); err == nil || !strings.HasPrefix(err.Error(), "--metrics: ") || !strings.Contains(err.Error(), "no libpcap") {
		t.Errorf("got %v", err)
	}
}

// What handles packets collects often; what only says something does not collect at all.
func TestPrepareHeap(t *testing.T) {
	const alone = "NUBISHARK_TEST_ALONE"
	if os.Getenv(alone) == "" { // other tests leave a pace behind
		cmd := exec.Command(os.Args[0], "-test.run=^TestPrepareHeap$")
		cmd.Env = append(cmd.Environ(), alone+"=1", "GOGC=", "GOMEMLIMIT=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	for _, c := range []struct {
		args string
		want int
	}{
		{"version", 100},
		{"violations", 100},
		{"simulate capture --connections 1 --requests 1 -o " + filepath.Join(t.TempDir(), "x.pcap"), leastGrowth},
		{"follow --stream 0 ../../testdata/session.pcapng", leastGrowth},
	} {
		debug.SetGCPercent(100)
		var out, errs bytes.Buffer
		if status := run(strings.Fields(c.args), nil, &out, &errs); status != statusOK {
			t.Fatalf("%s: status %d: %s", c.args, status, errs.String())
		}
		if got := debug.SetGCPercent(100); got != c.want {
			t.Errorf("%s: the heap grows by %d %% until it is collected, want %d", c.args, got, c.want)
		}
	}
}
