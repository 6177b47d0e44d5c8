package reassembly

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/nubishark/nubishark/capture"
)

func be(v ...uint16) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func tcpBytes(sport, dport uint16, seq, ack uint32, flags byte, payload []byte) []byte {
	b := be(sport, dport)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, 0x50, flags, 1, 2, 0, 0, 0, 0)
	return append(b, payload...)
}

func ipv4(proto byte, body []byte) []byte {
	b := []byte{0x45, 0}
	b = append(b, be(uint16(20+len(body)), 77, 0)...)
	b = append(b, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2)
	return append(b, body...)
}

func ipv6(next byte, body []byte) []byte {
	b := append([]byte{0x60, 0, 0, 0}, be(uint16(len(body)))...)
	b = append(b, next, 64)
	b = append(b, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	b = append(b, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)
	return append(b, body...)
}

func ethernet(kind uint16, body []byte) []byte {
	return append(append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, be(kind)...), body...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

var (
	hello = tcpBytes(4000, 9000, 7, 8, FlagACK|FlagPSH, []byte("hello"))
	llc   = []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}
)

func TestLinkTypes(t *testing.T) {
	v4, v6 := ipv4(6, hello), ipv6(6, hello)
	wifi := append([]byte{8, 1}, make([]byte, 22)...)
	qos := append(append([]byte{0x88, 1}, make([]byte, 22)...), 0, 0)
	udp := func(port uint16, body []byte) []byte { return cat(be(1000, port, uint16(8+len(body)), 0), body) }
	for _, c := range []struct {
		name string
		link capture.LinkType
		data []byte
	}{
		{"ethernet", 1, ethernet(0x0800, v4)},
		{"ethernet, padded", 1, append(ethernet(0x0800, v4), make([]byte, 20)...)},
		{"ethernet, IPv6", 1, ethernet(0x86dd, v6)},
		{"VLAN", 1, ethernet(0x8100, cat(be(5, 0x0800), v4))},
		{"QinQ", 1, ethernet(0x88a8, cat(be(5, 0x8100, 6, 0x86dd), v6))},
		{"old QinQ", 1, ethernet(0x9100, cat(be(5, 0x8100, 6, 0x0800), v4))},
		{"LLC and SNAP", 1, ethernet(uint16(8+len(v4)), cat(llc, v4))},
		{"PPPoE", 1, ethernet(0x8864, cat([]byte{0x11, 0}, be(1, uint16(2+len(v4)), 0x21), v4))},
		{"MPLS", 1, ethernet(0x8847, cat([]byte{0, 1, 0x01, 64}, v4))},
		{"cooked", 113, cat(make([]byte, 14), be(0x0800), v4)},
		{"cooked 2", 276, cat(be(0x0800), make([]byte, 18), v4)},
		{"raw", 101, v4},
		{"raw IPv6", 101, v6},
		{"raw BSD", 12, v4},
		{"raw OpenBSD", 14, v6},
		{"IPv4", 228, v4},
		{"IPv6", 229, v6},
		{"null", 0, cat([]byte{2, 0, 0, 0}, v4)},
		{"null, IPv6", 0, cat([]byte{0, 0, 0, 30}, v6)},
		{"loop", 108, cat([]byte{0, 0, 0, 2}, v4)},
		{"PPP", 9, cat([]byte{0xff, 3, 0, 0x21}, v4)},
		{"PPP without address", 9, cat([]byte{0, 0x57}, v6)},
		{"PPP, short protocol", 50, cat([]byte{0x21}, v4)},
		{"PPPoE alone", 51, cat([]byte{0x11, 0}, be(1, uint16(2+len(v4)), 0x21), v4)},
		{"NFLOG", 239, cat([]byte{2, 0, 0, 0}, []byte{8, 0, 1, 0, 1, 1, 1, 1, 6, 0, 10, 0, 'x', 0, 0, 0}, []byte{byte(4 + len(v4)), 0, 9, 0}, v4)},
		{"NFLOG, big-endian", 239, cat([]byte{2, 0, 0, 0}, []byte{0, 8, 0, 1, 1, 1, 1, 1}, []byte{0, byte(4 + len(v4)), 0, 9}, v4)},
		{"802.11", 105, cat(wifi, llc, v4)},
		{"802.11 with QoS", 105, cat(qos, llc, v4)},
		{"802.11 with FCS", 105, cat(wifi, llc, v4, make([]byte, 4))},
		{"radiotap", 127, cat([]byte{0, 0, 12, 0, 2, 0, 0, 0, 0, 0, 0, 0}, wifi, llc, v4)},
		{"radiotap, padded header", 127, cat([]byte{0, 0, 24, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0}, qos, []byte{0, 0}, llc, v4)},
		{"GRE", 101, ipv4(47, cat(be(0, 0x0800), v4))},
		{"IP in IP", 101, ipv4(4, v6)},
		{"6in4", 101, ipv4(41, v6)},
		{"IPv4 in IPv6", 101, ipv6(4, v4)},
		{"VXLAN", 101, ipv4(17, udp(4789, cat([]byte{8, 0, 0, 0, 0, 0, 1, 0}, ethernet(0x0800, v4))))},
		{"GTP-U", 101, ipv4(17, udp(2152, cat([]byte{0x30, 0xff}, be(uint16(len(v4))), []byte{0, 0, 0, 1}, v4)))},
		{"IPv6 extension headers", 101, ipv6(0, cat([]byte{60, 0, 0, 0, 0, 0, 0, 0}, []byte{43, 0, 0, 0, 0, 0, 0, 0}, []byte{6, 0, 4, 0, 0, 0, 0, 0}, hello))},
		{"IPv6 authentication header", 101, ipv6(51, cat([]byte{6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, hello))},
		{"IPv6 atomic fragment", 101, ipv6(44, cat([]byte{6, 0, 0, 0, 0, 0, 0, 1}, hello))},
		{"IPv4 options", 101, func() []byte {
			b := slices.Insert(ipv4(6, hello), 20, 0x83, 3, 4, 0) // a source route shorter than it should be
			b[0] = 0x46
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			return b
		}()},
		{"segmentation offload", 101, func() []byte { b := ipv4(6, hello); b[2], b[3] = 0, 0; return b }()},
		{"bad TCP options", 101, func() []byte {
			s := slices.Insert(slices.Clone(hello), 20, 2, 0, 99, 99)
			s[12] = 0x60
			return ipv4(6, s)
		}()},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var s Segment
			if !d.Decode(&capture.Packet{Link: c.link, Data: c.data, WireLen: len(c.data)}, &s) {
				t.Fatal("no segment")
			}
			if uint16(s.from) != 4000 || uint16(s.to) != 9000 || s.Seq != 7 || s.Ack != 8 || s.Flags != FlagACK|FlagPSH || string(s.Payload) != "hello" || s.Length != 5 {
				t.Errorf("got %+v", s)
			}
			src, dst := s.Addr()
			if src.Addr() == dst.Addr() || src.Port() != 4000 {
				t.Errorf("addresses %v, %v", src, dst)
			}
		})
	}
}

