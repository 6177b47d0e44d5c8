package filter

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	tokEnd  kind = iota
	tokWord      // a field's name, a number, an address, a word: what it is depends on where it stands
	tokText      // in quotes
	tokChar      // in single quotes: a character, or its number
	tokSign      // an operator or a bracket
)

// token is a part of an expression.
type token struct {
	kind kind
	// text is what it says, escapes resolved; at and end are where it stands, in bytes.
	text    string
	at, end int
}

// signs are the operators and brackets, the longer ones first.
var signs = []string{"===", "!==", "==", "!=", "~=", "<=", ">=", "&&", "||", "..", "<", ">", "~", "!", "(", ")", "{", "}", ",", "&", "[", "]", "@", "#", "$", "^"}

type lexer struct {
	in string
	at int
}

// next returns the next token.
func (l *lexer) next() (token, error) {
	for l.at < len(l.in) && strings.IndexByte(" \t\r\n", l.in[l.at]) >= 0 {
		l.at++
	}
	start, rest := l.at, l.in[l.at:]
	switch {
	case rest == "":
		return token{tokEnd, "", start, start}, nil
	case rest[0] == '"':
		return l.quoted(1, true)
	case len(rest) > 1 && rest[0] == 'r' && rest[1] == '"':
		return l.quoted(2, false)
	case rest[0] == '\'':
		return l.char()
	}
	for _, s := range signs {
		if strings.HasPrefix(rest, s) {
			l.at += len(s)
			return token{tokSign, s, start, l.at}, nil
		}
	}
	for l.at < len(l.in) {
		r, size := utf8.DecodeRuneInString(l.in[l.at:])
		if !wordRune(r) || strings.HasPrefix(l.in[l.at:], "..") {
			break
		}
		l.at += size
	}
	if l.at == start {
		r, size := utf8.DecodeRuneInString(rest)
		if r == '=' {
			return token{}, fault(start, size, "= is written ==")
		}
		if strings.ContainsRune("“”„‟«»", r) {
			return token{}, fault(start, size, "a text stands between straight quotes: \"")
		}
		return token{}, fault(start, size, "%s means nothing here", strconv.QuoteRune(r))
	}
	return token{tokWord, l.in[start:l.at], start, l.at}, nil
}

func wordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r < utf8.RuneSelf && strings.ContainsRune("_.:/-+*%", r)
}

// quoted reads a text in quotes, skip bytes in front of it.
func (l *lexer) quoted(skip int, escapes bool) (token, error) {
	start := l.at
	var b []byte
	for i := start + skip; i < len(l.in); i++ {
		switch c := l.in[i]; {
		case c == '"':
			l.at = i + 1
			return token{tokText, string(b), start, l.at}, nil
		case c == '\\' && !escapes && i+1 < len(l.in):
			b = append(b, c, l.in[i+1]) // a quote behind a backslash does not end it, and both stay
			i++
		case c == '\\' && escapes:
			value, n, ok := escape(l.in[i:])
			if !ok {
				return token{}, fault(i, 2, "this escape is none of \\\" \\\\ \\a \\b \\f \\n \\r \\t \\v \\xHH \\NNN \\uHHHH; write \\\\ for a backslash, or r\"...\"")
			}
			b = append(b, value...)
			i += n - 1
		default:
			b = append(b, c)
		}
	}
	return token{}, fault(start, len(l.in)-start, "the text has no closing quote")
}

// char reads a character in single quotes.
func (l *lexer) char() (token, error) {
	start, rest := l.at, l.in[l.at+1:]
	value, n := "", 1
	if rest != "" && rest[0] == '\\' {
		b, size, ok := escape(rest)
		if ok {
			value, n = string(b), size
		}
	} else if rest != "" && rest[0] < utf8.RuneSelf {
		value = rest[:1]
	}
	if len(value) != 1 || len(rest) <= n || rest[n] != '\'' {
		return token{}, fault(start, 1, "one character stands between single quotes; a text stands between double ones: \"")
	}
	l.at += n + 2
	return token{tokChar, value, start, l.at}, nil
}

var plainEscapes = map[byte]byte{'"': '"', '\\': '\\', '\'': '\'', 'a': 7, 'b': 8, 'f': 12, 'n': '\n', 'r': '\r', 't': '\t', 'v': 11}

// escape resolves the escape that s starts with, n bytes long.
func escape(s string) (value []byte, n int, ok bool) {
	if len(s) < 2 {
		return nil, 0, false
	}
	if c, plain := plainEscapes[s[1]]; plain {
		return []byte{c}, 2, true
	}
	digits := func(from, to, base, bits int) (uint64, bool) {
		if len(s) < to {
			return 0, false
		}
		v, err := strconv.ParseUint(s[from:to], base, bits)
		return v, err == nil
	}
	switch s[1] {
	case 'x':
		if v, ok := digits(2, 4, 16, 8); ok {
			return []byte{byte(v)}, 4, true
		}
	case 'u':
		if v, ok := digits(2, 6, 16, 16); ok && v >= 0xa0 && utf8.ValidRune(rune(v)) { // as in C
			return utf8.AppendRune(nil, rune(v)), 6, true
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		end := 2
		for end < len(s) && end < 4 && s[end] >= '0' && s[end] <= '7' {
			end++
		}
		if v, ok := digits(1, end, 8, 8); ok {
			return []byte{byte(v)}, end, true
		}
	}
	return nil, 0, false
}
