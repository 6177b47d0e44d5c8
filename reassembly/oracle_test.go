package reassembly

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	gotcp "github.com/google/gopacket/reassembly"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
)

// gather keeps packets in memory and on disk.
type gather struct {
	list []capture.Packet
	w    *capture.PcapWriter
}

func (g *gather) Write(p capture.Packet) error {
	p.Data = slices.Clone(p.Data)
	p.Number = int64(len(g.list) + 1)
	g.list = append(g.list, p)
	return g.w.Write(p)
}

// gatherTo writes a capture file that write makes.
func gatherTo(t *testing.T, link capture.LinkType, write func(*gather)) (path string, list []capture.Packet) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "x.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := &gather{w: capture.NewPcapWriter(f, link, true)}
	write(g)
	if err := g.w.Close(); err != nil {
		t.Fatal(err)
	}
	return path, g.list
}

func tshark(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not there")
	}
	var errs bytes.Buffer
	cmd := exec.Command("tshark", args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, errs.String())
	}
	return string(out)
}

// streams gathers the bytes of each direction, gaps left out.
type streams struct {
	opened
	bytes [][2][]byte
}

func (s *streams) Open(c *Conn) { s.bytes = append(s.bytes, [2][]byte{}) }
func (s *streams) Chunk(c *Conn, d Direction, ch Chunk) {
	s.bytes[c.Stream][d] = append(s.bytes[c.Stream][d], ch.Bytes...)
}

func reassemble(list []capture.Packet) *streams {
	s := &streams{}
	a := New(s, Options{})
	for i := range list {
		a.Packet(&list[i])
	}
	a.Close()
	return s
}

var traffic = map[string]simulate.Options{
	"clean":     {Connections: 6, Requests: 8, Interval: 100e6, Spacing: 20e6},
	"recut":     {Connections: 6, Requests: 8, Interval: 100e6, Spacing: 20e6, Recut: true, PayloadMax: 4000},
	"reordered": {Connections: 6, Requests: 8, Interval: 100e6, Spacing: 20e6, Recut: true, Reorder: 0.3, PayloadMax: 4000},
	"repeated":  {Connections: 6, Requests: 8, Interval: 100e6, Spacing: 20e6, Duplicate: 0.3, V6: true},
}

// The bytes of each stream are those that tshark follows.
func TestAgainstTshark(t *testing.T) {
	for name, o := range traffic {
		t.Run(name, func(t *testing.T) {
			path, list := gatherTo(t, 1, func(g *gather) { generate(t, g, o) })
			got := reassemble(list)
			if name == "reordered" {
				// Following, tshark takes what is acknowledged before it is captured for lost.
				compareSegments(t, path, got)
				return
			}
			args := []string{"-q", "-r", path}
			for i := range got.bytes {
				args = append(args, "-z", fmt.Sprintf("follow,tcp,raw,%d", i))
			}
			want := followed(tshark(t, args...))
			if len(want) != len(got.bytes) {
				t.Fatalf("tshark has %d streams, got %d", len(want), len(got.bytes))
			}
			for i := range want {
				for d := range 2 {
					if !bytes.Equal(want[i][d], got.bytes[i][d]) {
						t.Errorf("stream %d direction %d: tshark has %d bytes, got %d", i, d, len(want[i][d]), len(got.bytes[i][d]))
					}
				}
			}
		})
	}
}

