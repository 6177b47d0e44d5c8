package dissect

import "github.com/nubishark/nubishark/protocol"

// maxStray is the greatest number of bytes that count as stray or short.
const maxStray = protocol.HeaderSize - 1

// kind orders the readings of a packet: the vendor's come first.
type kind uint8

const (
	vendor     kind = iota
	byteOrder       // the length read in the other byte order
	width           // a length of the other width
	lengthless      // a payload with no length before it
	stray           // the vendor's end and stray bytes behind it
	writeBound      // up to a write end, whatever the length says
)

// candidate is one reading of the packet at a boundary.
type candidate struct {
	kind   kind
	layout *protocol.Layout
	// end is the offset behind it, -1 while that is not known.
	end int64
	// tail tells that the optional tail is there; open, that it is not but still may come.
	tail, open bool
	// extra is the number of stray bytes before end; width and little tell how a length was read.
	extra  int
	wide   int
	little bool
	token  []byte
	// answered tells that the peer had seen just this when it answered.
	answered bool
	// leads tells that whole vendor's packets lead on from end to where a deviant reading ends.
	leads bool
}

// requestLetter returns the letter of the request that the packet in b answers, 0 if it is
// none or not known.
func (h *half) requestLetter(b []byte) byte {
	if len(b) < protocol.HeaderSize || b[0] != 'R' {
		return 0
	}
	p := h.peer
	id := sid(b[1:protocol.HeaderSize])
	if p.stalled || p.gaps {
		if t, _, ok := p.requests.done.find(id); ok && !p.requests.outstanding(id) && (p.stalled || p.gapTime >= t.time(h.c.start)) {
			return 0 // it may answer another request that was never captured
		}
	}
	return p.requests.letterOf(id)
}

// applies reports whether a layout may be that of the packet b at x.
func (h *half) applies(l *protocol.Layout, b []byte, request byte, x int64) bool {
	if l.Outcome == protocol.NoStatus {
		return true
	}
	if request != 0 {
		if !contains(l.Answers, request) {
			return false
		}
	} else if s := h.side(); s != protocol.Unknown && l.From != s {
		return false
	}
	if !h.readable(x+protocol.StatusAt, 1) {
		return true
	}
	switch b[protocol.StatusAt] {
	case 0:
		return l.Outcome == protocol.Failure
	case 1:
		return l.Outcome == protocol.Success
	}
	return true
}

func contains(s string, c byte) bool {
	for i := range len(s) {
		if s[i] == c {
			return true
		}
	}
	return false
}

// vendorEnds appends the ends that the protocol itself allows for the packet at x, at most 8.
func (h *half) vendorEnds(list []candidate, x int64, request byte) []candidate {
	b := h.at(x)
	for _, l := range protocol.ByLetter(b[0]) {
		if h.applies(l, b, request, x) {
			list = h.layoutEnds(list, l, x, b)
		}
	}
	if request == 'L' && h.readable(x+protocol.StatusAt, 1) && b[protocol.StatusAt] > 1 {
		list = h.layoutEnds(list, statusAlone, x, b)
	}
	return list
}

// statusAlone is the layout of a response that ends with its status. With one that tells neither success nor failure, nobody knows what the
// answer to a login has behind it.
var statusAlone = func() *protocol.Layout {
	for _, l := range protocol.ByLetter('R') {
		if sh := l.Shape(); sh.Fixed == protocol.StatusAt+1 && len(l.Tail) == 0 && l.From == protocol.Server && l.Outcome == protocol.Success {
			return l
		}
	}
	return nil
}()

// addEnd appends a vendor's end, unless there is the same one. Each part is written by itself, as in Form.cut.
func addEnd(list []candidate, l *protocol.Layout, end int64, tail bool, token []byte) []candidate {
	for i := range list {
		if list[i].end == end && list[i].layout.Answers == "" == (l.Answers == "") {
			return list
		}
	}
	list = longer(list)
	c := &list[len(list)-1]
	*c = candidate{}
	c.layout, c.end, c.tail, c.open, c.token = l, end, tail, !tail && len(l.Tail) > 0, token
	return list
}

