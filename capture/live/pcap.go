//go:build cgo && !nolive

package live

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcap"

	"github.com/nubishark/nubishark/capture"
)

// Built tells whether this build can capture.
const Built = true

// readTimeout is how long libpcap gathers packets before it hands them over.
const readTimeout = 20 * time.Millisecond

type pcapHandle struct{ h *pcap.Handle }

// List returns the interfaces of the system.
func List() ([]Interface, error) {
	devices, err := pcap.FindAllDevs()
	if err != nil {
		return nil, err
	}
	var list []Interface
	for _, d := range devices {
		i := Interface{Name: d.Name, Description: d.Description}
		for _, a := range d.Addresses {
			if a.IP != nil {
				i.Addresses = append(i.Addresses, a.IP.String())
			}
		}
		list = append(list, i)
	}
	return list, nil
}

// Permitted tries whether the user may capture.
func Permitted() error {
	h, err := open("any", &Options{SnapLen: 64, Notice: func(string) {}})
	if err != nil {
		return err
	}
	h.close()
	return nil
}

func open(name string, o *Options) (handle, error) {
	if err := known(name); err != nil {
		return nil, err
	}
	in, err := pcap.NewInactiveHandle(name)
	if err != nil {
		return nil, reason(name, err)
	}
	defer in.CleanUp()
	for _, err := range []error{in.SetSnapLen(o.SnapLen), in.SetPromisc(o.Promiscuous && name != "any"), in.SetTimeout(readTimeout)} {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if o.Buffer > 0 {
		if err := in.SetBufferSize(o.Buffer); err != nil {
			return nil, fmt.Errorf("%s: the kernel's buffer: %w", name, err)
		}
	}
	h, err := in.Activate()
	if err != nil {
		return nil, reason(name, err)
	}
	if o.Filter != "" {
		if err := h.SetBPFFilter(o.Filter); err != nil {
			at := misfit(h, o.Filter)
			h.Close()
			return nil, &FilterError{Filter: o.Filter, Reason: err.Error(), At: at}
		}
	}
	return &pcapHandle{h}, nil
}

// known reports an interface that is not there, with those that are.
func known(name string) error {
	list, err := List()
	if err != nil {
		return err
	}
	var names []string
	for _, i := range list {
		if i.Name == name {
			return nil
		}
		names = append(names, i.Name)
	}
	return fmt.Errorf("%w: %q; there are: %s", ErrNoInterface, name, strings.Join(names, ", "))
}

// reason makes libpcap's error one of ours.
func reason(name string, err error) error {
	text := err.Error()
	if strings.Contains(strings.ToLower(text), "permi") || errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%s: %w", name, ErrPermission)
	}
	return fmt.Errorf("%s: %s", name, text)
}

// misfit finds the first word of a filter that does not fit: behind the longest part that is a filter by itself.
func misfit(h *pcap.Handle, filter string) int {
	at := 0
	for i := range filter {
		if i > 0 && filter[i] == ' ' && strings.TrimSpace(filter[:i]) != "" {
			if _, err := h.CompileBPFFilter(filter[:i]); err == nil {
				at = i + 1
			}
		}
	}
	return at
}

func (p *pcapHandle) read() (data []byte, wire int, at time.Time, err error) {
	data, ci, err := p.h.ZeroCopyReadPacketData()
	switch {
	case err == nil:
		return data, ci.Length, ci.Timestamp, nil
	case errors.Is(err, pcap.NextErrorTimeoutExpired):
		return nil, 0, at, nil
	case errors.Is(err, io.EOF), errors.Is(err, pcap.NextErrorNoMorePackets):
		return nil, 0, at, errors.New("the interface was closed")
	}
	if e := p.h.Error(); e != nil && e.Error() != "" {
		err = e
	}
	return nil, 0, at, err
}

// link is the type that files have for what the interface yields: libpcap's own numbers differ for some.
func (p *pcapHandle) link() capture.LinkType {
	switch l := p.h.LinkType(); l {
	case layers.LinkType(12), layers.LinkType(14): // DLT_RAW
		return 101
	default:
		return capture.LinkType(l)
	}
}

func (p *pcapHandle) stats() (received, dropped, ifDropped uint64, err error) {
	s, err := p.h.Stats()
	if err != nil {
		return 0, 0, 0, err
	}
	return uint64(s.PacketsReceived), uint64(s.PacketsDropped), uint64(s.PacketsIfDropped), nil
}

func (p *pcapHandle) close() { p.h.Close() }
