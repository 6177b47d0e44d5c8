package capture

import (
	"errors"
	"io"
)

const (
	// packedBlock is how much packed data is read at once.
	packedBlock = 64 << 10
	// unpackBlock is how much unpacked data is handed over at once, unpackBlocks how many such blocks there are: one is
	// filled, one is read, and one more so that neither side waits for the other for long.
	unpackBlock  = 128 << 10
	unpackBlocks = 3
)

// errClosed ends an unpacker that nobody reads any more.
var errClosed = errors.New("closed")

// unpacker unpacks data in a goroutine of its own, so that this and what is done with the data go on at the same time.
//
// Packed data that may have to be waited for is not read there, but by whoever calls Read, when the goroutine asks for it: so
// nothing that blocks is left behind by Close, and what was unpacked from a slow pipe is delivered before more is asked of it.
type unpacker struct {
	in io.Reader // packed
	// ready tells that there is nothing to wait for in the input.
	ready bool

	full chan unpacked
	free chan []byte
	want chan []byte // what is to be filled with packed data
	came chan packed
	stop chan struct{}
	done chan struct{} // closed when the goroutine has ended

	// Of the reading side.
	now   unpacked // what is being read
	asked []byte   // a want that was not fulfilled yet

	// Of the goroutine.
	z       io.ReadCloser
	running bool
	block   []byte // what is being filled
	sent    int    // of block
	filled  int
}

// unpacked is a part of the unpacked data.
type unpacked struct {
	data []byte
	back []byte // the block to be filled again, if data is the end of it
	err  error  // behind the data
}

// packed is the answer to a want.
type packed struct {
	n   int
	err error
}

// newUnpacker prepares unpacking. Its source is what the decompressor is to read from; run makes it work. ready tells that in never
// blocks.
func newUnpacker(in io.Reader, ready bool) *unpacker {
	return &unpacker{
		in: in, ready: ready,
		full: make(chan unpacked, unpackBlocks), free: make(chan []byte, unpackBlocks),
		want: make(chan []byte), came: make(chan packed), stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// run begins to unpack with z, which reads from the source. Close must be called in the end, once.
func (u *unpacker) run(z io.ReadCloser) {
	u.z, u.running = z, true
	for range unpackBlocks {
		u.free <- make([]byte, unpackBlock)
	}
	go func() {
		defer close(u.done)
		u.unpack()
	}()
}

// unpack fills blocks until the data ends or Close is called.
func (u *unpacker) unpack() {
	for empty := 0; ; {
		if u.block == nil {
			select {
			case u.block = <-u.free:
				u.sent, u.filled = 0, 0
			case <-u.stop:
				return
			}
		}
		n, err := u.z.Read(u.block[u.filled:])
		u.filled += n
		if empty++; n > 0 {
			empty = 0
		} else if err == nil && empty >= maxEmptyReads {
			err = io.ErrNoProgress
		}
		if err == nil && u.filled < len(u.block) {
			continue
		}
		if !u.send(unpacked{u.block[u.sent:u.filled], u.block, err}) || err != nil {
			return
		}
		u.block = nil
	}
}

func (u *unpacker) send(p unpacked) bool {
	select {
	case u.full <- p:
		return true
	case <-u.stop:
		return false
	}
}

// source is what the decompressor reads from: first by itself, for the header, then by the goroutine.
type source struct{ u *unpacker }

// Read asks for packed data, after what was made of all that came before is on its way.
func (s source) Read(p []byte) (int, error) {
	u := s.u
	if !u.running || u.ready {
		return u.in.Read(p)
	}
	if u.filled > u.sent {
		if !u.send(unpacked{data: u.block[u.sent:u.filled]}) {
			return 0, errClosed
		}
		u.sent = u.filled
	}
	select {
	case u.want <- p:
	case <-u.stop:
		return 0, errClosed
	}
	select {
	case c := <-u.came:
		return c.n, c.err
	case <-u.stop:
		return 0, errClosed
	}
}

// Read fills p, unless the data ends or more packed data may have to be waited for; then it returns what there is.
func (u *unpacker) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(u.now.data) == 0 {
			if u.now.err != nil {
				return n, u.now.err
			}
			if u.now.back != nil {
				u.free <- u.now.back // there are no more of them than places
				u.now.back = nil
			}
			if !u.next(n == 0) {
				break
			}
		}
		k := copy(p[n:], u.now.data)
		u.now.data = u.now.data[k:]
		n += k
	}
	return n, nil
}

// next takes the next part of the data. It reports whether there is one; it waits for the input only if it must.
func (u *unpacker) next(must bool) bool {
	for {
		if u.asked == nil {
			select {
			case u.now = <-u.full:
				return true
			case u.asked = <-u.want:
			}
		}
		select {
		case u.now = <-u.full: // it was sent before more was asked for
			return true
		default:
		}
		if !must {
			return false
		}
		n, err := u.in.Read(u.asked)
		u.asked = nil
		u.came <- packed{n, err} // the goroutine waits for it
	}
}

// Close ends the goroutine, waits until it has ended, which takes no longer than unpacking a block does, and closes the
// decompressor.
func (u *unpacker) Close() error {
	close(u.stop)
	<-u.done
	if err := u.z.Close(); !errors.Is(err, errClosed) { // which it got from us
		return err
	}
	return nil
}
