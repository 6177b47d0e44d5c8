package protocol

// Artefact is something that a capture does to what it holds.
type Artefact uint8

// The artefacts, in the order in which they are told.
const (
	Dropped    Artefact = iota // packets dropped while capturing, as the file says: nobody knows where
	Gap                        // bytes that were never captured
	Cut                        // packets cut by the snap length
	OneSided                   // only one side of a connection was captured
	Midstream                  // a connection's start is not in the capture
	Duplicated                 // packets captured twice
	Offload                    // segments that the network card or its driver joined, and the ends of writes with them
	Backwards                  // times that go backwards
	Forgotten                  // connections let go of because there were too many
	Forced                     // holes given up for lack of room

	artefacts = iota
)

var artefactNames = [artefacts]struct{ word, phrase string }{
	{"dropped", "packets dropped while capturing"},
	{"gap", "bytes that were never captured"},
	{"cut", "packets cut by the snap length"},
	{"one-sided", "only one side was captured"},
	{"midstream", "the connection's start was not captured"},
	{"duplicated", "packets captured twice"},
	{"offload", "offload-sized segments"},
	{"backwards", "time goes backwards"},
	{"forgotten", "connections that were forgotten"},
	{"forced", "gaps given up for lack of room"},
}

// String returns the artefact's name in records; Phrase names it for people.
func (a Artefact) String() string { return artefactNames[a].word }

// Phrase names the artefact for people.
func (a Artefact) Phrase() string { return artefactNames[a].phrase }

// Artefacts is a set of them; the zero value is empty.
type Artefacts uint16

// Of returns the set of some artefacts.
func Of(list ...Artefact) (s Artefacts) {
	for _, a := range list {
		s |= 1 << a
	}
	return s
}

// Has reports whether an artefact is in the set.
func (s Artefacts) Has(a Artefact) bool { return s>>a&1 == 1 }

// List returns the artefacts of the set in their order.
func (s Artefacts) List() (list []Artefact) {
	for a := range Artefact(artefacts) {
		if s.Has(a) {
			list = append(list, a)
		}
	}
	return list
}

// What may have been made by the capture: bytes near a loss or a start in the middle; a direction's end that only a
// silence tells; the end of a write.
const (
	nearLoss  = Artefacts(1<<Gap | 1<<Cut | 1<<Midstream)
	silence   = Artefacts(1<<Dropped | 1<<OneSided | 1<<Backwards)
	writeEnds = Artefacts(1 << Offload)
	order     = Artefacts(1 << Backwards) // of packets of both directions, or of a request and its timeout
)

// explains holds for each rule what of a capture may explain that it is raised at all. Where the protocol's rules ask for more,
// as a connection without gaps, the rest is not raised in the first place and does not stand here.
var explains = map[*Rule]Artefacts{
	ShortPacket:     nearLoss | silence | writeEnds,
	UnknownType:     nearLoss | writeEnds,
	WrongDirection:  nearLoss,
	TruncatedPacket: nearLoss | silence | writeEnds,
	StrayBytes:      nearLoss | writeEnds,

	// The content of what is a packet only perhaps.
	BadStatus:        nearLoss,
	UnknownErrorCode: nearLoss,
	BadText:          nearLoss,
	EmptyIdentifier:  nearLoss,
	ErrorResponse:    nearLoss | 1<<OneSided, // a failed logout is no fault, and the request was not seen

	// No write end confirms another byte order.
	LengthByteOrder: nearLoss | 1<<OneSided | order,
	LengthWidth:     nearLoss | 1<<OneSided | order | writeEnds,
	LengthMissing:   nearLoss | 1<<OneSided | order | writeEnds,
	LengthMismatch:  nearLoss | 1<<OneSided | order | writeEnds,

	// A login whose packets were all dropped leaves no gap on another connection; another login on this one would.
	UnknownToken:       1<<Dropped | order,
	TokenMismatch:      order,
	TokenAfterLogout:   1<<Gap | 1<<Cut | order,
	LoginRepeated:      order,
	SessionIDReused:    0,
	SessionIDCollision: order,
	RequestRepeated:    order,

	// An answer that was dropped leaves a gap, if anything was captured behind it.
	NoResponse:         nearLoss | 1<<Dropped | order, // what starts in the middle of a segment may be no request
	LateResponse:       1<<Gap | 1<<Cut | order,
	OrphanResponse:     order,
	DuplicateResponse:  order,
	SessionIDNotEchoed: order,

	CaptureGap:       0,
	CaptureMidstream: 0,
}

// Explains returns what of a capture may explain that the rule is raised.
func (r *Rule) Explains() Artefacts { return explains[r] }
