package protocol

import (
	"slices"
	"testing"
)

// For every rule it is decided what of a capture may explain it, and what is nobody's fault needs no explanation.
func TestEveryRuleIsWeighedAgainstTheCapture(t *testing.T) {
	for _, r := range Rules {
		s, decided := explains[r]
		switch {
		case !decided:
			t.Errorf("%s: not decided", r.ID)
		case r.Severity == Note && s != 0:
			t.Errorf("%s: a note is explained by %v", r.ID, s.List())
		case s.Has(Duplicated) || s.Has(Forgotten) || s.Has(Forced):
			t.Errorf("%s: explained by %v, which nothing tells of a connection", r.ID, s.List())
		}
	}
	if len(explains) != len(Rules) {
		t.Errorf("%d rules are decided, there are %d", len(explains), len(Rules))
	}
}

func TestArtefacts(t *testing.T) {
	if got := Of(Backwards, Gap, Gap).List(); !slices.Equal(got, []Artefact{Gap, Backwards}) {
		t.Errorf("%v", got)
	}
	words := make(map[string]bool)
	for a := range Artefact(artefacts) {
		if a.String() == "" || a.Phrase() == "" || words[a.String()] {
			t.Errorf("artefact %d: %q, %q", a, a.String(), a.Phrase())
		}
		words[a.String()] = true
	}
}