// Segments are found in places where others were found before: nothing of those stays.
func TestPlacesOfSegmentsAreUsedAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	body := tcpBytes(5000, 9100, 70, 80, FlagACK, bytes.Repeat([]byte("fragment"), 4))
	fragment := func(from, to int, offset uint16) []byte {
		b := ipv4(6, body[from:to])
		binary.BigEndian.PutUint16(b[6:], offset)
		return ethernet(0x0800, b)
	}
	segment := func() []byte {
		flags := []byte{FlagACK, FlagACK | FlagPSH, FlagACK | FlagFIN, FlagSYN, FlagPSH}[r.IntN(5)]
		s := tcpBytes(uint16(4000+r.IntN(9)), 9100, r.Uint32(), r.Uint32(), flags, bytes.Repeat([]byte("x"), r.IntN(3)*r.IntN(1000)))
		s[16], s[17] = byte(r.IntN(256)), byte(r.IntN(256))
		if r.IntN(8) == 0 {
			s[12] = 0x30 // an impossible length
		}
		return s
	}
	kinds := []func() []byte{
		func() []byte { return ethernet(0x0800, ipv4(6, segment())) },
		func() []byte { return ethernet(0x0800, ipv4(6, segment())) },
		func() []byte { return append(ethernet(0x0800, ipv4(6, segment())), "padding"...) },
		func() []byte { return ethernet(0x86dd, ipv6(6, segment())) },
		func() []byte { return ethernet(0x8100, cat(be(5, 0x0800), ipv4(6, segment()))) },
		func() []byte { return ethernet(0x0800, ipv4(17, be(1, 2, 8, 0))) },
		func() []byte { return fragment(0, 40, 0x2000) },
		func() []byte { return fragment(40, len(body), 5) },
	}
	var slots [AtOnce]Segment
	var is [AtOnce]bool
	var one, other Decoder
	for range 500 {
		var b capture.Batch
		n := 1 + r.IntN(AtOnce)
		isPart := make([]bool, n)
		for i := range n {
			k := r.IntN(len(kinds))
			isPart[i] = k >= len(kinds)-2
			data := kinds[k]()
			wire := len(data)
			if r.IntN(8) == 0 {
				data = data[:r.IntN(len(data))]
			}
			b.Add(capture.Packet{Number: int64(i + 1), Time: 1, Link: 1, Data: data, WireLen: wire})
		}
		found := Look(b.Data, b.Refs, slots[:], is[:])
		for i := range n {
			p, s := b.Packet(i), &slots[i]
			if is[i] {
				found--
				if isPart[i] {
					t.Fatal("a fragment is taken for a segment")
				}
			} else if is[i] = one.Decode(&p, s); is[i] && s.At() != 0 {
				t.Fatalf("% x: payload at %d", p.Data, s.At())
			}
			var want Segment
			if ok := other.Decode(&p, &want); ok != is[i] {
				t.Fatalf("% x: %v, want %v", p.Data, is[i], ok)
			} else if !ok {
				continue
			}
			if s.easy != want.easy || s.easy && s.Broken {
				t.Fatalf("% x: easy %v, want %v", p.Data, s.easy, want.easy)
			}
			if at := s.At(); at > 0 && !bytes.HasPrefix(b.Data[at:], want.Payload) {
				t.Fatalf("% x: payload at %d", p.Data, at)
			}
			filled := *s
			filled.Fill(p.Data)
			if got, want := fmt.Sprintf("%+v", plainly(&filled)), fmt.Sprintf("%+v", plainly(&want)); got != want {
				t.Fatalf("% x:\n%s, want\n%s", p.Data, got, want)
			}
		}
		if found != 0 {
			t.Fatalf("%d too many were found", found)
		}
	}
}

