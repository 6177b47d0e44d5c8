package dissect

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Names come back as they were, whatever they have in common with the first one of their block, and however long they are.
func TestNames(t *testing.T) {
	var s names
	r := rand.New(rand.NewPCG(1, 3))
	type kept struct {
		at   uint32
		name string
	}
	for round := range 2 {
		var list []kept
		for i := range 5000 {
			name := strings.Repeat("p", r.IntN(2)*r.IntN(300)) + fmt.Sprint("_gw-", i)
			if i%50 == 0 {
				name = ""
			}
			list = append(list, kept{s.add(name), name})
		}
		for _, k := range list {
			if got := s.at(k.at); got != k.name || !s.is(k.at, k.name) || s.is(k.at, k.name+"x") || k.name != "" && s.is(k.at, k.name[1:]) {
				t.Fatalf("round %d: %q came back as %q", round, k.name, got)
			}
		}
		s.reset()
	}
}

// Names that begin alike take little room.
func TestNamesAreDense(t *testing.T) {
	var s names
	for i := range 100_000 {
		s.add(fmt.Sprintf("PRODUCT0_gateway-in-the-field-%06d", i))
	}
	if n := s.size() / 100_000; n > 10 {
		t.Errorf("%d bytes for a name", n)
	}
}

// A token takes few bytes, and tables that are full are used again.
func TestIssuedTokensAreDense(t *testing.T) {
	var s issuedTokens
	i := 0
	add := func() {
		var k token
		copy(k[:], fmt.Sprintf("token%019d", i))
		s.add(k, "PRODUCT0_one")
		i++
	}
	for range 2 * maxIssued {
		add()
	}
	slots := 0
	for i := range s.young.shards {
		slots += len(s.young.shards[i].prints)
	}
	if slots > maxIssued*8/5 {
		t.Errorf("%d places for %d tokens", slots, maxIssued)
	}
	used := &s.old.shards[0].prints[0]
	add() // the old ones are forgotten
	if &s.young.shards[0].prints[0] != used || s.young.n != 1 || s.old.n != maxIssued {
		t.Error("the tables of tokens that are forgotten are not used again")
	}
}
