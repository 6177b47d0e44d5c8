package capture

import (
	"encoding/binary"
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestPcapngReadsEveryPacketBlock(t *testing.T) {
	for _, o := range []binary.ByteOrder{le, be} {
		file := join(ngSection(o), ngInterface(o, 1),
			ngBlock(o, blockInterface, uint16(276), uint16(0), uint32(4)),
			ngPacket(o, 0, 1_700_000_000_123_456, 99, "enhanced"),
			ngBlock(o, blockPacket, uint16(1), uint16(9), uint32(0), uint32(5), uint32(3), uint32(3), "old"),
			ngBlock(o, blockSimple, uint32(6), "simple"),
			ngBlock(o, 4, uint32(0)), // names
			ngBlock(o, 10, uint32(0x544c534b), uint32(0)),
			ngBlock(o, 0xbad, uint32(1), "private"),
			ngBlock(o, 0x8000_0001),
			ngBlock(o, blockEnhanced, uint32(1), uint64(0), uint32(1), uint32(1), "e   ", uint16(1), uint16(3), "why ", uint32(0)))
		equal(t, mustRead(t, file),
			got{0, 1_700_000_000_123_456_000, 1, 99, "enhanced"},
			got{0, 5000, 276, 3, "old"},
			got{0, 0, 1, 6, "simple"},
			got{0, 0, 276, 1, "e"})
	}
}

func TestPcapngSimplePacketIsCutAtTheSnapLength(t *testing.T) {
	file := join(ngSection(le), ngBlock(le, blockInterface, uint16(1), uint16(0), uint32(4)),
		ngBlock(le, blockSimple, uint32(100), "abcd"))
	equal(t, mustRead(t, file), got{0, 0, 1, 100, "abcd"})
}

// A Simple Packet Block does not say how much was captured: the block's room bounds it.
func TestPcapngSimplePacketIsCutAtTheEndOfItsBlock(t *testing.T) {
	file := join(ngSection(le), ngInterface(le, 1), ngBlock(le, blockSimple, uint32(0xffff_ffff), "abcd"))
	equal(t, mustRead(t, file), got{0, 0, 1, maxWireLen, "abcd"})
}

func TestPcapngBrokenStatisticsAreIgnored(t *testing.T) {
	file := join(ngSection(le), ngInterface(le, 1), ngBlock(le, blockStats, uint32(0)),
		ngBlock(le, blockStats, uint32(9), uint64(0)), ngPacket(le, 0, 0, 1, "a"))
	equal(t, mustRead(t, file), got{0, 0, 1, 1, "a"})
}

func TestPcapngSectionsHaveTheirOwnOrderInterfacesAndClocks(t *testing.T) {
	file := join(
		ngSection(le), ngInterface(le, 1), ngInterface(le, 101, ngResol(9)...), ngPacket(le, 1, 7, 1, "a"),
		ngSection(be), ngInterface(be, 113, ngResol(3)...), ngPacket(be, 0, 7, 1, "b"),
		ngSection(le), ngInterface(le, 12), ngPacket(le, 0, 7, 1, "c"))
	equal(t, mustRead(t, file),
		got{0, 7, 101, 1, "a"}, got{0, 7_000_000, 113, 1, "b"}, got{0, 7000, 12, 1, "c"})
	_, err := read(t, join(file, ngPacket(le, 1, 7, 1, "d")))
	wantDamage(t, err, int64(len(file)))
}

// TestClockIsExactForEveryResolution compares with integers of any size.
func TestClockIsExactForEveryResolution(t *testing.T) {
	ticks := []uint64{0, 1, 999_999, 1 << 20, 1_700_000_000_123_456_789, 1 << 63, math.MaxUint64}
	offsets := []int64{0, 1, -1, 1_700_000_000, -1_700_000_000, math.MaxInt64, math.MinInt64}
	for resol := range 256 {
		for _, offset := range offsets {
			c := newClock(uint8(resol), offset)
			for _, n := range ticks {
				if ns, want := c.nanos(n), slowNanos(uint8(resol), offset, n); ns != want {
					t.Fatalf("resolution %#x, offset %d, ticks %d: %d, want %d", resol, offset, n, ns, want)
				}
			}
		}
	}
}

func slowNanos(resol uint8, offset int64, ticks uint64) int64 {
	base := int64(10)
	if resol&0x80 != 0 {
		base = 2
	}
	unit := new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(resol&0x7f)), nil)
	ns := new(big.Int).SetUint64(ticks)
	ns.Mul(ns, big.NewInt(second)).Div(ns, unit)
	ns.Add(ns, new(big.Int).Mul(big.NewInt(offset), big.NewInt(second)))
	switch {
	case ns.IsInt64():
		return ns.Int64()
	case ns.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

func TestPcapngTimesFollowTheOptionsOfTheInterface(t *testing.T) {
	offset := []any{uint16(optionOffset), uint16(8), int64(-3)}
	file := join(ngSection(le),
		ngInterface(le, 1, append([]any{uint16(2), uint16(5), "eth0\x00\x00\x00\x00"}, ngResol(0x80|20)...)...),
		ngInterface(le, 1, append(ngResol(0), offset...)...),
		ngPacket(le, 0, 5<<20|1<<19, 1, "a"), ngPacket(le, 1, 10, 1, "b"))
	equal(t, mustRead(t, file), got{0, 5*second + second/2, 1, 1, "a"}, got{0, 7 * second, 1, 1, "b"})
}

func TestPcapngBrokenBlocksAreDamage(t *testing.T) {
	start := join(ngSection(le), ngInterface(le, 1), ngPacket(le, 0, 0, 1, "a"))
	raw := func(kind, n, again uint32, body string) []byte { return compose(le, kind, n, body, again) }
	for name, c := range map[string]struct {
		block []byte
		what  string
	}{
		"length 0":           {raw(6, 0, 0, "1234"), "length is not valid"},
		"length 8":           {raw(6, 8, 8, "1234"), "length is not valid"},
		"length 13":          {raw(6, 13, 13, "12345"), "length is not valid"},
		"4 GiB":              {raw(6, 0xffff_fffc, 0xffff_fffc, "1234"), "length is not valid"},
		"4 GiB unknown":      {raw(99, 0xffff_fffc, 0xffff_fffc, "1234"), "length is not valid"},
		"ends disagree":      {raw(99, 16, 20, "1234"), "lengths differ"},
		"no such interface":  {ngPacket(le, 7, 0, 1, "a"), "not described"},
		"interface 2^32-1":   {ngPacket(le, math.MaxUint32, 0, 1, "a"), "not described"},
		"captured too long":  {ngBlock(le, 6, uint32(0), uint64(0), uint32(5), uint32(5), "1234"), "longer than its block"},
		"captured 4 GiB":     {ngBlock(le, 6, uint32(0), uint64(0), uint32(math.MaxUint32), uint32(5), "1234"), "longer than its block"},
		"old too long":       {ngBlock(le, 2, uint32(0), uint64(0), uint32(5), uint32(5), "1234"), "longer than its block"},
		"short enhanced":     {ngBlock(le, 6, uint64(0)), "too short"},
		"short old":          {ngBlock(le, 2, uint64(0)), "too short"},
		"short simple":       {ngBlock(le, 3), "not valid"},
		"short interface":    {ngBlock(le, 1, uint32(0)), "not valid"},
		"short section":      {ngBlock(le, blockSection, uint32(sectionMagic)), "too short"},
		"section order":      {ngBlock(le, blockSection, uint32(1), uint16(1), uint16(0), int64(-1)), "byte-order"},
		"section version":    {ngBlock(le, blockSection, uint32(sectionMagic), uint16(2), uint16(0), int64(-1)), "version 2"},
		"option over an end": {ngInterface(le, 1, uint16(9), uint16(5), "1234"), "option"},
	} {
		t.Run(name, func(t *testing.T) {
			packets, err := read(t, join(start, c.block, ngPacket(le, 0, 0, 1, "lost")))
			if d := wantDamage(t, err, int64(len(start))); !strings.Contains(d.What, c.what) {
				t.Fatalf("%v: want %q", d, c.what)
			}
			equal(t, packets, got{0, 0, 1, 1, "a"})
		})
	}
}

func TestPcapngSimplePacketNeedsAnInterface(t *testing.T) {
	_, err := read(t, join(ngSection(le), ngBlock(le, blockSimple, uint32(1), "a")))
	wantDamage(t, err, 28)
}

func TestPcapngWithoutPacketsIsNoError(t *testing.T) {
	for _, file := range [][]byte{ngSection(be), join(ngSection(le), ngInterface(le, 1))} {
		equal(t, mustRead(t, file))
	}
}

func TestPcapngInterfacesAreBounded(t *testing.T) {
	one := ngInterface(le, 1)
	file := ngSection(le)
	for range maxInterfaces + 1 {
		file = append(file, one...)
	}
	_, err := read(t, file)
	wantDamage(t, err, int64(len(file)-len(one)))
}

func TestPcapngStatisticsAreSummedOverInterfacesAndSections(t *testing.T) {
	isb := func(o binary.ByteOrder, id uint32, recv, drop, osdrop uint64) []byte {
		return ngBlock(o, blockStats, id, uint64(0),
			uint16(optionReceived), uint16(8), recv, uint16(optionDropped), uint16(8), drop,
			uint16(optionOSDropped), uint16(8), osdrop, uint32(0))
	}
	file := join(
		ngSection(le), ngInterface(le, 1), ngInterface(le, 1),
		isb(le, 0, 1, 1, 1), isb(le, 0, 10, 2, 3), isb(le, 1, 100, 0, 0), isb(le, 5, 9, 9, 9),
		ngSection(be), ngInterface(be, 1), isb(be, 0, 1000, 4, 0))
	src := openBytes(t, file)
	if src.Stats().Known {
		t.Fatal("statistics are known before they are read")
	}
	drain(t, src)
	want := Stats{Received: 1110, Dropped: 9, Known: true, Read: int64(len(file))}
	if s := src.Stats(); s != want {
		t.Fatalf("%+v, want %+v", s, want)
	}
}

// Packets may tell how many were lost before them. Statistics count those, too.
func TestPcapngDropsAreToldByPackets(t *testing.T) {
	packet := func(id uint32, options ...any) []byte {
		return ngBlock(le, blockEnhanced, append([]any{id, uint64(0), uint32(5), uint32(5), "12345\x00\x00\x00"}, options...)...)
	}
	drops := func(n uint64) []any { return []any{uint16(optionDropCount), uint16(8), n, uint32(0)} }
	old := func(drops uint16) []byte {
		return ngBlock(le, blockPacket, uint16(0), drops, uint64(0), uint32(1), uint32(1), "1\x00\x00\x00")
	}
	isb := func(id uint32, drop uint64) []byte {
		return ngBlock(le, blockStats, id, uint64(0), uint16(optionDropped), uint16(8), drop, uint32(0))
	}
	comment := []any{uint16(optionComment), uint16(4), "1234"}
	start := join(ngSection(le), ngInterface(le, 1), ngInterface(le, 1))
	for name, c := range map[string]struct {
		file []byte
		want uint64
	}{
		"none":                {packet(0), 0},
		"a few":               {join(packet(0, drops(3)...), packet(1, drops(4)...), packet(0, drops(0)...)), 7},
		"behind a comment":    {packet(0, append(comment, drops(3)...)...), 3},
		"only a comment":      {packet(0, append(comment, uint32(0))...), 0},
		"too short":           {packet(0, uint16(optionDropCount), uint16(4), uint32(9), uint32(0)), 0},
		"old":                 {join(old(2), old(math.MaxUint16), old(0)), 2},
		"and in statistics":   {join(packet(0, drops(3)...), isb(0, 5)), 5},
		"more than those":     {join(isb(0, 5), packet(0, drops(6)...)), 6},
		"of other interfaces": {join(isb(0, 5), packet(1, drops(6)...)), 11},
	} {
		t.Run(name, func(t *testing.T) {
			src := openBytes(t, join(start, c.file))
			drain(t, src)
			if s := src.Stats(); s.Dropped != c.want {
				t.Errorf("%d dropped, want %d", s.Dropped, c.want)
			}
		})
	}
}
