// Package live captures packets on network interfaces, with libpcap. Without cgo, or with the build tag nolive, it is
// there but opens nothing.
package live

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nubishark/nubishark/capture"
)

// Options steer a capture.
type Options struct {
	// Interfaces are the system's names; "any" is all of them.
	Interfaces []string
	// Filter is a capture filter in libpcap's language, "" for all packets.
	Filter string
	// SnapLen is the greatest number of bytes captured of a packet; 0 means DefaultSnapLen.
	SnapLen int
	// Promiscuous takes in what is sent to others, too.
	Promiscuous bool
	// Buffer is the size of the kernel's buffer for each interface in bytes; 0 is libpcap's own choice.
	Buffer int
	// Wait goes on when an interface goes away, and takes it up again when it is back.
	Wait bool
	// Notice is told of interfaces that go away and come back. It may be called at any time, from any goroutine.
	Notice func(string)
}

// DefaultSnapLen keeps every packet whole.
const DefaultSnapLen = 262144

// Interface is something that can be captured on.
type Interface struct {
	Name, Description string
	Addresses         []string
}

// The errors of a capture that does not start.
var (
	// ErrNotBuilt tells that this program was built without libpcap.
	ErrNotBuilt = errors.New("this build of nubishark cannot capture: it has no libpcap in it (build it with cgo: make build-live)")
	// ErrPermission tells that the user may not capture.
	ErrPermission = errors.New("capturing is not permitted")
	// ErrNoInterface tells that there is no such interface.
	ErrNoInterface = errors.New("no such interface")
)

// FilterError is a capture filter that libpcap does not understand.
type FilterError struct {
	Filter, Reason string
	// At is the offset in Filter of the first word that does not fit.
	At int
}

// Error names the place on lines of its own.
func (e *FilterError) Error() string {
	return fmt.Sprintf("the capture filter is not understood here: %s\n  %s\n  %s^", e.Reason, e.Filter, strings.Repeat(" ", e.At))
}

// handle is an open interface. read returns a packet, nil where none came for a while, or an error: io.EOF where it was closed.
type handle interface {
	read() (data []byte, wire int, at time.Time, err error)
	link() capture.LinkType
	stats() (received, dropped, ifDropped uint64, err error)
	close()
}

// Source yields the packets of one or several interfaces in the order of their arrival. It implements capture.Source.
type Source struct {
	o      Options
	ifaces []*iface
	full   chan arrived
	spare  chan *capture.Batch
	stop   chan struct{}
	done   sync.WaitGroup
	once   sync.Once
	number int64

	mu      sync.Mutex
	started bool
	alive   int
	err     error
}

// iface is one of the interfaces of a source.
type iface struct {
	id   int
	name string
	link capture.LinkType

	mu     sync.Mutex
	h      handle
	last   capture.Stats // of h
	before capture.Stats // of the handles before it
}

// arrived is a batch of one interface.
type arrived struct {
	b     *capture.Batch
	iface int
}

const (
	// batchSize is about how much is taken in at once, at most.
	batchSize = 256 << 10
	// batches is how many of them may wait for the analysis; then the kernel's buffer fills, and counts what it drops.
	batches = 64
	// patience is how long the first packet of a batch waits for others.
	patience = 20 * time.Millisecond
	// retry is how often an interface that went away is looked for, and how often it is seen whether one is up.
	retry = 200 * time.Millisecond
)

// errDown tells that an interface is there but down. libpcap says nothing of it.
var errDown = errors.New("the interface is down")

// up reports whether an interface is up. What the system does not list, such as any, always is.
func up(name string) bool {
	i, err := net.InterfaceByName(name)
	return err != nil || i.Flags&net.FlagUp != 0
}

// Open starts capturing. The interfaces must all be there.
func Open(o Options) (*Source, error) {
	if o.SnapLen <= 0 {
		o.SnapLen = DefaultSnapLen
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	s := &Source{o: o, full: make(chan arrived, batches), spare: make(chan *capture.Batch, batches), stop: make(chan struct{})}
	for i, name := range o.Interfaces {
		h, err := open(name, &o)
		if err != nil {
			_ = s.Close()
			return nil, err
		}
		s.ifaces = append(s.ifaces, &iface{id: i, name: name, link: h.link(), h: h})
	}
	return s, nil
}

// Start begins to take in packets. What came since Open waits in the kernel's buffer.
func (s *Source) Start() {
	s.started, s.alive = true, len(s.ifaces)
	for _, i := range s.ifaces {
		s.done.Add(1)
		go s.listen(i)
	}
}

// Interfaces describes the interfaces for a file.
func (s *Source) Interfaces() []capture.Interface {
	var list []capture.Interface
	for _, i := range s.ifaces {
		list = append(list, capture.Interface{Name: i.name, Filter: s.o.Filter, Link: i.link, SnapLen: s.o.SnapLen})
	}
	return list
}

// listen takes in the packets of an interface until the source is stopped, or the interface goes away for good.
func (s *Source) listen(i *iface) {
	defer s.done.Done()
	for {
		err := s.drain(i)
		if err == nil { // stopped
			s.end(nil)
			return
		}
		if !s.o.Wait {
			s.end(fmt.Errorf("%s: %w", i.name, err))
			return
		}
		s.o.Notice(fmt.Sprintf("%s went away (%v): waiting for it", i.name, err))
		if !s.reopen(i) {
			s.end(nil)
			return
		}
		s.o.Notice(i.name + " is back")
	}
}

// end counts an interface out. The last one ends the source.
func (s *Source) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alive--
	s.err = errors.Join(s.err, err)
	if err != nil && s.alive > 0 {
		s.o.Notice(err.Error() + ": going on with the others")
	}
	if s.alive == 0 {
		close(s.full)
	}
}

