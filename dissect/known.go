package dissect

import (
	"slices"

	"github.com/nubishark/nubishark/protocol"
)

// sid is a session ID, compared as raw bytes.
type sid [protocol.SessionIDSize]byte

// token is an access token, compared as raw bytes.
type token [protocol.TokenSize]byte

// maxTokens bounds the tokens remembered of one connection, maxIssued those of a generation of
// issued tokens: two generations are kept.
const (
	maxTokens = 1024
	maxIssued = 1 << 17
)

// issuedTokens are the tokens that login answers of the whole capture returned, with the key of
// the device that each was issued to.
type issuedTokens struct {
	young, old map[token]string
}

func (s *issuedTokens) add(t token, device string) {
	if s.young == nil || len(s.young) >= maxIssued {
		s.old, s.young = s.young, make(map[token]string)
	}
	s.young[t] = device
}

func (s *issuedTokens) has(t token) bool {
	if _, ok := s.young[t]; ok {
		return true
	}
	_, ok := s.old[t]
	return ok
}

func (s *issuedTokens) device(t token) string {
	if d, ok := s.young[t]; ok {
		return d
	}
	return s.old[t]
}

// knows reports whether a token was issued in this capture or carried by a packet of this connection.
func (c *Conn) knows(t token) bool {
	_, ok := c.tokens[t]
	return ok || c.d.issued.has(t)
}

// minStart is how many bytes of a token are enough to know it by.
const minStart = 4

// knowsStart reports whether a token of this connection starts with the bytes.
func (c *Conn) knowsStart(b []byte) bool {
	if len(b) < minStart {
		return false
	}
	if s := &c.session; s.sure && string(s.token[:len(b)]) == string(b) {
		return true
	}
	for t := range c.tokens {
		if string(t[:len(b)]) == string(b) {
			return true
		}
	}
	return false
}

// carry remembers a token of a packet of this connection.
func (c *Conn) carry(t token) {
	if _, ok := c.tokens[t]; ok {
		return
	}
	if c.tokens == nil || len(c.tokens) >= maxTokens {
		c.tokens = make(map[token]struct{})
	}
	c.tokens[t] = struct{}{}
	c.changes++
}

// epoch changes whenever something becomes known that may make an offset a strong match.
func (c *Conn) epoch() uint64 {
	return c.changes + c.d.issues
}

// maxFinished is the number of finished transactions remembered of a requester.
const maxFinished = 1024

// maxOutstanding bounds the requests of one side that wait for an answer.
const maxOutstanding = 1 << 16

// requests are one side's requests: those outstanding, and the latest finished ones.
type requests struct {
	open  map[sid]*transaction // the latest of each session ID
	queue []*transaction       // in order of time; finished ones are dropped lazily
	n     int                  // outstanding ones in queue
	done  map[sid]past
	ring  []sid
	next  int
	early map[sid]bool // what orphan responses carried: their requests may yet be found
}

func (r *requests) outstanding(id sid) bool { _, ok := r.open[id]; return ok }

// startsWith reports whether an outstanding session ID starts with the bytes.
func (r *requests) startsWith(b []byte) bool {
	if len(r.open) > 64 {
		return true
	}
	for id := range r.open {
		if string(id[:len(b)]) == string(b) {
			return true
		}
	}
	return false
}

// letterOf returns the letter of the request with this session ID, 0 if it is not known.
func (r *requests) letterOf(id sid) byte {
	if t, ok := r.open[id]; ok {
		return t.Letter
	}
	if t, ok := r.done[id]; ok {
		return t.letter
	}
	return 0
}

// past is what is remembered of a finished transaction.
type past struct {
	number int64
	letter byte
	state  State
	late   int64 // from this time on (ns) an answer is late
}

// cameEarly remembers the session ID of a response without a request.
func (r *requests) cameEarly(id sid) {
	if r.early == nil || len(r.early) >= maxFinished {
		r.early = make(map[sid]bool)
	}
	r.early[id] = true
}

// excuse makes nobody responsible for the silence after the requests that wait now.
func (r *requests) excuse() {
	for _, t := range r.queue {
		if t != nil {
			t.excused = true
		}
	}
}

// push adds an outstanding request, the latest of its session ID.
func (r *requests) push(t *transaction) {
	if r.open == nil {
		r.open = make(map[sid]*transaction)
	}
	t.older = r.open[t.id]
	r.open[t.id] = t
	if len(r.queue) > 2*r.n+maxFinished {
		r.queue = slices.DeleteFunc(r.queue, func(t *transaction) bool { return t.State != Outstanding })
	}
	r.queue = append(r.queue, t)
	r.n++
}

// finish removes an outstanding transaction and remembers it as finished.
func (r *requests) finish(t *transaction) {
	if r.open[t.id] == t {
		if t.older != nil && t.older.State == Outstanding {
			r.open[t.id] = t.older
		} else {
			delete(r.open, t.id)
		}
	}
	r.n--
	r.trim()
	t.older = nil
}

// remember keeps the session ID of a finished transaction.
func (r *requests) remember(t *transaction, late int64) {
	if r.done == nil {
		r.done = make(map[sid]past)
	}
	if _, known := r.done[t.id]; !known {
		if len(r.ring) < maxFinished {
			r.ring = append(r.ring, t.id)
		} else {
			delete(r.done, r.ring[r.next])
			r.ring[r.next] = t.id
			r.next = (r.next + 1) % maxFinished
		}
	}
	r.done[t.id] = past{t.Number, t.Letter, t.State, late}
}

// trim drops finished transactions from the front of the queue.
func (r *requests) trim() {
	i := 0
	for i < len(r.queue) && r.queue[i].State != Outstanding {
		r.queue[i] = nil
		i++
	}
	r.queue = r.queue[i:]
	if len(r.queue) == 0 {
		r.queue = nil
	}
}

// waitingAt returns the one request that waited for an answer at a moment, nil if there was none or
// there were several. No answer that came later may have been settled yet.
func (r *requests) waitingAt(time int64) *transaction {
	var found *transaction
	for _, t := range r.queue {
		if t == nil || t.State != Outstanding || t.claimed {
			continue
		}
		if t.RequestTime > time {
			break
		}
		if found != nil {
			return nil
		}
		found = t
	}
	return found
}

// nextLate returns the first request that was sent after a moment (ns), nil if there is none. Those before it are the oldest one, whose
// answer is at hand, and where the clock was set back.
func (r *requests) nextLate(sent int64) *transaction {
	r.trim()
	for _, t := range r.queue {
		if t != nil && t.State == Outstanding && t.RequestTime > sent {
			return t
		}
	}
	return nil
}

// oldest returns the request that has been waiting longest, nil if there is none.
func (r *requests) oldest() *transaction {
	r.trim()
	if len(r.queue) == 0 {
		return nil
	}
	return r.queue[0]
}
