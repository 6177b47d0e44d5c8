//go:build !amd64 && !arm64

package prefetch

import "unsafe"

// One does nothing here.
func One(unsafe.Pointer) {}

// First does nothing here.
func First(unsafe.Pointer) {}

// Eight does nothing here.
func Eight(_, _, _, _ unsafe.Pointer) {}
