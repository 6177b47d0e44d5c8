package dissect

import (
	"net/netip"
	"slices"

	"github.com/nubishark/nubishark/protocol"
)

// Frame is one NUBISON packet. A frame that a sink is told belongs to it during the call only; Clone makes one to keep.
type Frame struct {
	// Number counts the frames of a run from 1.
	Number int64
	Conn   *Conn
	From   protocol.Side
	// Packets are the numbers of the capture packets that carried its bytes, ascending.
	Packets []int64
	// Time is that of the packet with its last byte (ns since 1970).
	Time int64
	// Offset of the first byte in the direction's stream; Length in bytes,
	// missing ones included.
	Offset int64
	Length int
	Letter byte
	// Layout is the row of the table by which it was read, nil where none fits.
	Layout *protocol.Layout
	// RequestLetter is, for a response, the letter of its request; 0 if that is not known.
	RequestLetter byte
	// SessionID is the raw bytes; fewer than 8 only where the rest was not sent or not captured.
	SessionID []byte
	// Missing is the number of bytes of the packet that are not there.
	Missing int
	// Holes are the parts of Raw that were never captured, as offsets.
	Holes [][2]int
	// Transaction is the number of the transaction that it is part of, 0 if none.
	Transaction int64
	// Violations are the rules that this packet broke, as known when it was settled.
	Violations []*protocol.Rule
	// Raw are all of the packet's bytes; missing ones are zero.
	Raw []byte

	dir       uint8
	role      role
	truncated bool
	slot      int32    // of the transaction, or its place among the finished ones
	one       [1]int64 // room for Packets of the usual packet
	cell      *int64   // is told the number, where another record needs it

	fields []FieldValue // of a frame with a form, room for them until somebody asks
	form   *Form
	cut    bool // into fields
}

// Fields returns the fields in order, as far as they are there. They belong to the frame.
func (f *Frame) Fields() []FieldValue {
	if f.form != nil && !f.cut {
		f.cut = true
		f.fields = slices.Grow(f.fields[:0], len(f.form.Fields))[:len(f.form.Fields)]
		f.form.cut(f.fields, f.Raw)
	}
	return f.fields
}

// Form tells how the frame is cut into fields if it is whole and all of it fits its layout, nil for others. Who asks for it may not need the
// fields, which are cut out only once they are asked for.
func (f *Frame) Form() *Form { return f.form }

// Clone returns a copy that nothing overwrites.
func (f *Frame) Clone() *Frame {
	g := *f
	g.Packets, g.Raw = slices.Clone(f.Packets), slices.Clone(f.Raw)
	g.SessionID = g.Raw[min(1, len(g.Raw)):][:len(f.SessionID)]
	g.Violations = slices.Clone(f.Violations)
	g.fields, g.cut, g.Holes = slices.Clone(f.Fields()), true, slices.Clone(f.Holes)
	for i := range g.fields {
		v := &g.fields[i]
		v.Value = g.Raw[v.At : v.At+len(v.Value)]
	}
	return &g
}

// numbered makes sure that the number can be told later.
func (f *Frame) numbered() *int64 {
	if f.cell == nil {
		f.cell = new(int64)
	}
	return f.cell
}

// FieldValue is a field of a frame.
type FieldValue struct {
	*protocol.Field
	// At is the offset in the frame, Value the bytes there (part of Raw). Complete is
	// false if some of them are missing.
	At       int
	Value    []byte
	Complete bool
}

// Trimmed returns the bytes that count: of text, those before the padding.
func (v *FieldValue) Trimmed() []byte {
	if v.Kind == protocol.Text {
		return trimPadding(v.Value)
	}
	return v.Value
}

// Status returns a response's status byte.
func (f *Frame) Status() (status byte, ok bool) {
	if v, ok := f.field(protocol.StatusNum); ok {
		return v[0], true
	}
	return 0, false
}

// ErrorCode returns a failure's code.
func (f *Frame) ErrorCode() (code uint16, ok bool) {
	if v, ok := f.field(protocol.Code); ok {
		return uint16(v[0])<<8 | uint16(v[1]), true
	}
	return 0, false
}

func (f *Frame) field(k protocol.Kind) ([]byte, bool) {
	fields := f.Fields()
	for i := range fields {
		if v := &fields[i]; v.Kind == k && v.Complete {
			return v.Value, true
		}
	}
	return nil, false
}

// Named returns a complete field's bytes by its name, nil if it is not there.
func (f *Frame) Named(name string) []byte {
	fields := f.Fields()
	for i := range fields {
		if v := &fields[i]; v.Name == name && v.Complete {
			return v.Value
		}
	}
	return nil
}

// State is what became of a transaction.
type State uint8

