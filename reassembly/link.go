package reassembly

import (
	"encoding/binary"

	"github.com/nubishark/nubishark/capture"
)

// The link types whose headers are read here (https://www.tcpdump.org/linktypes.html).
const (
	linkNull     capture.LinkType = 0
	linkEthernet capture.LinkType = 1
	linkPPP      capture.LinkType = 9
	linkFDDI     capture.LinkType = 10
	linkRawBSD   capture.LinkType = 12
	linkRawOBSD  capture.LinkType = 14
	linkPPPHDLC  capture.LinkType = 50
	linkPPPoE    capture.LinkType = 51
	linkRaw      capture.LinkType = 101
	linkWiFi     capture.LinkType = 105
	linkLoop     capture.LinkType = 108
	linkSLL      capture.LinkType = 113
	linkPFLog    capture.LinkType = 117
	linkPrism    capture.LinkType = 119
	linkRadiotap capture.LinkType = 127
	linkIPv4     capture.LinkType = 228
	linkIPv6     capture.LinkType = 229
	linkNFLOG    capture.LinkType = 239
	linkSLL2     capture.LinkType = 276
)

// The EtherTypes on the way to IP.
const (
	etherIPv4    = 0x0800
	etherTEB     = 0x6558 // a frame in a frame: transparent Ethernet bridging (RFC 7637, 3.2)
	etherVLAN    = 0x8100
	etherIPv6    = 0x86dd
	etherPPP     = 0x880b
	etherMPLS    = 0x8847
	etherMPLSm   = 0x8848 // to several receivers
	etherPPPoE   = 0x8864
	etherQinQ    = 0x88a8
	etherERSPAN  = 0x88be
	etherQinQOld = 0x9100
	maxEtherSize = 1500 // at most this, the type is a length (IEEE 802.3)
	maxTags      = 8
)

// network strips the link header: it returns the IP packet, or nil where there is none that
// this program knows to find.
func network(link capture.LinkType, b []byte) []byte {
	switch link {
	case linkEthernet:
		if len(b) < 14 {
			return nil
		}
		if b[12] == 8 && b[13] == 0 {
			return b[14:]
		}
		return ether(be16(b[12:]), b[14:])
	case linkSLL:
		if len(b) < 16 {
			return nil
		}
		return ether(be16(b[14:]), b[16:])
	case linkSLL2:
		if len(b) < 20 {
			return nil
		}
		return ether(be16(b), b[20:])
	case linkRaw, linkRawBSD, linkRawOBSD, linkIPv4, linkIPv6:
		return b
	case linkNull, linkLoop:
		if len(b) < 4 {
			return nil
		}
		return b[4:]
	case linkPPP, linkPPPHDLC:
		return ppp(b)
	case linkPPPoE:
		return pppoe(b)
	case linkNFLOG:
		return nflog(b)
	case linkWiFi:
		return wifi(b, false)
	case linkRadiotap:
		return radiotap(b)
	case linkPrism:
		return prism(b)
	case linkPFLog:
		return pflog(b)
	case linkFDDI:
		return fddi(b)
	}
	return nil
}

// ether finds IP behind an EtherType, any VLAN tags, and frames in frames.
func ether(kind int, b []byte) []byte {
	for range maxTags {
		n := 0 // the type of what follows is in the last two of so many bytes
		switch kind {
		case etherIPv4, etherIPv6:
			return b
		case etherVLAN, etherQinQ, etherQinQOld:
			n = 4
		case etherTEB:
			n = 14
		case etherERSPAN:
			n = erspanHeader + 14
		case etherPPPoE:
			return pppoe(b)
		case etherPPP:
			return ppp(b)
		case etherMPLS, etherMPLSm:
			return mpls(b)
		default:
			if kind <= maxEtherSize {
				return snap(b[:min(len(b), kind)])
			}
			return nil
		}
		if len(b) < n {
			return nil
		}
		kind, b = be16(b[n-2:]), b[n:]
	}
	return nil
}

// snap finds IP behind an LLC header with SNAP (RFC 1042).
func snap(b []byte) []byte {
	if len(b) < 8 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 {
		return nil
	}
	if kind := be16(b[6:]); kind > maxEtherSize {
		return ether(kind, b[8:])
	}
	return nil
}

// pppoe reads a session header (RFC 2516).
func pppoe(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	return ppp(b[6:])
}

