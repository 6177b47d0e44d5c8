package export

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// stuck is a reader that takes nothing until it is let go.
type stuck struct {
	free chan struct{}
	got  bytes.Buffer
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.free
	return s.got.Write(b)
}

func TestSpoolNeverWaits(t *testing.T) {
	out := &stuck{free: make(chan struct{})}
	s := NewSpool(out)
	line := bytes.Repeat([]byte("x"), 1<<20)
	for range 30 {
		if _, err := s.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if _, isStuck := s.Close(time.Millisecond); !isStuck {
		t.Error("a reader that takes nothing is not told")
	}
	close(out.free)
	skipped, isStuck := s.Close(time.Minute)
	if isStuck || skipped == 0 || int64(out.got.Len()) != (30-skipped)<<20 {
		t.Errorf("stuck %v, %d left out, %d bytes", isStuck, skipped, out.got.Len())
	}
}

func TestSpoolHandsOnAll(t *testing.T) {
	var out bytes.Buffer
	s := NewSpool(&out)
	for range 1000 {
		if _, err := s.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if skipped, isStuck := s.Close(time.Minute); skipped > 0 || isStuck || out.Len() != 5000 {
		t.Errorf("%d left out, %d bytes", skipped, out.Len())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestSpoolReportsABrokenPipe(t *testing.T) {
	s := NewSpool(broken{})
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Close(time.Minute)
	if _, err := s.Write([]byte("x")); err == nil || s.Err() == nil {
		t.Error("no error")
	}
}
