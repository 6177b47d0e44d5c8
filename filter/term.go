package filter

import (
	"bytes"
	"math"
	"net/netip"
	"strconv"
)

// term is what is compared: a field, or what is made of one.
type term struct {
	// Field has as its name what the expression writes.
	Field
	form form
	// values returns the term's values, which hold until it is asked again.
	values func(r Record) []Value
}

// form is how a term is made.
type form uint8

const (
	plain form = iota // a field
	sliced
	called
	masked
)

// maxSliced bounds what slices make of one value: no packet is that long.
const maxSliced = 1 << 20

// field returns the term of a field.
func (p *parser) field(i int) *term {
	p.f.uses[i] = true
	var room []Value
	return &term{p.fields[i], plain, func(r Record) []Value {
		room = r.Values(i, room[:0])
		return room
	}}
}

// make returns a term that has a value for each of another's.
func (t *term) make(kind Kind, form form, of func(Value) Value) *term {
	var room []Value
	return &term{Field{Kind: kind}, form, func(r Record) []Value {
		room = room[:0]
		for _, v := range t.values(r) {
			room = append(room, of(v))
		}
		return room
	}}
}

// bytewise tells whether a field is bytes, or text.
func (f *Field) bytewise() bool { return f.Kind == Text || f.Kind == Bytes || f.Kind == Proto }

// holds reports whether a term stands as a condition by itself: a field where it is there, a slice where it is not empty, all
// else where it is not zero.
func (t *term) holds(r Record) bool {
	list := t.values(r)
	if t.form == plain {
		return len(list) > 0
	}
	for _, v := range list {
		switch {
		case t.form == masked && t.Kind == Bytes:
			if len(bytes.Trim(v.Bytes, "\x00")) > 0 {
				return true
			}
		case len(v.Bytes) > 0, v.Num != 0, v.Addr.IsValid() && !v.Addr.IsUnspecified():
			return true
		}
	}
	return false
}

// content is a value as bytes.
func content(kind Kind, v Value) []byte {
	if kind == Address {
		return v.Addr.AsSlice()
	}
	return v.Bytes
}

// cut is a part of a slice: n bytes (characters of a text) from a place on, which counts from the end where it is
// negative; all that follow it where n is negative.
type cut struct{ from, n int64 }

// within returns where the cut begins and ends in so many bytes; that it lies within them, too.
func (c cut) within(size int64) (from, to int64, ok bool) {
	if from = c.from; from < 0 {
		from += size
	}
	if to = from + c.n; c.n < 0 {
		to = size
	}
	return from, to, from >= 0 && from <= to && to <= size
}

// slice returns the term of a slice. As in Wireshark the first part that does not lie within a value ends the slice.
func (t *term) slice(cuts []cut) *term {
	if t.Kind == Text {
		return t.make(Text, sliced, func(v Value) Value {
			text := []rune(string(v.Bytes))
			var out []byte
			for _, c := range cuts {
				from, to, ok := c.within(int64(len(text)))
				if !ok || len(out) > maxSliced {
					break
				}
				out = append(out, string(text[from:to])...)
			}
			return Value{Bytes: out}
		})
	}
	kind := t.Kind
	return t.make(Bytes, sliced, func(v Value) Value {
		b := content(kind, v)
		var out []byte
		for _, c := range cuts {
			from, to, ok := c.within(int64(len(b)))
			if !ok || len(out) > maxSliced {
				break
			}
			if len(cuts) == 1 {
				return Value{Bytes: b[from:to]}
			}
			out = append(out, b[from:to]...)
		}
		return Value{Bytes: out}
	})
}

// mask returns the term of a field's bits; with tells the masks.
func (t *term) mask(with func(r Record) []Value) *term {
	var room []Value
	n := &term{t.Field, masked, func(r Record) []Value {
		room = room[:0]
		masks := with(r)
		for _, v := range t.values(r) {
			for _, m := range masks {
				room = append(room, maskOf(t.Kind, v, m))
			}
		}
		return room
	}}
	n.Labels = nil
	return n
}

// maskOf has of bytes as many as both have.
func maskOf(kind Kind, v, m Value) Value {
	if kind == Number {
		return Value{Num: v.Num & m.Num}
	}
	a, b := content(kind, v), content(kind, m)
	out := make([]byte, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] & b[i]
	}
	if kind == Address {
		addr, _ := netip.AddrFromSlice(out) // of one family, or of none
		return Value{Addr: addr}
	}
	return Value{Bytes: out}
}

