package dissect

import (
	"bytes"
	"unicode/utf8"

	"github.com/nubishark/nubishark/protocol"
)

const second = int64(1e9)

// maxWait bounds the bytes that a boundary waits for: the largest packet and a margin.
const maxWait = protocol.MaxPacket + 4096

// grade says how well a candidate's end is confirmed.
type grade uint8

const (
	none   grade = iota
	weak         // as fit, but a stranger's token or session stands behind it
	fit          // a vendor's end at a write end, and packets lead on from it
	sure         // the direction ends there, or the peer had seen just this when it answered
	good         // a strong match starts at a deviant end
	strong       // a strong match starts at a vendor's end
)

// answer says no, perhaps later, or yes.
type answer uint8

const (
	no answer = iota
	notYet
	yes
)

// reply is what is known of the peer's answer to the packet at the boundary.
type reply struct {
	there bool
	seen  int64 // how far this direction had been seen before it, -1 if that is not known
	old   bool  // it came a second ago
}

// reply looks for the peer's answer to a session ID among the peer's bytes which are not settled. Behind a hole that may still fill, more may
// have been seen before it.
func (h *half) reply(id sid) reply {
	x := h.peer.answerTo(id)
	if x < 0 {
		return reply{}
	}
	first := &h.peer.segs[h.peer.holding(x)]
	if h.mayHide(first.packet) {
		return reply{}
	}
	return reply{there: true, seen: h.seenBefore(first.packet), old: h.c.d.now-first.time >= second}
}

// tooEarly reports whether the peer's answer to the packet at the boundary was captured in the middle of it, so that it tells nothing of where the
// packet ends: more came behind what had been seen, no write ends there, and no reading of a length does. Where a direction tells no write's end,
// that is known only of what is always there of a packet.
func (h *half) tooEarly(list []candidate, r reply) bool {
	fixed := h.pos + int64(protocol.ByLetter(h.buf[0])[0].Shape().Fixed)
	if !r.there || r.seen < h.pos || r.seen >= h.seen() || r.seen >= fixed && !h.pushes || r.seen > h.pos && h.writeEnd(r.seen) {
		return false
	}
	for i := range list {
		if c := &list[i]; c.end == r.seen && c.kind != lengthless && c.kind != writeBound {
			return false
		}
	}
	_, gap := h.gapIn(h.pos, max(fixed, r.seen+1))
	return !gap
}

// answerTo returns the offset of the response with a session ID that stands at the boundary, or behind a response there: at the start of
// a write, or with nothing but whole packets before it; or -1.
func (h *half) answerTo(id sid) int64 {
	switch held, ok := h.heldResponse(); {
	case !ok:
		return -1
	case held == id:
		return h.pos
	}
	var what [protocol.HeaderSize]byte
	what[0] = 'R'
	copy(what[1:], id[:])
	i := bytes.Index(h.buf[:min(len(h.buf), maxLook)], what[:])
	if i < 0 {
		return -1
	}
	if x := h.pos + int64(i); h.startsWrite(x) || h.reaches(h.pos, x) {
		return x
	}
	return -1
}

// heldResponse returns the session ID of a response that stands at the boundary.
func (h *half) heldResponse() (sid, bool) {
	if h.adrift == inStep && len(h.buf) >= protocol.HeaderSize && h.buf[0] == 'R' && !h.segs[0].gap {
		return sid(h.buf[1:protocol.HeaderSize]), true
	}
	return sid{}, false
}

// maxLook bounds the bytes that are searched for what the other direction echoes.
const maxLook = 4096

// asks reports whether a request with this session ID, or the start of one, seems to stand in the bytes
// that are not settled.
func (h *half) asks(id []byte) bool { return h.requestWith(id, 1) >= 0 }

// requestWith returns the offset of a request's letter that stands a distance before some bytes, or -1.
func (h *half) requestWith(what []byte, distance int) int64 {
	b := h.buf[:min(len(h.buf), maxLook)]
	for from := distance; from < len(b); {
		i := bytes.Index(b[from:], what)
		if i < 0 {
			return -1
		}
		if x := h.pos + int64(from+i-distance); protocol.IsRequest(b[from+i-distance]) && (distance > 1 || !h.endsID(x)) {
			return x
		}
		for from += i + 1; from < len(b) && !protocol.IsRequest(b[from-distance]); { // what repeats itself is found at each byte
			from++
		}
	}
	return -1
}

// endsID reports whether the last letter of a request's session ID stands at x: then its token is behind it, no session ID.
func (h *half) endsID(x int64) bool {
	y := x - protocol.SessionIDSize
	return y >= h.pos && protocol.IsRequest(h.at(y)[0]) && (y == h.pos || h.segStart(y))
}

