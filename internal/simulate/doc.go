// Package simulate speaks the NUBISON IoT TCP protocol as a device and as a server, well or badly
// on purpose, and writes captures of synthetic traffic together with the truth about them.
//
// Packets are built from the table in package protocol. Everything random comes from a seed: the
// same options give the same bytes.
package simulate
