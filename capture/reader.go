package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// blockSize is how much is read at once.
	blockSize = 256 << 10
	// maxRecord bounds a record: a longer one is damage. Nothing is allocated on the word of a file.
	maxRecord = 16 << 20
)

// Reader reads one capture. It implements Source.
type Reader struct {
	name    string
	raw     *counter
	in      io.Reader
	size    int64
	closers []io.Closer

	rest   []byte // read, and not yet parsed: the start of the next batch
	base   int64  // offset in the capture of rest[0]
	ended  bool   // in has no more
	inErr  error  // why in ended, if not at its end
	err    error  // what Next goes on to return
	number int64
	stats  Stats
	format format
}

// format parses records.
type format interface {
	// next parses the record at the start of b, which stands at offset at of the batch. n is the
	// record's size; 0 means that more bytes are needed, and need says how many in all.
	next(b []byte, at int, batch *Batch, r *Reader) (n, need int, what string)
}

// start reads the file header.
func (r *Reader) start() error {
	for len(r.rest) < 24 && !r.ended {
		r.fill(64)
	}
	if len(r.rest) < 4 {
		return r.startError()
	}
	if f, ok := newPcap(r.rest); ok {
		if f == nil {
			return r.startError()
		}
		r.format = f
		r.rest, r.base = r.rest[24:], 24
		return nil
	}
	if binary.LittleEndian.Uint32(r.rest) == blockSection {
		r.format = &pcapng{}
		return nil
	}
	return fmt.Errorf("%s: %w", r.name, ErrFormat)
}

func (r *Reader) startError() error {
	if r.inErr != nil {
		return &DamageError{r.name, 0, r.inErr.Error()}
	}
	if len(r.rest) < 4 {
		return fmt.Errorf("%s: %w", r.name, ErrFormat)
	}
	return &DamageError{r.name, int64(len(r.rest)), "cut short in the file header"}
}

// fill reads at least one more byte, unless the input has ended.
func (r *Reader) fill(n int) {
	at := len(r.rest)
	r.rest = append(r.rest, make([]byte, n)...)
	got, err := io.ReadAtLeast(r.in, r.rest[at:], 1)
	r.rest = r.rest[:at+got]
	r.note(err)
}

func (r *Reader) note(err error) {
	if err == nil {
		return
	}
	r.ended = true
	if !errors.Is(err, io.EOF) {
		r.inErr = err
	}
}

// Next implements Source.
func (r *Reader) Next(b *Batch) error {
	b.Refs = b.Refs[:0]
	if r.err != nil {
		b.Data = b.Data[:0]
		return r.err
	}
	b.Data = append(b.Data[:0], r.rest...)
	at := 0
	for {
		n, err := r.parse(b, &at)
		if err != nil {
			r.err = err
			break
		}
		if len(b.Refs) > 0 {
			break
		}
		r.more(b, n)
	}
	r.rest = append(r.rest[:0], b.Data[at:]...)
	r.base += int64(at)
	if len(b.Refs) > 0 {
		return nil
	}
	return r.err
}

// parse takes the records from at on; need is how many bytes the next one asks for.
func (r *Reader) parse(b *Batch, at *int) (need int, err error) {
	for {
		n, need, what := r.format.next(b.Data[*at:], *at, b, r)
		if what != "" {
			return 0, &DamageError{r.name, r.base + int64(*at), what}
		}
		if n > 0 {
			*at += n
			continue
		}
		if !r.ended {
			return *at + need, nil
		}
		if len(b.Refs) > 0 {
			return 0, nil
		}
		return 0, r.endError(b, *at)
	}
}

// endError tells whether the input ended where a record does.
func (r *Reader) endError(b *Batch, at int) error {
	off := r.base + int64(len(b.Data))
	switch {
	case r.inErr != nil:
		return &DamageError{r.name, off, r.inErr.Error()}
	case at < len(b.Data):
		return &DamageError{r.name, off, "the file is cut short in the middle of a packet"}
	}
	return io.EOF
}

// more reads until the batch holds need bytes, or a block if that is more.
func (r *Reader) more(b *Batch, need int) {
	want := max(need, blockSize)
	for len(b.Data) < need && !r.ended {
		if cap(b.Data) < want {
			// Grow with what really comes, not with what a record says of itself.
			bigger := make([]byte, len(b.Data), min(want, max(2*len(b.Data), blockSize)))
			copy(bigger, b.Data)
			b.Data = bigger
		}
		if len(b.Data) == cap(b.Data) {
			want = max(want, cap(b.Data)+1)
			continue
		}
		n, err := r.in.Read(b.Data[len(b.Data):cap(b.Data)])
		b.Data = b.Data[:len(b.Data)+n]
		r.note(err)
	}
}

// add appends a packet to the batch.
func (r *Reader) add(b *Batch, off, n, wire int, time int64, link LinkType) {
	r.number++
	b.Refs = append(b.Refs, Ref{Number: r.number, Time: time, Off: off, Len: n, WireLen: max(wire, n), Link: link})
}

// Stats implements Source.
func (r *Reader) Stats() Stats {
	s := r.stats
	s.Read, s.Size = r.raw.n.Load(), r.size
	return s
}

// Close implements Source.
func (r *Reader) Close() error {
	var err error
	for _, c := range r.closers {
		err = errors.Join(err, c.Close())
	}
	r.closers = nil
	return err
}
