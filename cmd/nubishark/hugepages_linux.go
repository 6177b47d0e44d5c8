//go:build linux && (amd64 || arm64)

package main

import (
	"runtime"
	"syscall"
	"unsafe"
)

// hugePages asks the system for pages of 2 MiB where the heap lies and will grow. With many connections, each packet looks at memory that lies
// anywhere: with small pages, finding the pages takes a good part of the time, and so does handing them out one by one.
// The heap lies in arenas of 64 MiB, begins anywhere in the first one, and maps a part of them each time that it grows; a part that is mapped
// later is not what the system was asked about. So it grows at once to what it may come to, and that is given back to it untouched. Where the
// system has no such pages, nothing happens.
func hugePages() {
	const (
		arena    = 64 << 20
		hugePage = 14 // MADV_HUGEPAGE
	)
	first, all := new([64 << 10]byte), new([heapAim]byte)
	for _, from := range [...]uintptr{uintptr(unsafe.Pointer(first)), uintptr(unsafe.Pointer(all)), uintptr(unsafe.Pointer(&all[heapAim-1]))} {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from&^(arena-1), arena, hugePage)
	}
	runtime.KeepAlive(all)
	runtime.GC()
}
