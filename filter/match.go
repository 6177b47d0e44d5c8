package filter

import (
	"bytes"
	"cmp"
)

// node is a part of a condition.
type node interface {
	match(r Record) bool
}

type (
	or     struct{ a, b node }
	and    struct{ a, b node }
	not    struct{ a node }
	exists struct{ *term }
	// comparison holds a term against a constant.
	comparison struct {
		a    *term
		op   operator
		all  bool
		with constant
	}
	// termComparison holds a term against another.
	termComparison struct {
		a, b *term
		op   operator
		all  bool
	}
	// in tells whether a field's value is in one of some ranges.
	in struct {
		a      *term
		all    bool
		ranges []span
	}
	span struct {
		from, to constant
		ranged   bool
	}
)

func (n or) match(r Record) bool  { return n.a.match(r) || n.b.match(r) }
func (n and) match(r Record) bool { return n.a.match(r) && n.b.match(r) }
func (n not) match(r Record) bool { return !n.a.match(r) }

func (n exists) match(r Record) bool { return n.holds(r) }

func (n *comparison) match(r Record) bool { return quantified(n.all, n.a.values(r), n.holds) }

// quantified asks of any value, or of all: a field that is not there fits no comparison.
func quantified(all bool, list []Value, holds func(*Value) bool) bool {
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
	return holds(n.op, n.a.Kind, v, &c.Value)
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
	case Proto: // as Wireshark has it
		if d := cmp.Compare(len(a.Bytes), len(b.Bytes)); d != 0 {
			return d
		}
		return bytes.Compare(a.Bytes, b.Bytes)
	case Text, Bytes:
		return bytes.Compare(a.Bytes, b.Bytes)
	case Address:
		return a.Addr.Compare(b.Addr)
	}
	return cmp.Compare(a.Num, b.Num)
}

func (n termComparison) match(r Record) bool {
	list, others := n.a.values(r), n.b.values(r)
	return quantified(n.all, list, func(v *Value) bool {
		return quantified(n.all, others, func(o *Value) bool { return holds(n.op, n.a.Kind, v, o) })
	})
}

func (n *in) match(r Record) bool {
	return quantified(n.all, n.a.values(r), func(v *Value) bool {
		for j := range n.ranges {
			if n.ranges[j].holds(n.a.Kind, v) {
				return true
			}
		}
		return false
	})
}

func (s *span) holds(kind Kind, v *Value) bool {
	if s.from.prefix.IsValid() {
		return s.from.prefix.Contains(v.Addr)
	}
	return holds(greaterOrEqual, kind, v, &s.from.Value) && holds(lessOrEqual, kind, v, &s.to.Value)
}
