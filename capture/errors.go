package capture

import (
	"errors"
	"fmt"
)

// Errors that tell why a file is not read at all.
var (
	// ErrEmpty means that the file has no bytes.
	ErrEmpty = errors.New("empty file")
	// ErrFormat means that the file is neither pcap nor pcapng.
	ErrFormat = errors.New("not a capture file (pcap or pcapng)")
)

// DamageError tells where a file is damaged; the packets before it are good.
type DamageError struct {
	File string
	// Offset is in bytes from the start of the (decompressed) capture.
	Offset int64
	// What is wrong there.
	What string
}

// Error implements error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: damaged at offset %d: %s", e.File, e.Offset, e.What)
}
