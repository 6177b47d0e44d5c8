package capture

import (
	"bytes"
	"testing"
)

// FuzzReader: whatever the bytes, the reader ends without a panic, its packets
// keep their promises (see check), and memory follows what was read.
func FuzzReader(f *testing.F) {
	for _, s := range samples() {
		file := join(s.parts...)
		for _, seed := range [][]byte{file, cut(file, 1), cut(file, len(file)/2), gz(file), zst(file), cut(gz(file), 9)} {
			f.Add(seed)
		}
	}
	f.Add(join(pcapHead(be, magicModified, 3, 1), pcapRecord(be, 1, 2, 3, "abc12345678")))
	f.Add(join(ngSection(le), ngInterface(le, 1, ngResol(0x7f)...), ngPacket(le, 0, 1<<63, 1, "a"),
		ngBlock(le, blockStats, uint32(0), uint64(0), uint16(4), uint16(8), uint64(7))))
	f.Fuzz(func(t *testing.T, file []byte) {
		src, err := NewReader(bytes.NewReader(file), "fuzz")
		if err != nil {
			return
		}
		defer src.Close()
		var b Batch
		packets := int64(0)
		for total := 0; total < 64<<20; total += len(b.Data) { // a bomb is legal, and long
			err := src.Next(&b)
			for i := range b.Refs {
				packets++
				check(t, &b, i, packets)
			}
			if cap(b.Data) > 4*maxRecord {
				t.Fatalf("the batch has room for %d bytes", cap(b.Data))
			}
			if err != nil {
				break
			}
		}
		if s := src.Stats(); s.Read > int64(len(file)) {
			t.Fatalf("%d bytes read of %d", s.Read, len(file))
		}
	})
}
