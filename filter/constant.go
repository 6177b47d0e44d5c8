package filter

import (
	"encoding/hex"
	"math"
	"math/big"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// operator is a comparison.
type operator uint8

const (
	_ operator = iota
	anyEqual
	allEqual
	allDiffer
	anyDiffer
	less
	lessOrEqual
	greater
	greaterOrEqual
	contains
	matches
)

// constant is a value that an expression names.
type constant struct {
	Value
	prefix  netip.Prefix // of Address, where it names a network
	pattern *regexp.Regexp
}

// kindNames say what values a field takes.
var kindNames = map[Kind]string{
	Text: "a text", Bytes: "bytes such as 7b:22, or a text in quotes", Proto: "bytes such as 7b:22, or a text in quotes", Number: "a number", Truth: "true or false", Seconds: "a time in seconds such as 0.5",
	Address: "an IP address, or a network such as 10.0.0.0/8",
}

// compare makes the node of a comparison.
func (p *parser) compare(a operand, op operator, sign token, b operand) (node, error) {
	if b.field >= 0 {
		return p.compareFields(a, op, sign, b)
	}
	c, err := p.constant(a.field, b, op, sign)
	if err != nil {
		return nil, err
	}
	return &comparison{a.field, op, p.fields[a.field].Kind, c}, nil
}

func (p *parser) compareFields(a operand, op operator, sign token, b operand) (node, error) {
	x, y := &p.fields[a.field], &p.fields[b.field]
	if err := allowed(x, op, sign); err != nil {
		return nil, err
	}
	if x.Kind != y.Kind {
		return nil, b.fault("%s and %s are of different kinds", x.Name, y.Name)
	}
	if op == matches {
		return nil, b.fault("matches needs a pattern in quotes on its right")
	}
	return fieldComparison{a.field, b.field, op, x.Kind}, nil
}

// allowed tells whether an operator fits a field.
func allowed(f *Field, op operator, sign token) error {
	switch bytewise := f.Kind == Text || f.Kind == Bytes || f.Kind == Proto; {
	case f.Kind == Present:
		return sign.fault("%s has no value: it is there or not", f.Name)
	case (f.Kind == Bytes || f.Kind == Proto) && op >= less && op <= greaterOrEqual:
		return sign.fault("versions of Wireshark differ in the order of bytes: use ==, contains or matches")
	case (op == contains || op == matches) && !bytewise:
		return sign.fault("%s does not fit %s, which is %s", sign.text, f.Name, kindNames[f.Kind])
	}
	return nil
}

// constant reads a constant that is compared with a field.
func (p *parser) constant(field int, o operand, op operator, sign token) (c constant, err error) {
	f := &p.fields[field]
	if err := allowed(f, op, sign); err != nil {
		return c, err
	}
	if o.field >= 0 {
		return c, o.fault("a set holds values, not fields")
	}
	if op == matches {
		return p.patterned(o)
	}
	switch f.Kind {
	case Text:
		c.Bytes = []byte(o.text)
		return c, nil
	case Bytes, Proto:
		c.Bytes, err = bytesOf(o)
	case Number:
		c.Num, err = numberOf(f, o)
	case Truth:
		c.Num, err = truthOf(f, o)
	case Seconds:
		c.Num, err = secondsOf(f, o)
	case Address:
		c, err = addressOf(f, o, op)
	}
	return c, err
}

func (f *Field) wants(o operand) error { return o.fault("%s takes %s", f.Name, kindNames[f.Kind]) }

// bytesOf reads a text in quotes as its bytes, a word as hexadecimal digits, with or without signs between the bytes.
func bytesOf(o operand) ([]byte, error) {
	if o.kind != tokWord {
		return []byte(o.text), nil
	}
	s := o.text
	if len(s) == 1 {
		s = "0" + s
	}
	for _, sep := range []string{":", "-", "."} {
		parts := strings.Split(s, sep)
		if len(parts) == 1 {
			continue
		}
		for i, x := range parts {
			switch {
			case len(x) == 1:
				parts[i] = "0" + x
			case len(x) != 2 && (len(x) != 0 || i < len(parts)-1):
				return nil, o.fault("%q is neither bytes such as 7b:22 nor a text in quotes", o.text)
			}
		}
		s = strings.Join(parts, "")
		break
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, o.fault("%q is neither bytes such as 7b:22 nor a text in quotes", o.text)
	}
	return b, nil
}

func numberOf(f *Field, o operand) (int64, error) {
	top := f.Max
	if top == 0 {
		top = math.MaxUint32
	}
	if n, ok := f.Labels[o.text]; ok {
		return int64(n), nil
	}
	switch o.kind {
	case tokChar:
		return int64(o.text[0]), nil
	case tokText:
		if len(f.Labels) > 0 {
			return 0, o.fault("%q is none of the names that %s has", o.text, f.Name)
		}
		return 0, f.wants(o)
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(o.text, "+"), 0, 64)
	if err != nil || strings.Contains(o.text, "_") {
		return 0, f.wants(o)
	}
	if n > top {
		return 0, o.fault("%s is at most %d", f.Name, top)
	}
	return int64(n), nil
}

func truthOf(f *Field, o operand) (int64, error) {
	switch o.text {
	case "true", "True", "TRUE":
		return 1, nil
	case "false", "False", "FALSE":
		return 0, nil
	}
	n, err := strconv.ParseUint(o.text, 0, 64)
	if err != nil || o.kind != tokWord {
		return 0, f.wants(o)
	}
	return int64(min(n, 1)), nil
}

// maxSeconds bounds times to what fits in nanoseconds.
const maxSeconds = 9_000_000_000

func secondsOf(f *Field, o operand) (int64, error) {
	x, ok := new(big.Rat).SetString(o.text)
	if !ok || o.kind != tokWord || o.text[0] == '.' || strings.ContainsAny(o.text, "_/eEpPxXoObB+") {
		return 0, f.wants(o)
	}
	x.Mul(x, big.NewRat(1e9, 1))
	if limit := big.NewRat(maxSeconds, 1); x.Cmp(limit.Mul(limit, big.NewRat(1e9, 1))) > 0 || x.Cmp(new(big.Rat).Neg(limit)) < 0 {
		return 0, o.fault("%s is too long a time", o.text)
	}
	return new(big.Int).Quo(x.Num(), x.Denom()).Int64(), nil
}

func addressOf(f *Field, o operand, op operator) (c constant, err error) {
	text := o.text
	if strings.Contains(text, "/") && op <= anyDiffer {
		if c.prefix, err = netip.ParsePrefix(text); err == nil {
			c.prefix = c.prefix.Masked()
			c.Addr = c.prefix.Addr()
			return c, nil
		}
	}
	if c.Addr, err = netip.ParseAddr(text); err != nil || c.Addr.Zone() != "" {
		return c, f.wants(o)
	}
	return c, nil
}

// patterned compiles a pattern. As in Wireshark letters match both cases, and bytes are what is matched.
func (p *parser) patterned(o operand) (c constant, err error) {
	if o.kind != tokText {
		return c, o.fault("a pattern stands in quotes: \"%s\"", o.text)
	}
	c.pattern, err = regexp.Compile("(?i)" + bytewise([]byte(o.text), true))
	if err != nil {
		return c, o.fault("the pattern is not valid: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return c, nil
}

// high is the first of 128 runes of the private use area that stand for the bytes from 0x80 on: so a pattern sees bytes, and
// no letters that are alike.
const high = 0xf700

// bytewise writes each byte as one rune. In a pattern, \xHH is a byte, too.
func bytewise(b []byte, pattern bool) string {
	out := make([]byte, 0, len(b)+8)
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] >= utf8.RuneSelf:
			out = utf8.AppendRune(out, high+rune(b[i]))
		case pattern && b[i] == '\\' && i+1 < len(b):
			if i+3 < len(b) && b[i+1] == 'x' {
				if v, err := strconv.ParseUint(string(b[i+2:i+4]), 16, 8); err == nil && v >= utf8.RuneSelf {
					out = utf8.AppendRune(out, high+rune(v))
					i += 3
					continue
				}
			}
			out = append(out, b[i])
			if b[i+1] < utf8.RuneSelf {
				out = append(out, b[i+1])
				i++
			}
		default:
			out = append(out, b[i])
		}
	}
	return string(out)
}
