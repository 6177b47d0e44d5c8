package dissect

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
)

// maxIssued bounds the tokens of a generation of issued tokens, maxNames the bytes of their devices' names; two generations are kept.
const (
	maxIssued = 1 << 17
	maxNames  = 32 << 20
)

// issuedTokens are the tokens that login answers of the whole capture returned, with the key of the device that each was issued
// to. There may be very many, so that they are dense.
type issuedTokens struct {
	young, old generation
}

func (s *issuedTokens) add(t token, device string) {
	if s.young.n >= maxIssued || s.young.names.size() >= maxNames {
		s.old.reset() // its memory is used again
		s.young, s.old = s.old, s.young
	}
	s.young.add(printOf(&t), device)
}

func (s *issuedTokens) has(t token) bool {
	if s.young.n+s.old.n == 0 {
		return false
	}
	p := printOf(&t)
	return s.young.find(p) != nil || s.old.find(p) != nil
}

func (s *issuedTokens) device(t token) string {
	p := printOf(&t)
	for _, g := range [2]*generation{&s.young, &s.old} {
		if at := g.find(p); at != nil {
			return g.names.at(*at)
		}
	}
	return ""
}

// fingerprint is a hash of a token with a key that nobody knows; 0 is none. Of 64 bits, one is enough: that a token which nobody
// issued has that of one of 2^18 that are remembered happens once in 2^46 times that one is looked up, and then a warning is
// missing; that any two of them have the same, so that a device has another's name, in one of 2^29 captures.
type fingerprint uint64

var printSeed = maphash.MakeSeed()

func printOf(t *token) fingerprint { return max(1, fingerprint(maphash.Bytes(printSeed, t[:]))) }

// shards is the number of tables of a generation: each grows by itself, so that what is copied then, and is there twice, is little.
const shards = 64

// generation are some tokens.
type generation struct {
	n      int
	shards [shards]shard
	names  names
	// recent tells where names are that were placed lately, and 1 more, by their hashes: devices come back.
	recent []uint32
}

// shard is a table with open addressing, of which at most four fifths are used.
type shard struct {
	prints []fingerprint
	names  []uint32 // where the device's name is
	n      int
}

func (g *generation) reset() {
	g.n = 0
	for i := range g.shards {
		s := &g.shards[i]
		clear(s.prints)
		s.n = 0
	}
	g.names.reset()
	clear(g.recent)
}

func (g *generation) shard(p fingerprint) *shard { return &g.shards[p%shards] }

// find returns where the place of a token's device stands, nil if the token is not there.
func (g *generation) find(p fingerprint) *uint32 {
	s := g.shard(p)
	if i, ok := s.slot(p); ok {
		return &s.names[i]
	}
	return nil
}

// slot returns the place of a token, or the free one where it would be; ok tells that it is there.
func (s *shard) slot(p fingerprint) (at int, ok bool) {
	if len(s.prints) == 0 {
		return 0, false
	}
	x, _ := bits.Mul64(uint64(p), uint64(len(s.prints)))
	for i := int(x); ; i++ {
		if i == len(s.prints) {
			i = 0
		}
		if q := s.prints[i]; q == p || q == 0 {
			return i, q == p
		}
	}
}

func (g *generation) add(p fingerprint, device string) {
	s := g.shard(p)
	i, ok := s.slot(p)
	if !ok {
		if 5*(s.n+1) > 4*len(s.prints) {
			s.grow()
			i, _ = s.slot(p)
		}
		s.prints[i] = p
		s.n++
		g.n++
	}
	s.names[i] = g.place(device)
}

// grow makes a shard larger by a quarter.
func (s *shard) grow() {
	n := len(s.prints) + len(s.prints)/4 + 16
	old := *s
	s.prints, s.names = make([]fingerprint, n), make([]uint32, n)
	for i, p := range old.prints {
		if p != 0 {
			at, _ := s.slot(p)
			s.prints[at], s.names[at] = p, old.names[i]
		}
	}
}

// maxRecent is how many names may be found again.
const maxRecent = 4096

// place returns where a device's name is.
func (g *generation) place(name string) uint32 {
	if g.recent == nil {
		g.recent = make([]uint32, maxRecent)
	}
	at := &g.recent[maphash.String(hashSeed, name)%maxRecent]
	if *at == 0 || !g.names.is(*at-1, name) {
		*at = g.names.add(name) + 1
	}
	return *at - 1
}

// names are names in blocks. Names of devices begin alike, so of each there is only what differs from the first one of its block: the
// number of bytes that are the same, at most 255, that of the others, and these.
type names struct {
	blocks [][]byte
	used   int // of the blocks; those behind are free
}

// nameBlock is the size of a block; the longest name is far smaller.
const nameBlock = 4096

func (s *names) size() int { return s.used * nameBlock }

func (s *names) reset() { s.used = 0 }

// add keeps a name, and returns where it is.
func (s *names) add(name string) uint32 {
	if s.used == 0 || len(s.blocks[s.used-1])+2*binary.MaxVarintLen16+len(name) > nameBlock {
		s.open()
	}
	b := &s.blocks[s.used-1]
	same := 0
	if len(*b) > 0 {
		_, first := nameParts(*b)
		for same < min(len(first), len(name), 255) && first[same] == name[same] {
			same++
		}
	}
	at := len(*b)
	*b = append(*b, byte(same))
	*b = binary.AppendUvarint(*b, uint64(len(name)-same))
	*b = append(*b, name[same:]...)
	return uint32((s.used-1)*nameBlock + at)
}

// open starts a block.
func (s *names) open() {
	if s.used == len(s.blocks) {
		s.blocks = append(s.blocks, make([]byte, 0, nameBlock))
	}
	s.blocks[s.used] = s.blocks[s.used][:0]
	s.used++
}

// nameParts returns of the name at the start of some bytes how many bytes are those of the first name, and the others.
func nameParts(b []byte) (same int, rest []byte) {
	n, k := binary.Uvarint(b[1:])
	return int(b[0]), b[1+k:][:n]
}

// find returns the two parts of a name.
func (s *names) find(at uint32) (head, rest []byte) {
	b := s.blocks[at/nameBlock]
	_, first := nameParts(b)
	same, rest := nameParts(b[at%nameBlock:])
	return first[:same], rest
}

func (s *names) at(at uint32) string {
	head, rest := s.find(at)
	return string(slices.Concat(head, rest))
}

func (s *names) is(at uint32, name string) bool {
	head, rest := s.find(at)
	return len(name) == len(head)+len(rest) && name[:len(head)] == string(head) && name[len(head):] == string(rest)
}
