package filter

import (
	"encoding/hex"
	"math"
	"math/big"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
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

// compare makes the node of a comparison. A quantifier says whether it is to hold for any value or for all; without one, the
// operator does.
func (p *parser) compare(quantifier string, a operand, op operator, sign token, b operand) (node, error) {
	all := quantifier == "all" || quantifier == "" && (op == allEqual || op == allDiffer)
	if (op == contains || op == matches) && a.term.form == masked {
		return nil, sign.fault("%s does not fit a mask", sign.text)
	}
	if b.term != nil {
		if err := allowed(&a.term.Field, op, sign); err != nil {
			return nil, err
		}
		if a.term.Kind != b.term.Kind {
			return nil, b.fault("%s and %s are of different kinds", a.term.Name, b.term.Name)
		}
		if op == matches {
			return nil, b.fault("matches needs a pattern in quotes on its right")
		}
		return termComparison{a.term, b.term, op, all}, nil
	}
	if a.term.Kind == Text && a.term.form == sliced && b.kind == tokWord && strings.Trim(b.text, "0123456789.") == "" {
		return nil, b.fault("write a text in quotes: \"%s\"", b.text)
	}
	c, err := p.constant(&a.term.Field, b, op, sign)
	if err != nil {
		return nil, err
	}
	return &comparison{a.term, op, all, c}, nil
}

// allowed tells whether an operator fits a field.
func allowed(f *Field, op operator, sign token) error {
	switch {
	case f.Kind == Present:
		return sign.fault("%s has no value: it is there or not", f.Name)
	case (op == contains || op == matches) && !f.bytewise():
		return sign.fault("%s does not fit %s, which is %s", sign.text, f.Name, kindNames[f.Kind])
	}
	return nil
}

// constant reads a constant that is compared with a field.
func (p *parser) constant(f *Field, o operand, op operator, sign token) (c constant, err error) {
	if err := allowed(f, op, sign); err != nil {
		return c, err
	}
	if o.term != nil {
		return c, o.fault("a set holds values, not fields")
	}
	if op == matches {
		return p.patterned(o)
	}
	switch f.Kind {
	case Text:
		if o.kind == tokWord && o.text[0] == '-' {
			return c, f.wants(o)
		}
		c.Bytes = []byte(o.text)
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

// numeric is a number as Wireshark reads it since 4.4, where 4.0 sees bytes in hexadecimal digits.
var numeric = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]+|0[bB][01]+|[0-9]+(\.[0-9]+)?([eE][0-9]+)?)$`)
})

// oneNumber reports whether a numeric text is the same read either way: 0 to 9, and 00 to 07.
func oneNumber(s string) bool { return len(s) == 1 || len(s) == 2 && s[0] == '0' && s[1] <= '7' }

// bytesOf reads a text in quotes as its bytes, a word as hexadecimal digits, with or without signs between the bytes, or as one
// byte behind 0x.
func bytesOf(o operand) ([]byte, error) {
	if o.kind != tokWord {
		return []byte(o.text), nil
	}
	s := strings.TrimPrefix(o.text, ":")
	if digits := strings.TrimPrefix(s, "0x"); len(digits) == 2 && len(s) == 4 {
		s = digits
	} else if len(s) == len(o.text) && numeric().MatchString(s) && !oneNumber(s) {
		return nil, o.fault("versions of Wireshark differ in what %s is: write a byte as 0x2a, several with colons", o.text)
	}
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
			case len(x) != 2 && (len(x) != 0 || i < len(parts)-1 || sep == "."):
				return nil, o.fault("%q is neither bytes such as 7b:22 nor a text in quotes", o.text)
			}
		}
		s = strings.Join(parts, "")
		break
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) == 0 {
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
	n, err := strconv.ParseUint(strings.TrimLeft(o.text[:1], "+-")+o.text[1:], 0, 64)
	if err != nil || strings.Contains(o.text, "_") {
		return 0, f.wants(o)
	}
	if n > top {
		return 0, o.fault("%s is at most %d", f.Name, top)
	}
	if o.text[0] == '-' {
		return -int64(n), nil
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
	if !ok || o.kind != tokWord || strings.TrimPrefix(o.text, "-")[:1] == "." || strings.ContainsAny(o.text, "_/eEpPxXoObB+") {
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
