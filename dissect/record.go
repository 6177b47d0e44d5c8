package dissect

import (
	"net/netip"

	"github.com/nubishark/nubishark/protocol"
)

// Frame is one NUBISON packet. Its slices are owned by the frame.
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
	// Fields are the fields in order, as far as they are there.
	Fields []FieldValue
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

	dir       int
	one       [1]int64 // room for Packets of the usual packet
	truncated bool
	request   bool // it is the request of tx, not the response
	tx        *transaction
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
	for i := range f.Fields {
		if f.Fields[i].Kind == k && f.Fields[i].Complete {
			return f.Fields[i].Value, true
		}
	}
	return nil, false
}

// Named returns a complete field's bytes by its name, nil if it is not there.
func (f *Frame) Named(name string) []byte {
	for i := range f.Fields {
		if f.Fields[i].Name == name && f.Fields[i].Complete {
			return f.Fields[i].Value
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
func (s State) String() string {
	return [...]string{"outstanding", "answered", "failed", "unanswered", "pending", "orphan"}[s]
}

// Transaction is a request with its response.
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
	// Reason says why an unanswered or pending one has no answer, Evidence are the capture packets that prove it.
	Reason   Reason
	Evidence []int64
}

// Latency is the time from the request's last byte to the response's (ns). It is
// negative where the capture saw them in the wrong order. ok is false without both.
func (t *Transaction) Latency() (ns int64, ok bool) {
	return t.ResponseTime - t.RequestTime, t.Request != 0 && t.Response != 0
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
	about *Frame
	tx    *transaction // number the frame by this transaction's request
	// closer tells that the sender closed the connection before an answer could come; device,
	// that the violation is named by the device's direction.
	closer, device bool
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

// Sink takes the records in the order in which they are settled. The records are owned by the
// sink from then on, but for Conn, which the dissector goes on using.
type Sink interface {
	Frame(*Frame)
	Transaction(*Transaction)
	Violation(*Violation)
	Stream(*Stream)
}
