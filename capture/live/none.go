//go:build !cgo || nolive

package live

// Built tells whether this build can capture.
const Built = false

// List returns the interfaces of the system.
func List() ([]Interface, error) { return nil, ErrNotBuilt }

// Permitted tries whether the user may capture.
func Permitted() error { return ErrNotBuilt }

func open(string, *Options) (handle, error) { return nil, ErrNotBuilt }
