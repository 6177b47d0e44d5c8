package export

import (
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// Packets and transactions are most of what is written. What their objects have in common is made once, from the table of the
// protocol.

// types are the type and the name of each letter, asks the type of a request.
var types, asks = func() (types, asks [256]string) {
	for c := range types {
		letter := string(utf8.AppendRune(nil, rune(c)))
		types[c] = `,"type":"` + letter + `","name":` + string(appendJSON(nil, protocol.Name(byte(c))))
		asks[c] = `,"request_type":"` + letter + `"`
	}
	return types, asks
}()

// fieldKeys are the keys of fields, textKeys those of their texts, both with the quote behind them, by the places of the fields'
// names.
var fieldKeys, textKeys = func() (names, texts []string) {
	for _, name := range protocol.FieldNames {
		names, texts = append(names, key(name)+`"`), append(texts, key(name+"_text")+`"`)
	}
	return names, texts
}()

// Frame implements dissect.Sink.
func (w *jsonWriter) Frame(f *dissect.Frame) {
	w.tally.Frame(f)
	if !w.shows(Packets) {
		return
	}
	b := append(w.start(), `{"record":"frame","number":`...)
	b = appendNum(b, f.Number)
	b = append(b, `,"stream":`...)
	b = appendNum(b, int64(f.Conn.Stream))
	b = append(b, `,"packets":`...)
	b = appendNums(b, f.Packets)
	b = append(b, `,"time":"`...)
	b = w.clock.append(b, f.Time)
	b = append(append(b, `","from":"`...), f.From.String()...)
	b = append(b, `","src":"`...)
	b = f.Conn.AppendSrc(b, f.From)
	b = append(b, `","dst":"`...)
	b = f.Conn.AppendDst(b, f.From)
	b = append(b, `","offset":`...)
	b = appendNum(b, f.Offset)
	b = append(b, `,"length":`...)
	b = appendNum(b, int64(f.Length))
	b = append(b, types[f.Letter]...)
	if f.RequestLetter != 0 {
		b = append(b, asks[f.RequestLetter]...)
	}
	b = append(b, `,"session_id":"`...)
	b = append(appendJSONWire(b, f.SessionID), '"')
	for i := range f.Fields {
		b = w.field(b, f.Conn, &f.Fields[i])
	}
	if f.Missing > 0 {
		b = append(b, `,"missing_bytes":`...)
		b = appendNum(b, int64(f.Missing))
	}
	if f.Transaction != 0 {
		b = append(b, `,"transaction":`...)
		b = appendNum(b, f.Transaction)
	}
	b = append(b, `,"violations":[`...)
	for i, r := range f.Violations {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, r.ID)
	}
	w.finish(append(b, ']'))
}

// field appends what a field of a packet adds.
func (w *jsonWriter) field(b []byte, c *dissect.Conn, v *dissect.FieldValue) []byte {
	if !v.Complete || v.At < protocol.HeaderSize || v.Kind == protocol.Length {
		return b
	}
	k := fieldKeys[v.Place()]
	if v.Secret && !w.o.ShowSecrets {
		return append(appendSealed(append(b, k...), c, v.Trimmed()), '"')
	}
	switch v.Kind {
	case protocol.Text, protocol.ID:
		b = append(appendJSONWire(append(b, k...), v.Trimmed()), '"')
	case protocol.Payload:
		b = append(appendHex(append(b, k...), v.Value), '"')
		if !v.Secret && isText(v.Value) {
			b = append(appendJSONWire(append(b, textKeys[v.Place()]...), v.Value), '"')
		}
	case protocol.StatusNum:
		b = appendNum(append(b, k[:len(k)-1]...), int64(v.Value[0]))
	case protocol.Code:
		b = append(append(b, k...), "0x"...)
		b = append(appendHex(b, v.Value), '"')
	}
	return b
}

// Transaction implements dissect.Sink.
func (w *jsonWriter) Transaction(t *dissect.Transaction) {
	w.tally.Transaction(t)
	if !w.shows(Transactions) {
		return
	}
	b := append(w.start(), `{"record":"transaction","number":`...)
	b = appendNum(b, t.Number)
	b = append(b, `,"stream":`...)
	b = appendNum(b, int64(t.Conn.Stream))
	if t.Letter != 0 {
		b = append(b, types[t.Letter]...)
	}
	b = append(append(b, `,"from":"`...), t.From.String()...)
	if t.Device != "" {
		b = append(b, `","device":"`...)
		b = appendJSONWire(b, t.Device)
	}
	b = append(b, `","session_id":"`...)
	b = appendJSONWire(b, t.SessionID)
	b = append(append(b, `","state":"`...), t.State.String()...)
	b = append(b, '"')
	if t.Request != 0 {
		b = append(b, `,"request":`...)
		b = appendNum(b, t.Request)
	}
	if t.Response != 0 {
		b = append(b, `,"response":`...)
		b = appendNum(b, t.Response)
	}
	b = append(b, `,"time":"`...)
	b = append(w.clock.append(b, startOf(t)), '"')
	if l, ok := t.Latency(); ok {
		b = append(b, `,"latency_ns":`...)
		b = appendNum(b, l)
	}
	w.line = b
	if t.HasError {
		w.str(`,"error_code":`, errorCode(t.ErrorCode))
		w.str(`,"error":`, meaning(t.ErrorCode))
	}
	w.reason(t.Reason, t.Evidence)
	w.end()
}
