package export

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// mask stands for a secret, so that equal values look equal.
func mask(b []byte) string { return string(appendMask(nil, b)) }

const (
	masked   = "secret:"
	maskSize = 4 // bytes of the hash
)

func appendMask(out, b []byte) []byte {
	sum := sha256.Sum256(b)
	return appendHex(append(out, masked...), sum[:maskSize])
}

// appendSealed appends what stands for a secret of a connection.
func appendSealed(out []byte, c *dissect.Conn, b []byte) []byte {
	return binary.LittleEndian.AppendUint64(append(out, masked...), seal(c, b))
}

// seal returns what stands behind the word that a mask starts with, the first digit in the lowest byte. The connection remembers
// that of its token.
func seal(c *dissect.Conn, b []byte) uint64 {
	s := &c.Seal
	if len(b) != protocol.TokenSize {
		return newSeal(b)
	}
	if token := (*[protocol.TokenSize]byte)(b); !sameToken(&s.Token, token) || s.Shown == 0 {
		s.Token, s.Shown = *token, newSeal(b)
	}
	return s.Shown
}

func newSeal(b []byte) uint64 {
	sum := sha256.Sum256(b)
	return word(appendHex(make([]byte, 0, 2*maskSize), sum[:maskSize]))
}

// sameToken compares word by word, which takes a fraction of a call.
func sameToken(a, b *[protocol.TokenSize]byte) bool {
	return word(a[:]) == word(b[:]) && word(a[8:]) == word(b[8:]) && word(a[16:]) == word(b[16:])
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
