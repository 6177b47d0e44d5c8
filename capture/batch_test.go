package capture

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// manyPcap and manyPcapng hold n packets of 60 to 659 bytes.
func manyPcap(n int) []byte {
	var out bytes.Buffer
	w := NewPcapWriter(&out, 1, true)
	eachPacket(n, func(p Packet) { w.Write(p) })
	w.Close()
	return out.Bytes()
}

func manyPcapng(n int) []byte {
	var out bytes.Buffer
	w := NewPcapngWriter(&out)
	eachPacket(n, func(p Packet) { w.Write(p) })
	w.Close()
	return out.Bytes()
}

func eachPacket(n int, do func(Packet)) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 64)
	for i := range n {
		do(Packet{Time: int64(i) * 1000, Link: 1, Data: data[:60+i*37%600]})
	}
}

func TestBatchesInFlightDoNotShareBytes(t *testing.T) {
	const n = 5000
	for _, file := range [][]byte{manyPcap(n), manyPcapng(n)} {
		src := openBytes(t, file)
		var kept []*Batch
		for {
			b := new(Batch)
			if err := src.Next(b); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, b)
		}
		number := int64(0)
		for _, b := range kept {
			for i := range b.Refs {
				number++
				check(t, b, i, number)
				if p := b.Packet(i); string(p.Data[:4]) != "0123" || len(p.Data) != 60+int(number-1)*37%600 {
					t.Fatalf("packet %d: %q", number, p.Data)
				}
			}
		}
		if number != n || len(kept) < 5 {
			t.Fatalf("%d packets in %d batches", number, len(kept))
		}
	}
}

func TestBatchGivesBackTheRoomOfAGiantPacket(t *testing.T) {
	giant := bytes.Repeat([]byte("x"), 5<<20)
	file := join(pcapHead(le, magicMicro, 4, 1), pcapRecord(le, 0, 0, 0, string(giant)), manyPcap(4000)[24:])
	src := openBytes(t, file)
	var b Batch
	for src.Next(&b) == nil {
	}
	if cap(b.Data) > maxKept {
		t.Fatalf("the batch keeps %d bytes", cap(b.Data))
	}
}

// TestLyingLengthDoesNotAllocate: what a file declares must not be believed
// before it is there.
func TestLyingLengthDoesNotAllocate(t *testing.T) {
	for _, file := range [][]byte{
		join(pcapOf(), compose(le, uint64(0), uint32(maxRecord), uint32(maxRecord))),
		join(ngSection(le), compose(le, uint32(6), uint32(maxRecord), "1234")),
	} {
		src := openBytes(t, file)
		var b Batch
		src.Next(&b)
		if cap(b.Data) > blockSize {
			t.Fatalf("%d bytes of room for a file of %d", cap(b.Data), len(file))
		}
	}
}

func TestNextDoesNotAllocateInSteadyState(t *testing.T) {
	for name, file := range map[string][]byte{"pcap": manyPcap(40_000), "pcapng": manyPcapng(40_000)} {
		for _, sources := range []int{1, 2} {
			t.Run(fmt.Sprint(name, sources), func(t *testing.T) {
				var all []*Reader
				for range sources {
					all = append(all, openBytes(t, file))
				}
				var src Source = all[0]
				if sources > 1 {
					src = merge(all)
				}
				var b Batch
				next := func() {
					if err := src.Next(&b); err != nil {
						t.Fatal(err)
					}
				}
				for range 10 { // the tail and the references find their size
					next()
				}
				if n := testing.AllocsPerRun(20, next); n > 0 {
					t.Fatalf("%v allocations a batch of about 700 packets", n)
				}
			})
		}
	}
}

func BenchmarkReader(b *testing.B) {
	const n = 100_000
	ng, classic := manyPcapng(n), manyPcap(n)
	for _, c := range []struct {
		name string
		file []byte
	}{
		{"pcap", classic}, {"pcapng", ng}, {"pcap.gz", gz(classic)}, {"pcap.zst", zst(classic)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.file)))
			b.ReportAllocs()
			var batch Batch
			for b.Loop() {
				if got := count(b, c.file, &batch); got != n {
					b.Fatalf("%d packets", got)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/packet")
		})
	}
}

func count(b *testing.B, file []byte, batch *Batch) int {
	src, err := NewReader(bytes.NewReader(file), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	packets := 0
	for src.Next(batch) == nil {
		packets += len(batch.Refs)
	}
	return packets
}

// BenchmarkRecords finds the packets of one block that is near the processor, of the usual size: what a packet costs beside
// the system's copy.
func BenchmarkRecords(b *testing.B) {
	var ng, classic bytes.Buffer
	n, c := NewPcapngWriter(&ng), NewPcapWriter(&classic, 1, true)
	for i := range 1400 {
		p := Packet{Time: int64(i) * 1000, Link: 1, Data: make([]byte, 54+i*37%60)}
		_, _ = n.Write(p), c.Write(p)
	}
	_, _ = n.Close(), c.Close()
	for name, file := range map[string][]byte{"pcap": classic.Bytes(), "pcapng": ng.Bytes()} {
		b.Run(name, func(b *testing.B) {
			r, err := NewReader(bytes.NewReader(file), "bench")
			if err != nil {
				b.Fatal(err)
			}
			batch := Batch{Data: file[r.base:]}
			packets := 0
			for b.Loop() {
				batch.Refs = batch.Refs[:0]
				r.format.records(&batch, r)
				packets += len(batch.Refs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
		})
	}
}
