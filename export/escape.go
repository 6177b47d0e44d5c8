package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
)

const hexDigits = "0123456789abcdef"

// Escape shows bytes from the wire as UTF-8; a byte of what is not printable stands as \xNN, a
// backslash as \\. Controls of terminals and of text direction are not printable.
func Escape(b []byte) string { return string(AppendEscaped(nil, b)) }

// AppendEscaped appends what Escape returns.
func AppendEscaped(out, b []byte) []byte {
	if isPlain(b) && bytes.IndexByte(b, '\\') < 0 {
		return append(out, b...)
	}
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '\\':
				out = append(out, '\\', '\\')
			case c < ' ' || c == 0x7f:
				out = append(out, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			default:
				out = append(out, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			for _, c := range b[i : i+size] {
				out = append(out, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			}
		} else {
			out = append(out, b[i:i+size]...)
		}
		i += size
	}
	return out
}

// isText reports whether a payload is worth showing as text.
func isText(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if isPlain(b) {
		return true
	}
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

// isPlain reports whether all bytes are printable ASCII.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// mask stands for a secret, so that equal values look equal.
func mask(b []byte) string { return string(appendMask(nil, b)) }

func appendMask(out, b []byte) []byte {
	sum := sha256.Sum256(b)
	out = append(out, "secret:"...)
	return hex.AppendEncode(out, sum[:4])
}

// masks remember what stands for the latest secrets: a token comes with every request.
type masks struct {
	seed maphash.Seed
	list []maskOf
}

// maskOf is a secret of at most 24 bytes, and what stands for it.
type maskOf struct {
	n      uint8
	secret [24]byte
	mask   [len("secret:") + 8]byte
}

// rememberedMasks is a power of two.
const rememberedMasks = 1 << 13

func (m *masks) append(out, b []byte) []byte {
	if len(b) == 0 || len(b) > len(maskOf{}.secret) {
		return appendMask(out, b)
	}
	if m.list == nil {
		m.seed, m.list = maphash.MakeSeed(), make([]maskOf, rememberedMasks)
	}
	k := &m.list[maphash.Bytes(m.seed, b)%rememberedMasks]
	if int(k.n) != len(b) || string(k.secret[:k.n]) != string(b) {
		k.n = uint8(copy(k.secret[:], b))
		appendMask(k.mask[:0], b)
	}
	return append(out, k.mask[:]...)
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
