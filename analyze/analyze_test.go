package analyze

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
)

// recorder keeps the records of a run as short lines.
type recorder struct{ lines []string }

func (r *recorder) add(parts ...string) { r.lines = append(r.lines, strings.Join(parts, " ")) }
func (r *recorder) Frame(f *dissect.Frame) {
	r.add("frame", string(rune(f.Letter)), string(f.SessionID))
}

func (r *recorder) Transaction(t *dissect.Transaction) {
	r.add("transaction", string(t.SessionID), t.State.String())
}
func (r *recorder) Violation(v *dissect.Violation) { r.add("violation", v.Rule.ID) }
func (r *recorder) Stream(s *dissect.Stream)       { r.add("stream", s.Device) }

// tcp makes a raw IPv4 packet with a TCP segment.
func tcp(fromDevice bool, seq, ack uint32, flags byte, payload string) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[9] = 0x45, 6
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	a, z, sp, dp := byte(1), byte(2), uint16(40000), uint16(9000)
	if !fromDevice {
		a, z, sp, dp = z, a, dp, sp
	}
	b[12], b[15], b[16], b[19] = 10, a, 10, z
	binary.BigEndian.PutUint16(b[20:], sp)
	binary.BigEndian.PutUint16(b[22:], dp)
	binary.BigEndian.PutUint32(b[24:], seq)
	binary.BigEndian.PutUint32(b[28:], ack)
	b[32], b[33] = 5<<4, flags
	return b
}

func session(t *testing.T) *bytes.Buffer {
	t.Helper()
	const tok = "tokentokentokentokentoke"
	login := "Lsession1" + "client00000000000000" + "secret00000000000000" + "PRODUCT1" + "\x03" + "dev"
	answer := "Rsession1\x01" + tok
	data := "Dsession2" + tok + "\x00\x05hello"
	var buf bytes.Buffer
	w := capture.NewPcapWriter(&buf, 101, true)
	packets := [][]byte{
		tcp(true, 99, 0, 2, ""), tcp(false, 499, 100, 18, ""), tcp(true, 100, 500, 16, ""),
		tcp(true, 100, 500, 24, login), tcp(false, 500, 100+uint32(len(login)), 24, answer),
		tcp(true, 100+uint32(len(login)), 534, 24, data),
		tcp(false, 534, 100+uint32(len(login)+len(data)), 24, "Rsession2\x01"),
	}
	for i, p := range packets {
		if err := w.Write(capture.Packet{Time: int64(i+1) * 1e6, Link: 101, WireLen: len(p), Data: p}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

func TestRunPairsRequestsWithTheirResponses(t *testing.T) {
	src, err := capture.NewReader(session(t), "session")
	if err != nil {
		t.Fatal(err)
	}
	var r recorder
	res, err := Run(context.Background(), src, Options{}, &r)
	if err != nil {
		t.Fatal(err)
	}
	want := `frame L session1
frame R session1
transaction session1 answered
frame D session2
frame R session2
transaction session2 answered
stream PRODUCT1_dev`
	if got := strings.Join(r.lines, "\n"); got != want {
		t.Errorf("records:\n%s\nwant:\n%s", got, want)
	}
	if res.Packets != 7 || res.TCPStreams != 1 || res.NubisonStreams != 1 {
		t.Errorf("result: %+v", res)
	}
}

// memory is a capture in memory.
type memory struct {
	list []capture.Packet
	at   int
}

func (m *memory) Next(b *capture.Batch) error {
	b.Data, b.Refs = b.Data[:0], b.Refs[:0]
	for ; m.at < len(m.list) && len(b.Refs) < 500; m.at++ {
		b.Add(capture.Packet{Number: int64(m.at + 1), Time: m.list[m.at].Time, Link: 101, Data: m.list[m.at].Data})
	}
	if len(b.Refs) == 0 {
		return io.EOF
	}
	return nil
}

func (m *memory) Stats() capture.Stats { return capture.Stats{} }
func (m *memory) Close() error         { return nil }

// A token that one connection is given is known on all others from then on, and not before, whoever works on them.
func TestTokensOfOtherConnections(t *testing.T) {
	const pairs = 300
	for _, before := range []bool{false, true} {
		var list []capture.Packet
		add := func(port uint16, fromDevice bool, seq, ack uint32, flags byte, payload string) {
			p := tcp(fromDevice, seq, ack, flags, payload)
			at := 20
			if !fromDevice {
				at = 22
			}
			binary.BigEndian.PutUint16(p[at:], port)
			list = append(list, capture.Packet{Time: int64(len(list)+1) * 1e5, Data: p})
		}
		for i := range pairs {
			token := fmt.Sprintf("token%05dtokentokentoke", i)
			a, b := uint16(1000+2*i), uint16(30001+7*i)
			login := "Lsession1" + "client00000000000000" + "secret00000000000000" + "PRODUCT1" + "\x03" + "dev"
			for _, port := range []uint16{a, b} {
				add(port, true, 99, 0, 2, "")
				add(port, false, 499, 100, 18, "")
				add(port, true, 100, 500, 16, "")
			}
			use := func() { add(b, true, 100, 500, 24, "Dsession2"+token+"\x00\x00") }
			add(a, true, 100, 500, 24, login)
			if before {
				use()
			}
			add(a, false, 500, 100+uint32(len(login)), 24, "Rsession1\x01"+token)
			if !before {
				use()
			}
			add(b, false, 500, 135, 24, "Rsession2\x01")
		}
		for _, n := range []int{1, 2, 3, 8} {
			var r recorder
			if _, err := Run(context.Background(), &memory{list: list}, Options{Workers: n}, &r); err != nil {
				t.Fatal(err)
			}
			accused := strings.Count(strings.Join(r.lines, "\n"), "unknown-token")
			if want := map[bool]int{true: pairs}[before]; accused != want {
				t.Errorf("used before it was issued %v, %d workers: %d tokens are unknown, want %d", before, n, accused, want)
			}
		}
	}
}
