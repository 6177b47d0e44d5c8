// Package capture reads and writes capture files: pcap and pcapng, plain or
// compressed with gzip or zstd, from files or standard input.
//
// Open yields a Source, which fills batches of packets: one buffer and references
// into it, so that reading costs no allocation and no copy per packet. Damaged
// files are read up to the damage, which is then reported with its offset.
package capture
