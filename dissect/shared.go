package dissect

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Moment orders what several dissectors of one capture do, as one dissector would have done it. The zero value is
// before everything.
type Moment struct {
	// Packet is the number of the packet with which, or before which, something happens.
	Packet int64
	// Phase is of a packet: timers come before it.
	Phase Phase
	// At is the time of a timer (ns).
	At int64
	// late tells a timer of the dissector, which comes after one of the reassembly for the same time.
	late bool
	// Order is that of the connection, as its Opening has it.
	Order int64
}

// Phase is a part of what happens with a packet.
type Phase uint8

// The phases, in order.
const (
	TimersBefore Phase = iota
	TimersWith
	ThePacket
)

// Compare returns -1 if m is before o, 1 if it is behind it, 0 if they are the same.
func (m *Moment) Compare(o *Moment) int {
	if m.Packet != o.Packet {
		return cmp.Compare(m.Packet, o.Packet)
	}
	return cmp.Or(cmp.Compare(m.Phase, o.Phase), cmp.Compare(m.At, o.At), cmp.Compare(truth(m.late), truth(o.late)), cmp.Compare(m.Order, o.Order))
}

// truth is 1 for true, without a branch.
func truth(b bool) (x uint8) {
	if b {
		x = 1
	}
	return x
}

// mark is where the records of a moment start.
type mark struct {
	moment Moment
	at     int
}

