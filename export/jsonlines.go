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

// requests are, for the letters of the protocol, what stands between the length of a request and its session ID; responses that of a
// response, and asked that between the stream of a transaction and its requester, by the letters of the requests.
var requests, responses, asked = func() (requests, responses, asked [256]*long) {
	for _, c := range []byte(protocol.Letters) {
		requests[c] = newLong(types[c] + sessionKey)
		responses[c] = newLong(types['R'] + asks[c] + sessionKey)
		asked[c] = newLong(types[c])
	}
	return requests, responses, asked
}()

const sessionKey = `,"session_id":"`

// fieldKeys are the keys of fields, textKeys those of their texts, both with the quote behind them, by the places of the fields'
// names.
var fieldKeys, textKeys = func() (names, texts []piece) {
	for _, name := range protocol.FieldNames {
		names, texts = append(names, newPiece(key(name)+`"`)), append(texts, newPiece(key(name+"_text")+`"`))
	}
	return names, texts
}()

// What stands between the values of a packet.
var (
	frameStart     = newPiece(`{"record":"frame","number":`)
	streamKey      = newShort(`,"stream":`)
	packetsKey     = newShort(`,"packets":[`)
	timeKey        = newShort(`],"time":"`)
	dstKey         = newShort(`","dst":"`)
	offsetKey      = newShort(`","offset":`)
	lengthKey      = newShort(`,"length":`)
	transactionKey = newShort(`,"transaction":`)
	sealStart      = newShort(masked)
	noViolations   = newPiece(`,"violations":[]`)

	transactionStart = newLong(`{"record":"transaction","number":`)
	transactionID    = newShort(`","session_id":"`)
	answeredKey      = newPiece(`","state":"answered","request":`)
	responseKey      = newShort(`,"response":`)
	startKey         = newShort(`,"time":"`)
	latencyKey       = newShort(`","latency_ns":`)

	fromKeys, requesterKeys = func() (from, requester [3]piece) {
		for s := range from {
			side := protocol.Side(s).String()
			from[s], requester[s] = newPiece(`","from":"`+side+`","src":"`), newPiece(`,"from":"`+side+`","device":"`)
		}
		return from, requester
	}()
)

// objectEnd is the end of an object and a line.
const objectEnd = '}' | '\n'<<8

// Frame implements dissect.Sink.
func (w *jsonWriter) Frame(f *dissect.Frame) {
	w.tally.Frame(f)
	if !w.showsFrames {
		return
	}
	start := w.start()
	b, ok := w.usualHead(start, f)
	if !ok {
		b = w.head(start, f)
	}
	if k := f.Form(); k != nil {
		for _, i := range toldFields[k.Row] {
			b = w.field(b, f.Conn, &k.Fields[i], k.Value(i, f.Raw))
		}
	} else {
		fields := f.Fields()
		for i := range fields {
			if v := &fields[i]; isTold(v.Field, v.At) && v.Complete {
				b = w.field(b, f.Conn, v.Field, v.Value)
			}
		}
	}
	w.base.end(w.tail(b, f))
}

// toldFields are, for each form, the places of the fields that are told of a packet, beside its header.
var toldFields = func() [][]int {
	list := make([][]int, len(dissect.Forms()))
	for row, k := range dissect.Forms() {
		for i := range k.Fields {
			if isTold(&k.Fields[i], k.At[i]) {
				list[row] = append(list[row], i)
			}
		}
	}
	return list
}()

// isTold reports whether a field is told beside the header, if it starts at a place in the packet.
func isTold(f *protocol.Field, at int) bool {
	return at >= protocol.HeaderSize && f.Kind != protocol.Length
}

// usualHead appends what stands before the fields of a packet that came in one capture packet, as head does.
func (w *jsonWriter) usualHead(b []byte, f *dissect.Frame) (_ []byte, ok bool) {
	kind := requests[f.Letter]
	if f.RequestLetter != 0 && f.Letter == 'R' {
		kind = responses[f.RequestLetter]
	}
	src, dst := f.Conn.Ends(f.From)
	id, ok := plainID(f.SessionID)
	if !ok || len(f.Packets) != 1 || src.Size == 0 || dst.Size == 0 || kind == nil || f.RequestLetter != 0 && f.Letter != 'R' {
		return nil, false
	}
	b, r := behind(b)
	n := r.piece(0, &frameStart)
	n = w.numbers.next(r, n, f.Number)
	n = r.short(n, &streamKey)
	n = r.num(n, int64(f.Conn.Stream))
	n = r.short(n, &packetsKey)
	n = w.packets.write(r, n, f.Packets[0])
	n = r.short(n, &timeKey)
	n = r.time(n, &w.clock, f.Time)
	n = r.piece(n, &fromKeys[f.From])
	n = r.end(n, src)
	n = r.short(n, &dstKey)
	n = r.end(n, dst)
	n = r.short(n, &offsetKey)
	n = r.num(n, f.Offset)
	n = r.short(n, &lengthKey)
	n = r.num(n, int64(f.Length))
	n = r.long(n, kind)
	n = r.word(n, id, protocol.SessionIDSize)
	return b[:len(b)+r.char(n, '"')], true
}

