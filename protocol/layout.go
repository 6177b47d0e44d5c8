// Package protocol is the NUBISON IoT TCP protocol as data: packet layouts,
// fields, error codes and the catalogue of violations.
//
// It is the only place that knows them. The dissector measures and reads
// packets by walking the rows of Layouts, output takes its names from Fields,
// the simulator builds packets from the same rows. A new packet type is one
// row in Layouts.
package protocol

import "slices"

// HeaderSize is the number of bytes that every packet starts with: the type
// letter and the session ID. Fewer bytes are never processed by a server.
const HeaderSize = 9

// SessionIDSize and TokenSize are in bytes.
const (
	SessionIDSize = 8
	TokenSize     = 24
)

// TokenAt is where the access token of a request stands, in every request
// that carries one.
const TokenAt = HeaderSize

// StatusAt is where the status of a response stands.
const StatusAt = HeaderSize

// Side is one of the two parties of a connection.
type Side uint8

// The sides. The zero value means that it is not known.
const (
	Unknown Side = iota
	Device
	Server
)

// String returns the side's name in records.
func (s Side) String() string {
	switch s {
	case Device:
		return "device"
	case Server:
		return "server"
	}
	return "unknown"
}

// Other returns the opposite side.
func (s Side) Other() Side {
	switch s {
	case Device:
		return Server
	case Server:
		return Device
	}
	return Unknown
}

// Kind says how a field's bytes are read.
type Kind uint8

// The kinds of fields.
const (
	Letter    Kind = iota // the type letter
	ID                    // raw bytes, compared whole
	Text                  // UTF-8, padded at the end with NUL or space
	Length                // an unsigned integer: the size of the field behind it
	Payload               // bytes that are private to a device model
	StatusNum             // an unsigned integer
	Code                  // an error code, big-endian
)

// Field is one field of a layout.
type Field struct {
	// Name is the field's name in records and filters.
	Name string
	// Title is the name for people.
	Title string
	// Size is in bytes; 0 for a field whose size the Length before it tells.
	Size int
	Kind Kind
	// Secret fields are masked in every output.
	Secret bool

	place int
}

// Place is that of the field's name in FieldNames; 0 for a field of no layout.
func (f *Field) Place() int { return f.place }

// FieldNames are the names of all fields of Layouts, each once, behind an empty one.
var FieldNames = []string{""}

// placed gives fields their places.
func placed(fields []Field) {
	for i := range fields {
		f := &fields[i]
		if f.place = slices.Index(FieldNames, f.Name); f.place < 0 {
			f.place = len(FieldNames)
			FieldNames = append(FieldNames, f.Name)
		}
	}
}

// The fields, each defined once.
var (
	fType     = Field{Name: "type", Title: "Type", Size: 1, Kind: Letter}
	fSession  = Field{Name: "session_id", Title: "Session ID", Size: SessionIDSize, Kind: ID}
	fClient   = Field{Name: "client_id", Title: "Client ID", Size: 20, Kind: Text}
	fSecret   = Field{Name: "client_secret", Title: "Client secret", Size: 20, Kind: Text, Secret: true}
	fProduct  = Field{Name: "product_code", Title: "Product code", Size: 8, Kind: Text}
	fIdentLen = Field{Name: "identifier_length", Title: "Identifier length", Size: 1, Kind: Length}
	fIdent    = Field{Name: "identifier", Title: "Identifier", Kind: Text}
	fToken    = Field{Name: "access_token", Title: "Access token", Size: TokenSize, Kind: ID, Secret: true}
	fLen2     = Field{Name: "payload_length", Title: "Payload length", Size: 2, Kind: Length}
	fLen1     = Field{Name: "payload_length", Title: "Payload length", Size: 1, Kind: Length}
	fPayload  = Field{Name: "payload", Title: "Payload", Kind: Payload}
	fStatus   = Field{Name: "status", Title: "Status", Size: 1, Kind: StatusNum}
	fError    = Field{Name: "error_code", Title: "Error code", Size: 2, Kind: Code}
	fKeyLen   = Field{Name: "encryption_key_length", Title: "Encryption key length", Size: 1, Kind: Length}
	fKey      = Field{Name: "encryption_key", Title: "Encryption key", Kind: Payload, Secret: true}
)

// Outcome says which status values a layout of a response is for.
type Outcome uint8

// The outcomes.
const (
	NoStatus Outcome = iota // a request
	Success                 // status 01
	Failure                 // status 00
)

// Layout is one row of the protocol: the fields of a packet in order.
type Layout struct {
	// Name of the packet in records.
	Name   string
	Letter byte
	// From is the side that may send it.
	From Side
	// Answers holds the letters of the requests that a response with this
	// layout answers; it is empty for requests.
	Answers string
	Outcome Outcome
	Fields  []Field
	// Tail is there as a whole or not at all.
	Tail []Field

	shape Shape
	whole []Field
	row   int
}

// Row is the layout's place in Layouts.
func (l *Layout) Row() int { return l.row }

// Whole returns the fields with those of the tail behind them. The slice must not be changed.
func (l *Layout) Whole() []Field { return l.whole }