// ppp reads a PPP header (RFC 1661) with or without address and control bytes (RFC 1662), the
// protocol in two bytes or compressed to one.
func ppp(b []byte) []byte {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 3 {
		b = b[2:]
	}
	const ipv4, ipv6 = 0x21, 0x57
	switch {
	case len(b) >= 2 && b[0] == 0 && (b[1] == ipv4 || b[1] == ipv6):
		return b[2:]
	case len(b) >= 1 && (b[0] == ipv4 || b[0] == ipv6):
		return b[1:]
	case len(b) >= 2 && b[0] == 2 && (b[1] == 0x81 || b[1] == 0x83): // RFC 3032, 4.3
		return mpls(b[2:])
	}
	return nil
}

// mpls skips a label stack (RFC 3032, 2.1). It does not say what follows: the first four bits of an IP packet do (RFC 4928, 2).
func mpls(b []byte) []byte {
	const bottom = 1
	for len(b) > 4 {
		last := b[2]&bottom != 0
		b = b[4:]
		if v := b[0] >> 4; last && (v == 4 || v == 6) {
			return b
		} else if last {
			return nil
		}
	}
	return nil
}

// nflog walks the attributes to the packet. They are in the byte order of the capturing host.
func nflog(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	if ip := nflogPayload(b[4:], binary.LittleEndian); ip != nil {
		return ip
	}
	return nflogPayload(b[4:], binary.BigEndian)
}

func nflogPayload(b []byte, order binary.ByteOrder) []byte {
	const payload, flags = 9, 0xc000
	for len(b) >= 4 {
		n, kind := int(order.Uint16(b)), order.Uint16(b[2:])
		if n < 4 || n > len(b) && kind&^flags != payload {
			return nil
		}
		if kind&^flags == payload {
			return b[4:min(n, len(b))]
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}

// fddi reads a frame whose first byte says that LLC follows (ANSI INCITS 239-1994).
func fddi(b []byte) []byte {
	if len(b) < 13 || b[0]&0xf8 != 0x50 {
		return nil
	}
	return snap(b[13:])
}

// pflog skips the header of OpenBSD's packet filter, whose length is rounded up to 4 bytes.
func pflog(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	n := (int(b[0]) + 3) &^ 3
	if n < 48 || n > len(b) {
		return nil
	}
	return b[n:]
}

// prism skips the header of Prism's radios: a code, the header's length, both in the byte order of the capturing host, and more.
func prism(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	for _, order := range [...]binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch n := order.Uint32(b[4:]); order.Uint32(b) {
		case 0x41, 0x44:
			if n < 24 || n > uint32(len(b)) {
				return nil
			}
			return wifi(b[n:], false)
		}
	}
	return nil
}

// radiotap skips the radio's header (https://www.radiotap.org).
func radiotap(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if n < 8 || n > len(b) {
		return nil
	}
	return wifi(b[n:], radiotapPads(b[:n]))
}

// radiotapPads reports whether the 802.11 header is padded to 4 bytes.
func radiotapPads(b []byte) bool {
	const hasTSFT, hasFlags, more, padded = 1, 2, 1 << 31, 0x20
	at := 4
	present := binary.LittleEndian.Uint32(b[at:])
	for word := present; ; {
		at += 4
		if word&more == 0 {
			break
		}
		if at+4 > len(b) {
			return false
		}
		word = binary.LittleEndian.Uint32(b[at:])
	}
	if present&hasFlags == 0 {
		return false
	}
	if present&hasTSFT != 0 {
		at = (at+7)&^7 + 8
	}
	return at < len(b) && b[at]&padded != 0
}

// wifi reads the header of a data frame (IEEE 802.11): protected ones cannot be read, and
// aggregates (A-MSDU) are not looked into.
func wifi(b []byte, padded bool) []byte {
	if len(b) < 24 || b[0]&0x0f != 8 || b[1]&0x40 != 0 {
		return nil
	}
	const qos, noData, order = 0x80, 0x40, 0x80
	if b[0]&noData != 0 {
		return nil
	}
	n := 24
	if b[1]&3 == 3 {
		n += 6
	}
	if b[0]&qos != 0 {
		if len(b) < n+2 || b[n]&0x80 != 0 {
			return nil
		}
		n += 2
		if b[1]&order != 0 {
			n += 4
		}
	}
	if padded {
		n = (n + 3) &^ 3
	}
	if len(b) < n {
		return nil
	}
	return snap(b[n:])
}