// compareSegments puts the segments that tshark finds where their sequence numbers say.
func compareSegments(t *testing.T, path string, got *streams) {
	t.Helper()
	out := tshark(t, "-r", path, "-T", "fields", "-e", "tcp.stream", "-e", "tcp.dstport", "-e", "tcp.seq", "-e", "tcp.payload", "-Y", "tcp.len > 0")
	want := make([][2][]byte, len(got.bytes))
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		f := strings.Split(l, "\t")
		stream, _ := strconv.Atoi(f[0])
		seq, _ := strconv.Atoi(f[2])
		b, err := hex.DecodeString(f[3])
		if err != nil {
			t.Fatal(err)
		}
		d := 0
		if f[1] != "9100" {
			d = 1
		}
		w := &want[stream][d]
		if end := seq - 1 + len(b); end > len(*w) {
			*w = append(*w, make([]byte, end-len(*w))...)
		}
		copy((*w)[seq-1:], b)
	}
	for i := range want {
		for d := range 2 {
			if !bytes.Equal(want[i][d], got.bytes[i][d]) {
				t.Errorf("stream %d direction %d: tshark has %d bytes, got %d", i, d, len(want[i][d]), len(got.bytes[i][d]))
			}
		}
	}
}

func generate(t *testing.T, g *gather, o simulate.Options) {
	t.Helper()
	if _, err := simulate.Generate(g, o, nil); err != nil {
		t.Fatal(err)
	}
}

// followed reads what -z follow,tcp,raw prints: each stream under its filter, the second node's lines indented.
func followed(s string) map[int]*[2][]byte {
	list := map[int]*[2][]byte{}
	n := -1
	for _, l := range strings.Split(s, "\n") {
		if x, found := strings.CutPrefix(l, "Filter: tcp.stream eq "); found {
			n, _ = strconv.Atoi(x)
			list[n] = &[2][]byte{}
		}
		if n < 0 || l == "" || strings.ContainsAny(l, ":=") {
			continue
		}
		d := 0
		if strings.HasPrefix(l, "\t") {
			d = 1
		}
		if b, err := hex.DecodeString(strings.TrimSpace(l)); err == nil {
			list[n][d] = append(list[n][d], b...)
		}
	}
	return list
}

// On clean traffic gopacket's reassembly is an oracle, too.
func TestAgainstGopacket(t *testing.T) {
	for _, name := range []string{"clean", "recut"} {
		t.Run(name, func(t *testing.T) {
			_, list := gatherTo(t, 1, func(g *gather) { generate(t, g, traffic[name]) })
			got := reassemble(list)
			f := &factory{}
			a := gotcp.NewAssembler(gotcp.NewStreamPool(f))
			for _, p := range list {
				x := gopacket.NewPacket(p.Data, layers.LinkTypeEthernet, gopacket.NoCopy)
				if tcp, ok := x.TransportLayer().(*layers.TCP); ok {
					a.AssembleWithContext(x.NetworkLayer().NetworkFlow(), tcp, context{})
				}
			}
			a.FlushAll()
			// It makes a ghost of a connection's last acknowledgement.
			f.list = slices.DeleteFunc(f.list, func(s *followedStream) bool { return len(s.bytes[0])+len(s.bytes[1]) == 0 })
			if len(f.list) != len(got.bytes) {
				t.Fatalf("gopacket has %d streams, got %d", len(f.list), len(got.bytes))
			}
			for i, s := range f.list {
				for d := range 2 {
					if !bytes.Equal(s.bytes[d], got.bytes[i][d]) {
						t.Errorf("stream %d direction %d: gopacket has %d bytes, got %d", i, d, len(s.bytes[d]), len(got.bytes[i][d]))
					}
				}
			}
		})
	}
}

type context struct{}

func (context) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo{} }

type factory struct{ list []*followedStream }

func (f *factory) New(_, _ gopacket.Flow, _ *layers.TCP, _ gotcp.AssemblerContext) gotcp.Stream {
	s := &followedStream{}
	f.list = append(f.list, s)
	return s
}

type followedStream struct{ bytes [2][]byte }

func (*followedStream) Accept(*layers.TCP, gopacket.CaptureInfo, gotcp.TCPFlowDirection, gotcp.Sequence, *bool, gotcp.AssemblerContext) bool {
	return true
}

