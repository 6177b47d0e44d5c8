package filter

import (
	"errors"
	"net/netip"
)

// Kind is what the values of a field are.
type Kind uint8

// The kinds of fields.
const (
	Present Kind = iota // nothing but that it is there
	Text                // UTF-8
	Bytes               // any bytes
	Number              // an unsigned number
	Truth               // 0 or 1
	Seconds             // a time in seconds; values are in ns
	Address             // an IP address
	Proto               // all bytes of the record: what they contain or match may be asked
)

// Field is a field that expressions may name.
type Field struct {
	Name string
	Kind Kind
	// Max is the greatest Number; 0 means that of 32 bits.
	Max uint64
	// Labels are names of numbers, which stand between quotes.
	Labels map[string]uint64
}

// Value is one value of a field in a record: Bytes of Text, Bytes and Proto, Num of Number, Truth and Seconds (ns), Addr
// of Address.
type Value struct {
	Bytes []byte
	Num   int64
	Addr  netip.Addr
}

// Record is what a filter is asked about.
type Record interface {
	// Values appends the values of a field, by its place in the list that Compile was given; none if the record
	// does not have it.
	Values(field int, to []Value) []Value
}

// Filter is a compiled expression. It may not be shared between goroutines.
type Filter struct {
	root node
	uses map[int]bool
}

// MaxLength bounds an expression, in bytes; maxDepth its brackets and negations, one in another.
const (
	MaxLength = 64 << 10
	maxDepth  = 200
)

// Compile reads an expression over the fields. An empty one fits all records. The error is an *Error.
func Compile(expr string, fields []Field) (*Filter, error) {
	f := &Filter{uses: make(map[int]bool)}
	p := &parser{lex: lexer{in: expr}, fields: fields, names: make(map[string]int, len(fields)), f: f}
	for i := range fields {
		p.names[fields[i].Name] = i
	}
	err := p.all(len(expr))
	var e *Error
	if errors.As(err, &e) {
		e.place(expr)
		return nil, e
	}
	return f, nil
}

// Match reports whether the record fits.
func (f *Filter) Match(r Record) bool { return f.root == nil || f.root.match(r) }

// Uses reports whether the expression names a field, by its place in the list that Compile was given.
func (f *Filter) Uses(field int) bool { return f.uses[field] }
