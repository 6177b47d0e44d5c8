package filter

import (
	"bytes"
	"cmp"
)

// node is a part of a condition.
type node interface {
	match(f *Filter, r Record) bool
}

type (
	or     struct{ a, b node }
	and    struct{ a, b node }
	not    struct{ a node }
	exists struct{ field int }
	// comparison holds a field against a constant.
	comparison struct {
		field int
		op    operator
		kind  Kind
		with  constant
	}
	// fieldComparison holds a field against another.
	fieldComparison struct {
		a, b int
		op   operator
		kind Kind
	}
	// in tells whether a field's value is in one of some ranges.
	in struct {
		field  int
		kind   Kind
		ranges []span
	}
	span struct {
		from, to constant
		ranged   bool
	}
)

func (n or) match(f *Filter, r Record) bool  { return n.a.match(f, r) || n.b.match(f, r) }
func (n and) match(f *Filter, r Record) bool { return n.a.match(f, r) && n.b.match(f, r) }
func (n not) match(f *Filter, r Record) bool { return !n.a.match(f, r) }

// values returns the values of a field in one of the filter's two rooms.
func (f *Filter) values(room int, r Record, field int) []Value {
	f.room[room] = r.Values(field, f.room[room][:0])
	return f.room[room]
}

func (n exists) match(f *Filter, r Record) bool { return len(f.values(0, r, n.field)) > 0 }

func (n *comparison) match(f *Filter, r Record) bool {
	return quantified(n.op, f.values(0, r, n.field), n.holds)
}

// quantified asks of any value, or of all: a field that is not there fits no comparison.
func quantified(op operator, list []Value, holds func(*Value) bool) bool {
	all := op == allEqual || op == allDiffer
	for i := range list {
		if holds(&list[i]) != all {
			return !all
		}
	}
	return all && len(list) > 0
}

func (n *comparison) holds(v *Value) bool {
	c := &n.with
	switch {
	case n.op == matches:
		return c.pattern.MatchString(bytewise(v.Bytes, false))
	case c.prefix.IsValid():
		within := c.prefix.Contains(v.Addr)
		return within == (n.op == anyEqual || n.op == allEqual)
	}
	return holds(n.op, n.kind, v, &c.Value)
}

// holds compares two values of a kind.
func holds(op operator, kind Kind, a, b *Value) bool {
	if op == contains {
		return bytes.Contains(a.Bytes, b.Bytes)
	}
	order := compare(kind, a, b)
	switch op {
	case anyEqual, allEqual:
		return order == 0
	case anyDiffer, allDiffer:
		return order != 0
	case less:
		return order < 0
	case lessOrEqual:
		return order <= 0
	case greater:
		return order > 0
	}
	return order >= 0
}

func compare(kind Kind, a, b *Value) int {
	switch kind {
	case Text, Bytes, Proto:
		return bytes.Compare(a.Bytes, b.Bytes)
	case Address:
		return a.Addr.Compare(b.Addr)
	}
	return cmp.Compare(a.Num, b.Num)
}

func (n fieldComparison) match(f *Filter, r Record) bool {
	list, others := f.values(0, r, n.a), f.values(1, r, n.b)
	return quantified(n.op, list, func(v *Value) bool {
		return quantified(n.op, others, func(o *Value) bool { return holds(n.op, n.kind, v, o) })
	})
}

func (n in) match(f *Filter, r Record) bool {
	list := f.values(0, r, n.field)
	for i := range list {
		for j := range n.ranges {
			if n.ranges[j].holds(n.kind, &list[i]) {
				return true
			}
		}
	}
	return false
}

func (s *span) holds(kind Kind, v *Value) bool {
	if s.from.prefix.IsValid() {
		return s.from.prefix.Contains(v.Addr)
	}
	return holds(greaterOrEqual, kind, v, &s.from.Value) && holds(lessOrEqual, kind, v, &s.to.Value)
}
