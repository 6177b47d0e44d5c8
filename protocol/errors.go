package protocol

import "fmt"

// ErrorCode is one row of the vendor's appendix of error codes.
type ErrorCode struct {
	Code    uint16
	Meaning string
	// Blame is the side whose fault it is.
	Blame Side
}

// ErrorCodes are the vendor's error codes in order.
var ErrorCodes = []ErrorCode{
	{0x0001, "packet type not valid", Device},
	{0x0002, "packet structure not valid", Device},
	{0x0003, "client ID or client secret not valid", Device},
	{0x0004, "device not registered", Device},
	{0x0005, "access token not valid", Device},
	{0x0006, "payload structure not valid", Device},
	{0x9999, "server error", Server},
}

// LookupError returns the row of a code; ok is false for a code that the vendor does
// not list, whose Meaning is then "unknown(0x....)".
func LookupError(code uint16) (e ErrorCode, ok bool) {
	for _, e := range ErrorCodes {
		if e.Code == code {
			return e, true
		}
	}
	return ErrorCode{Code: code, Meaning: fmt.Sprintf("unknown(0x%04x)", code)}, false
}
