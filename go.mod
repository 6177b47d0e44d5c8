module github.com/nubishark/nubishark

go 1.25

require github.com/klauspost/compress v1.20.3

require github.com/google/gopacket v1.1.19 // indirect
