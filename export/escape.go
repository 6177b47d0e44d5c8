package export

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
)

// Escape shows bytes from the wire as UTF-8; a byte of what is not printable stands as \xNN, a
// backslash as \\. Controls of terminals and of text direction are not printable.
func Escape(b []byte) string {
	var most [len(room{})]byte
	return string(AppendEscaped(most[:0], b))
}

// AppendEscaped appends what Escape returns.
func AppendEscaped[S string | []byte](out []byte, b S) []byte {
	out, _ = inText.append(out, []byte(b), false)
	return out
}

// appendJSONWire appends what Escape returns as it stands in a JSON string.
func appendJSONWire[S string | []byte](out []byte, b S) []byte {
	out, _ = inJSON.append(out, []byte(b), false)
	return out
}

// escaping is a way to write what Escape returns.
type escaping struct {
	// alone is what stands for a byte that is no part of a character of several, the first byte as the lowest, and the size of it in
	// the highest byte.
	alone [256]uint64
	json  bool // a quote does not stand for itself either
}

var inText, inJSON = newEscaping(`\`, false), newEscaping(`\\`, true)

// newEscaping returns the way in which a backslash is written as given.
func newEscaping(backslash string, json bool) *escaping {
	e := &escaping{json: json}
	for i := range e.alone {
		c := byte(i)
		s := string([]byte{c})
		switch {
		case c == '\\':
			s = backslash + backslash
		case c == '"' && json:
			s = `\"`
		case c < ' ' || c >= 0x7f:
			s = backslash + "x" + string([]byte{hexDigits[c>>4], hexDigits[c&15]})
		}
		e.alone[c] = first8([]byte(s)) | uint64(len(s))<<56
	}
	return e
}

// append appends bytes, or nothing if they are to be readable and are not.
func (e *escaping) append(out, b []byte, readable bool) (_ []byte, ok bool) {
	line := out
	for at := 0; at < len(b); {
		var r *room
		line, r = behind(line)
		n := 0
		for n < mostBounded-2*mostAtOnce && at < len(b) {
			var x uint64
			size := 8
			switch rest := len(b) - at; {
			case rest >= 8:
				x = binary.LittleEndian.Uint64(b[at:])
			case len(b) >= 8:
				size = rest
				x = binary.LittleEndian.Uint64(b[len(b)-8:])>>(64-8*size&63) | spaces<<(8*size&63)
			default:
				size = rest
				x = fewer(b[at:]) | spaces<<(8*size&63)
			}
			// Where the next bytes stand does not depend on these, if they are plain, so that it is known before they are looked at.
			strange := strangeBytes(x)
			y := x ^ backslashes
			special := strange | (y-everyByte)&^y&highBits
			if e.json {
				y = x ^ quotes
				special |= (y - everyByte) &^ y & highBits
			}
			if special == 0 {
				n = r.word(n, x, size)
				at += size
				continue
			}
			if strange == 0 {
				n = e.byte(r, n, x)
				n = e.byte(r, n, x>>8)
				n = e.byte(r, n, x>>16)
				n = e.byte(r, n, x>>24)
				n = e.byte(r, n, x>>32)
				n = e.byte(r, n, x>>40)
				n = e.byte(r, n, x>>48)
				n = e.byte(r, n, x>>56)
				n, at = n-8+size, at+size
				continue
			}
			plain, until := bits.TrailingZeros64(special), bits.TrailingZeros64(strange)
			n = r.word(n, x, plain/8)
			for i := plain &^ 7; i < until&^7; i += 8 {
				n = e.byte(r, n, x>>(i&63))
			}
			at += until / 8
			n, size = e.strange(r, n, b[at:], readable)
			if size == 0 {
				return out, false
			}
			at += size
		}
		line = line[:len(line)+n]
	}
	return line, len(b) > 0
}

// byte writes the lowest byte of a word as it stands alone.
func (e *escaping) byte(r *room, n int, x uint64) int {
	y := e.alone[byte(x)]
	return r.word(n, y, int(y>>56))
}

// strange writes the first characters of some bytes, as long as they are not ASCII, or else the first byte. It returns how many
// bytes they have, 0 if they are to be readable and are not.
func (e *escaping) strange(r *room, n int, b []byte, readable bool) (_, size int) {
	for size == 0 || size < len(b) && b[size] >= utf8.RuneSelf && size < mostAtOnce/8 {
		if remembered(three(b[size:])) {
			n = r.word(n, uint64(b[size])|uint64(b[size+1])<<8|uint64(b[size+2])<<16, 3)
			size += 3
			continue
		}
		c, k := rune(b[size]), 1
		if c >= utf8.RuneSelf {
			c, k = decodeRune(b[size:])
		}
		switch {
		case k > 1 && isPrint(c):
			for i := range k {
				r.char(n+i, b[size+i])
			}
			n += k
		case readable && c != '\n' && c != '\r' && c != '\t':
			return n, 0
		default:
			for i := range k {
				n = e.byte(r, n, uint64(b[size+i]))
			}
		}
		size += k
	}
	return n, size
}

const spaces = ' ' * everyByte

// decodeRune is utf8.DecodeRune, which asks more of the three bytes that most characters have where there are more than a few letters.
func decodeRune(b []byte) (rune, int) {
	if r := three(b); r != 0 {
		return r, 3
	}
	return utf8.DecodeRune(b)
}

// three returns a character of three bytes, or 0 for any other and for some of those.
func three(b []byte) rune {
	if len(b) >= 3 && b[0] > 0xe0 && b[0] < 0xed && b[1]&0xc0 == 0x80 && b[2]&0xc0 == 0x80 {
		return rune(b[0]&0xf)<<12 | rune(b[1]&0x3f)<<6 | rune(b[2]&0x3f)
	}
	return 0
}

// remembered reports whether a character of at most three bytes is known to be printable.
func remembered(r rune) bool {
	known := printable[uint16(r)>>8].Load()
	return known != nil && known[r>>6&3]>>(r&63)&1 == 1
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
	text, _ := readText(b)
	return text
}

// readText reports whether a payload is worth showing as text, and, if it is, whether all of it is known to stand for itself where
// backslashes are escaped.
func readText(b []byte) (text, asIs bool) {
	special := uint64(0)
	at := 0
	for at < len(b) {
		var x uint64
		if len(b)-at >= 8 {
			x = binary.LittleEndian.Uint64(b[at:])
		} else {
			x = fewer(b[at:]) | spaces<<(8*(len(b)-at)&63)
		}
		strange, y := strangeBytes(x), x^backslashes
		special |= (y - everyByte) &^ y
		if strange == 0 {
			at += 8
			continue
		}
		at += bits.TrailingZeros64(strange) / 8
		for at < len(b) && (b[at] < ' ' || b[at] >= 0x7f) { // mostly those of a word come together
			if remembered(three(b[at:])) {
				at += 3
				continue
			}
			r, size := rune(b[at]), 1
			if r >= utf8.RuneSelf {
				r, size = decodeRune(b[at:])
			}
			switch {
			case size > 1 && isPrint(r):
			case r == '\n' || r == '\r' || r == '\t':
				special |= highBits
			default:
				return false, false
			}
			at += size
		}
	}
	return len(b) > 0, special&highBits == 0
}

// violationBytes shows a violation's bytes; where a secret is, two stars stand for each byte.
func violationBytes(v *dissect.Violation, showSecrets bool) string {
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
