package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Open opens capture files as one capture in time order; "-" is standard input. It fails
// with an error that wraps ErrEmpty or ErrFormat, or tells what the system said.
func Open(paths ...string) (Source, error) {
	var list []*Reader
	for _, p := range paths {
		r, err := openFile(p)
		if err != nil {
			for _, o := range list {
				_ = o.Close()
			}
			return nil, err
		}
		list = append(list, r)
	}
	switch len(list) {
	case 0:
		return nil, errors.New("no capture file named")
	case 1:
		return list[0], nil
	}
	return merge(list), nil
}

func openFile(path string) (*Reader, error) {
	if path == "-" {
		return NewReader(os.Stdin, "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Unwrap(err))
	}
	r, err := NewReader(f, path)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	r.closers = append(r.closers, f)
	return r, nil
}

// NewReader reads one capture from r; name stands for it in errors. It reads the first bytes at
// once, to find the format, and fails as Open does. Where r is a regular file, its size is in
// Stats. Close does not close r, and must be called: packed data has a goroutine that unpacks it.
func NewReader(r io.Reader, name string) (*Reader, error) {
	c := &counter{r: r}
	rd := &Reader{name: name, raw: c, size: sizeOf(r)}
	in, err := rd.decompress(c)
	if err != nil {
		return nil, err
	}
	rd.in = in
	if err := rd.start(); err != nil {
		_ = rd.Close()
		return nil, err
	}
	return rd, nil
}

// sizeOf is 0 where the size is unknown.
func sizeOf(r io.Reader) int64 {
	f, ok := r.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return 0
	}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		return st.Size()
	}
	return 0
}

// decompress finds gzip and zstd by their content.
func (r *Reader) decompress(c *counter) (io.Reader, error) {
	head := make([]byte, 4)
	n, _ := io.ReadFull(c, head) // a short file is judged by what it has
	head = head[:n]
	if c.err != nil {
		return nil, readError(r.name, c.err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: %w", r.name, ErrEmpty)
	}
	in := io.MultiReader(bytes.NewReader(head), c)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		u := r.unpacker(in)
		z, err := gzip.NewReader(bufio.NewReaderSize(source{u}, packedBlock))
		if err != nil {
			return nil, r.failure(cutError(err), 0)
		}
		return r.unpack(u, z), nil
	case isZstd(head):
		u := r.unpacker(in)
		// One decoder without goroutines, because there is one for it. Its own would read the input, and take what the worker
		// that analyses needs of two processors.
		z, err := zstd.NewReader(bufio.NewReaderSize(source{u}, packedBlock), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, r.failure(cutError(err), 0)
		}
		return r.unpack(u, z.IOReadCloser()), nil
	}
	// What was read ahead goes before the blocks, so that these are read straight into batches.
	r.rest = head
	return c, nil
}

// unpacker prepares to unpack in. Reading a regular file does not block.
func (r *Reader) unpacker(in io.Reader) *unpacker {
	r.packed = true
	return newUnpacker(in, r.size > 0)
}

// unpack begins to unpack with z, and goes on until Close.
func (r *Reader) unpack(u *unpacker, z io.ReadCloser) io.Reader {
	r.closers = append(r.closers, u)
	u.run(z)
	return u
}

const (
	zstdMagic = 0xfd2fb528
	// A zstd file may begin with a skippable frame; sixteen magics mark one.
	zstdSkipMagic = 0x184d2a50
	zstdSkipMask  = 0xfffffff0
	// zstdWindow is the largest window that the zstd command unpacks unasked.
	zstdWindow = 128 << 20
)

func isZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	m := binary.LittleEndian.Uint32(head)
	return m == zstdMagic || m&zstdSkipMask == zstdSkipMagic
}

// cutError makes one error of the two that unpackers have for cut data.
func cutError(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// counter counts the bytes read of a file, for the progress shown, and remembers its own
// failure: that is how a bad disk is told from bad compressed data.
type counter struct {
	r   io.Reader
	n   atomic.Int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
