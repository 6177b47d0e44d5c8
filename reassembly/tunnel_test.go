package reassembly

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/nubishark/nubishark/capture"
)

func udpBytes(port uint16, body []byte) []byte {
	return cat(be(1000, port, uint16(8+len(body)), 0), body)
}

// sample is a packet with hello in it.
type sample struct {
	name string
	link capture.LinkType
	data []byte
	// ours tells what gopacket does not find.
	ours bool
}

func tunnelSamples() (list []sample) {
	v4, v6 := ipv4(6, hello), ipv6(6, hello)
	frame, frame6 := ethernet(0x0800, v4), ethernet(0x86dd, v6)
	wifi := append([]byte{8, 1}, make([]byte, 22)...)
	add := func(ours bool, name string, link capture.LinkType, parts ...[]byte) {
		list = append(list, sample{name, link, cat(parts...), ours})
	}
	raw := func(ours bool, name string, proto byte, parts ...[]byte) {
		add(ours, name, 101, ipv4(proto, cat(parts...)))
		add(ours, name+", over IPv6", 101, ipv6(proto, cat(parts...)))
	}
	gtp := func(flags byte, parts ...[]byte) []byte {
		b := cat(parts...)
		return udpBytes(2152, cat([]byte{0x30 | flags, 255}, be(uint16(len(b)), 0, 1), b))
	}
	raw(false, "IP", 4, v4)
	raw(false, "IP, of amateurs", 94, v4)
	raw(false, "GRE", 47, be(0, 0x0800), v4)
	raw(false, "GRE, checksum", 47, be(0x8000, 0x0800, 0x1234, 0), v4)
	raw(false, "GRE, key", 47, be(0x2000, 0x86dd, 0, 7), v6)
	raw(false, "GRE, sequence", 47, be(0x1000, 0x0800, 0, 7), v4)
	raw(false, "GRE, checksum, key, sequence", 47, be(0xb000, 0x0800, 1, 0, 0, 2, 0, 3), v4)
	raw(false, "GRE, routing", 47, be(0x4000, 0x0800, 0, 0, 0x0800, 0x0004, 0, 0, 0, 0), v4)
	raw(false, "GRE, all", 47, be(0xf000, 0x0800, 1, 0, 0, 2, 0, 3, 0x0800, 0x0004, 0, 0, 0, 0), v4)
	raw(true, "GRE, reserved bit", 47, be(0x0080, 0x0800), v4)
	raw(false, "GRE, Ethernet", 47, be(0, 0x6558), frame)
	raw(false, "GRE, VLAN", 47, be(0, 0x6558), ethernet(0x8100, cat(be(5, 0x0800), v4)))
	raw(false, "GRE, MPLS", 47, be(0, 0x8847, 1, 0x0140), v4)
	raw(false, "PPTP", 47, be(0x3001, 0x880b, uint16(4+len(v4)), 7, 0, 1), []byte{0xff, 3, 0, 0x21}, v4)
	raw(false, "PPTP, acknowledgement", 47, be(0x3081, 0x880b, uint16(1+len(v4)), 7, 0, 1, 0, 2), []byte{0x21}, v4)
	raw(false, "ERSPAN II", 47, be(0x1000, 0x88be, 0, 9, 0x1001, 1, 0, 0), frame)
	raw(true, "ERSPAN I", 47, be(0, 0x88be), frame)
	raw(false, "ERSPAN II without sequence", 47, be(0, 0x88be, 0x1001, 1, 0, 0), frame)
	raw(false, "VXLAN", 17, udpBytes(4789, cat(be(0x0800, 0, 0, 0x0100), frame)))
	raw(false, "VXLAN, IPv6", 17, udpBytes(4789, cat(be(0x0800, 0, 0, 0x0100), frame6)))
	raw(false, "VXLAN, LLC", 17, udpBytes(4789, cat(be(0x0800, 0, 0, 0x0100), ethernet(uint16(8+len(v4)), cat(llc, v4)))))
	raw(false, "Geneve", 17, udpBytes(6081, cat(be(0, 0x6558, 0, 0x0100), frame)))
	raw(false, "Geneve, option", 17, udpBytes(6081, cat(be(0x0200, 0x0800, 0, 0x0100, 1, 0x0101, 2, 3), v4)))
	raw(false, "GTP-U", 17, gtp(0, v4))
	raw(false, "GTP-U, IPv6", 17, gtp(0, v6))
	raw(false, "GTP-U, sequence", 17, gtp(2, be(7, 0), v4))
	raw(false, "GTP-U, N-PDU", 17, gtp(1, be(0, 0x0900), v4))
	raw(false, "GTP-U, extension", 17, gtp(4, be(0, 0x0085), be(0x0110, 0x0500), v4))
	raw(false, "GTP-U, two extensions", 17, gtp(6, be(7, 0x0085), be(0x0110, 0x0540), be(0x0212, 0x3400, 0, 0), v4))
	raw(true, "GTP-U, no extension follows", 17, gtp(4, be(0, 0), v4))
	raw(false, "GTP-U, PPP", 17, gtp(0, []byte{0xff, 3, 0, 0x21}, v4))
	raw(false, "MPLS", 137, be(1, 0x0140), v4)
	raw(false, "EtherIP", 97, be(0x3000), frame)
	add(false, "authentication header", 101, ipv4(51, cat([]byte{6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, hello)))
	add(false, "authentication header, tunnel", 101, ipv4(51, cat([]byte{4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, v4)))
	add(false, "MPLS", 1, ethernet(0x8847, cat(be(1, 0x0140), v4)))
	add(false, "MPLS, three labels", 1, ethernet(0x8848, cat(be(1, 0x0040, 2, 0x0040, 3, 0x0140), v6)))
	add(false, "VLAN, MPLS", 1, ethernet(0x8100, cat(be(5, 0x8847, 1, 0x0140), v4)))
	add(false, "Ethernet in Ethernet", 1, ethernet(0x6558, frame))
	add(false, "cooked, MPLS", 113, make([]byte, 14), be(0x8847, 1, 0x0140), v4)
	add(true, "cooked 2, MPLS", 276, be(0x8847), make([]byte, 18), be(1, 0x0140), v4)
	add(false, "PPP, MPLS", 9, []byte{0xff, 3, 2, 0x81}, be(1, 0x0140), v4)
	add(false, "PPPoE, MPLS", 1, ethernet(0x8864, cat([]byte{0x11, 0}, be(1, uint16(6+len(v4)), 0x0283, 1, 0x0140), v4)))
	add(false, "FDDI", 10, []byte{0x57}, make([]byte, 12), llc, v4)
	add(false, "packet filter", 117, []byte{61, 2}, make([]byte, 62), v4)
	add(false, "packet filter, IPv6", 117, []byte{61, 24}, make([]byte, 62), v6)
	add(false, "packet filter, of old", 117, []byte{45, 2}, make([]byte, 46), v4)
	prism := make([]byte, 144)
	prism[0], prism[4] = 0x44, 144
	add(false, "Prism", 119, prism, wifi, llc, v4, make([]byte, 4))
	prism = slices.Clone(prism)
	prism[0], prism[3], prism[4], prism[7] = 0, 0x41, 0, 144
	add(true, "Prism, big-endian", 119, prism, wifi, llc, v4, make([]byte, 4))
	add(false, "five deep", 1, ethernet(0x0800, ipv4(41, ipv6(41, ipv6(47, cat(be(0, 0x6558), ethernet(0x0800, ipv4(17, gtp(0, v4)))))))))
	return list
}

func decoded(link capture.LinkType, b []byte) (s Segment, ok bool) {
	var d Decoder
	ok = d.Decode(&capture.Packet{Link: link, Data: b, WireLen: len(b)}, &s)
	return s, ok
}

func TestTunnels(t *testing.T) {
	for _, c := range tunnelSamples() {
		t.Run(c.name, func(t *testing.T) {
			s, ok := decoded(c.link, c.data)
			if !ok {
				t.Fatal("no segment")
			}
			if uint16(s.from) != 4000 || uint16(s.to) != 9000 || s.Seq != 7 || string(s.Payload) != "hello" || s.Length != 5 {
				t.Errorf("got %+v", s)
			}
			if got := oracle(c.link, c.data); got == c.ours {
				t.Errorf("gopacket finds it: %v", got)
			}
			if c.link < 256 {
				within(t, c.link, c.data)
			}
		})
	}
}

// A tunnel that is cut before the segment's header ends has no segment in it; one that is cut behind it has.
func TestCutTunnels(t *testing.T) {
	for _, c := range tunnelSamples() {
		at := bytes.LastIndex(c.data, hello[:20])
		for n := range c.data {
			if _, ok := decoded(c.link, c.data[:n:n]); ok != (n >= at+20) {
				t.Errorf("%s, %d of %d bytes: %v", c.name, n, len(c.data), ok)
			}
		}
	}
}

func TestNoTunnel(t *testing.T) {
	v4 := ipv4(6, hello)
	for _, c := range []struct {
		name string
		link capture.LinkType
		data []byte
	}{
		{"GRE, version 2", 101, ipv4(47, cat(be(2, 0x0800), v4))},
		{"GRE, a length for a type", 101, ipv4(47, cat(be(0, 200), llc, v4))},
		{"GRE, routing without end", 101, ipv4(47, cat(be(0x4000, 0x0800, 0, 0, 0x0800, 0x00ff), v4))},
		{"GTP-U, echo", 101, ipv4(17, udpBytes(2152, cat([]byte{0x30, 1}, be(uint16(len(v4)), 0, 1), v4)))},
		{"GTP, version 2", 101, ipv4(17, udpBytes(2152, cat([]byte{0x50, 255}, be(uint16(len(v4)), 0, 1), v4)))},
		{"GTP-U, empty extension", 101, ipv4(17, udpBytes(2152, cat([]byte{0x34, 255}, be(uint16(8+len(v4)), 0, 1, 0, 0x0085, 0, 0), v4)))},
		{"VXLAN, another port", 101, ipv4(17, udpBytes(4790, cat(be(0x0800, 0, 0, 0x0100), ethernet(0x0800, v4))))},
		{"MPLS without bottom", 1, ethernet(0x8847, cat(be(1, 0x0040), v4))},
		{"MPLS, Ethernet", 1, ethernet(0x8847, cat(be(1, 0x0140), ethernet(0x0800, v4)))},
		{"Prism, other code", 119, cat(make([]byte, 144), append([]byte{8, 1}, make([]byte, 22)...), llc, v4)},
		{"FDDI, a token", 10, cat([]byte{0x80}, make([]byte, 12), llc, v4)},
		{"six deep", 101, ipv4(4, ipv4(4, ipv4(4, ipv4(4, ipv4(4, v4)))))},
	} {
		if s, ok := decoded(c.link, c.data); ok {
			t.Errorf("%s: got %+v", c.name, s)
		}
	}
}

func TestTunnelsAllocateNothing(t *testing.T) {
	list := tunnelSamples()
	var d Decoder
	var s Segment
	if n := testing.AllocsPerRun(10, func() {
		for _, c := range list {
			p := capture.Packet{Link: c.link, Data: c.data, WireLen: len(c.data)}
			d.Decode(&p, &s)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// oracle reports whether gopacket finds hello.
func oracle(link capture.LinkType, b []byte) bool {
	if link > 255 {
		return false
	}
	tcp, _ := lastTCP(gopacketLayers(link, b))
	return tcp != nil && string(tcp.Payload) == "hello"
}

// gopacketLayers is nil where gopacket does not get to the end.
func gopacketLayers(link capture.LinkType, b []byte) (list []gopacket.Layer) {
	defer func() {
		if recover() != nil {
			list = nil
		}
	}()
	p := gopacket.NewPacket(b, layers.LinkType(link), gopacket.NoCopy)
	if p.ErrorLayer() != nil || p.Metadata().Truncated {
		return nil
	}
	return p.Layers()
}

// lastTCP returns the segment in the innermost packet, and how many IP packets it is within.
func lastTCP(list []gopacket.Layer) (tcp *layers.TCP, depth int) {
	for _, l := range list {
		switch l := l.(type) {
		case *layers.IPv4, *layers.IPv6:
			depth++
		case *layers.TCP:
			tcp = l
		}
	}
	return tcp, depth
}

// within tells when gopacket finds a segment that we do not, or another one.
func within(t *testing.T, link capture.LinkType, b []byte) {
	t.Helper()
	list := gopacketLayers(link, slices.Clip(b)) // else it reads what is behind the packet
	tcp, depth := lastTCP(list)
	if tcp == nil || depth > maxNesting+1 || slices.ContainsFunc(list, lenient) || slices.ContainsFunc(list, isWifi) && slices.ContainsFunc(list, endless) {
		return
	}
	s, ok := decoded(link, b)
	switch {
	case !ok:
		t.Errorf("gopacket has %v %v %d, got nothing", tcp.SrcPort, tcp.DstPort, tcp.Seq)
	case s.Broken:
	case uint16(tcp.SrcPort) != uint16(s.from) || uint16(tcp.DstPort) != uint16(s.to) || tcp.Seq != s.Seq || tcp.Ack != s.Ack:
		t.Errorf("gopacket has %v %v %d %d, got %+v", tcp.SrcPort, tcp.DstPort, tcp.Seq, tcp.Ack, s)
	case !bytes.Equal(tcp.Payload, s.Payload):
		t.Errorf("gopacket has payload %x, got %x", tcp.Payload, s.Payload)
	}
}

// lenient reports whether gopacket reads a layer for what its specification says that it is not, or is one where
// we do better: fragments wait for the others.
func lenient(l gopacket.Layer) bool {
	switch l := l.(type) {
	case *gopacket.Fragment, *layers.IPv6Fragment:
		return true
	case *layers.IPv4:
		return l.Version != 4
	case *layers.IPv6:
		return l.Version != 6
	case *layers.GRE:
		return l.Version > 1 || l.Version == 0 && l.AckPresent || l.Protocol == etherERSPAN && !l.SeqPresent || noType(l.Protocol)
	case *layers.GTPv1U:
		return l.Version != 1 || l.ProtocolType != 1 || l.MessageType != 255 || l.ExtensionHeaderFlag && l.Contents[11] == 0
	case *layers.UDP: // it looks at the source's port, too
		return l.DstPort != portVXLAN && l.DstPort != portGTPU && l.DstPort != portGeneve
	case *layers.Geneve: // an option may be longer than all of them
		return l.Contents[0]>>6 != 0 || len(l.Contents) != 8+int(l.OptionsLength) || noType(l.Protocol)
	case *layers.Ethernet:
		return l.EthernetType == layers.EthernetTypePPPoEDiscovery
	case *layers.LinuxSLL:
		return noType(l.EthernetType)
	case *layers.Dot1Q:
		return noType(l.Type)
	case *layers.SNAP:
		return noType(l.Type)
	case *layers.PrismHeader: // of 32 bits it reads 16
		return binary.LittleEndian.Uint32(l.Contents) != uint32(l.Code) || binary.LittleEndian.Uint32(l.Contents[4:]) != uint32(l.Length)
	case *layers.Dot11: // several packets in one frame are one to it
		return l.Proto != 0 || l.QOS != nil
	case *layers.LLC:
		return l.Control != 3 || l.IG || l.CR
	}
	return false
}

// isWifi reports a frame of 802.11, from whose end gopacket takes a checksum, there or not: where IP does not say how long it is, these are
// its last four bytes.
func isWifi(l gopacket.Layer) bool { return l.LayerType() == layers.LayerTypeDot11 }

// endless reports whether IP does not say how long it is.
func endless(l gopacket.Layer) bool {
	switch l := l.(type) {
	case *layers.IPv4:
		return l.Contents[2]|l.Contents[3] == 0
	case *layers.IPv6:
		return l.Contents[4]|l.Contents[5] == 0
	}
	return false
}

// noType reports whether an EtherType is one of those behind which gopacket alone sees packets: 0 is LLC to it, and what sets
// up PPPoE carries PPP.
func noType(kind layers.EthernetType) bool {
	return kind <= maxEtherSize || kind == layers.EthernetTypePPPoEDiscovery
}

// FuzzTunnels compares with gopacket.
func FuzzTunnels(f *testing.F) {
	for _, c := range tunnelSamples() {
		f.Add(uint16(c.link), c.data)
	}
	endless := ipv4(6, hello)
	endless[2], endless[3] = 0, 0
	prism := make([]byte, 144)
	prism[0], prism[4] = 0x44, 144
	f.Add(uint16(119), cat(prism, []byte{8, 1}, make([]byte, 22), llc, endless, make([]byte, 4)))
	f.Fuzz(func(t *testing.T, link uint16, b []byte) {
		s, ok := decoded(capture.LinkType(link), b)
		if ok && (len(s.Payload) > s.Length || s.Length < 0) {
			t.Fatalf("payload of %d bytes, %d on the wire", len(s.Payload), s.Length)
		}
		if link < 256 {
			within(t, capture.LinkType(link), b)
		}
	})
}