// mayAnswer reports whether a response to the request seems to stand in the bytes that are not settled.
func (h *half) mayAnswer(t *transaction) bool {
	b := h.buf[:min(len(h.buf), maxLook)]
	for {
		i := bytes.Index(b, t.id[:])
		if i < 0 {
			return false
		}
		if i > 0 && b[i-1] == 'R' {
			return true
		}
		b = b[i+1:]
	}
}

// answersBefore reports whether a response stands at the boundary, to be settled, that may change how a
// request at the peer's boundary is judged: the answer to a login, one with the request's session ID
// that came before it, one behind which the request's own answer stands, or one that is held, and what waits behind it with it.
func (h *half) answersBefore(request *half) bool {
	id, ok := h.heldResponse()
	if !ok {
		return false
	}
	if !request.requests.outstanding(id) {
		return h.before(request) && request.requestWith(id[:], 1) < 0 && h.holds()
	}
	if request.requests.letterOf(id) == 'L' || request.asksWith(id) && h.segs[0].packet < request.segs[0].packet {
		return true
	}
	return len(request.buf) >= protocol.HeaderSize && h.answerTo(sid(request.buf[1:protocol.HeaderSize])) > h.pos
}

// asksWith reports whether the packet at the boundary has this session ID.
func (h *half) asksWith(id sid) bool {
	return len(h.buf) >= protocol.HeaderSize && sid(h.buf[1:protocol.HeaderSize]) == id
}

// strong reports whether a strong match stands at x. vouched is the token of the packet that
// would end at x, nil if it has none.
func (h *half) strong(x int64, vouched []byte) answer {
	if x >= h.seen() {
		return h.later()
	}
	b := h.at(x)
	letter := b[0]
	if h.gaps && h.hidden(x, letter) {
		if h.tokenStarts(x, letter, vouched) {
			return yes
		}
		return no
	}
	switch {
	case letter == 'R':
		return h.strongResponse(x, b)
	case letter == 'L':
		return h.strongLogin(x, b)
	case len(protocol.ByLetter(letter)) > 0 && !h.startsID(x, b):
		return h.strongToken(b, vouched)
	}
	return no
}

// startsID reports whether the first letter of a response's session ID stands at x: the token behind its status is one that the
// response hands out.
func (h *half) startsID(x int64, b []byte) bool {
	y := x - 1
	return y >= h.pos && h.at(y)[0] == 'R' && (y == h.pos || h.segStart(y)) && len(b) > protocol.SessionIDSize && b[protocol.SessionIDSize] <= 1
}

// hidden reports whether a gap takes the bytes that would make a strong match at x.
func (h *half) hidden(x int64, letter byte) bool {
	from, size := x+protocol.TokenAt, int64(protocol.TokenSize)
	switch letter {
	case 'R':
		from, size = x+1, protocol.SessionIDSize
	case 'L':
		from, size = x+1, int64(protocol.ByLetter('L')[0].Shape().Fixed-1)
	}
	if _, gap := h.gapIn(x, x+1); gap {
		return true
	}
	_, gap := h.gapIn(from, from+size)
	return gap
}

// tokenStarts reports whether as much of a packet's token as stands at x before a gap is the start of a known one.
func (h *half) tokenStarts(x int64, letter byte, vouched []byte) bool {
	if letter == 'R' || len(protocol.ByLetter(letter)) == 0 || !protocol.ByLetter(letter)[0].Shape().HasToken {
		return false
	}
	g, ok := h.gapIn(x, x+tokenEnd)
	if !ok || g.start < x+tokenAt+minStart {
		return false
	}
	b := h.at(x)[tokenAt : g.start-x]
	return bytes.HasPrefix(vouched, b) || h.c.knowsStart(b)
}

// later is the answer where bytes are wanting.
func (h *half) later() answer {
	if h.done() {
		return no
	}
	return notYet
}

func (h *half) strongResponse(x int64, b []byte) answer {
	if len(b) >= protocol.HeaderSize {
		id := sid(b[1:protocol.HeaderSize])
		if t := h.peer.requests.find(id); t != nil && (t.older != nil || !h.inOwnTail(x, id, t.letter)) {
			return yes
		}
		if h.peer.asks(id[:]) && !h.c.knowsStart(id[:]) { // where a request's session ID ends with a letter, its token seems to be one
			return yes
		}
		return no
	}
	if h.peer.requests.startsWith(b[1:]) {
		return h.later()
	}
	if len(b) > 1 && h.peer.asks(b[1:]) {
		return h.later()
	}
	return no
}

