package filter

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

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
	"@": "raw values are", "#": "layers are", "$": "references are", "^": "xor is", "xor": "xor is",
	"+": "arithmetic is", "-": "arithmetic is", "*": "arithmetic is", "/": "arithmetic is", "%": "arithmetic is",
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

// operand is one side of a comparison: a term, or a constant.
type operand struct {
	token
	term *term // nil for a constant
}

// operand reads a term with its masks, or a constant.
func (p *parser) operand(want string) (operand, error) {
	a, err := p.entity(want)
	for err == nil && p.is("&", "bitand", "bitwise_and") {
		a, err = p.mask(a)
	}
	return a, err
}

// made gives an operand the term that was made up to a place.
func (p *parser) made(o operand, t *term, end int) operand {
	o.kind, o.text, o.end, o.term = tokWord, p.lex.in[o.at:end], end, t
	t.Name = o.text
	return o
}

func (p *parser) mask(a operand) (operand, error) {
	sign := p.tok
	if a.term == nil {
		return a, sign.fault("a mask stands behind a field")
	}
	if err := p.advance(); err != nil {
		return a, err
	}
	m, err := p.entity("a mask")
	if err != nil {
		return a, err
	}
	t := a.term
	if t.Kind != Number && t.Kind != Bytes && t.Kind != Address {
		return a, sign.fault("a mask does not fit %s", t.Name)
	}
	if m.term != nil {
		if m.term.Kind != t.Kind {
			return a, m.fault("%s and %s are of different kinds", t.Name, m.term.Name)
		}
		return p.made(a, t.mask(m.term.values), m.end), nil
	}
	f := t.Field
	f.Labels = nil
	c, err := p.constant(&f, m, less, sign)
	if err != nil {
		return a, err
	}
	only := []Value{c.Value}
	return p.made(a, t.mask(func(Record) []Value { return only }), m.end), nil
}

