//go:build linux && (amd64 || arm64)

package main

import (
	"syscall"
	"unsafe"
)

// hugePages asks the system for pages of 2 MiB where the heap lies and will grow. With many connections, each packet looks at memory that lies
// anywhere: with small pages, finding the pages takes a good part of the time, and so does handing them out one by one.
// The heap begins with an arena of 64 MiB that is reserved as a whole. Where the system has no such pages, nothing happens.
func hugePages() {
	const (
		arena    = 64 << 20
		hugePage = 14 // MADV_HUGEPAGE
	)
	on := new([64 << 10]byte)
	start := uintptr(unsafe.Pointer(on)) &^ (arena - 1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start, arena, hugePage)
}