// inOwnTail reports whether x is inside the write of the response at the boundary, behind what may be the length of its tail, and that response has
// the session ID: behind it, the request is answered, and waits no longer.
func (h *half) inOwnTail(x int64, id sid, request byte) bool {
	if held, ok := h.heldResponse(); !ok || held != id || h.startsWrite(x) {
		return false
	}
	for _, l := range protocol.ByLetter('R') {
		if len(l.Tail) > 0 && x > h.pos+int64(l.Shape().Fixed) && h.applies(l, h.buf, request, h.pos) {
			return true
		}
	}
	return false
}

func (h *half) strongToken(b []byte, vouched []byte) answer {
	if len(b) >= protocol.HeaderSize {
		// A session ID with bytes that were never captured is zero there, and matches nothing.
		if held, ok := h.peer.heldResponse(); ok && held == sid(b[1:protocol.HeaderSize]) {
			return yes
		}
	}
	if len(b) < protocol.TokenAt+protocol.TokenSize {
		if h.done() && h.c.knowsStart(b[min(len(b), protocol.TokenAt):]) {
			return yes
		}
		return h.later()
	}
	t := token(b[protocol.TokenAt:])
	if string(vouched) == string(t[:]) || h.c.knows(t) || h.peer.hands(t) {
		return yes
	}
	return no
}

// hands reports whether the login answer that stands at the boundary issues the token.
func (h *half) hands(t token) bool {
	const end = protocol.StatusAt + 1 + protocol.TokenSize
	if _, ok := h.heldResponse(); !ok || len(h.buf) < end || h.buf[protocol.StatusAt] != 1 {
		return false
	}
	return token(h.buf[protocol.StatusAt+1:]) == t && isWord(t[:])
}

// strongLogin asks for a write of its own with clean text and an identifier that ends where
// the write does, up to stray padding. Where bytes were never captured, it must also be of the side that sends logins.
func (h *half) strongLogin(x int64, b []byte) answer {
	if !h.opensWrite(x) || (h.gaps || !h.fromStart) && !protocol.MaySend(h.side(), 'L') {
		return no
	}
	l := protocol.ByLetter('L')[0]
	sh := l.Shape()
	if !cleanText(l, b) {
		return no
	}
	if len(b) < sh.Fixed {
		if h.writesWithin(x, h.seen()) {
			return no
		}
		return h.later()
	}
	end := x + int64(sh.Fixed) + int64(b[sh.LengthAt])
	if h.writesWithin(x, end) {
		return no
	}
	if end > h.seen() {
		return h.later()
	}
	for e := end; e <= min(end+maxStray, h.seen()); e++ {
		if h.writeEnd(e) || e == h.seen() && h.over() {
			return yes
		}
	}
	if end+maxStray > h.seen() && !h.done() {
		return notYet
	}
	return no
}

// opensWrite reports whether a segment starts at x that is the first one of a write. Of what stands behind a gap, that is not known.
func (h *half) opensWrite(x int64) bool {
	if x == h.pos {
		return h.segStart(x) && !h.midWrite
	}
	return h.startsWrite(x) && !h.segs[h.holding(x)-1].gap
}

// writesWithin reports whether a write ends between x and end.
func (h *half) writesWithin(x, end int64) bool {
	for i := h.holding(x); i < len(h.segs) && h.segs[i].end < end; i++ {
		if h.segs[i].push {
			return true
		}
	}
	return false
}

// cleanText reports whether the text fields of a packet are clean, as far as they are there.
func cleanText(l *protocol.Layout, b []byte) bool {
	at, length := 0, 0
	for i := range l.Fields {
		f := &l.Fields[i]
		size := f.Size
		if size == 0 {
			size = length
		}
		if at+size > len(b) {
			return f.Kind != protocol.Text || !hasControls(trimPadding(b[at:]))
		}
		if f.Kind == protocol.Length {
			length = number(b[at:], size, false)
		}
		if f.Kind == protocol.Text && !isClean(trimPadding(b[at:at+size])) {
			return false
		}
		at += size
	}
	return true
}

// hasControls reports whether there are ASCII control characters.
func hasControls(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// trimPadding cuts trailing NULs and spaces.
func trimPadding(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == 0 || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return b
}

// isClean reports whether text is UTF-8 without control characters.
func isClean(b []byte) bool {
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			if b[i] < 0x20 || b[i] == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 || r < 0xa0 {
			return false
		}
		i += n
	}
	return true
}