// plainly is a segment without what does not come from its packet alone.
func plainly(s *Segment) any {
	x, six := *s, [32]byte{}
	if s.six != nil {
		six = *s.six
	}
	x.f, x.six, x.d = nil, nil, 0
	return struct {
		Segment
		six [32]byte
	}{x, six}
}

// A cut packet keeps its length on the wire.
func TestCutPacket(t *testing.T) {
	whole := ethernet(0x0800, ipv4(6, tcpBytes(1, 2, 3, 4, FlagACK, bytes.Repeat([]byte("x"), 100))))
	for n := range len(whole) {
		var d Decoder
		var s Segment
		ok := d.Decode(&capture.Packet{Link: 1, Data: whole[:n], WireLen: len(whole)}, &s)
		if want := n >= 14+20+20; ok != want {
			t.Fatalf("%d bytes: %v", n, ok)
		}
		if ok && (s.Length != 100 || len(s.Payload) != n-54) {
			t.Fatalf("%d bytes: payload %d of %d", n, len(s.Payload), s.Length)
		}
	}
}

func TestFragments(t *testing.T) {
	body := tcpBytes(4000, 9000, 7, 8, FlagACK, bytes.Repeat([]byte("0123456789"), 30))
	frag4 := func(from, to int) []byte {
		b := ipv4(6, body[from:to])
		off := uint16(from / 8)
		if to < len(body) {
			off |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], off)
		return b
	}
	frag6 := func(from, to int) []byte {
		off := uint16(from)
		if to < len(body) {
			off |= 1
		}
		return ipv6(44, cat([]byte{6, 0}, be(off), []byte{0, 0, 0, 9}, body[from:to]))
	}
	for _, c := range []struct {
		name  string
		make  func(from, to int) []byte
		order [][2]int
		want  int // which fragment completes it, -1 for none
	}{
		{"IPv4", frag4, [][2]int{{0, 104}, {104, 208}, {208, 320}}, 2},
		{"IPv4, last first", frag4, [][2]int{{208, 320}, {104, 208}, {0, 104}}, 2},
		{"IPv4, twice and overlapping", frag4, [][2]int{{0, 104}, {0, 104}, {96, 208}, {208, 320}}, 3},
		{"IPv4, a small last one", frag4, [][2]int{{0, 312}, {312, 320}}, 1},
		{"IPv4, one missing", frag4, [][2]int{{0, 104}, {208, 320}}, -1},
		{"IPv6", frag6, [][2]int{{0, 104}, {104, 320}}, 1},
		{"IPv6, backwards", frag6, [][2]int{{104, 320}, {0, 104}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			for i, f := range c.order {
				var s Segment
				b := c.make(f[0], f[1])
				got := d.Decode(&capture.Packet{Link: 101, Data: b, WireLen: len(b), Time: int64(i)}, &s)
				if got != (i == c.want) {
					t.Fatalf("fragment %d: %v", i, got)
				}
				if got && !bytes.Equal(s.Payload, body[20:]) {
					t.Errorf("payload %q", s.Payload)
				}
			}
		})
	}
}