// head appends what stands before the fields of a packet.
func (w *jsonWriter) head(b []byte, f *dissect.Frame) []byte {
	b = append(b, `{"record":"frame","number":`...)
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
	b = append(b, sessionKey...)
	return append(appendJSONWire(b, f.SessionID), '"')
}

// field appends what a field of a packet adds, behind its header: one that is told, and whole.
func (w *jsonWriter) field(b []byte, c *dissect.Conn, f *protocol.Field, value []byte) []byte {
	k := f.Place()
	b, r := behind(b)
	if f.Secret && !w.o.ShowSecrets {
		n := r.short(r.piece(0, &fieldKeys[k]), &sealStart)
		n = r.word(n, seal(c, trimmed(f, value)), 2*maskSize)
		return b[:len(b)+r.char(n, '"')]
	}
	n := r.piece(0, &fieldKeys[k])
	switch f.Kind {
	case protocol.Text, protocol.ID:
		b = append(appendJSONWire(b[:len(b)+n], trimmed(f, value)), '"')
	case protocol.Payload:
		b = append(appendHex(b[:len(b)+n], value), '"')
		if !f.Secret {
			c, r := behind(b)
			c = c[:len(c)+r.piece(0, &textKeys[k])]
			if c, ok := inJSON.append(c, value, true); ok {
				b = append(c, '"')
			}
		}
	case protocol.StatusNum:
		b = b[:len(b)+r.num(n-1, int64(value[0]))]
	case protocol.Code:
		b = append(b[:len(b)+n], "0x"...)
		b = append(appendHex(b, value), '"')
	}
	return b
}

// trimmed are the bytes of a field that count.
func trimmed(f *protocol.Field, value []byte) []byte {
	v := dissect.FieldValue{Field: f, Value: value}
	return v.Trimmed()
}

// tail appends what stands behind the fields of a packet.
func (w *jsonWriter) tail(b []byte, f *dissect.Frame) []byte {
	if f.Missing > 0 {
		b = append(b, `,"missing_bytes":`...)
		b = appendNum(b, int64(f.Missing))
	}
	b, r := behind(b)
	n := 0
	if f.Transaction != 0 {
		n = w.transactions.write(r, r.short(0, &transactionKey), f.Transaction)
	}
	if len(f.Violations) == 0 {
		n = r.piece(n, &noViolations)
		n = r.word(n, objectEnd, w.endSize())
		return b[:len(b)+n]
	}
	b = append(b[:len(b)+n], `,"violations":[`...)
	for i, v := range f.Violations {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, v.ID)
	}
	return w.closed(append(b, ']'))
}

// Transaction implements dissect.Sink.
func (w *jsonWriter) Transaction(t *dissect.Transaction) {
	w.tally.Transaction(t)
	if !w.showsTransactions {
		return
	}
	start := w.start()
	b, ok := w.answered(start, t)
	if !ok {
		b = w.transaction(start, t)
	}
	w.base.end(b)
}

// answered appends a transaction that was answered as it should be, as transaction does.
func (w *jsonWriter) answered(b []byte, t *dissect.Transaction) (_ []byte, ok bool) {
	kind := asked[t.Letter]
	id, ok := plainID(t.SessionID)
	if !ok || kind == nil || t.State != dissect.Answered || t.Request == 0 || t.Response == 0 || t.HasError || t.Reason != dissect.NoReason {
		return nil, false
	}
	b, r := behind(b)
	n := r.long(0, transactionStart)
	n = w.transactions.write(r, n, t.Number)
	n = r.short(n, &streamKey)
	n = r.num(n, int64(t.Conn.Stream))
	n = r.long(n, kind)
	n = r.piece(n, &requesterKeys[t.From])
	if n, ok = r.plain(n, t.Device); !ok {
		return nil, false
	}
	n = r.short(n, &transactionID)
	n = r.word(n, id, protocol.SessionIDSize)
	n = r.piece(n, &answeredKey)
	n = w.requests.write(r, n, t.Request)
	n = r.short(n, &responseKey)
	n = w.frames.write(r, n, t.Response)
	n = r.short(n, &startKey)
	n = r.time(n, &w.clock, t.RequestTime)
	n = r.short(n, &latencyKey)
	n = r.num(n, t.ResponseTime-t.RequestTime)
	n = r.word(n, objectEnd, w.endSize())
	return b[:len(b)+n], true
}

// transaction appends a transaction.
func (w *jsonWriter) transaction(b []byte, t *dissect.Transaction) []byte {
	b = append(b, `{"record":"transaction","number":`...)
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
	return w.closed(w.line)
}

// plainID returns a session ID, the first byte as the lowest, if it stands for itself in a JSON string.
func plainID(b []byte) (id uint64, ok bool) {
	if len(b) != protocol.SessionIDSize {
		return 0, false
	}
	id = word(b)
	return id, specialBytes(id, backslashes, quotes) == 0
}
