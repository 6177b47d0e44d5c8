package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func equal(t *testing.T, packets []got, want ...got) {
	t.Helper()
	for i := range want {
		want[i].Number = int64(i + 1)
	}
	if !slices.Equal(packets, want) {
		t.Fatalf("packets\n%v\nwant\n%v", packets, want)
	}
}

func TestPcapReadsBothResolutionsInBothByteOrders(t *testing.T) {
	for _, o := range []binary.ByteOrder{le, be} {
		for magic, scale := range map[uint32]int64{magicMicro: 1000, magicNano: 1} {
			file := join(pcapHead(o, magic, 4, 1),
				pcapRecord(o, 1_700_000_000, 123456, 3, "abc"),
				pcapRecord(o, 4_000_000_000, 1, 90, "wxyz"), // after 2038
				pcapRecord(o, 0, 0, 0, ""))
			equal(t, mustRead(t, file),
				got{0, 1_700_000_000*second + 123456*scale, 1, 3, "abc"},
				got{0, 4_000_000_000*second + scale, 1, 90, "wxyz"},
				got{0, 0, 1, 0, ""})
		}
	}
}

func TestPcapModifiedSkipsTheLongerRecordHeader(t *testing.T) {
	for _, o := range []binary.ByteOrder{le, be} {
		record := compose(o, uint32(1), uint32(2), uint32(3), uint32(3), uint32(7), uint32(8), "abc")
		file := join(pcapHead(o, magicModified, 4, 113), record, record)
		p := got{0, second + 2000, 113, 3, "abc"}
		equal(t, mustRead(t, file), p, p)
	}
}

func TestPcapOldVersionsSwapLengths(t *testing.T) {
	swapped := compose(le, uint32(1), uint32(0), uint32(60), uint32(3), "abc")
	straight := pcapRecord(le, 1, 0, 60, "abc")
	p := got{0, second, 1, 60, "abc"}
	equal(t, mustRead(t, join(pcapHead(le, magicMicro, 2, 1), swapped, swapped)), p, p)
	equal(t, mustRead(t, join(pcapHead(le, magicMicro, 3, 1), straight, swapped, straight)), p, p, p)
}

func TestPcapLinkTypeIsTheLowerHalf(t *testing.T) {
	file := join(pcapHead(be, magicMicro, 4, 0x5400_0114), pcapRecord(be, 0, 0, 1, "a"))
	if link := mustRead(t, file)[0].Link; link != 276 {
		t.Fatalf("link type %d, want 276", link)
	}
}

func TestPcapToleratesLengthsThatDisagree(t *testing.T) {
	file := join(compose(le, uint32(magicMicro), uint16(2), uint16(4), uint64(0), uint32(0), uint32(1)),
		pcapRecord(le, 0, 0, 1, "longer than the wire and than the snap length"),
		pcapRecord(le, 0, 0, 0xffff_ffff, "b"))
	packets := mustRead(t, file)
	if packets[0].Wire != len(packets[0].Data) || packets[1].Wire != maxWireLen {
		t.Fatalf("wire lengths %d and %d", packets[0].Wire, packets[1].Wire)
	}
}

func TestPcapLyingLengthIsDamageAfterTheGoodPackets(t *testing.T) {
	good := join(pcapHead(le, magicMicro, 4, 1), pcapRecord(le, 0, 0, 3, "abc"))
	for _, n := range []uint32{maxRecord + 1, 0x8000_0000, 0xffff_ffff} {
		packets, err := read(t, join(good, compose(le, uint64(0), n, n, "rest")))
		d := wantDamage(t, err, int64(len(good)))
		if errors.Is(d, io.ErrUnexpectedEOF) || !strings.HasPrefix(d.Error(), "x.pcap: damaged at offset 43: ") {
			t.Fatal(d)
		}
		equal(t, packets, got{0, 0, 1, 3, "abc"})
	}
	_, err := read(t, join(good, compose(le, uint64(0), uint32(maxRecord), uint32(0), "rest")))
	if d := wantDamage(t, err, 43); d.Error() != "x.pcap: cut short at offset 43: the last record has 20 bytes and goes on" {
		t.Fatal(d)
	}
}

func TestPacketsLargerThanABlockAreWhole(t *testing.T) {
	head := pcapHead(le, magicMicro, 4, 1)
	ng := join(ngSection(le), ngInterface(le, 1))
	for _, n := range []int{blockSize - 1, blockSize + 1, 3*blockSize + 5, maxRecord - 32} {
		big := strings.Repeat("x", n)
		want := []got{{0, 0, 1, 1, "a"}, {0, 0, 1, n, big}, {0, 0, 1, 1, "b"}}
		var classic, blocks [][]byte
		for _, p := range want {
			classic = append(classic, pcapRecord(le, 0, 0, uint32(p.Wire), p.Data))
			blocks = append(blocks, ngPacket(le, 0, 0, uint32(p.Wire), p.Data))
		}
		for i, file := range [][]byte{join(head, join(classic...)), join(ng, join(blocks...))} {
			packets := mustRead(t, file)
			for j := range want {
				if len(packets) != 3 || packets[j].Data != want[j].Data {
					t.Fatalf("file %d of %d bytes: %s", i, n, fmt.Sprint(len(packets)))
				}
			}
		}
	}
}
