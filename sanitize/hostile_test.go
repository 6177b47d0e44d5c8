package sanitize

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/reassembly"
)

// stuffed writes a capture again with something to hide wherever a packet has room for it: in options of IP and TCP, behind the IP packet, in
// protocols that are not read, in quotes of ICMP, in comments.
func stuffed(t *testing.T, path string) string {
	t.Helper()
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	to := filepath.Join(t.TempDir(), "stuffed.pcapng")
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := capture.NewPcapngWriter(f)
	w.AddInterface(capture.Interface{Link: linkEthernet, Name: "hide-interface"})
	write := func(p *capture.Packet, data []byte) {
		if err := w.WriteComment(capture.Packet{Time: p.Time, Link: linkEthernet, Data: data, WireLen: len(data)}, "hide-comment"); err != nil {
			t.Fatal(err)
		}
	}
	err = each(src, func(p *capture.Packet, _ *capture.Ref) error {
		if p == nil || len(p.Data) < 54 || p.Data[12] != 8 || p.Data[13] != 0 {
			return nil
		}
		b := p.Data
		eth, ip, tcp := bytes.Clone(b[:14]), bytes.Clone(b[14:34]), bytes.Clone(b[34:54])
		head := 34 + int(tcp[12]>>4)*4
		copy(eth, "hideM1hideM2")
		ip[0] += 4
		option := append([]byte{0x5e, 16}, "hide-ip-option"...)
		ip = append(ip, option...)
		binary.BigEndian.PutUint16(ip[2:], uint16(int(binary.BigEndian.Uint16(b[16:]))-(head-54)+16+20))
		tcp[12] = 10 << 4
		tcp[13] |= 0x20
		copy(tcp[18:], "hd")
		tcp = append(tcp, append([]byte{0xfe, 20}, "hide-in-tcp-option"...)...)
		write(p, bytes.Join([][]byte{eth, ip, tcp, b[head:], []byte("hide-trailer")}, nil))
		// A quote of the packet in ICMP, and other protocols.
		icmp := bytes.Clone(b[14:34])
		icmp[9] = 1
		binary.BigEndian.PutUint16(icmp[2:], uint16(20+8+len(b)-14))
		write(p, bytes.Join([][]byte{b[:14], icmp, {3, 1, 0, 0, 0, 0, 0, 0}, b[14:]}, nil))
		udp := bytes.Clone(b[14:34])
		udp[9] = 17
		write(p, bytes.Join([][]byte{b[:14], udp, []byte("hide-in-udp"), b[34:]}, nil))
		write(p, append(append(bytes.Clone(b[:12]), 0x88, 0xcc), "hide-in-lldp"...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}

// Nothing survives, wherever in a packet it stands.
func TestNothingHides(t *testing.T) {
	path := stuffed(t, generated(t, simulate.Options{Seed: 5, Connections: 3, Requests: 6, PayloadMax: 60, Interval: 1e9, Spacing: 1e8}))
	in, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := File(context.Background(), opener(path), Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hide", "hd"} {
		if !bytes.Contains(in, []byte(s)) || bytes.Contains(out, []byte("hide")) {
			t.Errorf("%q is there, or was not before", s)
		}
	}
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var dec reassembly.Decoder
	err = each(src, func(p *capture.Packet, _ *capture.Ref) error {
		var s reassembly.Segment
		if p == nil || !dec.Decode(p, &s) {
			return nil
		}
		src, _ := s.Addr()
		if a := src.Addr().AsSlice(); bytes.Contains(out, a) {
			t.Errorf("the address %v is there", a)
		}
		if len(s.Payload) >= 8 && bytes.Contains(out, s.Payload[:8]) && s.Payload[0] != 0 {
			t.Errorf("%q is there", s.Payload[:8])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Checksums, which would tell a right guess at a payload from a wrong one, are those of what was written.
func TestNoChecksums(t *testing.T) {
	const path = "../testdata/session.pcapng"
	out, _, err := File(context.Background(), opener(path), Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	src, err := capture.NewReader(bytes.NewReader(out), "out")
	if err != nil {
		t.Fatal(err)
	}
	n := uint32(0)
	var dec reassembly.Decoder
	err = each(src, func(p *capture.Packet, _ *capture.Ref) error {
		n++
		var s reassembly.Segment
		if dec.Decode(p, &s) && s.ID() > n+1 {
			t.Errorf("packet %d has the ID %#x", n, s.ID())
		}
		return nil
	})
	if err != nil || n < 50 {
		t.Errorf("%d packets, %v", n, err)
	}
}

// windows are the runs of eight bytes of what TCP carried that are no product code, and little but text.
func windows(t *testing.T, path string) map[string][]byte {
	t.Helper()
	const size = 8
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	list := make(map[string][]byte)
	var dec reassembly.Decoder
	err = each(src, func(p *capture.Packet, _ *capture.Ref) error {
		var s reassembly.Segment
		if p == nil || !dec.Decode(p, &s) {
			return nil
		}
		for i := 0; i+size <= len(s.Payload); i++ {
			w := string(s.Payload[i : i+size])
			if strings.IndexFunc(w, func(c rune) bool { return c < ' ' }) < 0 && !strings.Contains("PRD00001", w[:4]) && !strings.Contains("PRD00001", w[4:]) {
				list[w] = nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// No part of what was sent is left either, even where packets are damaged, cut or unknown.
func TestNoPartIsLeft(t *testing.T) {
	paths := []string{"../testdata/session.pcapng"}
	for seed := range uint64(3) {
		paths = append(paths, generated(t, simulate.Options{
			Seed: seed + 70, Connections: 10, Requests: 12, PayloadMax: 100, Interval: 1e9, Spacing: 1e8, Recut: true, Loss: 0.05, Reorder: 0.1,
			Faults: simulate.FaultNames(), FaultRate: 0.3, SnapLen: 90 + 50*int(seed),
		}))
	}
	for _, path := range paths {
		parts := windows(t, path)
		if len(parts) < 300 {
			t.Fatalf("only %d parts", len(parts))
		}
		for _, like := range []likeness{unlike, restAlike, allAlike} {
			out, _, err := write(context.Background(), opener(path), Options{}, []byte("key"), like)
			if err != nil {
				t.Fatal(err)
			}
			if err := search(out, parts); err != nil {
				t.Errorf("%s, %d: %v", filepath.Base(path), like, err)
			}
		}
	}
}

// Where a damaged header has a payload read as ports and sequence numbers, they are none.
func TestMisread(t *testing.T) {
	const path = "../testdata/session.pcapng"
	parts := windows(t, path)
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var b bytes.Buffer
	w := capture.NewPcapWriter(&b, 1, true)
	err = each(src, func(p *capture.Packet, _ *capture.Ref) error {
		q := capture.Packet{Time: p.Time, Link: linkEthernet, Data: bytes.Clone(p.Data), WireLen: p.WireLen}
		if len(q.Data) > 100 && p.Number%3 == 0 && q.Data[14] == 0x45 {
			q.Data[14] = 0x40 | 13 // 32 bytes more: past TCP's header
		}
		return w.Write(q)
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	open := func() (capture.Source, error) { return capture.NewReader(bytes.NewReader(b.Bytes()), "misread") }
	out, _, err := File(context.Background(), open, Options{}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := search(out, parts); err != nil {
		t.Error(err)
	}
}

// A value never is its own pseudonym, and of bytes hardly any stays in its place.
func TestPseudonymsDiffer(t *testing.T) {
	for _, alike := range []bool{false, true} {
		n := newNames([]byte("key"), alike)
		for _, v := range []string{"CRCRCRCR", "RC", "C", "\\\\", "\x01\x02\x03\x04", "\x7f\x7f\x7f", "7", "ÿÿ", "가", "\xff\xfe\xfd\xfc", "LODHLODH"} {
			if p := n.of([]byte(v)); string(p) == v || len(p) != len(v) {
				t.Errorf("%q stays, alike %v", v, alike)
			}
		}
	}
	n := newNames([]byte("key"), false)
	key := make([]byte, 4096)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string][]byte{"key": n.ofKey(key), "rest": n.scramble(key, false)} {
		same := 0
		for i := range key {
			if p[i] == key[i] {
				same++
			}
		}
		if same > len(key)/20 {
			t.Errorf("%s: %d of %d bytes stay", name, same, len(key))
		}
	}
}

// IDs that begin alike have pseudonyms that begin alike, and no others.
func TestIDs(t *testing.T) {
	n := newNames([]byte("key"), false)
	a, b, c := n.id([]byte("Ab3xY901")), n.id([]byte("Ab3xY8")), n.id([]byte("Bb3xY901"))
	if !bytes.Equal(a[:5], b[:5]) || a[5] == b[5] || a[0] == c[0] || string(a) == "Ab3xY901" {
		t.Errorf("%q %q %q", a, b, c)
	}
	if string(n.id([]byte("Ab3"))) != string(a[:3]) {
		t.Error("the start of an ID has another pseudonym")
	}
}

// In payloads that are kept, secrets of other packets are not; in the place of a product code only a product code is kept.
func TestKept(t *testing.T) {
	l := newLearned([]byte("key"), unlike, true)
	l.secrets["gw-0113"] = []byte("xx-9999")
	if got := l.withoutSecrets([]byte(`{"id":"gw-0113"}`)); string(got) != `{"id":"xx-9999"}` {
		t.Errorf("%s", got)
	}
	if isCode([]byte("aB3dE6gH")) || !isCode([]byte("PRD00001")) || !isCode([]byte("ACME-7 \x00")) {
		t.Error("what a product code is")
	}
}
