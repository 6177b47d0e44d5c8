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

// masks remember what stands for the latest token of each of the latest connections: a token comes with every request. They are
// found by the connection's number, so that connections that are open at the same time mostly have a place each.
type masks struct{ list []maskOf }

// maskOf is a token, and what stands for it; of the zero value that is nothing. Two of them fill a line of the cache.
type maskOf struct {
	token  [protocol.TokenSize]byte
	digits [2 * maskSize]byte
}

// is reports whether it is of a token, word by word, which takes a fraction of a call.
func (k *maskOf) is(token *[protocol.TokenSize]byte) bool {
	word := binary.LittleEndian.Uint64
	return word(k.token[:]) == word(token[:]) && word(k.token[8:]) == word(token[8:]) && word(k.token[16:]) == word(token[16:]) && k.digits[0] != 0
}

// rememberedMasks is a power of two.
const rememberedMasks = 1 << 13

func (m *masks) append(out []byte, c *dissect.Conn, b []byte) []byte {
	if len(b) != protocol.TokenSize {
		return appendMask(out, b)
	}
	if m.list == nil {
		m.list = make([]maskOf, rememberedMasks)
	}
	k := &m.list[c.Stream&(rememberedMasks-1)]
	if !k.is((*[protocol.TokenSize]byte)(b)) {
		k.token = [protocol.TokenSize]byte(b)
		sum := sha256.Sum256(b)
		appendHex(k.digits[:0], sum[:maskSize])
	}
	return append(append(out, masked...), k.digits[:]...)
}
