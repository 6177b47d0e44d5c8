// Package export writes records for people and programs.
package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// NDJSON writes one JSON object a line, by appending.
type NDJSON struct {
	W *bufio.Writer
	// ShowSecrets writes client secrets, tokens and keys in clear.
	ShowSecrets bool
	buf         []byte
}

func (n *NDJSON) begin(record string) {
	n.buf = append(n.buf[:0], `{"record":"`...)
	n.buf = append(n.buf, record...)
	n.buf = append(n.buf, '"')
}

func (n *NDJSON) end() {
	n.buf = append(n.buf, '}', '\n')
	n.W.Write(n.buf) //nolint:errcheck // bufio returns it again at Flush
}

func (n *NDJSON) name(k string) {
	n.buf = append(n.buf, ',', '"')
	n.buf = append(n.buf, k...)
	n.buf = append(n.buf, '"', ':')
}

func (n *NDJSON) num(k string, v int64) {
	n.name(k)
	n.buf = strconv.AppendInt(n.buf, v, 10)
}

func (n *NDJSON) str(k, v string) {
	n.name(k)
	n.buf = appendJSON(n.buf, v)
}

func (n *NDJSON) time(k string, ns int64) {
	n.name(k)
	n.buf = append(n.buf, '"')
	n.buf = time.Unix(0, ns).UTC().AppendFormat(n.buf, "2006-01-02T15:04:05.000000000Z07:00")
	n.buf = append(n.buf, '"')
}

func (n *NDJSON) addr(k string, a netip.AddrPort) {
	n.name(k)
	n.buf = append(n.buf, '"')
	n.buf = a.AppendTo(n.buf)
	n.buf = append(n.buf, '"')
}

func (n *NDJSON) nums(k string, list []int64) {
	n.name(k)
	n.buf = append(n.buf, '[')
	for i, v := range list {
		if i > 0 {
			n.buf = append(n.buf, ',')
		}
		n.buf = strconv.AppendInt(n.buf, v, 10)
	}
	n.buf = append(n.buf, ']')
}

// Frame implements dissect.Sink.
func (n *NDJSON) Frame(f *dissect.Frame) {
	n.begin("frame")
	n.num("number", f.Number)
	n.num("stream", int64(f.Conn.Stream))
	n.nums("packets", f.Packets)
	n.time("time", f.Time)
	n.str("from", f.From.String())
	n.addr("src", f.Conn.Src(f.From))
	n.addr("dst", f.Conn.Dst(f.From))
	n.num("offset", f.Offset)
	n.num("length", int64(f.Length))
	n.str("type", string(rune(f.Letter)))
	n.str("name", protocol.Name(f.Letter))
	if f.RequestLetter != 0 {
		n.str("request_type", string(rune(f.RequestLetter)))
	}
	n.str("session_id", Escape(f.SessionID))
	for i := range f.Fields {
		n.field(&f.Fields[i])
	}
	if f.Missing > 0 {
		n.num("missing_bytes", int64(f.Missing))
	}
	if f.Transaction != 0 {
		n.num("transaction", f.Transaction)
	}
	n.name("violations")
	n.buf = append(n.buf, '[')
	for i, r := range f.Violations {
		if i > 0 {
			n.buf = append(n.buf, ',')
		}
		n.buf = appendJSON(n.buf, r.ID)
	}
	n.buf = append(n.buf, ']')
	n.end()
}

func (n *NDJSON) field(v *dissect.FieldValue) {
	if !v.Complete || v.At < protocol.HeaderSize {
		return
	}
	switch {
	case v.Secret && !n.ShowSecrets:
		n.str(v.Name, Mask(v))
	case v.Kind == protocol.Text:
		n.str(v.Name, Escape(trim(v.Value)))
	case v.Kind == protocol.ID:
		n.str(v.Name, Escape(v.Value))
	case v.Kind == protocol.Payload:
		n.str(v.Name, hex.EncodeToString(v.Value))
		if v.Name == "payload" && len(v.Value) > 0 && utf8.Valid(v.Value) && isText(v.Value) {
			n.str("payload_text", Escape(v.Value))
		}
	case v.Kind == protocol.StatusNum:
		n.num(v.Name, int64(v.Value[0]))
	case v.Kind == protocol.Code:
		n.str(v.Name, "0x"+hex.EncodeToString(v.Value))
	}
}