// judge says how well a candidate's end is confirmed now, and how well it still could be.
func (h *half) judge(c *candidate, r reply) (have, may grade) {
	top := good
	if c.kind == vendor {
		top = strong
	}
	if c.kind != vendor && h.damaged(c, r) {
		return none, none
	}
	if c.end < 0 || c.end > h.seen() {
		if h.done() || r.there && r.old || len(h.buf) > maxWait || h.firstStrong(c.token) >= 0 {
			return none, none
		}
		return none, top
	}
	if c.kind != vendor && (h.inner(c) || r.there && c.end > r.seen && h.writeEnd(r.seen)) {
		return none, none // nor can what the peer had answered before the last byte was sent
	}
	if c.kind != vendor && len(h.buf) < maxWait && h.peer.mayHide(h.segs[h.holding(c.end-1)].packet) {
		return none, top // what is inside may be answers to what is behind the peer's hole
	}
	match := no
	if c.end < h.seen() {
		match = h.strong(c.end, c.token)
	}
	if c.kind == vendor && (match != yes || c.tail) && h.inner(c) {
		return none, none // one length byte may end anywhere by chance
	}
	if c.end == h.seen() {
		if h.over() {
			return sure, sure
		}
		match = h.strong(c.end, c.token)
	}
	switch {
	case match == yes:
		return top, top
	case r.there && r.seen == c.end, c.kind == vendor && h.usedByPeer(c):
		have = sure
	case c.leads:
		have = fit
	case c.kind == vendor:
		have, may = h.fits(c, r)
	}
	if match == notYet && (!r.there || !r.old || c.end != h.seen()) {
		may = top
	}
	return have, max(have, may)
}

// usedByPeer reports whether the peer used the token that this response hands out when nothing
// behind the response had been seen.
func (h *half) usedByPeer(c *candidate) bool {
	if c.token == nil || h.buf[0] != 'R' || c.tail {
		return false
	}
	x := h.peer.requestWith(c.token, protocol.TokenAt)
	return x >= 0 && h.seenBefore(h.peer.segs[h.peer.holding(x)].packet) == c.end
}

// fits asks for a write end with legal packets behind it (vendor's ends only).
func (h *half) fits(c *candidate, r reply) (have, may grade) {
	if g, ok := h.gapAt(c.end); ok {
		if c.end > g.start || !c.open || h.writeEnd(c.end) {
			return fit, fit
		}
		return none, none
	}
	if c.end == h.seen() {
		waited := h.c.d.now-h.lastTime >= second
		if waited || h.ended == fileEnded || h.writeEnd(c.end) && !c.open {
			return fit, fit
		}
		return none, fit
	}
	if !h.writeEnd(c.end) {
		return none, none
	}
	if h.cutOffAt(c.end) {
		return fit, fit
	}
	h.budget = maxReach
	switch l := h.chain(c.end, c.token, 8); {
	case l&leads != 0, l != leadsNowhere && !c.open, l&leadsStrange != 0 && h.plausible(h.at(c.end)):
		return fit, fit
	case l&mayLead != 0 && r.there && r.seen > c.end && h.mayStart(c.end):
		return fit, fit // the next one had begun when the peer answered
	case l&mayLead != 0 && !h.breaksOff(c):
		return none, fit
	case l&leadsStrange != 0:
		return weak, weak
	case h.shortsLead(c.end, c.token):
		return fit, fit
	case h.breaksOff(c):
		return weak, weak
	}
	return none, none
}

// breaksOff reports whether what may be the start of a packet stands behind a reading, and the direction or the capture ended, or a packet
// stands beyond doubt, before there was more of it.
func (h *half) breaksOff(c *candidate) bool {
	return (h.done() || h.firstStrong(c.token) >= 0) && h.mayStart(c.end)
}

// cutOffAt reports whether what may be the start of a packet stands at x, and a gap takes the rest of what tells its end.
func (h *half) cutOffAt(x int64) bool {
	if !h.gaps {
		return false
	}
	list := protocol.ByLetter(h.at(x)[0])
	if len(list) == 0 {
		return false
	}
	g, ok := h.gapIn(x, x+int64(list[0].Shape().Fixed))
	return ok && g.start > x && h.mayStart(x)
}

// mayStart reports whether what stands at x, as far as it was captured, may be a packet of this side by its letter and its text.
func (h *half) mayStart(x int64) bool {
	b := h.at(x)
	if g, ok := h.gapIn(x, x+tokenEnd); ok {
		b = b[:g.start-x]
	}
	if len(b) == 0 || !protocol.MaySend(h.side(), b[0]) {
		return false
	}
	return isWord(b[1:min(len(b), protocol.HeaderSize)]) && (len(b) < protocol.HeaderSize || h.plausible(b))
}