func (s *followedStream) ReassembledSG(sg gotcp.ScatterGather, _ gotcp.AssemblerContext) {
	dir, _, _, _ := sg.Info()
	n, _ := sg.Lengths()
	d := 0
	if dir == gotcp.TCPDirServerToClient {
		d = 1
	}
	s.bytes[d] = append(s.bytes[d], sg.Fetch(n)...)
}
func (*followedStream) ReassemblyComplete(gotcp.AssemblerContext) bool { return true }

// Connections are numbered as Wireshark numbers tcp.stream.
func TestStreamNumbers(t *testing.T) {
	type step struct {
		dir   byte
		port  uint16
		seq   uint32
		ack   uint32
		flags byte
		data  string
	}
	const s, a, f, r = FlagSYN, FlagACK, FlagFIN, FlagRST
	steps := []step{
		{'>', 1, 100, 0, s, ""},
		{'<', 1, 500, 101, s | a, ""},
		{'>', 1, 101, 501, a, "one"},
		{'>', 1, 100, 0, s, ""},  // the same SYN again
		{'>', 1, 7000, 0, s, ""}, // port reuse without an end
		{'<', 1, 900, 7001, s | a, ""},
		{'>', 1, 7001, 901, a, "two"},
		{'<', 1, 901, 7004, r | a, ""},
		{'>', 1, 7004, 901, a, "after the reset"},
		{'>', 1, 9000, 0, s, ""},
		{'>', 1, 9001, 0, a | f, ""},
		{'<', 1, 55, 9002, a, ""}, // reuse, FIN
		{'>', 2, 50, 60, a, "in the middle"},
		{'<', 2, 60, 63, a, "yes"},
		{'>', 2, 49, 0, s, ""},  // a SYN that fits
		{'>', 2, 800, 0, s, ""}, // one that does not
		{'<', 3, 500, 101, s | a, ""},
		{'>', 3, 100, 0, s, ""},
		{'>', 3, 101, 501, a, "SYN-ACK first"},
		{'<', 3, 777, 101, s | a, ""}, // another SYN-ACK
		{'>', 4, 1, 0, s, ""},
		{'<', 4, 0, 2, r | a, ""},
		{'>', 4, 1, 0, s, ""},
		{'>', 4, 2, 0, s, ""},
		{'>', 5, 1, 0, a, ""},
		{'<', 5, 10, 1, a, ""},
		{'<', 5, 3000, 0, s, ""}, // the server's port opens
	}
	path, list := gatherTo(t, 101, func(g *gather) {
		for i, x := range steps {
			sp, dp := 4000+x.port, uint16(9000)
			if x.dir == '<' {
				sp, dp = dp, sp
			}
			b := ipv4(6, tcpBytes(sp, dp, x.seq, x.ack, x.flags, []byte(x.data)))
			if x.dir == '<' {
				b[15], b[19] = 2, 1
			}
			if err := g.Write(capture.Packet{Link: 101, Time: int64(i+1) * 1e9, Data: b, WireLen: len(b)}); err != nil {
				t.Fatal(err)
			}
		}
	})
	var want []int
	for _, l := range strings.Fields(tshark(t, "-r", path, "-T", "fields", "-e", "tcp.stream")) {
		n, err := strconv.Atoi(l)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, n)
	}
	var got []int
	type place struct {
		part uint8
		slot int32
	}
	opened := map[place]int64{} // the latest one there
	streams := map[int64]int{}
	asm := New(nobody{}, Options{})
	for i := range list {
		asm.Packet(&list[i])
		var seg Segment
		if (&Decoder{}).Decode(&list[i], &seg) {
			f := asm.table.find(seg.tag)
			at := place{f.part, f.slot}
			if !f.over() {
				opened[at] = f.Opened
			}
			if _, known := streams[opened[at]]; !known {
				streams[opened[at]] = len(streams)
			}
			got = append(got, streams[opened[at]])
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tcp.stream of each packet (-tshark +got):\n%s", d)
	}
}
