package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// slowPcap and slowPcapng read record by record, as simply as can be, and are what the loops for the usual records are
// compared with.
type slowPcap struct{ *pcap }

func (f slowPcap) records(b *Batch, r *Reader) (at, need int, what string) {
	var o binary.ByteOrder = binary.LittleEndian
	if f.order.big {
		o = binary.BigEndian
	}
	for {
		h := b.Data[at:]
		if len(h) < f.header {
			return at, f.header, ""
		}
		caplen, wire := o.Uint32(h[8:]), o.Uint32(h[12:])
		if f.swap || f.either && caplen > wire {
			caplen, wire = wire, caplen
		}
		if caplen > maxRecord {
			return at, 0, "a packet's length is out of all bounds"
		}
		n := f.header + int(caplen)
		if len(h) < n {
			return at, n, ""
		}
		b.Add(Packet{
			Time: int64(o.Uint32(h))*1e9 + int64(o.Uint32(h[4:]))*f.scale, Link: f.link,
			WireLen: int(min(wire, maxWireLen)), Data: h[f.header:n],
		})
		b.Data = b.Data[:len(b.Data)-int(caplen)] // it is there already
		r.number++
		ref := &b.Refs[len(b.Refs)-1]
		ref.Number, ref.Off = r.number, uint32(at+f.header)
		at += n
	}
}

type slowPcapng struct{ *pcapng }

func (f slowPcapng) records(b *Batch, r *Reader) (at, need int, what string) {
	for {
		n, need, what := f.record(b, at, r)
		if n == 0 {
			return at, need, what
		}
		at += n
	}
}

func (f slowPcapng) record(b *Batch, at int, r *Reader) (n, need int, what string) {
	data := b.Data[at:]
	if len(data) < 12 {
		return 0, 12, ""
	}
	if bytes.HasPrefix(data, []byte("\n\r\r\n")) {
		if what := f.begin(data[8:]); what != "" {
			return 0, 0, what
		}
	}
	size := f.order.u32(data[4:])
	switch {
	case !f.begun:
		return 0, 0, "a block stands before the section header"
	case size < 12 || size%4 != 0 || size > maxRecord:
		return 0, 0, "a block's length is not valid"
	case len(data) < int(size):
		return 0, int(size), ""
	case f.order.u32(data[size-4:]) != size:
		return 0, 0, "a block's two lengths differ"
	}
	if what := f.block(f.order.u32(data), data[8:size-4], at+8, b, r); what != "" {
		return 0, 0, what
	}
	return int(size), 0, ""
}

// account is all that a reader tells of a file.
func account(t testing.TB, file []byte, slow bool) (string, error) {
	src, err := NewReader(bytes.NewReader(file), "x")
	if err != nil {
		return "", err
	}
	defer src.Close()
	if slow {
		switch f := src.format.(type) {
		case *pcap:
			src.format = slowPcap{f}
		case *pcapng:
			src.format = slowPcapng{f}
		}
	}
	var out bytes.Buffer
	var b Batch
	for {
		err := src.Next(&b)
		if len(b.Refs) == 0 && err == nil {
			t.Fatal("neither packets nor an error")
		}
		for i, ref := range b.Refs {
			p := b.Packet(i)
			fmt.Fprintln(&out, ref, len(p.Data), crc(p.Data))
		}
		if err != nil {
			fmt.Fprintln(&out, src.Stats(), len(src.Interfaces()))
			return out.String(), err
		}
	}
}

func crc(b []byte) (h uint32) {
	for _, c := range b {
		h = h*31 + uint32(c)
	}
	return h
}

func compareLoops(t testing.TB, file []byte) {
	t.Helper()
	fast, err := account(t, file, false)
	slow, want := account(t, file, true)
	if fast != slow || fmt.Sprint(err) != fmt.Sprint(want) {
		t.Fatalf("%q\nfast: %s%v\nslow: %s%v", file, fast, err, slow, want)
	}
}