func isText(b []byte) bool {
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == 0 || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return b
}

// Mask stands for a secret: equal values look equal.
func Mask(v *dissect.FieldValue) string {
	b := v.Value
	if v.Kind == protocol.Text {
		b = trim(b)
	}
	sum := sha256.Sum256(b)
	return "secret:" + hex.EncodeToString(sum[:4])
}

// Escape shows bytes from the wire as UTF-8; what is not printable stands as \xNN, a backslash as \\.
func Escape(b []byte) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r == '\\':
			out = append(out, '\\', '\\')
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r):
			for _, c := range b[i : i+size] {
				out = append(out, '\\', 'x', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			}
		default:
			out = append(out, b[i:i+size]...)
		}
		i += size
	}
	return string(out)
}

// appendJSON appends a JSON string.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// Transaction implements dissect.Sink.
func (n *NDJSON) Transaction(t *dissect.Transaction) {
	n.begin("transaction")
	n.num("number", t.Number)
	n.num("stream", int64(t.Conn.Stream))
	if t.Letter != 0 {
		n.str("type", string(rune(t.Letter)))
		n.str("name", protocol.Name(t.Letter))
	}
	n.str("from", t.From.String())
	if t.Device != "" {
		n.str("device", Escape([]byte(t.Device)))
	}
	n.str("session_id", Escape(t.SessionID))
	n.str("state", t.State.String())
	if t.Request != 0 {
		n.num("request", t.Request)
		n.time("time", t.RequestTime)
	} else {
		n.time("time", t.ResponseTime)
	}
	if t.Response != 0 {
		n.num("response", t.Response)
	}
	if l, ok := t.Latency(); ok {
		n.num("latency_ns", l)
	}
	if t.HasError {
		e, _ := protocol.LookupError(t.ErrorCode)
		n.str("error_code", "0x"+hex.EncodeToString([]byte{byte(t.ErrorCode >> 8), byte(t.ErrorCode)}))
		n.str("error", e.Meaning)
	}
	n.end()
}

// Violation implements dissect.Sink.
func (n *NDJSON) Violation(v *dissect.Violation) {
	n.begin("violation")
	n.num("number", v.Number)
	n.str("id", v.Rule.ID)
	n.str("severity", v.Rule.Severity.String())
	blame := v.Blame.String()
	if v.Blame == protocol.Unknown {
		blame = "capture"
	}
	n.str("blame", blame)
	n.num("stream", int64(v.Conn.Stream))
	n.str("from", v.From.String())
	if v.Frame != 0 {
		n.num("frame", v.Frame)
	}
	n.nums("packets", v.Packets)
	n.time("time", v.Time)
	n.num("offset", v.Offset)
	n.num("length", v.Length)
	n.str("bytes", n.hexBytes(v))
	n.str("message", v.Message)
	n.str("hint", v.Hint)
	n.end()
}

// hexBytes masks secrets as two stars a byte.
func (n *NDJSON) hexBytes(v *dissect.Violation) string {
	b := []byte(hex.EncodeToString(v.Bytes))
	if !n.ShowSecrets {
		for _, s := range v.Secret {
			for i := 2 * s[0]; i < 2*s[1] && i < len(b); i++ {
				b[i] = '*'
			}
		}
	}
	return string(b)
}

// Stream implements dissect.Sink.
func (n *NDJSON) Stream(s *dissect.Stream) {
	n.begin("stream")
	n.num("stream", int64(s.Conn.Stream))
	n.addr("client", s.Client)
	n.addr("server", s.Server)
	if s.Device != "" {
		n.str("device", Escape([]byte(s.Device)))
	}
	n.time("start", s.Start)
	n.time("end", s.End)
	n.str("state", s.State.String())
	n.num("frames", s.Frames)
	n.num("transactions", s.Transactions)
	n.num("violations", s.Violations)
	if s.Missing > 0 {
		n.num("missing_bytes", s.Missing)
	}
	n.end()
}

// Summary writes the last record.
func (n *NDJSON) Summary(packets, streams, nubison int64) {
	n.begin("summary")
	n.num("packets", packets)
	n.num("tcp_streams", streams)
	n.num("nubison_streams", nubison)
	n.end()
}
