package reassembly

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/nubishark/nubishark/capture"
)

// The UDP ports of the tunnels that are looked into (RFC 7348, 3GPP TS 29.281).
const (
	portVXLAN = 4789
	portGTPU  = 2152
)

// tunnels reports whether an IP packet may carry another.
func tunnels(p *ipPacket) bool {
	switch p.proto {
	case protoIPv4, protoIPv6, protoGRE:
		return true
	case protoUDP:
		if len(p.body) < 8 {
			return false
		}
		port := be16(p.body[2:])
		return port == portVXLAN || port == portGTPU
	}
	return false
}

// unwrapTunnel returns the innermost IP packet that gopacket finds, nil if there is none.
func unwrapTunnel(p *ipPacket) []byte {
	switch p.proto {
	case protoIPv4, protoIPv6:
		return p.body
	case protoUDP:
		return innermost(p.body, layers.LayerTypeUDP)
	}
	return innermost(p.body, layers.LayerTypeGRE)
}

// maxGopacketLink is the largest link type that gopacket can name: it keeps eight bits.
const maxGopacketLink = 255

// unwrapLink finds IP behind a link header that only gopacket knows, or a protocol between it and IP.
func unwrapLink(link capture.LinkType, b []byte) []byte {
	switch link {
	case linkWiFi, linkRadiotap, linkNFLOG, linkPPP, linkPPPHDLC, linkPPPoE, linkNull, linkLoop:
		return nil // what these can carry was looked for
	case linkSLL2:
		return unwrapEther(b, 0, 20)
	case linkSLL:
		return unwrapEther(b, 14, 16)
	case linkEthernet:
		return unwrapEther(b, 12, 14)
	}
	if link > maxGopacketLink {
		return nil
	}
	return innermost(b, layers.LinkType(link))
}

// The EtherTypes that gopacket leads on from to IP.
const (
	etherMPLS  = 0x8847
	etherMPLSm = 0x8848
	etherTEB   = 0x6558
)

func unwrapEther(b []byte, at, header int) []byte {
	if len(b) < header {
		return nil
	}
	switch kind := be16(b[at:]); kind {
	case etherMPLS, etherMPLSm:
		return innermost(b[header:], layers.LayerTypeMPLS)
	case etherTEB:
		return innermost(b[header:], layers.LayerTypeEthernet)
	}
	return nil
}

// innermost lets gopacket decode and returns the last IP packet within, from its header on.
// Gopacket panics on some damaged input: that is no packet.
func innermost(b []byte, first gopacket.Decoder) (ip []byte) {
	defer func() {
		if recover() != nil {
			ip = nil
		}
	}()
	p := gopacket.NewPacket(b, first, gopacket.DecodeOptions{Lazy: false, NoCopy: true})
	for _, l := range p.Layers() {
		switch l.LayerType() {
		case layers.LayerTypeIPv4, layers.LayerTypeIPv6:
			c := l.LayerContents()
			// Contents and what is behind them lie in b one after the other.
			at := cap(b) - cap(c)
			if at >= 0 && at <= len(b) {
				ip = b[at:]
			}
		}
	}
	return ip
}
