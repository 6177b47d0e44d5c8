package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

const (
	// blockSize is how much is read at once. Half of it costs a tenth more of processor time in a whole run, and twice of it
	// gains nothing and takes 3 MiB.
	blockSize = 128 << 10
	// maxRecord bounds a record: a longer one is damage. Nothing is allocated on the word of a file.
	maxRecord = 16 << 20
	// maxKept is the room that a batch keeps after a giant record.
	maxKept = 4 * blockSize
	// maxWireLen keeps a wire length representable where int has 32 bits.
	maxWireLen = 1 << 30
	// maxEmptyReads is how often an input may return nothing without an error.
	maxEmptyReads = 100
)

// Reader reads one capture. It implements Source.
type Reader struct {
	name    string
	raw     *counter
	in      io.Reader
	packed  bool // in unpacks raw
	size    int64
	closers []io.Closer

	rest   []byte // read, and not yet parsed: the start of the next batch
	base   int64  // offset in the capture of rest[0]
	ended  bool   // in has no more
	inErr  error  // why in ended, if not at its end
	err    error  // what Next goes on to return
	number int64
	format format
	ifaces []Interface

	stats Stats
	mu    sync.Mutex // guards told: Stats may be asked for while Next runs
	told  Stats
}

// format parses records.
type format interface {
	// records adds the packets of all whole records in the batch's data, which begins with one; they end at at. The
	// next one takes need bytes in all, or as many to tell how many, unless what says how it is damaged.
	records(b *Batch, r *Reader) (at, need int, what string)
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
	switch {
	case r.inErr != nil:
		return r.failure(r.inErr, 0)
	case len(r.rest) == 0:
		return fmt.Errorf("%s: %w", r.name, ErrEmpty)
	case len(r.rest) < 4:
		return fmt.Errorf("%s: %w", r.name, ErrFormat)
	}
	return &DamageError{r.name, 0, "the file header is not whole", io.ErrUnexpectedEOF}
}

// failure tells a failing input from compressed data that is damaged.
func (r *Reader) failure(err error, off int64) error {
	if r.raw.err != nil || !r.packed {
		return readError(r.name, err)
	}
	what := "compressed data ends early"
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		what = "compressed data: " + err.Error()
	}
	return &DamageError{r.name, off, what, err}
}

// fill reads at least one more byte, unless the input has ended.
func (r *Reader) fill(n int) {
	at := len(r.rest)
	r.rest = append(r.rest, make([]byte, n)...)
	got := r.read(r.rest[at:])
	r.rest = r.rest[:at+got]
}

// read reads once, and again only while the input returns nothing at all.
func (r *Reader) read(p []byte) int {
	for range maxEmptyReads {
		n, err := r.in.Read(p)
		r.note(err)
		if n > 0 || err != nil {
			return n
		}
	}
	r.note(io.ErrNoProgress)
	return 0
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

// Interfaces are those that the file has described so far; a packet's Iface is an index. A file of the older format has one
// without a name.
func (r *Reader) Interfaces() []Interface { return r.ifaces }

// Next implements Source.
func (r *Reader) Next(b *Batch) error {
	r.begin(b)
	for r.err == nil && len(b.Refs) == 0 {
		at, need := r.parse(b)
		r.base += int64(at)
		if len(b.Refs) > 0 {
			r.keep(b, at)
			break
		}
		// Nothing but other blocks so far: they need not stay in memory.
		b.Data = b.Data[:copy(b.Data, b.Data[at:])]
		if r.err == nil {
			r.more(b, need)
		}
	}
	r.publish()
	if len(b.Refs) > 0 {
		return nil
	}
	b.Data = b.Data[:0]
	return r.end()
}

// begin gives b what the last batch could not finish. It is copied because
// that batch may still be in use.
func (r *Reader) begin(b *Batch) {
	b.Data, b.Refs = b.Data[:0], b.Refs[:0]
	if cap(b.Data) < blockSize || cap(b.Data) > maxKept && len(r.rest) < blockSize {
		b.Data = make([]byte, 0, blockSize)
	}
	b.Data = append(b.Data, r.rest...)
	r.rest = r.rest[:0]
}

// keep takes the unfinished record at the end of b.
func (r *Reader) keep(b *Batch, at int) {
	if cap(r.rest) > maxKept {
		r.rest = nil
	}
	r.rest = append(r.rest[:0], b.Data[at:]...)
	b.Data = b.Data[:at]
}

// end tells the error once; then the source is at its end.
func (r *Reader) end() error {
	err := r.err
	r.err = io.EOF
	return err
}

// parse takes the whole records of b, which end at at; need is how many bytes the next one
// asks for. It sets r.err where there is no next one.
func (r *Reader) parse(b *Batch) (at, need int) {
	at, need, what := r.format.records(b, r)
	switch {
	case what != "":
		r.err = &DamageError{r.name, r.base + int64(at), what, nil}
	case r.ended && len(b.Refs) == 0:
		r.err = r.endError(len(b.Data)-at, r.base+int64(at))
	}
	return at, need
}

// endError tells whether the input ended where a record does, or left bytes of one at off.
func (r *Reader) endError(left int, off int64) error {
	switch {
	case r.inErr != nil:
		return r.failure(r.inErr, off)
	case left > 0:
		return &DamageError{
			r.name, off, fmt.Sprintf("the last record has %d bytes and goes on", left), io.ErrUnexpectedEOF,
		}
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
		n := r.read(b.Data[len(b.Data):cap(b.Data)])
		b.Data = b.Data[:len(b.Data)+n]
	}
}

// grow makes room for the references to packets from at on, if most take as many bytes as are usual. A giant packet
// is no reason to expect many.
func (b *Batch) grow(at, usual int) {
	b.Refs = slices.Grow(b.Refs, min(len(b.Data)-at, blockSize)/usual)
}

func (r *Reader) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = r.stats
}

// Stats implements Source; it may be called while Next runs.
func (r *Reader) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.told
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
	r.rest, r.err = nil, io.EOF
	return err
}
