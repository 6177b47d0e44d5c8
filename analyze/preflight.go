package analyze

import "github.com/nubishark/nubishark/dissect"

// Preflight is what the whole capture lacks.
func (r *Result) Preflight() dissect.Preflight {
	return dissect.Preflight{
		Dropped: int64(r.Capture.Dropped), Gaps: r.Gaps, Missing: r.Missing, Cut: r.Cut, OneSided: r.OneSided, Midstream: r.Midstream,
		Duplicates: r.TCP.Duplicates, Large: r.TCP.Large, Backwards: r.Backwards, Forgotten: r.TCP.Evicted, GivenUp: r.TCP.Forced,
	}
}

// tell notes what the capture lacks, once all records were told.
func (p *pipeline) tell(res Result) Result {
	p.survey.Tell(res.Preflight(), dissect.Firsts{
		Cut: res.FirstCut, Backwards: res.FirstBackwards, Duplicate: res.TCP.FirstDuplicate, Large: res.TCP.FirstLarge,
	})
	return res
}