// Shape is what a framer needs of a layout; all numbers are in bytes.
type Shape struct {
	// Fixed is the size of Fields without the one of variable size.
	Fixed int
	// LengthAt and LengthWidth place the length of a variable field in Fields;
	// LengthWidth is 0 where there is none. A variable field is always the last.
	LengthAt, LengthWidth int
	// TailFixed is the size of the tail without its variable field, 0 without a tail.
	TailFixed int
	// TailLengthWidth is the width of the length that starts the tail, 0 where the tail has
	// a fixed size.
	TailLengthWidth int
	// HasToken tells that an access token stands at TokenAt.
	HasToken bool
}

// Shape returns the layout's sizes.
func (l *Layout) Shape() *Shape { return &l.shape }

// Layouts are the packets of the protocol. Where several rows fit a packet,
// the earlier one is preferred.
var Layouts = []*Layout{
	{
		Name: "login", Letter: 'L', From: Device,
		Fields: []Field{fType, fSession, fClient, fSecret, fProduct, fIdentLen, fIdent},
	},
	{Name: "logout", Letter: 'O', From: Device, Fields: []Field{fType, fSession, fToken}},
	{Name: "data", Letter: 'D', From: Device, Fields: []Field{fType, fSession, fToken, fLen2, fPayload}},
	{
		Name: "command", Letter: 'C', From: Server,
		Fields: []Field{fType, fSession, fToken}, Tail: []Field{fLen1, fPayload},
	},
	{
		Name: "heartbeat", Letter: 'H', From: Device,
		Fields: []Field{fType, fSession, fToken}, Tail: []Field{fLen1, fPayload},
	},
	{
		Name: "response", Letter: 'R', From: Server, Answers: "DHO", Outcome: Success,
		Fields: []Field{fType, fSession, fStatus},
	},
	{
		Name: "response", Letter: 'R', From: Server, Answers: "L", Outcome: Success,
		Fields: []Field{fType, fSession, fStatus, fToken}, Tail: []Field{fKeyLen, fKey},
	},
	{
		Name: "response", Letter: 'R', From: Device, Answers: "C", Outcome: Success,
		Fields: []Field{fType, fSession, fStatus}, Tail: []Field{fLen1, fPayload},
	},
	{
		Name: "response", Letter: 'R', From: Server, Answers: "LDH", Outcome: Failure,
		Fields: []Field{fType, fSession, fStatus, fError},
	},
	{
		Name: "response", Letter: 'R', From: Device, Answers: "C", Outcome: Failure,
		Fields: []Field{fType, fSession, fStatus},
	},
	// The vendor does not describe a failed logout: 10 bytes, or 12 with a code.
	{
		Name: "response", Letter: 'R', From: Server, Answers: "O", Outcome: Failure,
		Fields: []Field{fType, fSession, fStatus}, Tail: []Field{fError},
	},
}

// Letters are all the type letters, in table order.
var Letters = letters()

var byLetter [256][]*Layout

func letters() string {
	var s []byte
	seen := [256]bool{}
	for _, l := range Layouts {
		if !seen[l.Letter] {
			seen[l.Letter] = true
			s = append(s, l.Letter)
		}
	}
	return string(s)
}

func init() {
	for i, l := range Layouts {
		l.row, l.shape = i, shapeOf(l)
		placed(l.Fields)
		placed(l.Tail)
		l.whole = append(append(make([]Field, 0, len(l.Fields)+len(l.Tail)), l.Fields...), l.Tail...)
		byLetter[l.Letter] = append(byLetter[l.Letter], l)
	}
}

func shapeOf(l *Layout) Shape {
	var s Shape
	for _, f := range l.Fields {
		if f.Kind == Length {
			s.LengthAt, s.LengthWidth = s.Fixed, f.Size
		}
		if f.Name == fToken.Name && s.Fixed == TokenAt {
			s.HasToken = true
		}
		s.Fixed += f.Size
	}
	for _, f := range l.Tail {
		if f.Kind == Length {
			s.TailLengthWidth = f.Size
		}
		s.TailFixed += f.Size
	}
	return s
}

// ByLetter returns the layouts of a type letter in table order, none if the
// letter is not of the protocol. The slice must not be changed.
func ByLetter(letter byte) []*Layout { return byLetter[letter] }

// Name returns the packet name of a letter, "unknown(0x2a)" for one that is not
// of the protocol.
func Name(letter byte) string {
	if ls := byLetter[letter]; len(ls) > 0 {
		return ls[0].Name
	}
	const hex = "0123456789abcdef"
	return "unknown(0x" + string([]byte{hex[letter>>4], hex[letter&15]}) + ")"
}

// IsRequest reports whether packets with this letter ask for a response.
func IsRequest(letter byte) bool {
	ls := byLetter[letter]
	return len(ls) > 0 && ls[0].Answers == ""
}

// MaySend reports whether the side may send packets with this letter.
func MaySend(side Side, letter byte) bool {
	for _, l := range byLetter[letter] {
		if l.From == side || side == Unknown {
			return true
		}
	}
	return false
}

// MaxPacket is an upper bound of a packet's size in bytes.
const MaxPacket = 35 + 65535
