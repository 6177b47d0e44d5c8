// Package sanitize writes captures that can be passed on: what names people, devices and places, and every secret, stands as a
// pseudonym of the same length, and all that the analyzer concludes stays the same.
//
// Packets are not patched but written anew: Ethernet, IP and TCP headers with made-up addresses, the same ports and flags, sequence
// numbers that count from their first, and a payload of pseudonyms. Whatever else a packet held, in headers, options, other protocols, comments or names of
// interfaces, is not there because it is never copied. A packet without a TCP segment leaves an empty frame, so that packet numbers
// stay.
package sanitize