// wholes are files of every kind with enough packets for the loops to do, and something special between them.
func wholes() [][]byte {
	var list [][]byte
	for _, o := range []binary.ByteOrder{le, be} {
		record := func(n int) []byte {
			return pcapRecord(o, uint32(n), math.MaxUint32, uint32(n*3), string(make([]byte, n%90)))
		}
		for _, minor := range []uint16{2, 3, 4} {
			for _, magic := range []uint32{magicMicro, magicNano, magicModified} {
				file := pcapHead(o, magic, minor, 1)
				for i := range 40 {
					file = append(file, record(i)...)
				}
				list = append(list, file)
			}
		}
		file := join(ngSection(o), ngInterface(o, 1, ngResol(9)...), ngInterface(o, 113), ngInterface(o, 101, ngResol(0x80|20)...))
		packet := func(i int, rest ...any) []byte {
			n := i * 7 % 90
			pad := -n & 3
			return ngBlock(o, blockEnhanced, append([]any{
				uint32(i % 3), uint32(i), uint32(i) << 20, uint32(n), uint32(n + i%5), string(make([]byte, n+pad)),
			}, rest...)...)
		}
		for i := range 40 {
			file = append(file, packet(i)...)
			switch i % 10 {
			case 3:
				file = append(file, packet(i, uint16(optionDropCount), uint16(8), uint64(i), uint32(0))...)
			case 5:
				file = append(file, ngBlock(o, blockSimple, uint32(3), "xyz")...)
			case 7:
				file = append(file, ngBlock(o, 77, "unknown")...)
			}
		}
		list = append(list, join(file, file))
	}
	return list
}

// The loops for usual records find what reading record by record does, also in files that are damaged anywhere.
func TestUsualRecordsAreReadAsAllOthers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, file := range wholes() {
		compareLoops(t, file)
		for range 500 {
			bad := bytes.Clone(file)
			for range 1 + rnd.IntN(3) {
				at := rnd.IntN(len(bad))
				switch rnd.IntN(4) {
				case 0:
					bad[at] = byte(rnd.Uint32())
				case 1:
					bad[at] ^= 1 << rnd.IntN(8)
				case 2:
					binary.LittleEndian.PutUint32(bad[min(at, len(bad)-4):], uint32(rnd.IntN(200)))
				case 3:
					bad = bad[:max(at, len(bad)/2)]
				}
			}
			compareLoops(t, bad)
		}
	}
}

// What the test above compares must be taken by the loops at all.
func TestUsualRecordsAreTakenByTheLoops(t *testing.T) {
	for _, file := range [][]byte{manyPcap(500), manyPcapng(500)} {
		src := openBytes(t, file)
		b := Batch{Data: append(src.rest, file[len(src.rest)+int(src.base):]...)}
		switch f := src.format.(type) {
		case *pcap:
			f.usual(&b, 0, src)
		case *pcapng:
			f.records(&Batch{Data: b.Data[:300]}, src) // the section's header and its interface
			f.usual(&b, bytes.Index(b.Data, []byte{blockEnhanced, 0, 0, 0}), src)
		}
		if len(b.Refs) < 500 {
			t.Errorf("%d of 500 packets", len(b.Refs))
		}
	}
}

func FuzzUsual(f *testing.F) {
	for _, file := range wholes() {
		f.Add(file)
	}
	for _, s := range samples() {
		f.Add(join(s.parts...))
	}
	f.Fuzz(func(t *testing.T, file []byte) { compareLoops(t, file) })
}

func TestReferenceIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Ref{}); n != 32 {
		t.Errorf("%d bytes", n)
	}
}

// Many tiny packets need more references than usual, and a giant one must not ask for many.
func TestRoomForReferencesFollowsThePackets(t *testing.T) {
	tiny := pcapHead(le, magicMicro, 4, 1)
	for range 3 * blockSize / pcapHeader {
		tiny = append(tiny, pcapRecord(le, 1, 2, 0, "")...)
	}
	if got, want := len(mustRead(t, tiny)), 3*blockSize/pcapHeader; got != want {
		t.Errorf("%d packets, want %d", got, want)
	}
	var b Batch
	giant := join(pcapHead(le, magicMicro, 4, 1), pcapRecord(le, 0, 0, 0, string(make([]byte, maxRecord))))
	if err := openBytes(t, giant).Next(&b); err != nil || len(b.Refs) != 1 || cap(b.Refs) > blockSize/pcapUsual+1 {
		t.Errorf("%d packets, room for %d, %v", len(b.Refs), cap(b.Refs), err)
	}
}

// A reference has 16 bits for the interface: all further ones are the last.
func TestPcapngInterfacesBeyondTheLastNumberShareIt(t *testing.T) {
	file := ngSection(le)
	one := ngInterface(le, 1)
	for range maxInterfaces {
		file = append(file, one...)
	}
	file = join(file, ngPacket(le, 7, 0, 1, "a"), ngPacket(le, maxInterfaces-1, 0, 1, "b"),
		ngSection(le), one, ngPacket(le, 0, 0, 1, "c"), ngBlock(le, blockSimple, uint32(1), "d"))
	src := openBytes(t, file)
	var b Batch
	var ids []int
	for src.Next(&b) == nil {
		for i := range b.Refs {
			ids = append(ids, b.Packet(i).Iface)
		}
	}
	if got := fmt.Sprint(ids); got != "[7 65535 65535 65535]" {
		t.Error(got)
	}
}
