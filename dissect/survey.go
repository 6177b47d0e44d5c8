package dissect

import "github.com/nubishark/nubishark/protocol"

// Survey hears all records of a run on their way to the sink, and tells at its end what the whole capture lacks, whatever
// part of it the sink will show.
type Survey struct {
	Sink
	// Gaps of NUBISON connections hold Missing bytes, so far.
	Gaps, Missing int64

	first [protocol.Forced + 1]place
	// caveats counts the violations that each artefact may explain; rules those that were raised.
	caveats [protocol.Forced + 1]map[*protocol.Rule]int64
	rules   map[*protocol.Rule]int64
}

// place is where something is met first: in a capture packet, 0 for none, and on a connection, if conn.
type place struct {
	conn   bool
	packet int64
	stream int
}

// NewSurvey returns one that hands all records on to a sink.
func NewSurvey(sink Sink) *Survey {
	return &Survey{Sink: sink, rules: make(map[*protocol.Rule]int64)}
}

// meet remembers the earlier of two places.
func (p *Survey) meet(a protocol.Artefact, x place) {
	x.conn = true
	y := &p.first[a]
	if !y.conn || x.packet < y.packet || x.packet == y.packet && x.stream < y.stream {
		*y = x
	}
}

// Violation implements Sink.
func (p *Survey) Violation(v *Violation) {
	switch v.Rule {
	case protocol.CaptureGap:
		p.Gaps++
		p.Missing += v.Length
		at := place{stream: v.Conn.Stream}
		if len(v.Packets) > 0 {
			at.packet = v.Packets[0]
		}
		p.meet(protocol.Gap, at)
	case protocol.CaptureMidstream:
		p.meet(protocol.Midstream, place{stream: v.Conn.Stream})
	}
	p.rules[v.Rule]++
	for _, a := range v.Caveat.List() {
		if p.caveats[a] == nil {
			p.caveats[a] = make(map[*protocol.Rule]int64)
		}
		p.caveats[a][v.Rule]++
	}
	p.Sink.Violation(v)
}

// Count implements Counter.
func (p *Survey) Count(c *Counts) {
	if next, ok := p.Sink.(Counter); ok {
		next.Count(c)
	}
}

// Stream implements Sink.
func (p *Survey) Stream(s *Stream) {
	if s.OneSided {
		p.meet(protocol.OneSided, place{stream: s.Conn.Stream})
	}
	p.Sink.Stream(s)
}

// Note implements NoteSink.
func (p *Survey) Note(n *Note) {
	if next, ok := p.Sink.(NoteSink); ok {
		next.Note(n)
	}
}

// Firsts are the first capture packets of what needs no connection to be known, 0 for none.
type Firsts struct{ Cut, Backwards, Duplicate, Large int64 }

// Tell notes what the capture lacks, once all records were told.
func (p *Survey) Tell(lack Preflight, first Firsts) {
	for a, packet := range map[protocol.Artefact]int64{
		protocol.Cut: first.Cut, protocol.Backwards: first.Backwards, protocol.Duplicated: first.Duplicate, protocol.Offload: first.Large,
	} {
		p.first[a] = place{packet: packet}
	}
	for _, d := range lack.Doubts() {
		at := p.first[d.Of]
		n := &Note{ID: PreflightNote + d.Of.String(), Count: d.Count, Packet: at.packet, Message: d.Text, Doubtful: p.doubtful(d.Of)}
		if at.conn {
			n.Stream = &at.stream
		}
		p.Note(n)
	}
}

// doubtful counts the violations that an artefact may explain. Where packets were dropped nobody knows: it may explain all
// violations of the rules that it can.
func (p *Survey) doubtful(a protocol.Artefact) (list []RuleCount) {
	for _, r := range protocol.Rules {
		n := p.caveats[a][r]
		if a == protocol.Dropped && r.Explains().Has(a) {
			n = p.rules[r]
		}
		if n > 0 {
			list = append(list, RuleCount{Rule: r, Count: n})
		}
	}
	return list
}