// Merge hands on the records of several dissectors in the order of their moments.
func (n *Numbering) Merge(list []*Records) {
	if len(list) == 1 {
		n.Give(list[0])
		return
	}
	next := make([]int, len(list)) // of the marks of each
	for {
		first := -1
		for i, r := range list {
			if next[i] < len(r.marks) && (first < 0 || r.marks[next[i]].moment.Compare(&list[first].marks[next[first]].moment) < 0) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		r := list[first]
		to := len(r.order)
		if next[first]++; next[first] < len(r.marks) {
			to = r.marks[next[first]].at
		}
		n.hand(r, to)
	}
	for _, r := range list {
		n.count(r)
	}
}

// Shared is what the dissectors of one capture know together: the access tokens that were issued on any connection. A
// dissector that asks waits until the others have done what comes before, so that what it concludes does not depend on
// who is faster.
type Shared struct {
	wanted  atomic.Int64 // the earliest packet of the moments that others are waited for to come to
	_       [120]byte    // it is asked for each packet, and what follows is written
	mu      sync.Mutex
	moved   sync.Cond
	tokens  issuedTokens
	news    news[token]
	early   news[token] // those that are not counted
	at      []Moment    // all before it is done, of each dissector
	waiting []int64     // the packet of the moment at which each waits for others
	issued  []issue     // not yet among the tokens
}

// issue is a token that was issued.
type issue struct {
	at      Moment
	token   token
	device  string
	counted bool
}

// NewShared returns what so many dissectors share.
func NewShared(dissectors int) *Shared {
	s := &Shared{at: make([]Moment, dissectors), waiting: slices.Repeat([]int64{math.MaxInt64}, dissectors)}
	s.moved.L = &s.mu
	s.wanted.Store(math.MaxInt64)
	return s
}

// reached tells that a dissector has done all before a moment.
func (s *Shared) reached(who int, m *Moment) {
	s.mu.Lock()
	s.move(who, m)
	s.settle(func(x *Moment) bool {
		return !slices.ContainsFunc(s.at, func(at Moment) bool { return x.Compare(&at) >= 0 })
	})
	s.mu.Unlock()
}

// passing tells somebody who waits that a dissector has done all before a moment.
func (s *Shared) passing(who int, m *Moment) {
	s.mu.Lock()
	s.move(who, m)
	s.mu.Unlock()
}

func (s *Shared) move(who int, m *Moment) {
	if s.at[who].Compare(m) < 0 {
		s.at[who] = *m
		s.moved.Broadcast()
	}
}

// asOf locks what is known at a moment of a dissector.
func (s *Shared) asOf(who int, m *Moment) {
	s.mu.Lock()
	s.move(who, m)
	if s.behind(who, m) {
		s.wait(who, m.Packet)
		for s.behind(who, m) {
			s.moved.Wait()
		}
		s.wait(who, math.MaxInt64)
	}
	s.settle(func(x *Moment) bool { return x.Compare(m) <= 0 })
}

// wait notes the packet of the moment at which a dissector waits for others.
func (s *Shared) wait(who int, packet int64) {
	s.waiting[who] = packet
	s.wanted.Store(slices.Min(s.waiting))
}

// behind reports whether another dissector has not done all before a moment.
func (s *Shared) behind(who int, m *Moment) bool {
	for i := range s.at {
		if i != who && s.at[i].Compare(m) < 0 {
			return true
		}
	}
	return false
}

// settle makes the tokens known that were issued by a moment, in order.
func (s *Shared) settle(due func(*Moment) bool) {
	var now []issue
	s.issued = slices.DeleteFunc(s.issued, func(x issue) bool {
		if due(&x.at) {
			now = append(now, x)
			return true
		}
		return false
	})
	slices.SortStableFunc(now, func(x, y issue) int { return x.at.Compare(&y.at) })
	for _, x := range now {
		s.tokens.add(x.token, x.device)
		if x.counted {
			s.news.add(x.token)
		} else {
			s.early.add(x.token)
		}
	}
}

// issue makes a token known to all connections; counted tells that it may make more packets readable.
func (d *Dissector) issue(t token, device string, counted bool) {
	if s := d.shared; s != nil {
		s.mu.Lock()
		s.issued = append(s.issued, issue{d.moment, t, device, counted})
		s.mu.Unlock()
		return
	}
	d.issued.add(t, device)
	if counted {
		d.issues.add(t)
	} else {
		d.early.add(t)
	}
}

// isIssued reports whether a token was issued in this capture.
func (d *Dissector) isIssued(t token) bool {
	if s := d.shared; s != nil {
		s.asOf(d.who, &d.moment)
		defer s.mu.Unlock()
		return s.tokens.has(t)
	}
	return d.issued.has(t)
}

// issuedTo returns the device that a token was issued to, "" if that is not known.
func (d *Dissector) issuedTo(t token) string {
	if s := d.shared; s != nil {
		s.asOf(d.who, &d.moment)
		defer s.mu.Unlock()
		return s.tokens.device(t)
	}
	return d.issued.device(t)
}

// issueCount counts the tokens that were issued.
func (d *Dissector) issueCount() uint64 {
	if s := d.shared; s != nil {
		s.asOf(d.who, &d.moment)
		defer s.mu.Unlock()
		return s.news.count
	}
	return d.issues.count
}

// issuedSince reports whether one of the tokens that were issued after the first seen may stand somewhere.
func (d *Dissector) issuedSince(seen uint64, stands func(*token) bool) bool {
	if s := d.shared; s != nil {
		s.asOf(d.who, &d.moment)
		defer s.mu.Unlock()
		return s.news.since(seen, stands)
	}
	return d.issues.since(seen, stands)
}

// earlyCount counts the tokens that were made known while it was open where the packet ends that issues them.
func (d *Dissector) earlyCount() uint64 {
	if s := d.shared; s != nil {
		s.asOf(d.who, &d.moment)
		defer s.mu.Unlock()
		return s.early.count
	}
	return d.early.count
}

// issuedEarlySince reports whether one of those that came after the first seen may stand somewhere.
func (d *Dissector) issuedEarlySince(seen uint64, stands func(*token) bool) bool {
	if s := d.shared; s != nil {
		s.asOf(d.who, &d.moment)
		defer s.mu.Unlock()
		return s.early.since(seen, stands)
	}
	return d.early.since(seen, stands)
}
