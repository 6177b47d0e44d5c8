package reassembly

// The UDP ports of the tunnels that are looked into.
const (
	portGTPU   = 2152 // 3GPP TS 29.281, 4.4.2
	portVXLAN  = 4789 // RFC 7348, 5
	portGeneve = 6081 // RFC 8926, 3.3
)

// tunnelled returns the IP packet that p carries, nil if there is none.
func (p *ipPacket) tunnelled() []byte {
	switch p.proto {
	case protoIPv4, protoIPv6, protoIPIP:
		return p.body
	case protoGRE:
		return gre(p.body)
	case protoMPLS: // RFC 4023, 3
		return mpls(p.body)
	case protoEtherIP: // RFC 3378, 3: a version, and a frame
		if len(p.body) < 2 {
			return nil
		}
		return ether(etherTEB, p.body[2:])
	case protoUDP:
		return overUDP(p.body)
	}
	return nil
}

// overUDP tells the tunnels by the port that they are sent to.
func overUDP(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	if n := be16(b[4:]); n >= 8 && n < len(b) { // what stands behind is not of the datagram (RFC 768)
		b = b[:n]
	}
	switch be16(b[2:]) {
	case portVXLAN:
		return vxlan(b[8:])
	case portGTPU:
		return gtp(b[8:])
	case portGeneve:
		return geneve(b[8:])
	}
	return nil
}

// gre reads a header of version 0 (RFC 2784, 2; with keys and sequence numbers, RFC 2890, 2; with routing, RFC 1701) or of
// version 1, which carries PPP (RFC 2637, 4.1). The protocol is an EtherType.
func gre(b []byte) []byte {
	const checksum, routing, key, sequence, version, acknowledged = 0x80, 0x40, 0x20, 0x10, 7, 0x80
	if len(b) < 4 || b[1]&version > 1 {
		return nil
	}
	flags, kind, n := b[0], be16(b[2:]), 4
	if flags&(checksum|routing) != 0 { // both fields are there if one of them counts
		n += 4
	}
	if flags&key != 0 {
		n += 4
	}
	if flags&sequence != 0 {
		n += 4
	}
	if flags&routing != 0 {
		n = greRouting(b, n)
	}
	if b[1]&version == 1 && b[1]&acknowledged != 0 {
		n += 4
	}
	if n > len(b) || kind <= maxEtherSize {
		return nil
	}
	if b = b[n:]; kind == etherERSPAN && flags&sequence == 0 { // type I has no header (draft-foschiano-erspan-03, 4.1)
		if ip := ether(etherTEB, b); ip != nil {
			return ip
		}
	}
	return ether(kind, b)
}

// greRouting returns where the source route entries that begin at n end (RFC 1701): each has a family, an offset and its length; the
// last one is empty.
func greRouting(b []byte, n int) int {
	for n+4 <= len(b) {
		family, size := be16(b[n:]), int(b[n+3])
		n += 4 + size
		if family == 0 && size == 0 {
			return n
		}
	}
	return len(b) + 1 // it is cut
}

// erspanHeader is the size of the header of a mirrored frame, type II (draft-foschiano-erspan-03, 4.2).
const erspanHeader = 8

// vxlan reads a header and the frame behind it (RFC 7348, 5).
func vxlan(b []byte) []byte {
	if len(b) < 8 {
		return nil
	}
	return ether(etherTEB, b[8:])
}

// geneve reads a header, which tells the size of its options in units of 4 bytes, and an EtherType (RFC 8926, 3.4).
func geneve(b []byte) []byte {
	if len(b) < 8 || b[0]>>6 != 0 {
		return nil
	}
	n, kind := 8+int(b[0]&0x3f)*4, be16(b[2:])
	if n > len(b) || kind <= maxEtherSize {
		return nil
	}
	return ether(kind, b[n:])
}

// gtp reads the header of a user's packet, version 1 (3GPP TS 29.281, 5.1). Four optional bytes are there if one of three flags
// is set; the last of them is the type of the first extension header, 0 for none.
func gtp(b []byte) []byte {
	const version1, userData, extended, optional = 3, 255, 4, 7
	if len(b) < 8 || b[0]>>4 != version1 || b[1] != userData {
		return nil
	}
	n := 8
	if b[0]&optional != 0 {
		n = 12
	}
	if b[0]&extended != 0 {
		n = gtpExtensions(b, n)
	}
	if n >= len(b) {
		return nil
	}
	if b = b[n:]; b[0]>>4 == 4 || b[0]>>4 == 6 {
		return b
	}
	return ppp(b)
}

// gtpExtensions returns where the extension headers that begin at n end (3GPP TS 29.281, 5.2.1): each begins with its length in
// units of 4 bytes, and ends with the type of the next one.
func gtpExtensions(b []byte, n int) int {
	for n < len(b) && b[n-1] != 0 {
		if b[n] == 0 {
			return len(b) // no header is as short
		}
		n += int(b[n]) * 4
		if n > len(b) {
			return n
		}
	}
	return n
}
