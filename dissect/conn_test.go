package dissect

import (
	"net/netip"
	"testing"

	"github.com/nubishark/nubishark/protocol"
)

// Addresses are the same as text whether they were noted or not.
func TestEndsAsText(t *testing.T) {
	const v4, v6, mapped = "255.255.255.255:65535", "[fe80::1%eth0]:1", "[::ffff:10.0.0.1]:9100"
	for _, pair := range [][2]string{{v4, "1.2.3.4:5"}, {v4, v6}, {mapped, v6}} {
		c := &Conn{Addr: [2]netip.AddrPort{netip.MustParseAddrPort(pair[0]), netip.MustParseAddrPort(pair[1])}}
		for range 2 {
			for c.DeviceDir = range 2 {
				from, to := pair[c.DeviceDir], pair[1-c.DeviceDir]
				if src, dst := string(c.AppendSrc(nil, protocol.Device)), string(c.AppendDst(nil, protocol.Device)); src != from || dst != to {
					t.Errorf("%s → %s, want %s → %s", src, dst, from, to)
				}
				if src, dst := string(c.AppendSrc(nil, protocol.Server)), string(c.AppendDst(nil, protocol.Server)); src != to || dst != from {
					t.Errorf("%s → %s, want %s → %s", src, dst, to, from)
				}
			}
			c.write()
		}
	}
}
