//go:build amd64 || arm64

package prefetch

import "unsafe"

// One brings the line of p near. Any address will do.
//
//go:noescape
func One(p unsafe.Pointer)

// First brings the line of p near, and that of what stands 128 bytes behind.
//
//go:noescape
func First(p unsafe.Pointer)

// Eight brings five lines near, from that of p on, and those of q, r and s. An address that is none takes longer.
//
//go:noescape
func Eight(p, q, r, s unsafe.Pointer)
