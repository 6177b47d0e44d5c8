//go:build amd64 || arm64

package prefetch

import "unsafe"

// One brings the line of p near. Any address will do.
//
//go:noescape
func One(p unsafe.Pointer)

//go:noescape
func each(list *unsafe.Pointer, n int)

//go:noescape
func eachFirst(list *unsafe.Pointer, n int)

// Each brings the lines of all near.
func Each(list []unsafe.Pointer) { each(unsafe.SliceData(list), len(list)) }

// EachFirst brings the lines of all near, and those of what stands 128 bytes behind, which need not be anything: so no pointer leads there.
func EachFirst(list []unsafe.Pointer) { eachFirst(unsafe.SliceData(list), len(list)) }

// Eight brings five lines near, from that of p on, and those of q, r and s. An address that is none takes longer.
//
//go:noescape
func Eight(p, q, r, s unsafe.Pointer)