// functions are the names that call knows.
var functions = []Field{{Name: "len"}, {Name: "count"}, {Name: "lower"}, {Name: "upper"}, {Name: "string"}, {Name: "vals"}, {Name: "abs"}, {Name: "max"}, {Name: "min"}}

// apply returns the term of a function.
func (p *parser) apply(name token, args []operand) (*term, error) {
	a := args[0]
	if a.term == nil && a.kind != tokWord {
		return nil, a.fault("%s needs a field here", name.text)
	}
	if a.term == nil {
		return nil, p.noField(a)
	}
	if len(args) > 1 && name.text != "max" && name.text != "min" {
		return nil, args[1].fault("%s takes one value", name.text)
	}
	t := a.term
	kind, field := t.Kind, t.form == plain
	unfit := func() (*term, error) { return nil, a.fault("%s does not take %s", name.text, t.Name) }
	switch name.text {
	case "len":
		if !t.bytewise() && kind != Address {
			return unfit()
		}
		return t.make(Number, called, func(v Value) Value {
			if kind == Text {
				return Value{Num: int64(len([]rune(string(v.Bytes))))}
			}
			return Value{Num: int64(len(content(kind, v)))}
		}), nil
	case "count":
		if !field {
			return unfit()
		}
		return &term{Field{Kind: Number}, called, func(r Record) []Value { return []Value{{Num: int64(len(t.values(r)))}} }}, nil
	case "lower", "upper":
		if kind != Text {
			return unfit()
		}
		first, last := byte('A'), byte('Z')
		if name.text == "upper" {
			first, last = 'a', 'z'
		}
		return t.make(Text, called, func(v Value) Value {
			b := bytes.Clone(v.Bytes)
			for i, c := range b {
				if c >= first && c <= last {
					b[i] ^= 'a' - 'A'
				}
			}
			return Value{Bytes: b}
		}), nil
	case "string":
		if !field || kind != Number && kind != Address {
			return unfit()
		}
		return t.make(Text, called, func(v Value) Value {
			if kind == Address {
				return Value{Bytes: []byte(v.Addr.String())}
			}
			return Value{Bytes: strconv.AppendInt(nil, v.Num, 10)}
		}), nil
	case "vals":
		if !field || len(t.Labels) == 0 {
			return unfit()
		}
		labels := make(map[int64][]byte)
		for label, n := range t.Labels {
			labels[int64(n)] = []byte(label)
		}
		return t.make(Text, called, func(v Value) Value { return Value{Bytes: labels[v.Num]} }), nil
	case "abs":
		if kind != Number && kind != Seconds {
			return unfit()
		}
		return t.make(kind, called, func(v Value) Value { return Value{Num: max(v.Num, -v.Num)} }), nil
	case "max", "min":
		return p.extreme(name, args)
	}
	return nil, name.fault("%q is not a function; the nearest is %s", name.text, nearest(name.text, functions))
}

// extreme returns the term of the greatest or least value of some.
func (p *parser) extreme(name token, args []operand) (*term, error) {
	first := args[0].term
	if first.Kind == Present {
		return nil, args[0].fault("%s does not take %s", name.text, first.Name)
	}
	lists := make([]func(Record) []Value, len(args))
	for i, a := range args {
		if a.term == nil {
			c, err := p.constant(&first.Field, a, less, name)
			if err != nil {
				return nil, err
			}
			only := []Value{c.Value}
			lists[i] = func(Record) []Value { return only }
			continue
		}
		if a.term.Kind != first.Kind {
			return nil, a.fault("%s and %s are of different kinds", first.Name, a.term.Name)
		}
		lists[i] = a.term.values
	}
	op := greater
	if name.text == "min" {
		op = less
	}
	f := Field{Kind: first.Kind, Max: math.MaxUint32}
	return &term{f, called, func(r Record) (best []Value) {
		for _, values := range lists {
			for _, v := range values(r) {
				if best == nil || holds(op, first.Kind, &v, &best[0]) {
					best = []Value{v}
				}
			}
		}
		return best
	}}, nil
}
