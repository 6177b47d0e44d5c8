package protocol

import "fmt"

// ErrorCode is one row of the vendor's appendix of error codes.
type ErrorCode struct {
	Code    uint16
	Meaning string
	// Blame is the side whose fault it is, Hint what to do about it.
	Blame Side
	Hint  string
}

// ErrorCodes are the vendor's error codes in order.
var ErrorCodes = []ErrorCode{
	{0x0001, "packet type not valid", Device, "compare the type letter with those that a device may send: L, O, D, H, R"},
	{0x0002, "packet structure not valid", Device, "compare the packet's fields and their sizes with the protocol: --view packets shows them as they were sent"},
	{0x0003, "client ID or client secret not valid", Device, "check the client ID and the client secret that were provisioned, and their padding to 20 bytes"},
	{0x0004, "device not registered", Device, "register the device, or correct its product code and identifier"},
	{0x0005, "access token not valid", Device, "log in again and use the token that the answer returns; check that all 24 bytes are sent"},
	{0x0006, "payload structure not valid", Device, "compare the payload with the format of the device's model"},
	{0x9999, "server error", Server, "look into the server's log at the time of the request"},
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