// layoutEnds appends the ends of one layout without and with its tail.
func (h *half) layoutEnds(list []candidate, l *protocol.Layout, x int64, b []byte) []candidate {
	sh := l.Shape()
	var token []byte
	if sh.HasToken && len(b) >= protocol.TokenAt+protocol.TokenSize {
		token = b[protocol.TokenAt : protocol.TokenAt+protocol.TokenSize : protocol.TokenAt+protocol.TokenSize]
	}
	if l.Letter == 'R' && sh.Fixed >= protocol.StatusAt+1+protocol.TokenSize && len(b) >= sh.Fixed {
		token = b[protocol.StatusAt+1 : sh.Fixed : sh.Fixed]
	}
	fixed := int64(sh.Fixed)
	if sh.LengthWidth > 0 {
		if !h.readable(x+int64(sh.LengthAt), int64(sh.LengthWidth)) {
			return addEnd(list, l, -1, false, token)
		}
		fixed += int64(number(b[sh.LengthAt:], sh.LengthWidth, h.c.d.opts.LittleEndian))
	}
	list = addEnd(list, l, x+fixed, false, token)
	if len(l.Tail) == 0 {
		return list
	}
	end := int64(-1)
	switch w := int64(sh.TailLengthWidth); {
	case w == 0:
		end = x + fixed + int64(sh.TailFixed)
	case h.readable(x+fixed, w):
		end = x + fixed + int64(sh.TailFixed) + int64(number(b[fixed:], int(w), h.c.d.opts.LittleEndian))
	}
	return addEnd(list, l, end, true, token)
}

// readable reports whether n bytes at x were captured.
func (h *half) readable(x, n int64) bool {
	if x+n > h.seen() {
		return false
	}
	_, gap := h.gapIn(x, x+n)
	return !gap
}

// number reads an unsigned integer of 1 or 2 bytes.
func number(b []byte, width int, little bool) int {
	if width == 1 {
		return int(b[0])
	}
	if little {
		return int(b[0]) | int(b[1])<<8
	}
	return int(b[0])<<8 | int(b[1])
}

// candidates appends all readings of the packet at the boundary in order of preference.
func (h *half) candidates(list []candidate, r reply) []candidate {
	list = h.vendorEnds(list, h.pos, h.requestLetter(h.buf))
	if !h.c.gapless() {
		list = h.preferRow(list)
	}
	n := len(list)
	if h.buf[0] == 'R' && !h.c.gapless() && h.requestLetter(h.buf) == 0 {
		return list // its shape is not known, so nothing can be wrong with it
	}
	for i := range n {
		list = h.deviantLengths(list, &list[i])
	}
	for i := range n {
		list = h.missingLength(list, &list[i], r)
	}
	for i := range n {
		list = h.strayEnds(list, &list[i])
	}
	return h.preferWhole(h.writeBounds(list, n, r), n)
}

// preferRow drops a tail if whole packets lead from where it starts to a strong match inside, or, from a response on, to where it ends: where requests
// were never captured, their answers are no strong matches, and a tail's single byte of length may end anywhere by chance.
func (h *half) preferRow(list []candidate) []candidate {
	kept := list[:0]
	for i := range list {
		c := list[i]
		if n := len(kept); c.tail && n > 0 && kept[n-1].open && h.isRow(kept[n-1].end, c.end) {
			kept[n-1].leads = true
			continue
		}
		kept = append(kept, c)
	}
	return kept
}

// isRow reports whether what a tail would be, its length first, is such a row.
func (h *half) isRow(from, to int64) bool {
	if from+protocol.HeaderSize >= h.seen() || to <= from || !protocol.MaySend(h.side(), h.at(from)[0]) {
		return false
	}
	return h.leadsToStrong(from, min(to, h.seen())) || h.at(from)[0] == 'R' && to <= h.seen() && h.reaches(from, to)
}

// preferWhole drops deviant readings of what can be read as a row of the vendor's packets: what
// needs no fault to be explained accuses nobody. So it does where what follows one of them may be the answer to a request that was
// never captured: had that been seen, a strong match would stand there.
func (h *half) preferWhole(list []candidate, n int) []candidate {
	kept := list[:n]
	for i := n; i < len(list); i++ {
		if c := &list[i]; c.end < 0 || c.end > h.seen() || !h.wholeTo(list[:n], c.end) && !h.answersUnseen(list[:n], c.end) {
			kept = append(kept, *c)
		}
	}
	return kept
}

func (h *half) wholeTo(vendors []candidate, target int64) bool {
	for i := range vendors {
		v := &vendors[i]
		if v.end >= 0 && v.end < target && h.reaches(v.end, target) {
			v.leads = true
			return true
		}
	}
	return false
}

