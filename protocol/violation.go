package protocol

// Severity grades a violation. A note never counts as a fault.
type Severity uint8

// The severities, the mildest first.
const (
	Note Severity = iota
	Warning
	Error
)

// String returns the severity's name in records.
func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// Blame says whose fault a violation is by its nature; Sender, Requester and Responder
// are resolved to a side where one is found.
type Blame uint8

// The parties.
const (
	Sender    Blame = iota // the side that sent the bytes
	Requester              // the side that sent the request
	Responder              // the side that had to answer, or answered
	ByCode                 // told by the error code
	Capture                // nobody: the capture does not hold it
)

// String returns the party's name for people.
func (b Blame) String() string {
	return [...]string{"sender", "requester", "responder", "by code", "capture"}[b]
}

// Rule is one row of the catalogue of violations.
type Rule struct {
	// ID is public: records, filters and documentation use the same word.
	ID       string
	Severity Severity
	Blame    Blame
	// Clause is the part of the protocol's rules that it comes from.
	Clause string
	// Explain says what the rule means, Example shows one, Hint says what to do.
	Explain, Example, Hint string
}

// The catalogue, by name.
var (
	ShortPacket = &Rule{
		ID: "short-packet", Severity: Error, Blame: Sender, Clause: "a packet is at least 9 bytes",
		Explain: "1 to 8 bytes were sent as a write of their own and never became a packet; a server does not process fewer than 9 bytes.",
		Example: `the device writes "ping" (4 bytes) and then a whole heartbeat`,
		Hint:    "look at the code that writes keep-alives or terminators to the socket: send a heartbeat packet (H) instead",
	}
	UnknownType = &Rule{
		ID: "unknown-type", Severity: Error, Blame: Sender, Clause: "a packet starts with one of L O D C H R",
		Explain: "at a packet boundary stand bytes that start with none of the six type letters; the whole skipped run is one report.",
		Example: `"AT+CIPSEND=43\r\n" stands before a data packet`,
		Hint:    "find what writes these bytes to the socket: modem dialogue, log output or another protocol on the same connection",
	}
	WrongDirection = &Rule{
		ID: "wrong-direction", Severity: Error, Blame: Sender, Clause: "L O D H are sent by the device, C by the server",
		Explain: "a packet of a type that this side may not send. It is dissected, and takes no part in pairing.",
		Example: "a server sends a data packet",
		Hint:    "check that both ends have the right role; if client and server are swapped in the capture, use --server-port",
	}
	TruncatedPacket = &Rule{
		ID: "truncated-packet", Severity: Error, Blame: Sender, Clause: "a packet's layout is sent whole",
		Explain: "9 or more bytes into a packet the direction ended, fell silent for the timeout, or went on with another packet.",
		Example: "a data packet declares 300 bytes, 120 follow, then FIN",
		Hint:    "check for a send that returned fewer bytes than asked and was not repeated, and for a close before all was sent",
	}
	StrayBytes = &Rule{
		ID: "stray-bytes", Severity: Error, Blame: Sender, Clause: "packets follow each other without separators",
		Explain: "1 to 8 bytes that are no packet directly follow a packet in the same segment, such as CR LF or NULs.",
		Example: `a device ends every packet with "\r\n"`,
		Hint:    "send the packet's bytes only: remove the line end, or the terminating NUL counted by sizeof",
	}
	BadStatus = &Rule{
		ID: "bad-status", Severity: Error, Blame: Sender, Clause: "status is 00 or 01",
		Explain: "a response whose status is neither 00 (failure) nor 01 (success).",
		Example: "status 0x31, the digit 1 as text",
		Hint:    "send the status as one binary byte, 00 or 01",
	}
	UnknownErrorCode = &Rule{
		ID: "unknown-error-code", Severity: Warning, Blame: Sender, Clause: "appendix of error codes",
		Explain: "an error code that the protocol does not list.",
		Example: "error code 0x0042",
		Hint:    "ask the server's operator what the code means; check that it is sent in big-endian order",
	}
	BadText = &Rule{
		ID: "bad-text", Severity: Warning, Blame: Sender, Clause: "text is UTF-8",
		Explain: "a text field is not UTF-8, or holds control characters that are not padding; once per connection, direction and field.",
		Example: "an identifier in EUC-KR",
		Hint:    "encode text as UTF-8 and pad short fields with NUL or space at the end",
	}
	EmptyIdentifier = &Rule{
		ID: "empty-identifier", Severity: Warning, Blame: Sender, Clause: "device key = product code + _ + identifier",
		Explain: "a login with identifier_length 0: the device cannot be told from others of its product.",
		Example: "a login with an unset serial number",
		Hint:    "provision the device's identifier before it logs in",
	}
	LengthByteOrder = &Rule{
		ID: "length-byte-order", Severity: Error, Blame: Sender, Clause: "two-byte integers are big-endian",
		Explain: "the payload length of a data packet fits only when it is read in the other byte order; the packet is framed by the fitting length.",
		Example: "length 08 00 before 8 bytes of payload",
		Hint:    "convert the length with htons() before it is written; if the whole installation uses little-endian, read with --byte-order little",
	}
	LengthWidth = &Rule{
		ID: "length-width", Severity: Error, Blame: Sender, Clause: "payload_length: 2 bytes in D, 1 byte in H, C, R",
		Explain: "a data packet fits only with a 1-byte length, or a heartbeat, command or response only with a 2-byte length.",
		Example: "a heartbeat with length 00 05",
		Hint:    "write the length with the width of the packet's type: 2 bytes in D, 1 byte in H, C and R",
	}
	LengthMissing = &Rule{
		ID: "length-missing", Severity: Error, Blame: Sender, Clause: "an optional payload has a length byte before it",
		Explain: "a heartbeat, command or response carries a payload up to the end of its write with no length byte before it.",
		Example: `a heartbeat followed by "ok"`,
		Hint:    "write one byte with the payload's length before the payload",
	}
	LengthMismatch = &Rule{
		ID: "length-mismatch", Severity: Error, Blame: Sender, Clause: "payload_length is the payload's size",
		Explain: "the declared length ends nowhere that confirms it, and neither byte order, width nor a missing length explains it.",
		Example: "length 20 before 17 bytes of payload",
		Hint:    "compute the length from the bytes that are really sent: look for text lengths taken before encoding or escaping",
	}
	UnknownToken = &Rule{
		ID: "unknown-token", Severity: Warning, Blame: Requester, Clause: "the token of a login goes into later requests",
		Explain: "a request with a token that was never issued in the capture, on a connection seen from its start and not logged in.",
		Example: "a device reuses the token of yesterday",
		Hint:    "log in after every connect, or capture from before the login to see where the token comes from",
	}
	TokenMismatch = &Rule{
		ID: "token-mismatch", Severity: Error, Blame: Requester, Clause: "the token of a login goes into later requests",
		Explain: "a request with another token than this connection's last login returned.",
		Example: "a device logs in again and goes on with the old token",
		Hint:    "store the token of the latest login answer and use it in every later request",
	}
	TokenAfterLogout = &Rule{
		ID: "token-after-logout", Severity: Error, Blame: Requester, Clause: "a logout ends the token",
		Explain: "a request with a token after the success response to its logout.",
		Example: "a heartbeat timer that goes on after logout",
		Hint:    "stop timers at logout and log in again before the next request",
	}
	LoginRepeated = &Rule{
		ID: "login-repeated", Severity: Warning, Blame: Requester, Clause: "one login a session",
		Explain: "a second login after a successful one on the same connection, with no logout between.",
		Example: "a watchdog that logs in again without closing",
		Hint:    "look at what makes the device believe that it is not logged in; log out first",
	}
	SessionIDReused = &Rule{
		ID: "session-id-reused", Severity: Warning, Blame: Requester, Clause: "a session ID identifies one transaction",
		Explain: "a request with the session ID of a finished transaction of the same side and connection.",
		Example: "a device sends every heartbeat with session ID 00000001",
		Hint:    "make a new random session ID for every request; check the seed of the random generator",
	}
	SessionIDCollision = &Rule{
		ID: "session-id-collision", Severity: Error, Blame: Requester, Clause: "a session ID identifies one transaction",
		Explain: "another request with the session ID of an outstanding one, which becomes unanswered by it.",
		Example: "a data packet with the session ID of a heartbeat that is not answered yet",
		Hint:    "make a new random session ID for every request",
	}
	RequestRepeated = &Rule{
		ID: "request-repeated", Severity: Warning, Blame: Requester, Clause: "a session ID identifies one transaction",
		Explain: "a byte-identical request with the session ID of an outstanding one: the application repeated it.",
		Example: "the same data packet twice within a second",
		Hint:    "TCP repeats what is lost by itself: lengthen the application's retry timer, or use a new session ID for each try",
	}
	NoResponse = &Rule{
		ID: "no-response", Severity: Warning, Blame: Responder, Clause: "a request is answered",
		Explain: "a request became unanswered, and nothing else explains it.",
		Example: "a command that a device never answers",
		Hint:    "look into the log of the side that had to answer, at the time of the request",
	}
	LateResponse = &Rule{
		ID: "late-response", Severity: Warning, Blame: Responder, Clause: "response timeout",
		Explain: "a response came after the response timeout; its transaction stays unanswered.",
		Example: "an answer after 45 seconds",
		Hint:    "look for what kept the responder busy; if such times are normal here, read with a longer --timeout",
	}
	OrphanResponse = &Rule{
		ID: "orphan-response", Severity: Error, Blame: Responder, Clause: "a response echoes the session ID of its request",
		Explain: "a response to no request, on a connection seen from its start and without gaps.",
		Example: "a server answers a session ID that nobody used",
		Hint:    "check that the responder echoes the 8 bytes of the session ID unchanged",
	}
	DuplicateResponse = &Rule{
		ID: "duplicate-response", Severity: Error, Blame: Responder, Clause: "a request is answered once",
		Explain: "a response to a transaction that is already answered.",
		Example: "two successes for one data packet",
		Hint:    "look for a retry in the responder, or for two handlers of one request",
	}
	SessionIDNotEchoed = &Rule{
		ID: "session-id-not-echoed", Severity: Error, Blame: Responder, Clause: "a response echoes the session ID of its request",
		Explain: "a response with an unknown session ID came while exactly one request was outstanding, which then stayed unanswered: the two are one transaction.",
		Example: "a server that byte-swaps the session ID",
		Hint:    "make the responder copy the 8 bytes of the session ID as they are, not as a number or as text up to a NUL",
	}
	ErrorResponse = &Rule{
		ID: "error-response", Severity: Warning, Blame: ByCode, Clause: "status 00",
		Explain: "a failure response.",
		Example: "status 00, error code 0x0005: access token not valid",
		Hint:    "correct what the error code names, then send the request again",
	}
	CaptureGap = &Rule{
		ID: "capture-gap", Severity: Note, Blame: Capture, Clause: "no accusation without evidence",
		Explain: "bytes of a connection were never captured.",
		Example: "the capture dropped a segment that the peer acknowledged",
		Hint:    "capture with a larger kernel buffer and snap length, nearer to the device",
	}
	CaptureMidstream = &Rule{
		ID: "capture-midstream", Severity: Note, Blame: Capture, Clause: "no accusation without evidence",
		Explain: "the connection's start is not in the capture.",
		Example: "the capture was started while the device was connected",
		Hint:    "start the capture before the device connects, to see its login",
	}
)

// Rules is the catalogue in the order of its documentation.
var Rules = []*Rule{
	ShortPacket, UnknownType, WrongDirection, TruncatedPacket, StrayBytes, BadStatus, UnknownErrorCode, BadText,
	EmptyIdentifier, LengthByteOrder, LengthWidth, LengthMissing, LengthMismatch, UnknownToken, TokenMismatch,
	TokenAfterLogout, LoginRepeated, SessionIDReused, SessionIDCollision, RequestRepeated, NoResponse, LateResponse,
	OrphanResponse, DuplicateResponse, SessionIDNotEchoed, ErrorResponse, CaptureGap, CaptureMidstream,
}

// RuleByID returns a rule of the catalogue, nil if there is none with this ID.
func RuleByID(id string) *Rule {
	for _, r := range Rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}
