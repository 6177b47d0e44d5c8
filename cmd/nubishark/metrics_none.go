//go:build !cgo || nolive

package main

import "github.com/nubishark/nubishark/capture/live"

// serve fails: of what cannot be captured there is nothing to count, and so that a program that only reads files
// starts fast, it does without a server and Prometheus.
func (s *session) serve() (counters, error) {
	return nil, failed(statusInput, "--metrics: %w", live.ErrNotBuilt)
}
