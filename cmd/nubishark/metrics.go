//go:build cgo && !nolive

package main

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/nubishark/nubishark/metrics"
)

// serve serves what it returns, at the address of --metrics.
func (s *session) serve() (counters, error) {
	addr := s.w.metrics
	if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, failed(statusInput, "metrics: %w", err)
	}
	m := metrics.New()
	mux := http.NewServeMux()
	mux.Handle("/metrics", m.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(l) //nolint:errcheck // it ends with the process
	if !s.w.quiet {
		s.tell("metrics at http://%s/metrics", l.Addr())
	}
	return m, nil
}
