//go:build linux && (amd64 || arm64)

package main

import (
	"runtime"
	"syscall"
	"unsafe"
)

// hugePages asks the system for pages of 2 MiB where the heap lies and will grow. With many connections, each packet looks at memory that lies
// anywhere: with small pages, finding the pages takes a good part of the time, and so does handing them out one by one.
// The heap begins with an arena of 64 MiB, of which it maps a part each time that it grows; a part that is mapped later is not what the
// system was asked about. So it grows at once to what it may come to, and that is given back to it untouched. Where the
// system has no such pages, nothing happens.
func hugePages() {
	const (
		arena    = 64 << 20
		hugePage = 14 // MADV_HUGEPAGE
	)
	all := new([heapAim]byte)
	start := uintptr(unsafe.Pointer(all)) &^ (arena - 1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start, arena, hugePage)
	runtime.KeepAlive(all)
	runtime.GC()
}
