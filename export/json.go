package export

import (
	"encoding/hex"
	"net/netip"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// jsonWriter writes one object a line, or the same objects as one array.
type jsonWriter struct {
	*base
	array bool
	open  bool
	line  []byte // so far

	numbers, frames, packets, transactions, requests series
}

// start returns what stands before an object.
func (w *jsonWriter) start() []byte {
	b := w.out.line()
	if w.array {
		if w.open {
			b = append(b, ',', '\n')
		} else {
			b = append(b, '[', '\n')
		}
		w.open = true
	}
	return b
}

// closed returns an object with its end.
func (w *jsonWriter) closed(b []byte) []byte {
	return append(b, "}\n"[:w.endSize()]...)
}

// endSize is the size of the end of an object and a line; in an array the line ends later.
func (w *jsonWriter) endSize() int {
	if w.array {
		return 1
	}
	return 2
}

func (w *jsonWriter) begin(record string) {
	b := append(w.start(), `{"record":"`...)
	b = append(b, record...)
	w.line = append(b, '"')
}

func (w *jsonWriter) end() { w.base.end(w.closed(w.line)) }

func (w *jsonWriter) name(k string) {
	w.line = append(w.line, k...)
}

// key returns a name as it stands before a value.
func key(name string) string { return `,"` + name + `":` }

func (w *jsonWriter) num(k string, v int64) {
	w.name(k)
	w.line = appendNum(w.line, v)
}

func (w *jsonWriter) str(k, v string) {
	w.name(k)
	w.line = appendJSON(w.line, v)
}

// wire writes bytes from the wire.
func (w *jsonWriter) wire(k string, b []byte) {
	w.name(k)
	w.line = append(appendJSONWire(append(w.line, '"'), b), '"')
}

func (w *jsonWriter) time(k string, ns int64) {
	w.name(k)
	w.line = append(w.clock.append(append(w.line, '"'), ns), '"')
}

func (w *jsonWriter) addr(k string, a netip.AddrPort) {
	w.name(k)
	w.line = append(a.AppendTo(append(w.line, '"')), '"')
}

func (w *jsonWriter) nums(k string, list []int64) {
	w.name(k)
	w.line = appendNums(w.line, list)
}

func appendNums(b []byte, list []int64) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNum(b, v)
	}
	return append(b, ']')
}

// reason tells why there is no answer, and what proves it.
func (w *jsonWriter) reason(r dissect.Reason, evidence []int64) {
	if r == dissect.NoReason {
		return
	}
	w.str(`,"reason":`, r.String())
	if len(evidence) > 0 {
		w.nums(`,"evidence":`, evidence)
	}
}

// startOf is the time of a transaction: the request's, or the response's where there is no request.
func startOf(t *dissect.Transaction) int64 {
	if t.Request != 0 {
		return t.RequestTime
	}
	return t.ResponseTime
}

func errorCode(c uint16) string {
	return "0x" + hex.EncodeToString([]byte{byte(c >> 8), byte(c)})
}

func meaning(c uint16) string {
	e, _ := protocol.LookupError(c)
	return e.Meaning
}

// Violation implements dissect.Sink.
func (w *jsonWriter) Violation(v *dissect.Violation) {
	w.tally.Violation(v)
	if !w.shows(Violations) {
		return
	}
	w.begin("violation")
	w.num(`,"number":`, v.Number)
	w.str(`,"id":`, v.Rule.ID)
	w.str(`,"severity":`, v.Severity().String())
	w.str(`,"blame":`, v.BlameName())
	w.num(`,"stream":`, int64(v.Conn.Stream))
	w.str(`,"from":`, v.From.String())
	if v.Frame != 0 {
		w.num(`,"frame":`, v.Frame)
	}
	w.nums(`,"packets":`, v.Packets)
	w.time(`,"time":`, v.Time)
	w.num(`,"offset":`, v.Offset)
	w.num(`,"length":`, v.Length)
	w.str(`,"bytes":`, violationBytes(v, w.o.ShowSecrets))
	w.str(`,"message":`, v.Message)
	w.str(`,"hint":`, v.Hint)
	w.caveat(v.Caveat)
	w.reason(v.Reason, v.Evidence)
	w.end()
}

