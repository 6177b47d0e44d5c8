package capture

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packings are the ways in which a capture may be packed.
var packings = map[string]func(...[]byte) []byte{"gzip": gz, "zstd": zst}

// unpackers counts the goroutines of unpackers.
func unpackers() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "(*unpacker).unpack")
}

// wantNoUnpackers checks at once: Close is to wait for them.
func wantNoUnpackers(t *testing.T) {
	t.Helper()
	if n := unpackers(); n > 0 {
		t.Fatalf("%d goroutines are left", n)
	}
}

// A file is closed wherever reading it stands.
func TestCloseLeavesNoGoroutineBehind(t *testing.T) {
	file := manyPcap(10_000)
	for name, pack := range packings {
		t.Run(name, func(t *testing.T) {
			path := write(t, "a.pcap", pack(file))
			var b Batch
			for batches := range 40 {
				src, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				if batches == 0 && unpackers() != 1 {
					t.Fatal("nothing unpacks: the checks below would mean nothing")
				}
				for range batches {
					if src.Next(&b) != nil {
						break
					}
				}
				if batches%2 == 0 {
					time.Sleep(time.Millisecond) // the unpacker gets as far as it can
				}
				if err := src.Close(); err != nil {
					t.Fatal(err)
				}
				wantNoUnpackers(t)
				if err := src.Next(&b); err != io.EOF || len(b.Refs) > 0 {
					t.Fatalf("after Close: %v and %d packets", err, len(b.Refs))
				}
			}
		})
	}
}

// What is no capture is found by the first unpacked bytes.
func TestFailingToOpenLeavesNoGoroutineBehind(t *testing.T) {
	for name, pack := range packings {
		for _, content := range [][]byte{bytes.Repeat([]byte("no capture"), 100_000), []byte("x"), nil, manyPcap(1)[:20]} {
			if _, err := read(t, pack(content)); err == nil {
				t.Fatal(name, "no error")
			}
			if _, err := Open(write(t, "a", pack(content))); err == nil {
				t.Fatal(name, "no error")
			}
			wantNoUnpackers(t)
		}
	}
}

