package sanitize

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
)

var (
	seeds    = flag.Uint64("seeds", 4, "random captures to sanitize")
	captures = flag.String("captures", "", "a folder of captures to sanitize, too")
)

func opener(path string) func() (capture.Source, error) {
	return func() (capture.Source, error) { return capture.Open(path) }
}

func generated(t *testing.T, o simulate.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.pcap")
	if err := simulate.PcapFile(path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whatever a capture holds, the sanitized one leads to the same conclusions, and no secret of it is there.
func TestVerifies(t *testing.T) {
	paths := []string{"../testdata/session.pcapng"}
	for seed := range *seeds {
		o := simulate.Options{Seed: seed + 1, Connections: 10, Requests: 12, PayloadMax: 300, Interval: 1e9, Spacing: 100e6, V6: seed%4 == 1}
		paths = append(paths, generated(t, o))
		o.Recut, o.Coalesce, o.Faults, o.FaultRate = seed%2 == 1, seed%2 == 0, simulate.FaultNames(), 0.2
		paths = append(paths, generated(t, o))
		o.Loss, o.Reorder, o.Duplicate = 0.05, 0.1, 0.1
		paths = append(paths, generated(t, o))
		o.SnapLen = 100
		paths = append(paths, generated(t, o))
	}
	if *captures != "" {
		more, err := filepath.Glob(filepath.Join(*captures, "*.pcap*"))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, more...)
	}
	for i, path := range paths {
		out, _, err := File(context.Background(), opener(path), Options{}, false)
		if err != nil {
			t.Errorf("%d %s: %v", i, filepath.Base(path), err)
			continue
		}
		again, _, err := File(context.Background(), opener(path), Options{}, true)
		if err != nil || i < 5 && !bytes.Equal(out, again) {
			t.Errorf("%s: not the same again, %v", path, err)
		}
	}
}

// Nothing that names anyone is left.
func TestNoNamesLeft(t *testing.T) {
	const path = "../testdata/session.pcapng"
	out, _, err := File(context.Background(), opener(path), Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stand-in-client", "not-a-secret", "gw-0113", "온도", "TbCfocD4", "\x7f\x00\x00\x01", "lo\x00\x00"} {
		if bytes.Contains(out, []byte(name)) {
			t.Errorf("%q is there", name)
		}
	}
	if !bytes.Contains(out, []byte("PRD00001")) {
		t.Error("the product code is not there")
	}
	kept, _, err := File(context.Background(), opener(path), Options{KeepPayload: true}, false)
	if err != nil || !bytes.Contains(kept, []byte("온도")) {
		t.Errorf("payloads are not kept, %v", err)
	}
}

// Wireshark finds nothing wrong with it that was not wrong before.
func TestWireshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not there")
	}
	for _, o := range []simulate.Options{
		{Seed: 1, Connections: 5, Requests: 10, PayloadMax: 2000, Interval: 1e9, Spacing: 100e6},
		{Seed: 2, Connections: 5, Requests: 10, PayloadMax: 200, Interval: 1e9, Spacing: 100e6, V6: true},
	} {
		out, _, err := File(context.Background(), opener(generated(t, o)), Options{}, false)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "out.pcapng")
		if err := os.WriteFile(path, out, 0o600); err != nil {
			t.Fatal(err)
		}
		bad, err := exec.Command(tshark, "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
			"-Y", "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0").Output()
		if err != nil || len(bad) > 0 {
			t.Errorf("%v\n%s", err, bad[:min(len(bad), 500)])
		}
		all, err := exec.Command(tshark, "-r", path, "-Y", "tcp.len > 0").Output()
		if err != nil || strings.Count(string(all), "\n") < 50 {
			t.Errorf("no TCP data, %v", err)
		}
	}
}

// Of a damaged capture, what can be read is written, and the damage is told.
func TestDamaged(t *testing.T) {
	whole, err := os.ReadFile("../testdata/session.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	open := func() (capture.Source, error) {
		return capture.NewReader(bytes.NewReader(whole[:len(whole)*2/3]), "cut")
	}
	out, damage, err := File(context.Background(), open, Options{}, false)
	if err != nil || damage == nil || len(out) < len(whole)/2 {
		t.Errorf("%d bytes, %v, %v", len(out), damage, err)
	}
}

// A value is found however it is hidden.
func TestSearchFinds(t *testing.T) {
	if search([]byte("xxsecretxx"), map[string][]byte{"secret": nil}) == nil || search([]byte("xxsecrexx"), map[string][]byte{"secret": nil}) != nil {
		t.Error("a secret is not found, or one is that is not there")
	}
}

// fuzzBases are the captures that FuzzFile changes: small ones, because each is analysed five times.
func fuzzBases(f *testing.F) (list [][]byte) {
	f.Helper()
	o := simulate.Options{Seed: 1, Connections: 2, Requests: 3, PayloadMax: 40, Interval: 1e9, Spacing: 1e8}
	for _, change := range []func(){
		func() {},
		func() { o.V6, o.Recut = true, true },
		func() { o.V6, o.Faults, o.FaultRate = false, simulate.FaultNames(), 0.5 },
		func() { o.Loss, o.Duplicate, o.Reorder = 0.1, 0.2, 0.2 },
		func() { o.SnapLen = 90 },
	} {
		change()
		var b bytes.Buffer
		if err := simulate.Pcap(&b, o); err != nil {
			f.Fatal(err)
		}
		list = append(list, b.Bytes())
	}
	return list
}

// Whatever stands in a capture, sanitizing it ends, and what fails is not handed out. The input is changes to a capture, each of two bytes
// for the place and one that is put there: so that it is short, and the capture still one.
func FuzzFile(f *testing.F) {
	bases := fuzzBases(f)
	for i := range bases {
		f.Add(byte(i), []byte{0, 90, 'X', 1, 20, 0})
	}
	f.Fuzz(func(t *testing.T, base byte, changes []byte) {
		b := bytes.Clone(bases[int(base)%len(bases)])
		for n := 0; n < 40 && len(changes) >= 3; n++ {
			b[(int(changes[0])<<8|int(changes[1]))%len(b)] = changes[2]
			changes = changes[3:]
		}
		open := func() (capture.Source, error) { return capture.NewReader(bytes.NewReader(b), "fuzz") }
		o := Options{}
		o.Analysis.Workers = 1
		out, _, err := File(context.Background(), open, o, false)
		if err != nil && out != nil {
			t.Error("a capture that failed is handed out")
		}
		if errors.Is(err, errSecret) {
			t.Error(err)
		}
	})
}