// Stream implements dissect.Sink.
func (w *jsonWriter) Stream(s *dissect.Stream) {
	w.tally.Stream(s)
	if !w.shows(Streams) {
		return
	}
	w.begin("stream")
	w.num(`,"stream":`, int64(s.Conn.Stream))
	w.addr(`,"client":`, s.Client)
	w.addr(`,"server":`, s.Server)
	if s.Device != "" {
		w.wire(`,"device":`, []byte(s.Device))
	}
	w.time(`,"start":`, s.Start)
	w.time(`,"end":`, s.End)
	w.str(`,"state":`, s.State.String())
	w.num(`,"frames":`, s.Frames)
	w.num(`,"transactions":`, s.Transactions)
	w.num(`,"violations":`, s.Violations)
	if s.Missing > 0 {
		w.num(`,"missing_bytes":`, s.Missing)
	}
	w.end()
}

// Close implements Writer.
func (w *jsonWriter) Close(t Totals) error {
	if w.shows(Summary) {
		w.summary(&t)
	}
	if w.array {
		if !w.open {
			w.out.WriteString("[") //nolint:errcheck // the writer keeps its first error for Flush
		}
		w.out.WriteString("\n]\n") //nolint:errcheck // the writer keeps its first error for Flush
	}
	return w.out.Flush()
}

// object writes a nested object.
func (w *jsonWriter) object(k string, f func()) {
	w.name(k)
	w.line = append(w.line, '{')
	at := len(w.line)
	f()
	if len(w.line) > at { // the first name's comma
		w.line = append(w.line[:at], w.line[at+1:]...)
	}
	w.line = append(w.line, '}')
}

func (w *jsonWriter) summary(t *Totals) {
	y := w.tally
	w.begin("summary")
	w.num(`,"packets":`, t.Packets)
	w.num(`,"tcp_streams":`, t.TCPStreams)
	w.num(`,"nubison_streams":`, t.NubisonStreams)
	w.object(`,"frames":`, func() {
		for _, l := range []byte(protocol.Letters) {
			if n := y.frames[l]; n > 0 {
				w.num(key(string(rune(l))), n)
			}
		}
	})
	w.object(`,"transactions":`, func() {
		for s := dissect.Answered; s <= dissect.Orphan; s++ {
			if n := y.states[s]; n > 0 {
				w.num(key(s.String()), n)
			}
		}
	})
	w.object(`,"violations":`, func() {
		for _, r := range protocol.Rules {
			if n := y.rules[r]; n > 0 {
				w.num(key(r.ID), n)
			}
		}
	})
	w.object(`,"without_answer":`, func() {
		for _, r := range dissect.Reasons {
			if k := y.reasons[r]; k.count > 0 {
				w.num(key(r.String()), k.count)
			}
		}
	})
	w.object(`,"latency":`, func() {
		for _, l := range []byte(protocol.Letters) {
			if k := y.byLetter[l]; k != nil && k.latency.count > 0 {
				w.object(key(string(rune(l))), func() {
					h := &k.latency
					w.num(`,"count":`, h.count)
					w.num(`,"p50_ns":`, h.percentile(.5))
					w.num(`,"p90_ns":`, h.percentile(.9))
					w.num(`,"p99_ns":`, h.percentile(.99))
					w.num(`,"max_ns":`, h.max)
				})
			}
		}
	})
	w.object(`,"capture":`, func() {
		if t.Counted {
			w.num(`,"received":`, int64(t.Received))
			w.num(`,"dropped":`, int64(t.Dropped))
		} else if t.Dropped > 0 {
			w.num(`,"dropped":`, int64(t.Dropped))
		}
		w.num(`,"gaps":`, t.Gaps)
		w.num(`,"missing_bytes":`, t.Missing)
		w.num(`,"cut_packets":`, t.Cut)
		w.num(`,"one_sided_streams":`, t.OneSided)
		w.num(`,"midstream_streams":`, t.Midstream)
		w.num(`,"duplicated_packets":`, t.Duplicates)
		w.num(`,"large_segments":`, t.Large)
		w.num(`,"times_backwards":`, t.Backwards)
		if t.Forgotten+t.GivenUp > 0 {
			w.num(`,"forgotten_streams":`, t.Forgotten)
			w.num(`,"forced_gaps":`, t.GivenUp)
		}
		if t.Damage != "" {
			w.str(`,"damage":`, t.Damage)
		}
	})
	w.end()
}