// entity reads a field or a function with its slices, or a constant.
func (p *parser) entity(want string) (o operand, err error) {
	if p.tok.kind == tokEnd || p.tok.kind == tokSign || p.is(words...) {
		return o, p.unexpected(want)
	}
	o.token = p.tok
	if err = p.advance(); err != nil || o.kind != tokWord {
		return o, err
	}
	if o.text == "-" || o.text == "+" {
		if p.tok.kind != tokWord || p.is(words...) {
			return o, p.unexpected("a number")
		}
		o.text, o.end = o.text+p.tok.text, p.tok.end
		if err = p.advance(); err != nil {
			return o, err
		}
	}
	i, known := p.names[o.text]
	switch {
	case p.is("("):
		if o, err = p.call(o); err != nil {
			return o, err
		}
	case known:
		o.term = p.field(i)
	}
	for p.is("[") {
		if o, err = p.slice(o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// call reads the values of a function.
func (p *parser) call(name operand) (operand, error) {
	if p.depth >= maxDepth {
		return name, p.tok.fault("more than %d brackets and negations stand in each other", maxDepth)
	}
	p.depth++
	defer func() { p.depth-- }()
	var args []operand
	for {
		if err := p.advance(); err != nil {
			return name, err
		}
		a, err := p.operand("a field")
		if err != nil {
			return name, err
		}
		if args = append(args, a); p.is(")") {
			break
		}
		if !p.is(",") {
			return name, p.unexpected(", or )")
		}
	}
	t, err := p.apply(name.token, args)
	if err != nil {
		return name, err
	}
	o := p.made(name, t, p.tok.end)
	return o, p.advance()
}

// slice reads the places of a slice, which are written in a manner of their own.
func (p *parser) slice(o operand) (operand, error) {
	open := p.tok
	size := strings.IndexByte(p.lex.in[p.lex.at:], ']')
	switch {
	case size < 0:
		return o, open.fault("the bracket is not closed")
	case o.term == nil && o.kind == tokWord:
		return o, p.noField(o)
	case o.term == nil, !o.term.bytewise() && o.term.Kind != Address, o.term.form == masked:
		return o, open.fault("%s cannot be sliced", o.text)
	}
	var cuts []cut
	for _, s := range strings.Split(p.lex.in[p.lex.at:p.lex.at+size], ",") {
		c, err := cutOf(s)
		if err != "" {
			return o, fault(p.lex.at, len(s), "%s", err)
		}
		cuts = append(cuts, c)
		p.lex.at += len(s) + 1
	}
	return p.made(o, o.term.slice(cuts), p.lex.at), p.advance()
}

const place = `([+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+))`

var cutForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*(?:` + place + `|` + place + `?\s*(:)\s*` + place + `?|` + place + `\s*(-)\s*` + place + `)\s*$`)
})

// cutOf reads i, i:length, i-j, :length or i: .
func cutOf(s string) (c cut, mistake string) {
	m := cutForm().FindStringSubmatch(s)
	if m == nil {
		return c, "a slice is written [i], [i:length], [i-j], [:length], [i:], or several with commas"
	}
	read := func(s string, otherwise int64) int64 {
		if s == "" {
			return otherwise
		}
		n, err := strconv.ParseInt(s, 0, 32)
		if err != nil {
			mistake = fmt.Sprintf("%s is no place in a packet", s)
		}
		return n
	}
	switch {
	case m[1] != "":
		c = cut{read(m[1], 0), 1}
	case m[3] != "":
		c = cut{read(m[2], 0), read(m[4], -1)}
		if m[4] != "" && c.n <= 0 && mistake == "" {
			mistake = "a slice has at least one byte: behind the colon stands its length"
		}
	default:
		from, to := read(m[5], 0), read(m[7], 0)
		c = cut{from, to - from + 1}
		if mistake == "" && (from >= to || from < 0 != (to < 0)) {
			mistake = "a slice ends behind its start, and both are counted from the same end"
		}
	}
	return c, mistake
}

// words are operators: a field or a constant is not called so.
var words = []string{
	"and", "or", "xor", "not", "in", "contains", "matches", "eq", "ne", "gt", "lt", "ge", "le", "any_eq", "all_eq", "any_ne", "all_ne",
	"any", "all", "bitand", "bitwise_and", "AND", "OR", "NOT", "XOR", "IN", "CONTAINS", "MATCHES",
}

// comparisons are the operators that compare, by what they are written as.
var comparisons = map[string]operator{
	"==": anyEqual, "eq": anyEqual, "any_eq": anyEqual, "===": allEqual, "all_eq": allEqual, "!=": allDiffer, "ne": allDiffer, "all_ne": allDiffer,
	"!==": anyDiffer, "~=": anyDiffer, "any_ne": anyDiffer, "<": less, "lt": less, "<=": lessOrEqual, "le": lessOrEqual, ">": greater, "gt": greater,
	">=": greaterOrEqual, "ge": greaterOrEqual, "contains": contains, "matches": matches, "~": matches,
}

// test reads a comparison, or a field that is to be there.
func (p *parser) test() (node, error) {
	quantifier := ""
	if p.is("any", "all") {
		quantifier = p.tok.text
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	a, err := p.operand("a field")
	if err != nil {
		return nil, err
	}
	op, compares := comparisons[p.tok.text]
	switch {
	case a.term == nil:
		return nil, p.noField(a)
	case p.is(p.tok.text) && compares:
		return p.comparison(quantifier, a, op)
	case p.is("in"):
		return p.set(quantifier, a)
	case p.is("not"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.is("in") {
			return nil, p.unexpected("in")
		}
		n, err := p.set(quantifier, a)
		return and{exists{a.term}, not{n}}, err
	case quantifier != "":
		return nil, p.unexpected("a comparison")
	}
	return exists{a.term}, nil
}

// noField says that something is no field.
func (p *parser) noField(a operand) error {
	if a.kind != tokWord {
		return a.fault("a field stands on the left, not a text")
	}
	return a.fault("%q is not a field; the nearest is %s", a.text, nearest(a.text, p.fields))
}

func (p *parser) comparison(quantifier string, a operand, op operator) (node, error) {
	sign := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	b, err := p.operand("a value")
	if err != nil {
		return nil, err
	}
	n, err := p.compare(quantifier, a, op, sign, b)
	if err == nil && p.is(p.tok.text) && comparisons[p.tok.text] != 0 {
		return nil, p.tok.fault("comparisons are not chained here: join two with and")
	}
	return n, err
}

// set reads the values between braces.
func (p *parser) set(quantifier string, a operand) (node, error) {
	sign := p.tok
	if a.term.form != plain {
		return nil, sign.fault("only a field is looked up in a set: join comparisons with or")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if !p.is("{") {
		return nil, p.unexpected("{")
	}
	n := &in{a: a.term, all: quantifier == "all"}
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
	if r.from, err = p.constant(&a.term.Field, from, anyEqual, sign); err != nil {
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
	r.to, err = p.constant(&a.term.Field, to, anyEqual, sign)
	if err == nil && a.term.Kind == Truth {
		err = from.fault("a range needs an order; %s has none", a.term.Name)
	}
	return r, err
}
