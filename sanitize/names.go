package sanitize

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/nubishark/nubishark/protocol"
)

// names gives values their pseudonyms: the same for the same value, another for another.
type names struct {
	key   []byte
	known map[string][]byte
	taken map[string]bool
}

func newNames(key []byte) *names {
	return &names{key: key, known: make(map[string][]byte), taken: make(map[string]bool)}
}

// tries bounds the attempts to find a pseudonym that is not taken; short values have few.
const tries = 64

// of returns the pseudonym of a value.
func (n *names) of(v []byte) []byte {
	if p, ok := n.known[string(v)]; ok {
		return p
	}
	var p []byte
	for i := range tries {
		p = n.disguise(v, uint64(i))
		if !n.taken[string(p)] && string(p) != string(v) {
			break
		}
	}
	n.taken[string(p)] = true
	n.known[string(v)] = p
	return p
}

// startOf returns the pseudonym of a value of which only the first bytes are there.
func (n *names) startOf(v []byte) []byte {
	for known, p := range n.known {
		if len(known) > len(v) && known[:len(v)] == string(v) {
			return p[:len(v)]
		}
	}
	return n.disguise(v, 0)
}

// random yields numbers that follow from the key, a value and a try.
type random struct {
	mac  []byte
	at   int
	seed []byte
	key  []byte
}

func (n *names) random(v []byte, try uint64) *random {
	return &random{key: n.key, seed: binary.BigEndian.AppendUint64(append([]byte(nil), v...), try)}
}

func (r *random) below(n int) int {
	if r.at+2 > len(r.mac) {
		h := hmac.New(sha256.New, r.key)
		h.Write(r.seed)
		h.Write(r.mac)
		r.mac, r.at = h.Sum(nil), 0
	}
	x := int(binary.BigEndian.Uint16(r.mac[r.at:]))
	r.at += 2
	return x * n >> 16
}

// The classes of bytes: each becomes one of its own. Letters that packets start with stay such letters, so that bytes look as much
// or as little like packets as before.
const (
	packetStarts = "LODH"
	otherUpper   = "ABEFGIJKMNPQSTUVWXYZ"
	marks        = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"
)

// disguise replaces each character by one of its class. NUL and space stay: they may be padding.
func (n *names) disguise(v []byte, try uint64) []byte {
	r := n.random(v, try)
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); {
		if c := v[i]; c < utf8.RuneSelf {
			out = append(out, r.ascii(c))
			i++
			continue
		}
		c, size := utf8.DecodeRune(v[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			// Of what is no UTF-8, bytes that go on a character stay such bytes.
			if b := v[i]; b < 0xc0 {
				out = append(out, byte(0x80+r.below(0x40)))
			} else {
				out = append(out, b)
			}
		case size == 2 && c >= 0xc0:
			out = utf8.AppendRune(out, rune(0xc0+r.below(0x40)))
		case size == 3:
			out = utf8.AppendRune(out, rune(0xac00+r.below(0x2b00)))
		case size == 4:
			out = utf8.AppendRune(out, rune(0x1f600+r.below(0x40)))
		default:
			out = append(out, v[i:i+size]...) // a control
		}
		i += size
	}
	return out
}

func (r *random) ascii(c byte) byte {
	switch {
	case c == 0 || c == ' ' || c == 'C' || c == 'R' || c == 0x7f || c == '\\':
		return c
	case c < ' ':
		return c
	case c >= '0' && c <= '9':
		return byte('0' + r.below(10))
	case c >= 'a' && c <= 'z':
		return byte('a' + r.below(26))
	case c == 'L' || c == 'O' || c == 'D' || c == 'H':
		return packetStarts[r.below(len(packetStarts))]
	case c >= 'A' && c <= 'Z':
		return otherUpper[r.below(len(otherUpper))]
	}
	return marks[r.below(len(marks))]
}

// scramble is disguise for bytes that may be anything: every one but NUL becomes another of its kind, and letters that packets start
// with stay as they are, because each promises a packet of its own form.
func (n *names) scramble(v []byte) []byte {
	r := n.random(v, 0)
	out := make([]byte, len(v))
	for i, c := range v {
		switch {
		case c == 0:
		case strings.IndexByte(protocol.Letters, c) >= 0:
			out[i] = c
		case c >= 0x80:
			out[i] = byte(0x80 + r.below(0x80))
		case c < ' ':
			out[i] = byte(1 + r.below(31))
		default:
			out[i] = r.ascii(c)
		}
	}
	return out
}