// Datagrams that are never completed must not pile up.
func TestFragmentsAreBounded(t *testing.T) {
	var d Decoder
	var s Segment
	for i := range 10 * maxDatagrams {
		b := ipv4(6, hello[:16])
		binary.BigEndian.PutUint16(b[4:], uint16(i))
		binary.BigEndian.PutUint16(b[6:], 0x2000)
		d.Decode(&capture.Packet{Link: 101, Data: b, WireLen: len(b)}, &s)
	}
	if n := len(d.frags.list); n > maxDatagrams {
		t.Errorf("%d datagrams wait", n)
	}
	if n := len(d.frags.order); n > 2*maxDatagrams {
		t.Errorf("%d datagrams are remembered", n)
	}
}

// FuzzDecode compares with gopacket where both find a segment on the common path.
func FuzzDecode(f *testing.F) {
	f.Add(uint16(1), ethernet(0x0800, ipv4(6, hello)))
	f.Add(uint16(1), ethernet(0x8100, cat(be(5, 0x86dd), ipv6(6, hello))))
	f.Add(uint16(113), cat(make([]byte, 14), be(0x0800), ipv4(6, hello)))
	f.Add(uint16(101), ipv6(0, cat([]byte{6, 0, 0, 0, 0, 0, 0, 0}, hello)))
	f.Add(uint16(127), cat([]byte{0, 0, 8, 0, 0, 0, 0, 0}, make([]byte, 24), llc, ipv4(6, hello)))
	f.Add(uint16(101), ipv4(47, cat(be(0, 0x0800), ipv4(6, hello))))
	f.Fuzz(func(t *testing.T, link uint16, b []byte) {
		var d Decoder
		var s Segment
		ok := d.Decode(&capture.Packet{Link: capture.LinkType(link), Data: b, WireLen: len(b)}, &s)
		if ok && (len(s.Payload) > s.Length || s.Length < 0) {
			t.Fatalf("payload of %d bytes, %d on the wire", len(s.Payload), s.Length)
		}
		if ok && link == 1 && !s.Broken {
			compare(t, &s, b)
		}
	})
}

func compare(t *testing.T, s *Segment, b []byte) {
	defer func() { _ = recover() }() // gopacket's panics are no concern here
	p := gopacket.NewPacket(b, layers.LinkTypeEthernet, gopacket.NoCopy)
	var tcp *layers.TCP
	networks := 0
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.TCP:
			tcp = l
		case *layers.IPv4, *layers.IPv6:
			networks++
		case *layers.IPv6Fragment:
			return
		}
	}
	if tcp == nil || networks != 1 || p.ErrorLayer() != nil {
		return
	}
	if uint16(tcp.SrcPort) != uint16(s.from) || uint16(tcp.DstPort) != uint16(s.to) || tcp.Seq != s.Seq || tcp.Ack != s.Ack || tcp.PSH != (s.Flags&FlagPSH != 0) {
		t.Errorf("gopacket has %v %v %d %d", tcp.SrcPort, tcp.DstPort, tcp.Seq, tcp.Ack)
	}
	if !p.Metadata().Truncated && !bytes.Equal(tcp.Payload, s.Payload) {
		t.Errorf("gopacket has payload %x, got %x", tcp.Payload, s.Payload)
	}
}
