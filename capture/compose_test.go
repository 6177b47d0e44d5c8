package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// composer puts files together number by number, in either byte order, so that
// what the reader is tested with does not come from the writers.
type composer struct {
	buf bytes.Buffer
	o   binary.ByteOrder
}

func (c *composer) put(vs ...any) *composer {
	for _, v := range vs {
		switch v := v.(type) {
		case []byte:
			c.buf.Write(v)
		case string:
			c.buf.WriteString(v)
		default:
			if err := binary.Write(&c.buf, c.o, v); err != nil {
				panic(err)
			}
		}
	}
	return c
}

func (c *composer) bytes() []byte { return c.buf.Bytes() }

func compose(o binary.ByteOrder, vs ...any) []byte {
	return (&composer{o: o}).put(vs...).bytes()
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// pcapHead is a file header; link is the whole 32-bit word.
func pcapHead(o binary.ByteOrder, magic uint32, minor uint16, link uint32) []byte {
	return compose(o, magic, uint16(2), minor, uint32(0), uint32(0), uint32(65535), link)
}

func pcapRecord(o binary.ByteOrder, sec, frac, wire uint32, data string) []byte {
	return compose(o, sec, frac, uint32(len(data)), wire, data)
}

// ngBlock pads the body and sets both lengths.
func ngBlock(o binary.ByteOrder, kind uint32, vs ...any) []byte {
	body := compose(o, vs...)
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(len(body) + 12)
	return compose(o, kind, n, body, n)
}

func ngSection(o binary.ByteOrder) []byte {
	return ngBlock(o, blockSection, uint32(sectionMagic), uint16(1), uint16(0), int64(-1))
}

func ngInterface(o binary.ByteOrder, link LinkType, options ...any) []byte {
	return ngBlock(o, blockInterface, append([]any{uint16(link), uint16(0), uint32(0)}, options...)...)
}

func ngResol(v uint8) []any {
	return []any{uint16(optionResol), uint16(1), []byte{v, 0, 0, 0}}
}

func ngPacket(o binary.ByteOrder, id uint32, ticks uint64, wire uint32, data string) []byte {
	return ngBlock(o, blockEnhanced, id, uint32(ticks>>32), uint32(ticks), uint32(len(data)), wire, data)
}

func gz(parts ...[]byte) []byte {
	var out bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&out)
		w.Write(p)
		w.Close()
	}
	return out.Bytes()
}

func zst(parts ...[]byte) []byte {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	defer enc.Close()
	var out []byte
	for _, p := range parts {
		out = enc.EncodeAll(p, out)
	}
	return out
}

// got is a packet that outlives its batch.
type got struct {
	Number int64
	Time   int64
	Link   LinkType
	Wire   int
	Data   string
}

// drain reads to the end and checks what holds for every source: the end
// comes once as an error at most, and then as io.EOF for ever.
func drain(t testing.TB, src Source) ([]got, error) {
	t.Helper()
	var all []got
	var b Batch
	for {
		err := src.Next(&b)
		for i := range b.Refs {
			all = append(all, check(t, &b, i, int64(len(all)+1)))
		}
		if err == nil {
			if len(b.Refs) == 0 {
				t.Fatal("Next returned neither packets nor an error")
			}
			continue
		}
		if err == io.EOF && len(b.Refs)+len(b.Data) > 0 {
			t.Fatal("io.EOF came with packets")
		}
		if again := src.Next(&b); again != io.EOF || len(b.Refs) > 0 {
			t.Fatalf("after %v, Next returned %v and %d packets", err, again, len(b.Refs))
		}
		if err == io.EOF {
			err = nil
		}
		return all, err
	}
}

func check(t testing.TB, b *Batch, i int, number int64) got {
	t.Helper()
	p := b.Packet(i)
	if p.Number != number {
		t.Fatalf("packet number %d, want %d", p.Number, number)
	}
	if p.WireLen < len(p.Data) {
		t.Fatalf("packet %d: wire length %d < captured %d", number, p.WireLen, len(p.Data))
	}
	if len(p.Data) > maxRecord || cap(p.Data) != len(p.Data) {
		t.Fatalf("packet %d: length %d, capacity %d", number, len(p.Data), cap(p.Data))
	}
	return got{p.Number, p.Time, p.Link, p.WireLen, string(p.Data)}
}

func read(t testing.TB, file []byte) ([]got, error) {
	t.Helper()
	src, err := NewReader(bytes.NewReader(file), "x.pcap")
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return drain(t, src)
}

func mustRead(t testing.TB, file []byte) []got {
	t.Helper()
	packets, err := read(t, file)
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

// wantDamage checks that err is damage at the offset and returns it.
func wantDamage(t testing.TB, err error, offset int64) *DamageError {
	t.Helper()
	var d *DamageError
	if !errors.As(err, &d) {
		t.Fatalf("error is %v, want damage", err)
	}
	if d.Offset != offset {
		t.Fatalf("%v: want offset %d", d, offset)
	}
	return d
}

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)
