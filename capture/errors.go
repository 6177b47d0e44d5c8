package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Errors that tell why a file is not read at all.
var (
	// ErrEmpty means that the file has no bytes.
	ErrEmpty = errors.New("empty file")
	// ErrFormat means that the file is neither pcap nor pcapng.
	ErrFormat = errors.New("not a capture file (pcap or pcapng)")
)

// DamageError tells where a file is damaged; the packets before it are good. It
// unwraps to io.ErrUnexpectedEOF where the file merely stops too early.
type DamageError struct {
	File string
	// Offset is where the unreadable record begins, in bytes from the start
	// of the (decompressed) capture.
	Offset int64
	// What is wrong there.
	What string
	// Err is the cause, nil where a rule of the format is broken.
	Err error
}

// Error implements error.
func (e *DamageError) Error() string {
	kind := "damaged"
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		kind = "cut short"
	}
	return fmt.Sprintf("%s: %s at offset %d: %s", e.File, kind, e.Offset, e.What)
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// readError names the input once: the error of an os.File names it already.
func readError(name string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// ErrIdle tells that no packet came in the time that was given. It is no end.
var ErrIdle = errors.New("no packet for now")
