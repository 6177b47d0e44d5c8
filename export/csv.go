package export

import (
	"encoding/csv"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// csvWriter writes one table as RFC 4180 has it, with a line of names first: those of the JSON records.
type csvWriter struct {
	*base
	w    *csv.Writer
	cell []string
}

var csvNames = map[View][]string{
	Packets: {
		"number", "stream", "packets", "time", "from", "src", "dst", "offset", "length", "type", "name", "request_type", "session_id",
		"status", "error_code", "client_id", "client_secret", "product_code", "identifier", "access_token", "encryption_key",
		"payload", "payload_text", "missing_bytes", "transaction", "violations",
	},
	Transactions: {
		"number", "stream", "type", "name", "from", "device", "session_id", "state", "request", "response", "time", "latency_ns",
		"error_code", "error", "reason", "evidence",
	},
	Violations: {
		"number", "id", "severity", "blame", "stream", "from", "frame", "packets", "time", "offset", "length", "bytes", "message", "hint", "reason",
		"evidence", "caveat",
	},
	Streams: {
		"stream", "client", "server", "device", "start", "end", "state", "frames", "transactions", "violations", "missing_bytes",
	},
}

func newCSV(b *base) *csvWriter {
	w := &csvWriter{base: b, w: csv.NewWriter(b.out)}
	w.w.Write(csvNames[b.o.View]) //nolint:errcheck // the writer keeps its first error for Close
	return w
}

func (w *csvWriter) write() {
	w.w.Write(w.cell) //nolint:errcheck // the writer keeps its first error for Close
	if w.o.Flush {
		w.w.Flush()
		w.flush()
	}
}

func num(v int64) string { return strconv.FormatInt(v, 10) }

// some is empty for 0, which stands for "does not apply".
func some(v int64) string {
	if v == 0 {
		return ""
	}
	return num(v)
}

func (w *csvWriter) stamp(ns int64) string { return string(w.clock.append(nil, ns)) }

func numbers(list []int64) string {
	s := make([]string, len(list))
	for i, v := range list {
		s[i] = num(v)
	}
	return strings.Join(s, " ")
}

// Frame implements dissect.Sink.
func (w *csvWriter) Frame(f *dissect.Frame) {
	w.tally.Frame(f)
	if !w.showsFrames {
		return
	}
	request := ""
	if f.RequestLetter != 0 {
		request = string(rune(f.RequestLetter))
	}
	ids := make([]string, len(f.Violations))
	for i, r := range f.Violations {
		ids[i] = r.ID
	}
	w.cell = append(w.cell[:0], num(f.Number), num(int64(f.Conn.Stream)), numbers(f.Packets), w.stamp(f.Time), f.From.String(),
		f.Conn.Src(f.From).String(), f.Conn.Dst(f.From).String(), num(f.Offset), num(int64(f.Length)), string(rune(f.Letter)),
		protocol.Name(f.Letter), request, Escape(f.SessionID))
	payloadText := ""
	for _, name := range csvNames[Packets][len(w.cell):22] {
		w.cell = append(w.cell, w.field(f, name, &payloadText))
	}
	w.cell = append(w.cell, payloadText, some(int64(f.Missing)), some(f.Transaction), strings.Join(ids, " "))
	w.write()
}

func (w *csvWriter) field(f *dissect.Frame, name string, text *string) string {
	fields := f.Fields()
	for i := range fields {
		v := &fields[i]
		if v.Name != name || !v.Complete {
			continue
		}
		if v.Secret && !w.o.ShowSecrets {
			return mask(v.Trimmed())
		}
		switch v.Kind {
		case protocol.StatusNum:
			return strconv.Itoa(int(v.Value[0]))
		case protocol.Code:
			return "0x" + hex.EncodeToString(v.Value)
		case protocol.Payload:
			if !v.Secret && isText(v.Value) {
				*text = Escape(v.Value)
			}
			return hex.EncodeToString(v.Value)
		}
		return Escape(v.Trimmed())
	}
	return ""
}

// Transaction implements dissect.Sink.
func (w *csvWriter) Transaction(t *dissect.Transaction) {
	w.tally.Transaction(t)
	if !w.showsTransactions {
		return
	}
	letter, name, latency, code, text := "", "", "", "", ""
	if t.Letter != 0 {
		letter, name = string(rune(t.Letter)), protocol.Name(t.Letter)
	}
	if l, ok := t.Latency(); ok {
		latency = num(l)
	}
	if t.HasError {
		code, text = errorCode(t.ErrorCode), meaning(t.ErrorCode)
	}
	w.cell = append(w.cell[:0], num(t.Number), num(int64(t.Conn.Stream)), letter, name, t.From.String(), Escape([]byte(t.Device)),
		Escape(t.SessionID), t.State.String(), some(t.Request), some(t.Response), w.stamp(startOf(t)), latency, code, text, t.Reason.String(), numbers(t.Evidence))
	w.write()
}

// Violation implements dissect.Sink.
func (w *csvWriter) Violation(v *dissect.Violation) {
	w.tally.Violation(v)
	if !w.shows(Violations) {
		return
	}
	w.cell = append(w.cell[:0], num(v.Number), v.Rule.ID, v.Severity().String(), v.BlameName(), num(int64(v.Conn.Stream)),
		v.From.String(), some(v.Frame), numbers(v.Packets), w.stamp(v.Time), num(v.Offset), num(v.Length),
		violationBytes(v, w.o.ShowSecrets), v.Message, v.Hint, v.Reason.String(), numbers(v.Evidence),
		strings.Join(words(v.Caveat), " "))
	w.write()
}

// Stream implements dissect.Sink.
func (w *csvWriter) Stream(s *dissect.Stream) {
	w.tally.Stream(s)
	if !w.shows(Streams) {
		return
	}
	w.cell = append(w.cell[:0], num(int64(s.Conn.Stream)), s.Client.String(), s.Server.String(), Escape([]byte(s.Device)),
		w.stamp(s.Start), w.stamp(s.End), s.State.String(), num(s.Frames), num(s.Transactions), num(s.Violations), some(s.Missing))
	w.write()
}

// Close implements Writer.
func (w *csvWriter) Close(Totals) error {
	w.w.Flush()
	if err := w.w.Error(); err != nil {
		return err
	}
	return w.out.Flush()
}
