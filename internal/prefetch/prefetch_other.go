//go:build !amd64 && !arm64

package prefetch

import "unsafe"

// One does nothing here.
func One(unsafe.Pointer) {}

// Each does nothing here.
func Each([]unsafe.Pointer) {}

// EachFirst does nothing here.
func EachFirst([]unsafe.Pointer) {}

// Eight does nothing here.
func Eight(_, _, _, _ unsafe.Pointer) {}
