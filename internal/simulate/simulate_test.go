package simulate

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/protocol"
)

func TestBuild(t *testing.T) {
	v := Values{"session_id": []byte("12345678"), "access_token": bytes.Repeat([]byte("t"), 24), "payload": []byte("hi"), "status": {1}}
	tok := strings.Repeat("t", 24)
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{Request('D', v), "D12345678" + tok + "\x00\x02hi"},
		{Request('H', v), "H12345678" + tok + "\x02hi"},
		{Request('H', Values{"session_id": v["session_id"], "access_token": v["access_token"]}), "H12345678" + tok},
		{
			Request('L', Values{"session_id": v["session_id"], "client_id": []byte("me"), "identifier": []byte("7")}),
			"L12345678me" + strings.Repeat("\x00", 46) + "\x017",
		},
		{Response('L', v), "R12345678\x01" + tok},
		{Response('D', v), "R12345678\x01"},
		{Response('C', v), "R12345678\x01\x02hi"},
		{Response('H', Values{"session_id": v["session_id"], "status": {0}, "error_code": {0, 5}}), "R12345678\x00\x00\x05"},
		{Response('O', Values{"session_id": v["session_id"], "status": {0}}), "R12345678\x00"},
	} {
		if string(c.got) != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

type counter struct {
	bytes.Buffer
	last int64
	bad  int
}

func (c *counter) Write(p capture.Packet) error {
	if p.Time < c.last {
		c.bad++
	}
	c.last = p.Time
	c.Buffer.Write(p.Data)
	return nil
}

// The same options give the same bytes, in the order of time; each loss is told.
func TestGenerate(t *testing.T) {
	o := Options{
		Seed: 1, Connections: 20, Requests: 10, PayloadMax: 5000, Interval: 1e9, Spacing: 1e7, Loss: 0.05, Reorder: 0.1, Duplicate: 0.1,
		Recut: true, Faults: FaultNames(), FaultRate: 0.2,
	}
	var a, b counter
	frames, lost := 0, 0
	s, err := Generate(&a, o, func(x *Truth) {
		for _, f := range x.Frames {
			frames++
			if f.Lost {
				lost++
			} else if len(f.Packets) == 0 {
				t.Errorf("a frame that is not lost is in no packet: %+v", f)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Generate(&b, o, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two runs differ")
	}
	if a.bad > 0 || s.Lost == 0 || lost == 0 || int64(frames) != s.Frames || s.Connections != 20 {
		t.Errorf("%d packets out of order; %d of %d frames lost; %+v", a.bad, lost, frames, s)
	}
}

func TestGenerateStopsAtPackets(t *testing.T) {
	var a counter
	s, err := Generate(&a, Options{Packets: 5000, Connections: 1, Requests: 3, Spacing: 1e6}, nil)
	if err != nil || s.Packets != 5000 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A device and a server understand each other over a real socket, whatever they do wrong.
func TestLive(t *testing.T) {
	for _, faults := range []struct {
		name           string
		device, server []string
	}{
		{"well", nil, nil},
		{"badly", DeviceFaults(), ServerFaults()},
	} {
		t.Run(faults.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var log lines
			server := Server{Live{Seed: 1, Interval: 5 * time.Millisecond, Requests: 2, Faults: without(faults.server), FaultRate: 0.2, Log: &log}}
			done := make(chan error, 1)
			go func() { done <- server.Serve(ctx, l) }()
			device := Device{
				Live:     Live{Seed: 2, Interval: time.Millisecond, Requests: 20, PayloadMax: 100, Faults: without(faults.device), FaultRate: 0.2, Log: &log},
				ClientID: "me", Product: "P", Identifier: "1",
			}
			if err := device.Run(ctx, l.Addr().String()); err != nil {
				t.Error(err)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			for _, want := range []string{"device sends login", "server sends response", "device sends logout"} {
				if !log.has(want) && faults.device == nil {
					t.Errorf("nobody says %q", want)
				}
			}
		})
	}
}

// without leaves out what would make the other side wait.
func without(faults []string) (list []string) {
	for _, f := range faults {
		switch f {
		case "no-response", "late-response", "session-id-not-echoed", "truncated-packet", "unknown-token", "length-mismatch", "length-byte-order",
			"length-missing", "length-width":
		default:
			list = append(list, f)
		}
	}
	return list
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func TestFaultsAreRules(t *testing.T) {
	for _, list := range [][]string{FaultNames(), DeviceFaults(), ServerFaults()} {
		for _, f := range list {
			if protocol.RuleByID(f) == nil {
				t.Errorf("%s is no violation", f)
			}
		}
	}
}