// answersUnseen reports whether a response stands where a vendor's reading ends, or stray bytes behind it, in a write before the target, that
// may answer what was never captured of the peer.
func (h *half) answersUnseen(vendors []candidate, target int64) bool {
	if p := h.peer; p.fromStart && !p.gaps && !p.stalled {
		return false
	}
	for i := range vendors {
		v := &vendors[i]
		if v.end < 0 {
			continue
		}
		for x := v.end; x < min(v.end+maxStray+1, target); x++ {
			if b := h.at(x); b[0] == 'R' && h.segStart(x) && h.writeEnd(x) && len(b) > protocol.StatusAt && isWord(b[1:protocol.HeaderSize]) {
				h.budget = maxReach
				if h.chain(x, nil, 8)&(leads|leadsStrange) != 0 {
					return true
				}
			}
		}
	}
	return false
}

// maxReach bounds the packets of such a row.
const maxReach = 256

// reaches reports whether whole and plausible vendor's packets lead from x exactly to the target.
func (h *half) reaches(x, target int64) bool { return h.row(x, target, false) }

// leadsToStrong reports whether such packets, at least one, lead from x to a strong match before the target.
func (h *half) leadsToStrong(x, target int64) bool { return h.row(x, target, true) }

// row follows whole and plausible vendor's packets from x on, and reports whether they come to the target, or to a strong match before it.
func (h *half) row(x, target int64, match bool) bool {
	first := x
	var offsets [maxReach]int64
	todo := append(offsets[:0], x)
	var seen visited
	var space [8]candidate
	for len(todo) > 0 && seen.n < maxReach {
		x, todo = todo[len(todo)-1], todo[:len(todo)-1]
		b := h.at(x)
		if seen.has(x) || !protocol.MaySend(h.side(), b[0]) || !h.plausible(b) {
			continue
		}
		if match && x > first && h.strong(x, nil) == yes {
			return true
		}
		seen.add(x)
		list := h.vendorEnds(space[:0], x, h.requestLetter(b))
		for i := range list {
			end := list[i].end
			if end == target && !match {
				return true
			}
			if end > x && end < target {
				todo = append(todo, end)
			}
		}
	}
	return false
}

// visited are up to maxReach offsets, each one higher: 0 stands for none.
type visited struct {
	slots [2 * maxReach]int64
	n     int
}

func (v *visited) slot(x int64) *int64 {
	i := hash(uint64(x))
	for {
		if s := &v.slots[i%uint64(len(v.slots))]; *s == x || *s == 0 {
			return s
		}
		i++
	}
}

func (v *visited) has(x int64) bool { return *v.slot(x + 1) == x+1 }

func (v *visited) add(x int64) {
	*v.slot(x + 1) = x + 1
	v.n++
}

// deviantLengths appends the readings of a length in the other byte order and of the other width.
func (h *half) deviantLengths(list []candidate, v *candidate) []candidate {
	sh := v.layout.Shape()
	little := h.c.d.opts.LittleEndian
	b := h.buf
	switch {
	case sh.LengthWidth == 2 && v.end >= 0:
		at := int64(sh.LengthAt)
		c := *v
		c.kind, c.wide, c.little = byteOrder, 2, !little
		c.end = h.pos + int64(sh.Fixed) + int64(number(b[at:], 2, !little))
		list = append(list, c)
		c.kind, c.wide = width, 1
		c.end = h.pos + at + 1 + int64(b[at])
		list = append(list, c)
	case v.tail && sh.TailLengthWidth == 1 && h.readable(h.pos+int64(sh.Fixed), 2):
		for _, order := range [2]bool{little, !little} {
			c := *v
			c.kind, c.wide, c.little = width, 2, order
			c.end = h.pos + int64(sh.Fixed) + 2 + int64(number(b[sh.Fixed:], 2, order))
			list = append(list, c)
		}
	}
	return list
}

// bounds calls f with the offsets that could end a packet without regard to its length.
func (h *half) bounds(v *candidate, r reply, f func(end int64)) {
	if x := h.firstStrong(v.token); x >= 0 {
		f(x)
	}
	if r.there {
		f(r.seen)
	}
	if h.over() {
		f(h.seen())
	}
}

