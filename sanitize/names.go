package sanitize

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nubishark/nubishark/protocol"
)

// names gives values their pseudonyms: the same for the same value, another for another.
type names struct {
	key   []byte
	known map[string][]byte
	taken map[string]bool
	list  []string // the known values in order, once all are known
	// alike keeps the letters that packets start with among themselves, so that bytes look as much or as little like packets as
	// before. Of a text, that leaves some letters as they are.
	alike bool
}

func newNames(key []byte, alike bool) *names {
	return &names{key: key, known: make(map[string][]byte), taken: make(map[string]bool), alike: alike}
}

// tries bounds the attempts to find a pseudonym that is not taken; short values have few.
const tries = 64

// of returns the pseudonym of a value.
func (n *names) of(v []byte) []byte { return n.pseudonym(v, n.disguise) }

// ofKey returns the pseudonym of a value that may be no text.
func (n *names) ofKey(v []byte) []byte {
	if n.alike || !bytes.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == utf8.RuneError || c == 0x7f }) {
		return n.of(v)
	}
	return n.pseudonym(v, n.noise)
}

func (n *names) pseudonym(v []byte, made func(v []byte, try uint64) []byte) []byte {
	if p, ok := n.known[string(v)]; ok {
		return p
	}
	var p []byte
	for i := range uint64(tries) {
		if p = made(v, i); !n.taken[string(p)] && string(p) != string(v) {
			break
		}
	}
	if string(p) == string(v) && n.alike { // nothing but letters that stay
		other := names{key: n.key}
		p = other.disguise(v, tries)
	}
	n.taken[string(p)] = true
	n.known[string(v)] = p
	return p
}

// startOf returns the pseudonym of a value of which only the first bytes are there, once all values are known.
func (n *names) startOf(v []byte) []byte {
	if n.list == nil {
		n.list = slices.Sorted(maps.Keys(n.known))
	}
	if i, _ := slices.BinarySearch(n.list, string(v)); i < len(n.list) && strings.HasPrefix(n.list[i], string(v)) {
		return n.known[n.list[i]][:len(v)]
	}
	return n.disguise(v, 0)
}

// id returns the pseudonym of an ID, or of its first bytes: IDs that begin alike have pseudonyms that begin alike, and no others do. Of an
// answer that was cut within its ID, it is known whose it can be.
func (n *names) id(v []byte) []byte {
	if p, ok := n.known[string(v)]; ok {
		return p
	}
	p := make([]byte, 0, len(v))
	for i, c := range v {
		if class := n.classOf(c); class != "" {
			r := n.random(v[:i], tries+1) // other numbers than those of any name
			c = class[r.place(strings.IndexByte(class, c), len(class))]
		}
		p = append(p, c)
	}
	n.known[string(v)] = p
	return p
}

// classOf returns the bytes that a byte of an ID may become, itself among them; none where it stays.
func (n *names) classOf(c byte) string {
	for _, class := range classes {
		if strings.IndexByte(class, c) < 0 {
			continue
		}
		switch {
		case class != upper || !n.alike:
			return class
		case c == 'C' || c == 'R':
			return ""
		case strings.IndexByte(packetStarts, c) >= 0:
			return packetStarts
		}
		return otherUpper
	}
	return ""
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

// place returns where a random order of n things has the i-th.
func (r *random) place(i, n int) int {
	order := make([]int, n)
	for k := range order {
		j := r.below(k + 1)
		order[k] = order[j]
		order[j] = k
	}
	return order[i]
}

// The classes of bytes: each becomes one of its own.
const (
	packetStarts = "LODH"
	otherUpper   = "ABEFGIJKMNPQSTUVWXYZ"
	upper        = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	marks        = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"
)

var classes = []string{"0123456789", "abcdefghijklmnopqrstuvwxyz", upper, marks, between(1, ' '), between(0x80, 0x100)}

func between(from, to int) string {
	var b []byte
	for c := from; c < to; c++ {
		b = append(b, byte(c))
	}
	return string(b)
}

// disguise replaces each character by one of its class. NUL and space stay: they may be padding.
func (n *names) disguise(v []byte, try uint64) []byte {
	r := n.random(v, try)
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); {
		if c := v[i]; c < utf8.RuneSelf {
			out = append(out, n.ascii(r, c))
			i++
			continue
		}
		c, size := utf8.DecodeRune(v[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			// What is no UTF-8 becomes none, too.
			if b := v[i]; b < 0xc0 {
				out = append(out, byte(0x80+r.below(0x40)))
			} else {
				out = append(out, byte(0xf5+r.below(11)))
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

func (n *names) ascii(r *random, c byte) byte {
	switch {
	case c == 0 || c == ' ':
		return c
	case c < ' ' || c == 0x7f:
		return byte(1 + r.below(31))
	case c >= '0' && c <= '9':
		return byte('0' + r.below(10))
	case c >= 'a' && c <= 'z':
		return byte('a' + r.below(26))
	case n.alike && (c == 'C' || c == 'R'):
		return c
	case n.alike && (c == 'L' || c == 'O' || c == 'D' || c == 'H'):
		return packetStarts[r.below(len(packetStarts))]
	case c >= 'A' && c <= 'Z':
		return otherUpper[r.below(len(otherUpper))]
	}
	return marks[r.below(len(marks))]
}

// noise replaces every byte by any.
func (n *names) noise(v []byte, try uint64) []byte {
	r := n.random(v, try)
	out := make([]byte, len(v))
	for i := range out {
		out[i] = byte(r.below(256))
	}
	return out
}

// scramble is disguise for bytes that may be anything: every one but NUL becomes another of its kind. Alike, letters that packets start
// with stay as they are, because each promises a packet of its own form.
func (n *names) scramble(v []byte, alike bool) []byte {
	r := n.random(v, 0)
	out := make([]byte, len(v))
	for i, c := range v {
		switch {
		case c == 0:
		case alike && (c == 1 || strings.IndexByte(protocol.Letters, c) >= 0): // a status, or a packet's type
			out[i] = c
		case c >= 0x80:
			out[i] = byte(0x80 + r.below(0x80))
		default:
			out[i] = n.ascii(r, c)
		}
	}
	return out
}