// The error is where it always was, and ends the goroutine by itself.
func TestEndOfDataEndsTheGoroutine(t *testing.T) {
	file := manyPcap(10_000)
	for name, pack := range packings {
		for _, packed := range [][]byte{pack(file), cut(pack(file), 5), join(pack(file), []byte("garbage that is nothing"))} {
			src := openBytes(t, packed)
			drain(t, src)
			for range 1000 {
				if unpackers() == 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if unpackers() > 0 {
				t.Fatal(name, "the goroutine is left")
			}
		}
	}
}

// pipe is an input that blocks when it has nothing, and says when it does.
type pipe struct {
	chunks chan []byte
	rest   []byte
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		var ok bool
		if p.rest, ok = <-p.chunks; !ok {
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// flusher is a packer that can be told to let everything go.
type flusher interface {
	io.WriteCloser
	Flush() error
}

func flushers(t *testing.T) map[string]func(io.Writer) flusher {
	return map[string]func(io.Writer) flusher{
		"gzip": func(w io.Writer) flusher { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) flusher {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	}
}

// A packet that was packed and flushed is delivered before the pipe brings more, and closing then does not wait for more.
func TestPackedPacketsOfAPipeAreDeliveredAsTheyCome(t *testing.T) {
	for name, newPacker := range flushers(t) {
		t.Run(name, func(t *testing.T) {
			in := &pipe{chunks: make(chan []byte, 1)}
			var out bytes.Buffer
			z := newPacker(&out)
			send := func(part []byte) {
				z.Write(part)
				z.Flush()
				in.chunks <- bytes.Clone(out.Bytes())
				out.Reset()
			}
			file := samples()[0].parts
			send(file[0])
			src, err := NewReader(in, "pipe")
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range file[1:] {
				send(part)
				var b Batch
				if err := src.Next(&b); err != nil || len(b.Refs) != 1 {
					t.Fatalf("%d packets, error %v", len(b.Refs), err)
				}
			}
			if err := src.Close(); err != nil { // while more is asked of the pipe
				t.Fatal(err)
			}
			wantNoUnpackers(t)
		})
	}
}

// What was unpacked already does not wait for the pipe, however late it is read.
func TestUnpackedDataDoesNotWaitForThePipe(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), unpackBlock*3/2/16)
	for name, newPacker := range flushers(t) {
		for range 10 {
			in := &pipe{chunks: make(chan []byte, 1)}
			u := newUnpacker(in, false)
			var out bytes.Buffer
			z := newPacker(&out)
			z.Write(data)
			z.Flush()
			in.chunks <- out.Bytes()
			u.run(unpackerOf(t, name, source{u}))
			var got []byte
			for part := make([]byte, unpackBlock); len(got) < len(data); time.Sleep(2 * time.Millisecond) { // in which it asks for more
				n, err := u.Read(part)
				if err != nil {
					t.Fatal(name, err)
				}
				got = append(got, part[:n]...)
			}
			if !bytes.Equal(got, data) {
				t.Fatal(name, "other data")
			}
			u.Close()
		}
	}
}

func unpackerOf(t *testing.T, name string, in io.Reader) io.ReadCloser {
	if name == "gzip" {
		return &lazyGzip{in: in}
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return z.IOReadCloser()
}

// lazyGzip reads the header when it is asked for data.
type lazyGzip struct {
	in io.Reader
	z  *gzip.Reader
}

func (l *lazyGzip) Read(p []byte) (n int, err error) {
	if l.z == nil {
		if l.z, err = gzip.NewReader(l.in); err != nil {
			return 0, err
		}
	}
	return l.z.Read(p)
}

func (l *lazyGzip) Close() error { return nil }

// Damage in the middle is reported behind all packets before it, wherever blocks end, from a file and from a pipe.
func TestDamageInTheMiddleOfPackedDataComesAfterThePackets(t *testing.T) {
	file := manyPcap(4000)
	want := mustRead(t, file)
	for name, pack := range packings {
		for _, n := range []int{100, unpackBlock - 1, unpackBlock, unpackBlock + 1, 5*unpackBlock + 7, len(file)} {
			packed := join(pack(file[:n]), []byte("garbage that is nothing"))
			for kind, in := range map[string]io.Reader{"pipe": bytes.NewReader(packed), "file": open(t, packed), "slow": iotest.OneByteReader(bytes.NewReader(packed))} {
				src, err := NewReader(in, "x.pcap")
				if err != nil {
					t.Fatal(err)
				}
				packets, err := drain(t, src)
				src.Close()
				at := 24
				whole := 0
				for whole < len(want) && at+pcapHeader+len(want[whole].Data) <= n {
					at += pcapHeader + len(want[whole].Data)
					whole++
				}
				if d := wantDamage(t, err, int64(at)); !strings.HasPrefix(d.What, "compressed data: ") {
					t.Fatal(d)
				}
				if len(packets) != whole {
					t.Fatalf("%s, %s cut at %d: %d packets, want %d", name, kind, n, len(packets), whole)
				}
				equal(t, packets, want[:whole]...)
			}
		}
	}
}

func open(t *testing.T, content []byte) *os.File {
	f, err := os.Open(write(t, "x", content))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A disk that fails far into a packed file is no damage of the file.
func TestFailingInputOfPackedDataIsNoDamage(t *testing.T) {
	file := manyPcap(20_000)
	for name, pack := range packings {
		packed := cut(pack(file), 9)
		src, err := NewReader(io.MultiReader(bytes.NewReader(packed), iotest.ErrReader(errors.New("disk on fire"))), "x.pcap")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := drain(t, src)
		if err == nil || err.Error() != "read x.pcap: disk on fire" {
			t.Errorf("%s: error %v", name, err)
		}
		if len(packets) < 10_000 {
			t.Errorf("%s: %d packets before the failure", name, len(packets))
		}
	}
}

// Stats are asked for while packed data is read (see the race detector), and never count more than there is.
func TestStatsOfPackedDataWhileItIsRead(t *testing.T) {
	for name, pack := range packings {
		packed := pack(manyPcap(20_000))
		src, err := Open(write(t, "a.pcap", packed))
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		stop := make(chan struct{})
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if s := src.Stats(); s.Read > s.Size || s.Size != int64(len(packed)) {
					t.Errorf("%s: %+v of %d bytes", name, s, len(packed))
					return
				}
			}
		})
		drain(t, src)
		close(stop)
		wait.Wait()
		src.Close()
	}
}

// stubborn returns nothing, for ever.
type stubborn struct{}

func (stubborn) Read([]byte) (int, error) { return 0, nil }

func TestUnpackerOfNothingEnds(t *testing.T) {
	u := newUnpacker(stubborn{}, false)
	u.run(io.NopCloser(stubborn{}))
	defer u.Close()
	if n, err := u.Read(make([]byte, 10)); n != 0 || err != io.ErrNoProgress {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

// Blocks of unpacked data are used again.
func TestUnpackingTakesAFewBlocks(t *testing.T) {
	file := manyPcap(40_000) // 100 blocks
	for name, pack := range packings {
		path := write(t, "a.pcap", pack(file))
		src, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		src.Next(&b)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for src.Next(&b) == nil {
		}
		runtime.ReadMemStats(&after)
		src.Close()
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%s: %d bytes allocated for %d bytes of data", name, n, len(file))
		}
	}
}