// gapAt returns the gap that starts at x or holds it.
func (h *half) gapAt(x int64) (segment, bool) { return h.gapIn(x, x+1) }

// link says whether whole packets lead on from an offset: by some readings they may, by others not.
type link uint8

const (
	leadsStrange link = 1 << iota // they do, by a token or session that is known from nowhere
	mayLead
	leads

	leadsNowhere link = 0
)

// chain reports whether whole vendor's packets lead on from x to a write end or a strong match, no further than to the limit.
func (h *half) chain(x int64, vouched []byte, depth int) link {
	b := h.at(x)
	if h.budget--; h.budget < 0 || !protocol.MaySend(h.side(), b[0]) {
		return leadsNowhere
	}
	if h.strong(x, vouched) == yes {
		return leads
	}
	strange := h.stranger(b, vouched)
	if strange == no && b[0] == 'L' {
		return leadsNowhere
	}
	var buf [8]candidate
	all := leadsNowhere
	list := h.vendorEnds(buf[:0], x, h.requestLetter(b))
	for i := range list {
		all |= h.chainEnd(&list[i], depth)
	}
	if all&leads != 0 && strange == yes {
		all = all&^leads | leadsStrange
	}
	return all
}

func (h *half) chainEnd(c *candidate, depth int) link {
	switch {
	case h.limit > 0 && (c.end < 0 || c.end > h.limit):
		return leadsNowhere
	case c.end < 0 || c.end > h.seen():
		if h.done() {
			return leadsNowhere
		}
		return mayLead
	case h.writeEnd(c.end), c.end == h.seen() && h.over(), h.strong(c.end, c.token) == yes:
		return leads
	case c.end == h.seen():
		if h.done() {
			return leads
		}
		return mayLead
	}
	if _, gap := h.gapAt(c.end); gap || depth == 0 {
		return leads
	}
	return h.chain(c.end, c.token, depth-1)
}

// stranger reports whether the packet's token or session is known from nowhere although others are
// known; for a login, whether it is unclean (no) or clean (yes: one length byte proves little).
func (h *half) stranger(b []byte, vouched []byte) answer {
	switch b[0] {
	case 'R':
		return yes
	case 'L':
		if cleanText(protocol.ByLetter('L')[0], b) {
			return yes
		}
		return no
	}
	if vouched == nil && h.c.tokens.len() == 0 {
		return no
	}
	return yes
}

// inner reports whether a packet stands beyond doubt inside a candidate.
func (h *half) inner(c *candidate) bool {
	x := h.firstStrong(c.token)
	return x >= 0 && x < c.end
}

// damaged reports whether a gap may explain what a deviant reading would accuse the sender of. A gap
// right behind a write explains nothing where the peer answered what was before it.
func (h *half) damaged(c *candidate, r reply) bool {
	end := c.end + 1
	switch {
	case c.end < 0:
		end = h.seen()
	case r.there && r.seen == c.end && h.writeEnd(c.end):
		end = c.end
	}
	_, gap := h.gapIn(h.pos, min(end, h.seen()))
	return gap
}

// firstStrong returns the first segment start behind the boundary, at least one byte on, where a
// strong match stands, or -1. Offsets once found to be none are not looked at again while
// what is known stays the same.
func (h *half) firstStrong(vouched []byte) int64 {
	if len(h.segs) < 2 {
		return -1
	}
	if h.outdated() {
		h.scanned, h.refuted = h.pos, h.pos
	}
	h.scanned = max(h.scanned, h.pos)
	v := h.sift()
	if v == nil {
		return h.scan(vouched)
	}
	q := h.asked(vouched)
	if q.at = v.last.at; q == v.last {
		return q.at
	}
	at := h.passOver(v, vouched)
	if at < 0 {
		from := h.scanned
		at = h.scan(vouched)
		if from <= max(v.clear, h.pos) { // where bytes are wanting, more may become of it
			v.clear = max(v.clear, min(h.scanned, h.seen()-tokenEnd))
		}
	}
	q.scanned, q.at = h.scanned, at
	v.last = q
	return at
}

// scan looks through the segments from scanned on.
func (h *half) scan(vouched []byte) int64 {
	settled := true
	for i := h.holding(h.scanned); i < len(h.segs); i++ {
		s := &h.segs[i]
		if s.gap || s.start <= h.pos || s.start < h.scanned || i == 0 || !h.segs[i-1].push && !h.segs[i-1].gap {
			if settled {
				h.scanned = max(h.scanned, s.end)
			}
			continue
		}
		switch h.strong(s.start, vouched) {
		case yes:
			return s.start
		case notYet:
			settled = false
		}
		if settled {
			h.scanned = s.end
		}
	}
	return -1
}