// missingLength appends the readings of a payload with no length before it.
func (h *half) missingLength(list []candidate, v *candidate, r reply) []candidate {
	sh := v.layout.Shape()
	if !v.tail || sh.TailLengthWidth == 0 {
		return list
	}
	fixed := h.pos + int64(sh.Fixed)
	bare := *v
	bare.tail, bare.open, bare.end = false, true, fixed
	if h.endsWrite(&bare) || h.endsWrite(v) {
		return list
	}
	h.bounds(v, r, func(end int64) {
		if end > fixed {
			c := *v
			c.kind, c.end = lengthless, end
			list = append(list, c)
		}
	})
	return list
}

// strayEnds appends a vendor's end with up to 8 stray bytes of the same write behind it.
func (h *half) strayEnds(list []candidate, v *candidate) []candidate {
	if v.end < 0 || v.end >= h.seen() || h.writeEnd(v.end) {
		return list
	}
	if _, gap := h.gapIn(v.end, v.end+1); gap {
		return list
	}
	for k := int64(1); k <= maxStray && v.end+k <= h.seen(); k++ {
		if h.writeEnd(v.end+k) || v.end+k == h.seen() || h.strong(v.end+k, v.token) == yes {
			c := *v
			c.kind, c.end, c.extra = stray, v.end+k, int(k)
			list = append(list, c)
		}
		if h.writeEnd(v.end + k) {
			break
		}
	}
	return list
}

// writeBounds appends the reading up to a write end, whatever the declared length says.
func (h *half) writeBounds(list []candidate, n int, r reply) []candidate {
	if n == 0 {
		return list
	}
	v := &list[0]
	for i := range list[:n] {
		c := &list[i]
		if c.tail {
			v = c
		}
		if h.endsWrite(c) {
			return list
		}
	}
	sh := v.layout.Shape()
	bounded := false
	h.bounds(v, r, func(end int64) {
		bounded = true
		if sh.LengthWidth == 0 && sh.TailLengthWidth == 0 && end > h.pos+int64(sh.Fixed) {
			return // no length that could be wrong
		}
		if end > h.pos+maxStray {
			c := *v
			c.kind, c.end, c.answered = writeBound, end, r.there && end == r.seen
			list = append(list, c)
		}
	})
	if !bounded && v.end >= 0 && (sh.LengthWidth > 0 || v.tail) && h.pushes && h.c.d.now-h.heldSince() < h.c.d.timeout && !h.packetStarts(v.token) {
		c := *v
		c.kind, c.end = writeBound, -1 // what will bound it is not there yet
		list = append(list, c)
	}
	return list
}

// packetStarts reports whether a packet starts beyond doubt with one of the next segments, whether a write ended before it or not.
func (h *half) packetStarts(vouched []byte) bool {
	const enough = 32
	for i := 1; i < min(len(h.segs), enough); i++ {
		if s := &h.segs[i]; !s.gap && s.start > h.pos && h.strong(s.start, vouched) == yes {
			return true
		}
	}
	return false
}

// endsWrite reports whether a vendor's reading ends where a write does, and that is no accident: the length of a tail tells that end, and what
// follows starts with a legal letter; a data packet's length of two bytes needs no more; of a packet without the tail that it may have, what follows
// has a session ID, too; or nothing but short writes follow up to a strong match. A tail in which a packet stands beyond doubt ends there by accident.
func (h *half) endsWrite(c *candidate) bool {
	if c.end < 0 || c.end >= h.seen() || !h.writeEnd(c.end) {
		return false
	}
	if _, gap := h.gapIn(h.pos, c.end+1); gap {
		return false
	}
	switch {
	case c.tail && h.inner(c):
		return false
	case c.tail && c.layout.Shape().TailLengthWidth > 0 && protocol.MaySend(h.side(), h.at(c.end)[0]):
		return true
	case !c.open && !c.tail && c.layout.Shape().LengthWidth > 0:
		return true
	case c.open && h.seen()-c.end >= protocol.HeaderSize && h.mayStart(c.end):
		return true
	}
	return h.shortsLead(c.end, c.token)
}

// shortsLead reports whether writes of 1 to 8 bytes lead from x to a strong match or the direction's end.
func (h *half) shortsLead(x int64, vouched []byte) bool {
	start := x
	from, clear := h.holding(x), h.cleared()
	for i := from; i < len(h.segs); i++ {
		s := &h.segs[i]
		if s.gap || s.end-start > maxStray || i-from > maxReach*maxStray {
			return false
		}
		if !s.push {
			continue
		}
		if s.end >= h.seen() {
			return h.over()
		}
		if (s.end >= clear || h.mayVouch(s.end, vouched)) && h.strong(s.end, vouched) == yes {
			return true
		}
		start = s.end
	}
	return false
}

