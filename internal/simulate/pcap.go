package simulate

import (
	"errors"
	"io"
	"os"

	"github.com/nubishark/nubishark/capture"
)

// ethernet is the link type of what Generate writes.
const ethernet = 1

// Pcap writes traffic as a pcap capture.
func Pcap(out io.Writer, o Options) error {
	w := capture.NewPcapWriter(out, ethernet, true)
	if _, err := Generate(w, o, nil); err != nil {
		return err
	}
	return w.Close()
}

// PcapFile writes traffic to a pcap file.
func PcapFile(path string, o Options) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(Pcap(f, o), f.Close())
}
