package capture

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func openBytes(t testing.TB, file []byte) *Reader {
	t.Helper()
	src, err := NewReader(bytes.NewReader(file), "x.pcap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// sample is a file, and where each of its packets ends.
type sample struct {
	name  string
	parts [][]byte
	ends  []int // number of parts after which another packet is whole
}

func samples() []sample {
	return []sample{
		{"pcap", [][]byte{
			pcapHead(le, magicMicro, 4, 1), pcapRecord(le, 1, 2, 9, "abc"),
			pcapRecord(le, 2, 3, 5, "defgh"), pcapRecord(le, 2, 3, 0, ""),
		}, []int{2, 3, 4}},
		{"pcap big endian", [][]byte{pcapHead(be, magicNano, 4, 1), pcapRecord(be, 1, 2, 9, "abc")}, []int{2}},
		{"pcapng", [][]byte{
			ngSection(le), ngInterface(le, 1, ngResol(9)...), ngPacket(le, 0, 1, 9, "abc"),
			ngBlock(le, 77, "unknown"), ngBlock(le, blockSimple, uint32(3), "xyz"), ngSection(be),
			ngInterface(be, 113), ngPacket(be, 0, 2, 4, "defg"),
		}, []int{3, 5, 8}},
	}
}

func TestEveryPrefixYieldsTheWholePacketsBeforeTheCut(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			file := join(s.parts...)
			borders, ends := map[int]bool{}, []int{}
			at := 0
			for i, part := range s.parts {
				at += len(part)
				borders[at] = true
				if len(ends) < len(s.ends) && s.ends[len(ends)] == i+1 {
					ends = append(ends, at)
				}
			}
			all := mustRead(t, file)
			if len(all) != len(s.ends) {
				t.Fatalf("%d packets, want %d", len(all), len(s.ends))
			}
			for n := range len(file) {
				packets, err := read(t, file[:n])
				checkPrefix(t, n, err, borders[n])
				whole := 0
				for whole < len(ends) && ends[whole] <= n {
					whole++
				}
				equal(t, packets, all[:whole]...)
			}
		})
	}
}

func checkPrefix(t *testing.T, n int, err error, border bool) {
	t.Helper()
	var want error
	switch {
	case n == 0:
		want = ErrEmpty
	case n < 4:
		want = ErrFormat
	case !border:
		want = io.ErrUnexpectedEOF
	}
	if !errors.Is(err, want) {
		t.Fatalf("prefix of %d bytes: error %v, want %v", n, err, want)
	}
}

func TestBytesMayTrickleIn(t *testing.T) {
	for _, s := range samples() {
		file := join(s.parts...)
		want := mustRead(t, file)
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data and error": iotest.DataErrReader,
		} {
			src, err := NewReader(wrap(bytes.NewReader(file)), "x")
			if err != nil {
				t.Fatal(name, err)
			}
			packets, err := drain(t, src)
			if err != nil {
				t.Fatal(name, err)
			}
			equal(t, packets, want...)
		}
	}
}

func TestPacketOfAPipeIsNotHeldBackForAFullBlock(t *testing.T) {
	r, w := io.Pipe()
	go w.Write(join(samples()[0].parts[:2]...)) // and no end
	src, err := NewReader(r, "pipe")
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if err := src.Next(&b); err != nil || len(b.Refs) != 1 {
		t.Fatalf("%d packets, error %v", len(b.Refs), err)
	}
	r.Close()
}

func TestCompressedFilesAreFoundByContent(t *testing.T) {
	skip := compose(le, uint32(zstdSkipMagic), uint32(4), "skip")
	for _, s := range samples() {
		file := join(s.parts...)
		want := mustRead(t, file)
		half := len(file) / 2
		for name, packed := range map[string][]byte{
			"gzip": gz(file), "gzip members": gz(file[:half], file[half:]),
			"zstd": zst(file), "zstd frames": zst(file[:half], file[half:]), "zstd skippable": join(skip, zst(file)),
		} {
			packets, err := read(t, packed)
			if err != nil {
				t.Fatal(s.name, name, err)
			}
			equal(t, packets, want...)
		}
	}
}

func TestDamagedCompressionYieldsThePacketsBefore(t *testing.T) {
	s := samples()[0]
	first, second := join(s.parts[:2]...), join(s.parts[2:]...)
	for name, packed := range map[string][]byte{
		"gzip cut":     cut(gz(first, second), len(gz(second))-12),
		"gzip garbage": join(gz(first), []byte("garbage that is no member")),
		"zstd cut":     cut(zst(first, second), 6),
		"zstd garbage": join(zst(first), []byte("garbage that is no frame")),
	} {
		packets, err := read(t, packed)
		wantDamage(t, err, int64(len(first)))
		if strings.HasSuffix(name, "cut") != errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
		if len(packets) != 1 {
			t.Errorf("%s: %d packets, want 1", name, len(packets))
		}
	}
}

func cut(file []byte, n int) []byte { return file[:len(file)-n] }

func TestEveryPrefixOfCompressedFilesFails(t *testing.T) {
	file := join(samples()[0].parts...)
	for _, packed := range [][]byte{gz(file), zst(file)} {
		for n := range len(packed) {
			if _, err := read(t, packed[:n]); err == nil {
				t.Fatalf("prefix of %d of %d bytes: no error", n, len(packed))
			}
		}
	}
}

func TestWhatIsNoCaptureIsSaid(t *testing.T) {
	for content, want := range map[string]string{
		"":                       "x.pcap: empty file",
		string(gz(nil)):          "x.pcap: empty file",
		"GET / HTTP":             "x.pcap: not a capture file (pcap or pcapng)",
		"ab":                     "x.pcap: not a capture file (pcap or pcapng)",
		string(gz([]byte("hi"))): "x.pcap: not a capture file (pcap or pcapng)",
		"\x1f\x8b":               "x.pcap: cut short at offset 0: compressed data ends early",
	} {
		if _, err := read(t, []byte(content)); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", content, err, want)
		}
	}
}

func TestFailingInputIsNoDamage(t *testing.T) {
	file := join(samples()[0].parts[:2]...)
	for _, content := range [][]byte{file, cut(gz(file), 9)} {
		r := io.MultiReader(bytes.NewReader(content), iotest.ErrReader(errors.New("disk on fire")))
		src, err := NewReader(r, "x.pcap")
		if err == nil {
			_, err = drain(t, src)
		}
		if err == nil || err.Error() != "read x.pcap: disk on fire" {
			t.Errorf("error %v", err)
		}
	}
}

func TestOpenNamesTheFileOnce(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir)
	if err == nil || strings.Count(err.Error(), dir) != 1 {
		t.Errorf("directory: %v", err)
	}
	_, err = Open(filepath.Join(dir, "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err = Open(); err == nil {
		t.Error("no file: no error")
	}
}

func write(t testing.TB, name string, file []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenReadsStandardInput(t *testing.T) {
	file := join(samples()[0].parts...)
	f, err := os.Open(write(t, "in", gz(file)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	old := os.Stdin
	os.Stdin = f
	defer func() { os.Stdin = old }()
	src, err := Open("-")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := drain(t, src)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, packets, mustRead(t, file)...)
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(); err != nil {
		t.Fatal("Close closed standard input")
	}
}

func TestStatsCountTheFileAsItIsStored(t *testing.T) {
	packed := gz(join(samples()[0].parts...))
	src, err := Open(write(t, "a.pcap", packed))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	drain(t, src)
	if s := src.Stats(); s.Read != int64(len(packed)) || s.Size != s.Read {
		t.Fatalf("%+v, want %d bytes", s, len(packed))
	}
}
