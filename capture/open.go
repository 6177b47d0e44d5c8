package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
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
		return nil, fmt.Errorf("open %s: %w", path, errors.Unwrap(err))
	}
	r, err := NewReader(f, path)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		r.size = st.Size()
	}
	r.closers = append(r.closers, f)
	return r, nil
}

// NewReader reads one capture from r; name stands for it in errors.
func NewReader(r io.Reader, name string) (*Reader, error) {
	c := &counter{r: r}
	rd := &Reader{name: name, raw: c}
	in, err := rd.decompress(c)
	if err != nil {
		return nil, err
	}
	rd.in = in
	return rd, rd.start()
}

// decompress finds gzip and zstd by their content.
func (r *Reader) decompress(c io.Reader) (io.Reader, error) {
	head := make([]byte, 4)
	n, err := io.ReadFull(c, head)
	head = head[:n]
	if n == 0 {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read %s: %w", r.name, err)
		}
		return nil, fmt.Errorf("%s: %w", r.name, ErrEmpty)
	}
	in := io.MultiReader(bytes.NewReader(head), c)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bufio.NewReaderSize(in, 1<<18))
		if err != nil {
			return nil, &DamageError{r.name, 0, "gzip header: " + err.Error()}
		}
		r.closers = append(r.closers, z)
		return z, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
		if err != nil {
			return nil, &DamageError{r.name, 0, "zstd header: " + err.Error()}
		}
		r.closers = append(r.closers, z.IOReadCloser())
		return z, nil
	}
	return in, nil
}

// counter counts the bytes read of a file, for the progress shown.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
