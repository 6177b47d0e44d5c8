package dissect

import (
	"fmt"

	"github.com/nubishark/nubishark/protocol"
)

// Preflight counts what a whole capture lacks, by which it is to be judged whether it can be trusted.
type Preflight struct {
	// Dropped packets are what the capture tells of itself, Missing the bytes in Gaps of NUBISON connections, Cut the packets
	// cut by the snap length.
	Dropped, Gaps, Missing, Cut int64
	// OneSided and Midstream count NUBISON connections of which one side, or the start, was not captured.
	OneSided, Midstream int64
	// Duplicates are packets captured twice, Large segments larger than an Ethernet frame, Backwards the steps of time back.
	Duplicates, Large, Backwards int64
	// Forgotten connections and GivenUp holes are what a bound on memory made the reassembly let go of.
	Forgotten, GivenUp int64
}

// Doubt is one thing that a capture lacks, in a sentence.
type Doubt struct {
	Of    protocol.Artefact
	Count int64
	Text  string
}

// Doubts lists what the capture lacks, in the order of the artefacts.
func (p *Preflight) Doubts() (list []Doubt) {
	add := func(of protocol.Artefact, n int64, format string, args ...any) {
		if n > 0 {
			list = append(list, Doubt{of, n, fmt.Sprintf(format, args...)})
		}
	}
	add(protocol.Dropped, p.Dropped, "%s dropped while capturing", Count(p.Dropped, "packet"))
	add(protocol.Gap, p.Gaps, "%s never captured, in %s", Count(p.Missing, "byte"), Count(p.Gaps, "gap"))
	add(protocol.Cut, p.Cut, "%s cut short by the snap length", Count(p.Cut, "packet"))
	add(protocol.OneSided, p.OneSided, "of %s only one side was captured", Count(p.OneSided, "connection"))
	add(protocol.Midstream, p.Midstream, "%s started before the capture did", Count(p.Midstream, "connection"))
	add(protocol.Duplicated, p.Duplicates, "%s captured twice, and ignored once", Count(p.Duplicates, "packet"))
	add(protocol.Offload, p.Large, "%s larger than an Ethernet frame: offload joined them, so where a write ended is uncertain", Count(p.Large, "segment"))
	add(protocol.Backwards, p.Backwards, "time goes backwards %s: latencies and timeouts may be wrong there", Times(p.Backwards))
	add(protocol.Forgotten, p.Forgotten, "%s forgotten because there were too many at once", Count(p.Forgotten, "connection"))
	add(protocol.Forced, p.GivenUp, "%s given up for lack of room", Count(p.GivenUp, "gap"))
	return list
}

// PreflightNote is what the ID of a note on the capture starts with; the name of the artefact follows.
const PreflightNote = "preflight-"

// RuleCount is how often a rule was broken.
type RuleCount struct {
	Rule  *protocol.Rule
	Count int64
}
