package filter

import "slices"

// parser reads an expression by descent: or, and, not, test, from the loosest to the tightest.
type parser struct {
	lex    lexer
	tok    token
	fields []Field
	names  map[string]int
	depth  int
	f      *Filter
}

func (p *parser) all(length int) error {
	if length > MaxLength {
		return fault(MaxLength, 0, "the filter is longer than %d bytes", MaxLength)
	}
	if err := p.advance(); err != nil || p.tok.kind == tokEnd {
		return err
	}
	n, err := p.either()
	if err != nil {
		return err
	}
	if p.tok.kind != tokEnd {
		return p.unexpected("and, or, or the end of the filter")
	}
	p.f.root = n
	return nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

// is reports whether the token is one of these signs or words.
func (p *parser) is(list ...string) bool {
	return (p.tok.kind == tokSign || p.tok.kind == tokWord) && slices.Contains(list, p.tok.text)
}

// unsupported is what Wireshark has and this package has not.
var unsupported = map[string]string{
	"[": "slices are", "@": "raw values are", "#": "layers are", "&": "bit masks are", "$": "references are", "any": "any is", "all": "all is", "^": "xor is", "xor": "xor is",
}

func (p *parser) unexpected(want string) error {
	if what, ok := unsupported[p.tok.text]; ok && (p.tok.kind == tokSign || p.tok.kind == tokWord) {
		return p.tok.fault("%s not supported here", what)
	}
	switch p.tok.kind {
	case tokEnd:
		return p.tok.fault("the filter ends where %s should stand", want)
	case tokText, tokChar:
		return p.tok.fault("a text stands where %s should", want)
	}
	switch p.tok.text {
	case "AND", "OR", "NOT", "XOR", "IN", "CONTAINS", "MATCHES":
		return p.tok.fault("%s is written in small letters", p.tok.text)
	}
	return p.tok.fault("%q stands where %s should", p.tok.text, want)
}

// chain reads operands between operators.
func (p *parser) chain(operand func() (node, error), join func(a, b node) node, operators ...string) (node, error) {
	n, err := operand()
	for err == nil && p.is(operators...) {
		var next node
		if err = p.advance(); err == nil {
			if next, err = operand(); err == nil {
				n = join(n, next)
			}
		}
	}
	return n, err
}

func (p *parser) either() (node, error) {
	return p.chain(p.both, func(a, b node) node { return or{a, b} }, "||", "or")
}

func (p *parser) both() (node, error) {
	return p.chain(p.unary, func(a, b node) node { return and{a, b} }, "&&", "and")
}

func (p *parser) unary() (node, error) {
	if p.depth >= maxDepth {
		return nil, p.tok.fault("more than %d brackets and negations stand in each other", maxDepth)
	}
	p.depth++
	defer func() { p.depth-- }()
	switch {
	case p.is("!", "not"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.unary()
		return not{n}, err
	case p.is("("):
		open := p.tok
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.either()
		if err != nil {
			return nil, err
		}
		if !p.is(")") {
			if p.tok.kind == tokEnd {
				return nil, open.fault("the bracket is not closed")
			}
			return nil, p.unexpected("and, or, or )")
		}
		return n, p.advance()
	}
	return p.test()
}

// operand is one side of a comparison: a field, or a constant.
type operand struct {
	token
	field int // -1 for a constant
}

func (p *parser) operand(want string) (operand, error) {
	if p.tok.kind == tokEnd || p.tok.kind == tokSign || p.is(words...) {
		return operand{}, p.unexpected(want)
	}
	o := operand{p.tok, -1}
	if i, ok := p.names[o.text]; ok && o.kind == tokWord {
		o.field = i
		p.f.uses[i] = true
	}
	return o, p.advance()
}

// words are operators: a field or a constant is not called so.
var words = []string{
	"and", "or", "xor", "not", "in", "contains", "matches", "eq", "ne", "gt", "lt", "ge", "le", "any_eq", "all_eq", "any_ne", "all_ne",
	"any", "all", "AND", "OR", "NOT", "XOR", "IN", "CONTAINS", "MATCHES",
}

// comparisons are the operators that compare, by what they are written as.
var comparisons = map[string]operator{
	"==": anyEqual, "eq": anyEqual, "any_eq": anyEqual, "===": allEqual, "all_eq": allEqual, "!=": allDiffer, "ne": allDiffer, "all_ne": allDiffer,
	"!==": anyDiffer, "~=": anyDiffer, "any_ne": anyDiffer, "<": less, "lt": less, "<=": lessOrEqual, "le": lessOrEqual, ">": greater, "gt": greater,
	">=": greaterOrEqual, "ge": greaterOrEqual, "contains": contains, "matches": matches, "~": matches,
}

// test reads a comparison, or a field that is to be there.
func (p *parser) test() (node, error) {
	a, err := p.operand("a field")
	if err != nil {
		return nil, err
	}
	op, compares := comparisons[p.tok.text]
	switch {
	case a.field < 0 && p.is("("):
		return nil, a.fault("functions are not supported here")
	case a.field < 0:
		return nil, p.noField(a)
	case p.is(p.tok.text) && compares:
		return p.comparison(a, op)
	case p.is("in"):
		return p.set(a)
	case p.is("not"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.is("in") {
			return nil, p.unexpected("in")
		}
		n, err := p.set(a)
		return not{n}, err
	}
	return exists{a.field}, nil
}

// noField says that something is no field.
func (p *parser) noField(a operand) error {
	if a.kind != tokWord {
		return a.fault("a field stands on the left, not a text")
	}
	return a.fault("%q is not a field; the nearest is %s", a.text, nearest(a.text, p.fields))
}

func (p *parser) comparison(a operand, op operator) (node, error) {
	sign := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	b, err := p.operand("a value")
	if err != nil {
		return nil, err
	}
	n, err := p.compare(a, op, sign, b)
	if err == nil && p.is(p.tok.text) && comparisons[p.tok.text] != 0 {
		return nil, p.tok.fault("comparisons are not chained here: join two with and")
	}
	return n, err
}

// set reads the values between braces.
func (p *parser) set(a operand) (node, error) {
	sign := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !p.is("{") {
		return nil, p.unexpected("{")
	}
	n := in{field: a.field, kind: p.fields[a.field].Kind}
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		r, err := p.element(a, sign)
		if err != nil {
			return nil, err
		}
		n.ranges = append(n.ranges, r)
		switch {
		case p.is("}"):
			return n, p.advance()
		case !p.is(","):
			return nil, p.unexpected(", or }")
		}
	}
}

// element reads a value of a set, or a range of them.
func (p *parser) element(a operand, sign token) (r span, err error) {
	from, err := p.operand("a value")
	if err != nil {
		return r, err
	}
	if r.from, err = p.constant(a.field, from, anyEqual, sign); err != nil {
		return r, err
	}
	r.to = r.from
	if !p.is("..") {
		return r, nil
	}
	if err := p.advance(); err != nil {
		return r, err
	}
	to, err := p.operand("a value")
	if err != nil {
		return r, err
	}
	r.ranged = true
	r.to, err = p.constant(a.field, to, anyEqual, sign)
	if err == nil && p.fields[a.field].Kind == Truth {
		err = from.fault("a range needs an order; %s has none", p.fields[a.field].Name)
	}
	return r, err
}
