package simulate

import (
	"math/rand/v2"

	"github.com/nubishark/nubishark/protocol"
)

// Values are the fields of a packet by their names; one that is missing is empty.
type Values map[string][]byte

// Build makes a packet by a row of the table, with or without its optional tail. Fixed fields are
// padded with NULs, or cut; lengths are computed.
func Build(l *protocol.Layout, v Values, tail bool) []byte {
	fields := l.Fields
	if tail {
		fields = l.Whole()
	}
	var b []byte
	for i, f := range fields {
		switch {
		case f.Kind == protocol.Letter:
			b = append(b, l.Letter)
		case f.Kind == protocol.Length:
			b = appendLength(b, len(v[fields[i+1].Name]), f.Size)
		case f.Size == 0:
			b = append(b, v[f.Name]...)
		default:
			b = append(b, padded(v[f.Name], f.Size)...)
		}
	}
	return b
}

// appendLength appends a big-endian number.
func appendLength(b []byte, n, size int) []byte {
	for i := size - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

func padded(b []byte, size int) []byte {
	out := make([]byte, size)
	copy(out, b)
	return out
}

// Request makes a request.
func Request(letter byte, v Values) []byte {
	_, tail := v["payload"]
	return Build(protocol.ByLetter(letter)[0], v, tail && letter != 'D')
}

// Response makes the answer to a request, as the protocol has it for the status in v.
func Response(request byte, v Values) []byte {
	want := protocol.Failure
	if s := v["status"]; len(s) == 1 && s[0] == 1 {
		want = protocol.Success
	}
	for _, l := range protocol.ByLetter('R') {
		if l.Outcome != want {
			continue
		}
		for i := range len(l.Answers) {
			if l.Answers[i] == request {
				return Build(l, v, hasTail(l, v))
			}
		}
	}
	return nil
}

// hasTail reports whether there is a value for the tail.
func hasTail(l *protocol.Layout, v Values) bool {
	if len(l.Tail) == 0 {
		return false
	}
	_, ok := v[l.Tail[len(l.Tail)-1].Name]
	return ok
}

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// word makes random text of n characters.
func word(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return b
}
