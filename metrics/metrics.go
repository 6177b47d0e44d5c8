// Package metrics counts what a run that goes on finds, for Prometheus.
package metrics

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nubishark/nubishark/dissect"
)

// Metrics is a dissect.Sink. Its labels are bounded: letters, states, rule IDs and sides; never a device or an address.
type Metrics struct {
	registry     *prometheus.Registry
	frames       *prometheus.CounterVec
	transactions *prometheus.CounterVec
	latency      *prometheus.HistogramVec
	violations   *prometheus.CounterVec
	notes        *prometheus.CounterVec
	connected    map[*dissect.Conn]struct{}

	packets, received, dropped, devices atomic.Int64
}

// New returns metrics that are all zero.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), connected: make(map[*dissect.Conn]struct{})}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nubishark_" + name, Help: help}, labels)
	}
	m.frames = counter("frames_total", "NUBISON packets by type.", "type")
	m.transactions = counter("transactions_total", "Transactions by type of request and state.", "type", "state")
	m.violations = counter("violations_total", "Violations by ID, severity and whose fault they are.", "id", "severity", "blame")
	m.notes = counter("notes_total", "Notes on devices by ID.", "id")
	m.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "nubishark_latency_seconds", Help: "From a request's last byte to its response's.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
	}, []string{"type"})
	m.registry.MustRegister(m.frames, m.transactions, m.violations, m.notes, m.latency)
	for _, g := range []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"packets_total", "Captured packets.", &m.packets},
		{"received_packets_total", "Packets that the kernel received for the capture.", &m.received},
		{"dropped_packets_total", "Packets that the kernel dropped for lack of room.", &m.dropped},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "nubishark_" + g.name, Help: g.help}, value(g.value)))
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "nubishark_devices_connected", Help: "Open connections of devices that logged in."}, value(&m.devices)))
	return m
}

func value(v *atomic.Int64) func() float64 { return func() float64 { return float64(v.Load()) } }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Captured sets what the capture says of itself.
func (m *Metrics) Captured(packets int64, received, dropped uint64) {
	m.packets.Store(packets)
	m.received.Store(int64(received))
	m.dropped.Store(int64(dropped))
}

func letter(l byte) string {
	if l == 0 {
		return "unknown"
	}
	return string(rune(l))
}

// Frame implements dissect.Sink.
func (m *Metrics) Frame(f *dissect.Frame) {
	m.frames.WithLabelValues(letter(f.Letter)).Inc()
	if _, known := m.connected[f.Conn]; !known && f.Conn.Device() != "" {
		m.connected[f.Conn] = struct{}{}
		m.devices.Store(int64(len(m.connected)))
	}
}

// Transaction implements dissect.Sink.
func (m *Metrics) Transaction(t *dissect.Transaction) {
	m.transactions.WithLabelValues(letter(t.Letter), t.State.String()).Inc()
	if ns, ok := t.Latency(); ok {
		m.latency.WithLabelValues(letter(t.Letter)).Observe(float64(ns) / 1e9)
	}
}

// Violation implements dissect.Sink.
func (m *Metrics) Violation(v *dissect.Violation) {
	m.violations.WithLabelValues(v.Rule.ID, v.Severity().String(), v.BlameName()).Inc()
}

// Stream implements dissect.Sink.
func (m *Metrics) Stream(s *dissect.Stream) {
	delete(m.connected, s.Conn)
	m.devices.Store(int64(len(m.connected)))
}

// Note implements dissect.NoteSink.
func (m *Metrics) Note(n *dissect.Note) { m.notes.WithLabelValues(n.ID).Inc() }
