package reassembly

import (
	"net/netip"

	"github.com/nubishark/nubishark/capture"
)

// Fragment returns the addresses of a packet that is a fragment of an IP packet; ok is false for any other, and for
// fragments inside tunnels.
func Fragment(p *capture.Packet) (src, dst netip.Addr, ok bool) {
	var ip ipPacket
	if !ip.parse(network(p.Link, p.Data), p.WireLen-len(p.Data)) || !ip.frag {
		return src, dst, false
	}
	half := len(ip.addrs) / 2
	src, _ = netip.AddrFromSlice(ip.addrs[:half])
	dst, _ = netip.AddrFromSlice(ip.addrs[half:])
	return src, dst, true
}