// The states.
const (
	Outstanding State = iota
	Answered
	Failed
	Unanswered
	Pending
	Orphan
)

// String returns the state's name in records.
func (s State) String() string { return stateNames[s] }

var stateNames = [...]string{"outstanding", "answered", "failed", "unanswered", "pending", "orphan"}

// Transaction is a request with its response. One that a sink is told belongs to it during the call only; all of it
// may be copied but for SessionID, whose bytes go, too.
type Transaction struct {
	Number int64
	Conn   *Conn
	// Letter of the request, 0 if it was never seen.
	Letter byte
	// From is the requester.
	From protocol.Side
	// Device is the device key, "" if it is not known.
	Device    string
	SessionID []byte
	State     State
	// Request and Response are frame numbers, 0 if there is none; their times are of the
	// packets with the last bytes.
	Request, Response         int64
	RequestTime, ResponseTime int64
	ErrorCode                 uint16
	HasError                  bool

	id                sid
	dir               uint8
	paired            bool     // both packets are there, though they have no numbers
	slot, remember    int32    // where its numbers are, and its place among the finished ones, -1 if it has none
	request, response *int64   // numbers of frames that were not known to be its own
	kept              *numbers // its numbers, where it was held back
	// Reason says why an unanswered or pending one has no answer, Evidence are the capture packets that prove it.
	Reason   Reason
	Evidence []int64
}

// Clone returns a copy that nothing overwrites.
func (t *Transaction) Clone() *Transaction {
	x := *t
	x.SessionID = slices.Clone(t.SessionID)
	return &x
}

// Latency is the time from the request's last byte to the response's (ns). It is
// negative where the capture saw them in the wrong order. ok is false without both.
func (t *Transaction) Latency() (ns int64, ok bool) {
	return t.ResponseTime - t.RequestTime, t.paired || t.Request != 0 && t.Response != 0
}

// Violation is a rule broken at a place.
type Violation struct {
	Number int64
	Rule   *protocol.Rule
	// Blame is the side whose fault it is, Unknown for the capture.
	Blame protocol.Side
	Conn  *Conn
	From  protocol.Side
	// Frame is the number of the packet at fault, 0 if the bytes are no packet.
	Frame   int64
	Packets []int64
	Time    int64
	// Offset in the direction's stream, Length in bytes; Bytes are the first of them,
	// owned by the violation. Secrets in Bytes are not masked: Secret tells the
	// places, as offsets into Bytes.
	Offset int64
	Length int64
	Bytes  []byte
	Secret [][2]int
	// Code is the error code that a failure response carries, 0 if none.
	Code uint16
	// Reason says why a request has no answer, of no-response and late-response; Evidence are the capture packets that prove it.
	Reason   Reason
	Evidence []int64
	// Message says what is wrong here, Hint what to do.
	Message, Hint string
	// Caveat is what of the capture may explain it, as far as its own connection shows.
	Caveat protocol.Artefacts

	since int64 // the earliest moment that it rests on, 0 for Time
	dir   int
	about *int64 // the number of the frame, once it has one
	slot  int32  // one more than that of the transaction whose request the frame is, 0 if it is of none
	// closer tells that the sender closed the connection before an answer could come; device,
	// that the violation is named by the device's direction.
	closer, device bool
	unmatched      bool // the frame is a response whose request is not known
}

// ConnState says how a connection ended.
type ConnState uint8

// The states of a connection.
const (
	Open ConnState = iota
	Closed
	Reset
)

// String returns the state's name in records.
func (s ConnState) String() string { return [...]string{"open", "closed", "reset"}[s] }

// Stream sums up one connection, emitted when it ended.
type Stream struct {
	Conn           *Conn
	Client, Server netip.AddrPort
	Device         string
	Start, End     int64
	State          ConnState
	Frames         int64
	Transactions   int64
	Violations     int64
	Missing        int64
	// OneSided tells that nothing at all was captured of one direction.
	OneSided bool
}

// Counter is a sink for which packets and answered transactions are only counted.
type Counter interface {
	Sink
	// Count takes counts of what was settled since it was called last; they are lent for the call.
	Count(*Counts)
}

// Counts count packets and answered transactions.
type Counts struct {
	// Frames are the packets of each letter.
	Frames [256]int64
	// Answers are the transactions that are answered.
	Answers []Answer
}

// Answer is what counts of an answered transaction: the letter of the request, and the time from there to the
// response (ns).
type Answer struct {
	Latency int64
	Letter  byte
}

// Sink takes the records in the order in which they are settled. Frames and transactions are lent for the call; violations
// and streams are the sink's to keep, but for Conn, of which more may become known.
type Sink interface {
	Frame(*Frame)
	Transaction(*Transaction)
	Violation(*Violation)
	Stream(*Stream)
}
