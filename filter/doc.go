// Package filter is a display filter: a condition over the fields of a record, written as Wireshark 4 writes it.
//
//	nubison.type == "D" && nubison.latency > 0.5
//	nubison.session_id in {"00000001", "00000002"} or nubison.violation matches "^length-"
//
// It knows the language only: which fields there are, and what a record holds of them, its user tells. A filter that
// is accepted here means the same in Wireshark, as far as Wireshark has the fields; where versions of Wireshark 4 differ, the same as in
// the latest, or it is refused. Of Wireshark's language it leaves out layers, arithmetic but for masks, references and raw values,
// and says so where they are used.
package filter