// reopen waits for an interface and opens it anew. It reports false when the source was stopped.
func (s *Source) reopen(i *iface) bool {
	for {
		select {
		case <-s.stop:
			return false
		case <-time.After(retry):
		}
		h, err := open(i.name, &s.o)
		if err != nil {
			continue
		}
		if h.link() != i.link {
			h.close()
			continue // a file has one link type for an interface
		}
		i.mu.Lock()
		i.before = i.sum()
		i.h, i.last = h, capture.Stats{}
		i.mu.Unlock()
		return true
	}
}

// drain hands on batches until reading fails; nil tells that the source was stopped.
func (s *Source) drain(i *iface) error {
	down, looked := false, time.Now()
	defer func() {
		i.count()
		i.mu.Lock()
		i.h.close()
		i.h = nil
		i.mu.Unlock()
	}()
	var last farewell
	for {
		b := s.batch()
		err := s.fill(i, b)
		empty := len(b.Refs) == 0
		if !empty {
			s.full <- arrived{b, i.id} // somebody takes it, to the end: Next, or Close
		}
		i.count()
		if err != nil {
			return err
		}
		if last.over(s.stop, empty) {
			return nil
		}
		if now := time.Now(); now.Sub(looked) > retry {
			looked = now
			is := !up(i.name)
			switch {
			case is && !s.o.Wait:
				return errDown
			case is && !down:
				s.o.Notice(i.name + " went away (" + errDown.Error() + "): waiting for it")
			case !is && down:
				s.o.Notice(i.name + " is back")
			}
			down = is
		}
	}
}

// farewell ends an interface that was stopped: what the kernel has taken in by then is still read.
type farewell struct {
	stopped bool
	until   time.Time
	empty   int
}

// lastPackets bounds how long packets are still read after a stop: on a busy interface there is no end of them.
const lastPackets = 200 * time.Millisecond

// over reports whether all is read; empty tells that nothing came the last time.
func (f *farewell) over(stop <-chan struct{}, empty bool) bool {
	if !f.stopped {
		select {
		case <-stop:
			f.stopped, f.until = true, time.Now().Add(lastPackets)
		default:
		}
		return false
	}
	if empty {
		f.empty++
	} else {
		f.empty = 0
	}
	return f.empty >= 2 || time.Now().After(f.until)
}

func (s *Source) batch() *capture.Batch {
	select {
	case b := <-s.spare:
		b.Data, b.Refs = b.Data[:0], b.Refs[:0]
		return b
	default:
		return new(capture.Batch)
	}
}

// fill takes in packets until the batch is full, none comes for a while, or it has waited long enough.
func (s *Source) fill(i *iface, b *capture.Batch) error {
	var first time.Time
	for len(b.Data) < batchSize {
		data, wire, at, err := i.h.read()
		if err != nil || data == nil {
			return err
		}
		b.Add(capture.Packet{Time: at.UnixNano(), WireLen: wire, Link: i.link, Iface: i.id, Data: data})
		if now := time.Now(); len(b.Refs) == 1 {
			first = now
		} else if now.Sub(first) > patience {
			return nil
		}
	}
	return nil
}

// count keeps what the kernel says of the handle.
func (i *iface) count() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.h == nil {
		return
	}
	received, dropped, ifDropped, err := i.h.stats()
	if err != nil {
		return
	}
	i.last = capture.Stats{Known: true, Received: received, Dropped: dropped + ifDropped}
}

// sum is what all handles of the interface counted.
func (i *iface) sum() capture.Stats {
	return capture.Stats{Known: i.before.Known || i.last.Known, Received: i.before.Received + i.last.Received, Dropped: i.before.Dropped + i.last.Dropped}
}

// Next fills b with the next packets; capture.ErrIdle tells that none came in the time, io.EOF that the source was stopped and all is told.
func (s *Source) Next(b *capture.Batch, wait time.Duration) error {
	b.Data, b.Refs = b.Data[:0], b.Refs[:0]
	select {
	case a, ok := <-s.full:
		return s.take(a, ok, b)
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case a, ok := <-s.full:
		return s.take(a, ok, b)
	case <-timer.C:
		return capture.ErrIdle
	}
}

func (s *Source) take(a arrived, ok bool, b *capture.Batch) error {
	if !ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			return s.err
		}
		return io.EOF
	}
	*b, *a.b = *a.b, *b
	for i := range b.Refs {
		s.number++
		b.Refs[i].Number = s.number
	}
	select {
	case s.spare <- a.b:
	default:
	}
	return nil
}

// Stats is the sum of what the kernel counts for all interfaces.
func (s *Source) Stats() (sum capture.Stats) {
	for i := range s.ifaces {
		x := s.InterfaceStats(i)
		sum.Known = sum.Known || x.Known
		sum.Received += x.Received
		sum.Dropped += x.Dropped
	}
	return sum
}

// InterfaceStats are those of one interface.
func (s *Source) InterfaceStats(id int) capture.Stats {
	i := s.ifaces[id]
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sum()
}

// Stop ends capturing. What was taken in until then is still told by Next, then io.EOF.
func (s *Source) Stop() { s.once.Do(func() { close(s.stop) }) }

// Close stops and waits until the interfaces are closed.
func (s *Source) Close() error {
	s.Stop()
	if s.started {
		go func() { // nobody asks for the rest
			for range s.full {
			}
		}()
	}
	s.done.Wait()
	for _, i := range s.ifaces {
		i.mu.Lock()
		if i.h != nil {
			i.h.close()
			i.h = nil
		}
		i.mu.Unlock()
	}
	return nil
}
