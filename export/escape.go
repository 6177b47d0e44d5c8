package export

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
)

const hexDigits = "0123456789abcdef"

// Escape shows bytes from the wire as UTF-8; a byte of what is not printable stands as \xNN, a
// backslash as \\. Controls of terminals and of text direction are not printable.
func Escape(b []byte) string { return string(AppendEscaped(nil, b)) }

// AppendEscaped appends what Escape returns.
func AppendEscaped[S string | []byte](out []byte, b S) []byte { return appendWire(out, b, `\`) }

// appendJSONWire appends what Escape returns as it stands in a JSON string.
func appendJSONWire[S string | []byte](out []byte, b S) []byte { return appendWire(out, b, `\\`) }

// appendWire appends what Escape returns; a backslash in it is written as given, which tells where it will stand: two in a JSON
// string, where a quote has one, too.
func appendWire[S string | []byte](out []byte, b S, backslash string) []byte {
	quote := uint64(backslashes)
	if len(backslash) > 1 {
		quote = quotes
	}
	for len(b) > 0 {
		if cap(out)-len(out) < 8 {
			out = slices.Grow(out, len(b)+8)
		}
		x := first8(b)
		special := specialBytes(x, backslashes, quote)
		binary.LittleEndian.PutUint64(out[len(out):len(out)+8], x)
		// Where the next bytes stand does not depend on these, if they are plain, so that it is known before they are looked at.
		if len(b) >= 8 && special == 0 {
			out, b = out[:len(out)+8], b[8:]
			continue
		}
		if len(b) < 8 && special<<(64-8*len(b)) == 0 {
			return out[:len(out)+len(b)]
		}
		n := bits.TrailingZeros64(special) / 8
		out, b = out[:len(out)+n], b[n:]
		if b[0] == '"' { // it is plain where no JSON is written
			out, b = append(out, '\\', '"'), b[1:]
			continue
		}
		var size int
		out, size = appendRune(out, []byte(b[:min(len(b), utf8.UTFMax)]), backslash)
		b = b[size:]
	}
	return out
}

// appendRune appends the first character of bytes from the wire, and returns how many bytes it has.
func appendRune(out, b []byte, backslash string) (_ []byte, size int) {
	switch c := b[0]; {
	case c == '\\':
		return append(append(out, backslash...), backslash...), 1
	case c >= ' ' && c < 0x7f:
		return append(out, c), 1
	case c < utf8.RuneSelf:
		return appendByte(out, c, backslash), 1
	}
	r, size := decodeRune(b)
	if r == utf8.RuneError && size == 1 || !isPrint(r) {
		for _, c := range b[:size] {
			out = appendByte(out, c, backslash)
		}
		return out, size
	}
	return append(out, b[:size]...), size
}

// appendByte appends a byte of what is not printable.
func appendByte(out []byte, c byte, backslash string) []byte {
	return append(append(out, backslash...), 'x', hexDigits[c>>4], hexDigits[c&15])
}

// decodeRune is utf8.DecodeRune, which asks more of the three bytes that most characters have where there are more than a few letters.
func decodeRune(b []byte) (rune, int) {
	if len(b) >= 3 && b[0] > 0xe0 && b[0] < 0xed && b[1]&0xc0 == 0x80 && b[2]&0xc0 == 0x80 {
		return rune(b[0]&0xf)<<12 | rune(b[1]&0x3f)<<6 | rune(b[2]&0x3f), 3
	}
	return utf8.DecodeRune(b)
}

// isPrint is unicode.IsPrint, which looks each character up in tables; of those that most texts are written in, what it says is
// remembered.
func isPrint(r rune) bool {
	if r < 0 || r >= 1<<16 {
		return unicode.IsPrint(r)
	}
	known := printable[r>>8].Load()
	if known == nil {
		known = new([4]uint64)
		for i := range rune(256) {
			if unicode.IsPrint(r&^0xff | i) {
				known[i>>6] |= 1 << (i & 63)
			}
		}
		printable[r>>8].Store(known)
	}
	return known[r>>6&3]>>(r&63)&1 == 1
}

// printable tells of 256 characters each which are printable, nil while nobody asked.
var printable [256]atomic.Pointer[[4]uint64]

// isText reports whether a payload is worth showing as text.
func isText(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		n := plainBytes(first8(b), deletes, deletes)
		b = b[n:]
		if n == 8 || len(b) == 0 {
			continue
		}
		r, size := rune(b[0]), 1
		if r >= utf8.RuneSelf {
			r, size = decodeRune(b)
		}
		if r == utf8.RuneError && size == 1 || !isPrint(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
		b = b[size:]
	}
	return true
}

// hexBytes shows a violation's bytes; where a secret is, two stars stand for each byte.
func hexBytes(v *dissect.Violation, showSecrets bool) string {
	b := []byte(hex.EncodeToString(v.Bytes))
	if !showSecrets {
		for _, s := range v.Secret {
			for i := 2 * s[0]; i < 2*s[1] && i < len(b); i++ {
				b[i] = '*'
			}
		}
	}
	return string(b)
}

// appendJSON appends a JSON string.
func appendJSON[S string | []byte](b []byte, s S) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// markdownCell makes a text safe inside a Markdown table.
var markdownCell = strings.NewReplacer("|", `\|`, "\n", "<br>", "<", "&lt;", ">", "&gt;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`)
