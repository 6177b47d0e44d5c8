package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nubishark/nubishark/internal/simulate"
)

var soak = flag.Duration("soak", 0, "how long a live run watches a thousand devices that come and go")

// Weeks unattended: memory does not grow. Resident memory is printed now and then; at the end it is within a tenth of that
// after five minutes, or half of a shorter time.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("go test ./cmd/nubishark -run Soak -soak 1h -timeout 0")
	}
	mayCapture(t)
	const devices = 1000
	addr, _ := served(t, simulate.Live{Seed: 1, Interval: 10 * time.Second, Faults: simulate.ServerFaults(), FaultRate: 0.01, Delay: 31 * time.Second})
	file := filepath.Join(t.TempDir(), "x.pcapng")
	r := startLive(t, nil, "-i", "lo", "-f", filterFor(addr), "-q", "-w", file, "-b", "filesize:20000", "-b", "files:3", "--metrics", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(context.Background(), *soak)
	defer cancel()
	var all sync.WaitGroup
	var sessions atomic.Int64
	for i := range devices {
		all.Add(1)
		go func() {
			defer all.Done()
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for n := 0; ctx.Err() == nil; n++ {
				d := &simulate.Device{
					Live: simulate.Live{
						Seed: rnd.Uint64(), Requests: 5 + rnd.IntN(60), Interval: time.Duration(200+rnd.IntN(4000)) * time.Millisecond, PayloadMax: 300,
						Faults: simulate.DeviceFaults(), FaultRate: 0.01, Delay: 31 * time.Second,
					},
					ClientID: "c", ClientSecret: "s", Product: "PRD00001", Identifier: fmt.Sprintf("d%d-%d", i, n%3),
				}
				_ = d.Run(ctx, addr) // a server that is wrong may end it
				sessions.Add(1)
			}
		}()
	}
	early := 0
	start := time.Now()
	for ticker := time.NewTicker(*soak / 60); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			kb := resident(t, r.cmd.Process.Pid)
			t.Logf("%v: %d KiB, %d sessions", time.Since(start).Round(time.Second), kb, sessions.Load())
			if early == 0 && time.Since(start) >= min(5*time.Minute, *soak/2) {
				early = kb
			}
		}
	}
	late := resident(t, r.cmd.Process.Pid)
	all.Wait()
	if status := r.stop(os.Interrupt); status != 0 {
		t.Errorf("status %d: %s", status, r.errs)
	}
	t.Log(r.errs.String())
	if late > early+early/10 {
		t.Errorf("%d KiB at the end, %d early", late, early)
	}
}

// resident is the resident memory of a process in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
