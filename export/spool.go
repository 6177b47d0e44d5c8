package export

import (
	"io"
	"sync"
	"time"
)

// maxSpooled bounds the bytes that wait for a slow reader.
const maxSpooled = 8 << 20

// Spool hands what is written to a writer that may be slow, without ever waiting for it. What does not fit is left
// out, whole writes at a time, and counted.
type Spool struct {
	w io.Writer

	mu      sync.Mutex
	wake    *sync.Cond
	waiting []byte
	skipped int64
	closed  bool
	err     error
	done    chan struct{}
}

// NewSpool starts handing on. Close ends it.
func NewSpool(w io.Writer) *Spool {
	s := &Spool{w: w, done: make(chan struct{})}
	s.wake = sync.NewCond(&s.mu)
	go s.run()
	return s
}

// Write takes over a copy of b, or leaves it out. It fails once writing has failed.
func (s *Spool) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case len(s.waiting) > 0 && len(s.waiting)+len(b) > maxSpooled:
		s.skipped++
	default:
		s.waiting = append(s.waiting, b...)
		s.wake.Signal()
	}
	return len(b), nil
}

func (s *Spool) run() {
	defer close(s.done)
	var b []byte
	for {
		s.mu.Lock()
		for len(s.waiting) == 0 && !s.closed {
			s.wake.Wait()
		}
		if len(s.waiting) == 0 || s.err != nil {
			s.mu.Unlock()
			return
		}
		b, s.waiting = s.waiting, b[:0]
		s.mu.Unlock()
		if _, err := s.w.Write(b); err != nil {
			s.mu.Lock()
			s.err, s.waiting = err, nil
			s.mu.Unlock()
			return
		}
	}
}

// Err is why writing failed, nil as long as it works.
func (s *Spool) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close waits for the reader to take what is left, at most for a time. It returns how many writes were left out, and
// whether the reader had not taken all by then.
func (s *Spool) Close(wait time.Duration) (skipped int64, stuck bool) {
	s.mu.Lock()
	s.closed = true
	s.wake.Signal()
	s.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		stuck = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skipped, stuck
}