// verdict is what choose says.
type verdict uint8

const (
	wait verdict = iota
	settle
	giveUp
)

// choose picks the reading of the packet at the boundary, or says why there is none.
func (h *half) choose(list []candidate, r reply) (*candidate, grade, verdict) {
	var haves, mays [32]grade
	list = list[:min(len(list), len(haves))]
	best := -1
	for i := range list {
		haves[i], mays[i] = h.judge(&list[i], r)
		if haves[i] == strong {
			return &list[i], strong, settle
		}
		if best < 0 || list[i].better(haves[i], &list[best], haves[best]) {
			best = i
		}
	}
	if best < 0 {
		return nil, none, giveUp
	}
	if haves[best] == good {
		if h.mayHold(list[:best], mays[:best], &list[best]) {
			return nil, none, wait
		}
		return &list[best], good, settle
	}
	limit := len(list)
	if haves[best] >= fit {
		limit = best
	}
	for i := range list[:limit] {
		if list[i].better(mays[i], &list[best], haves[best]) || list[i].kind == vendor && mays[i] > none && h.cutsShort(&list[best]) {
			return nil, none, wait
		}
	}
	if haves[best] > none {
		return &list[best], haves[best], settle
	}
	c, v := h.fallback(list)
	return c, none, v
}

// cutsShort reports whether a reading leaves out some of what is always there of a packet, only because the peer's answer came: a vendor's reading
// that may yet be confirmed goes before it, as the answer may have been captured too early.
func (h *half) cutsShort(c *candidate) bool {
	return c.kind == writeBound && c.answered && c.end-h.pos < int64(c.layout.Shape().Fixed)
}

// mayHold reports whether the packet that stands behind stray bytes may be what a tail holds: a strong match may yet start where that ends, as
// its length tells, and no write has ended before. What the peer has answered is no payload.
func (h *half) mayHold(vendors []candidate, mays []grade, c *candidate) bool {
	b := h.at(c.end)
	if c.kind != stray || b[0] == 'R' || len(b) >= protocol.HeaderSize && h.peer.answerTo(sid(b[1:protocol.HeaderSize])) >= 0 {
		return false
	}
	for i := range vendors {
		v := &vendors[i]
		if v.kind != vendor || !v.tail || v.end <= c.end || mays[i] == none || v.end > h.seen() && h.writesWithin(c.end, v.end) {
			continue
		}
		if h.strong(v.end, v.token) == notYet {
			return true
		}
	}
	return false
}

// better reports whether a reading goes before an earlier one: the vendor's, if confirmed at
// all, gives way only to a strong match, and a payload with no length to one that stands behind stray bytes in it.
func (c *candidate) better(have grade, than *candidate, best grade) bool {
	switch {
	case than.kind == lengthless && c.kind == stray && have == good && c.end < than.end:
		return true
	case than.kind == vendor && c.kind != vendor && best > none && have < good:
		return false
	}
	return have > best
}

// fallback returns the vendor's reading within the bytes seen that breaks the fewest rules.
func (h *half) fallback(list []candidate) (*candidate, verdict) {
	best, score := -1, -1
	for i := range list {
		c := &list[i]
		if c.kind != vendor || c.end < 0 || c.end > h.seen() || h.gaps && c.layout.Letter == 'R' && !h.plausible(h.buf) {
			continue
		}
		if s := h.score(c); s > score {
			best, score = i, s
		}
	}
	if best < 0 {
		return nil, giveUp
	}
	return &list[best], settle
}

// score says how well a vendor's reading that nothing confirms agrees with what is there. A letter stands anywhere by chance.
func (h *half) score(c *candidate) int {
	g, gap := h.gapAt(c.end)
	switch {
	case gap && c.end == g.start && c.open && !h.writeEnd(c.end):
		return -1
	case h.inner(c):
		return 0
	case gap:
		return 2
	case c.end == h.seen():
		return 3
	case h.writeEnd(c.end):
		return 2
	case protocol.MaySend(h.side(), h.at(c.end)[0]):
		return 1
	}
	return 0
}
