package export

import (
	"strconv"
	"strings"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// column is a column of a list.
type column struct {
	title string
	// width is in terminal columns; 0 for the one that takes what is left.
	width int
	right bool
	// from says how soon the column is left out where there is not enough room: the highest first, 0 never.
	from int
}

// The lists' columns. The last one takes what is left.
var (
	packetColumns = []column{
		{title: "No.", width: 6, right: true, from: 2},
		{title: "Time (UTC)", width: timeWidth},
		{title: "Stream", width: 6, right: true},
		{title: "Packets", width: 11, from: 3},
		{title: "From", width: 6},
		{title: "Type", width: 4},
		{title: "Session", width: 8},
		{title: "Bytes", width: 6, right: true, from: 4},
		{title: "What"},
	}
	transactionColumns = []column{
		{title: "No.", width: 6, right: true, from: 3},
		{title: "Time (UTC)", width: timeWidth},
		{title: "Stream", width: 6, right: true, from: 2},
		{title: "Type", width: 9},
		{title: "Session", width: 8, from: 1},
		{title: "State", width: 10},
		{title: "Latency", width: 9, right: true},
		{title: "Device, error"},
	}
	violationColumns = []column{
		{title: "Time (UTC)", width: timeWidth, from: 1},
		{title: "Stream", width: 6, right: true},
		{title: "Packets", width: 11},
		{title: "Severity", width: 8, from: 2},
		{title: "Whose", width: 7},
		{title: "What, and what to do"},
	}
	streamColumns = []column{
		{title: "Stream", width: 6, right: true},
		{title: "Client", width: 21},
		{title: "Server", width: 21, from: 3},
		{title: "Start (UTC)", width: timeWidth, from: 2},
		{title: "Lasted", width: 10, right: true, from: 1},
		{title: "State", width: 6},
		{title: "Frames", width: 7, right: true},
		{title: "Faults", width: 6, right: true},
		{title: "Missing", width: 7, right: true, from: 4},
		{title: "Device"},
	}
)

// timeWidth is the width of dayTime.
const timeWidth = 18

// maxSaid bounds the packet numbers and the payload that a line shows.
const (
	maxSaidPackets = 3
	maxSaidPayload = 48
)

// packetList names capture packets: all of a few, else the first and the last.
func packetList(list []int64) string {
	if len(list) > maxSaidPackets {
		return strconv.FormatInt(list[0], 10) + "…" + strconv.FormatInt(list[len(list)-1], 10)
	}
	var b []byte
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

// kindOf is the type letter, of a response with that of its request.
func kindOf(f *dissect.Frame) string {
	if f.RequestLetter != 0 {
		return string(rune(f.Letter)) + "/" + string(rune(f.RequestLetter))
	}
	return string(rune(f.Letter))
}

// names are those of the packets with the letters of the protocol, answerTo says that they answer one with such a letter.
var names, answerTo = func() (names, answerTo [256]*piece) {
	for _, c := range []byte(protocol.Letters) {
		name, answer := newPiece(protocol.Name(c)), newPiece(" to "+protocol.Name(c))
		names[c], answerTo[c] = &name, &answer
	}
	return names, answerTo
}()

// appendName appends the name of a packet with that of the one that it answers.
func appendName(b []byte, f *dissect.Frame) []byte {
	name, answer := names[f.Letter], answerTo[f.RequestLetter]
	if name == nil || answer == nil && f.RequestLetter != 0 {
		b = append(b, protocol.Name(f.Letter)...)
		if f.RequestLetter != 0 {
			b = append(append(b, " to "...), protocol.Name(f.RequestLetter)...)
		}
		return b
	}
	b, r := behind(b)
	n := r.piece(0, name)
	if answer != nil {
		n = r.piece(n, answer)
	}
	return b[:len(b)+n]
}

// gist is what lists say of the packets of a form, if that is no more than what they are, that they are no failure, and their payload.
type gist struct {
	// what is said of a packet without its payload, by the letter of the request that it answers, 0 for a request; nil for others. It is of a
	// packet with a letter in which a byte has a value: the status, or the letter again.
	what    [256]*long
	at      int
	letter  byte
	value   byte
	payload int // where it stands, 0 where there is none
}

// gists are those of the forms.
var gists = func() []gist {
	list := make([]gist, len(dissect.Forms()))
	for i := range dissect.Forms() {
		k, g := &dissect.Forms()[i], &list[i]
		g.letter, g.value = k.Layout.Letter, k.Layout.Letter
		ok, asked, said := true, []byte{0}, protocol.Name(k.Layout.Letter)
		for i := range k.Fields {
			switch v := &k.Fields[i]; {
			case v.Kind == protocol.StatusNum:
				g.at, g.value, asked = k.At[i], 1, []byte(k.Layout.Answers)
			case v.Kind == protocol.Payload && !v.Secret:
				g.payload = k.At[i]
			case v.Kind == protocol.Text || v.Kind == protocol.Code:
				ok = false
			}
		}
		for _, c := range asked {
			if c != 0 {
				said = protocol.Name(k.Layout.Letter) + " to " + protocol.Name(c) + " ok"
			}
			if ok {
				g.what[c] = newLong(said)
			}
		}
	}
	return list
}()

// gistOf returns what is said of a packet, and where its payload stands, 0 for nowhere. It is nil if there may be more to say.
func gistOf(f *dissect.Frame) (what *long, payload int) {
	k := f.Form()
	if k == nil || len(f.Violations) > 0 || f.Missing > 0 {
		return nil, 0
	}
	g := &gists[k.Row]
	if f.Raw[g.at] != g.value || f.Letter != g.letter {
		return nil, 0
	}
	return g.what[f.RequestLetter], g.payload
}

// appendStatus says what a status byte means.
func appendStatus(b []byte, status byte) []byte {
	if int(status) < len(statusWords) {
		b, r := behind(b)
		return b[:len(b)+r.short(0, &statusWords[status])]
	}
	return append(append(b, " status "...), hexDigits[status>>4], hexDigits[status&15])
}

// appendWhat says in a few words what a packet carries.
func appendWhat(b []byte, f *dissect.Frame, showSecrets bool) []byte {
	b = appendName(b, f)
	fields := f.Fields()
	for i := range fields {
		if v := &fields[i]; v.At >= protocol.HeaderSize {
			b = appendField(b, v, showSecrets)
		}
	}
	if f.Missing > 0 {
		b = append(b, ", "...)
		b = strconv.AppendInt(b, int64(f.Missing), 10)
		b = append(b, " bytes missing"...)
	}
	for i, r := range f.Violations {
		if i == 0 {
			b = append(b, " !"...)
		} else {
			b = append(b, ',')
		}
		b = append(b, r.ID...)
	}
	return b
}

// appendField says what a field adds, if that helps a reader of lists.
func appendField(b []byte, v *dissect.FieldValue, showSecrets bool) []byte {
	if !v.Complete || v.Secret && (!showSecrets || v.Kind != protocol.Text) {
		return b
	}
	switch v.Kind {
	case protocol.StatusNum:
		return appendStatus(b, v.Value[0])
	case protocol.Code:
		code := uint16(v.Value[0])<<8 | uint16(v.Value[1])
		b = append(b, ' ')
		b = append(b, errorCode(code)...)
		b = append(b, ' ')
		return append(b, meaning(code)...)
	case protocol.Payload:
		return appendPayload(b, v.Value)
	case protocol.Text:
		b = append(b, ' ')
		b = append(b, v.Name...)
		b = append(b, '=')
		return AppendEscaped(b, v.Trimmed())
	}
	return b
}

var statusWords = [...]short{newShort(" failed"), newShort(" ok")}

// bytesOf stands behind the size of a payload.
var bytesOf = newShort(" bytes ")

func appendPayload(b, p []byte) []byte {
	b, r := behind(b)
	n := r.num(r.char(0, ' '), int64(len(p)))
	n = r.short(n, &bytesOf)
	if len(p) == 0 {
		return b[:len(b)+n-1]
	}
	text, asIs := readText(p)
	more := len(p) > maxSaidPayload
	switch {
	case !text:
		b = appendHex(b[:len(b)+n], p[:min(len(p), maxSaidPayload)])
	case asIs && more:
		n = r.char(n, '"')
		*(*[maxSaidPayload]byte)(r.at(n)[:]) = [maxSaidPayload]byte(p)
		n = r.char(n+len(wholeCharacters(p[:maxSaidPayload])), '"')
		return b[:len(b)+r.word(n, ellipsis, 3)]
	case asIs:
		n = r.char(n, '"')
		n += copy(r.at(n)[:], p)
		return b[:len(b)+r.char(n, '"')]
	default:
		begin := p
		if more {
			begin = wholeCharacters(p[:maxSaidPayload])
		}
		b, _ = inText.append(append(b[:len(b)+n], '"'), begin, true)
		b = append(b, '"')
	}
	if more {
		b = append(b, "…"...)
	}
	return b
}

// ellipsis is "…".
const ellipsis = 0xe2 | 0x80<<8 | 0xa6<<16

// wholeCharacters leaves out the last character, of which a part may have been cut off, if it has several bytes.
func wholeCharacters(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1]&0xc0 == 0x80 {
		b = b[:len(b)-1]
	}
	if len(b) > 0 && b[len(b)-1] >= 0xc0 {
		b = b[:len(b)-1]
	}
	return b
}

func packetCells(f *dissect.Frame, o *Options) []string {
	return []string{
		strconv.FormatInt(f.Number, 10), dayTime(f.Time), strconv.Itoa(f.Conn.Stream), packetList(f.Packets), f.From.String(),
		kindOf(f), Escape(f.SessionID), strconv.Itoa(f.Length), string(appendWhat(nil, f, o.ShowSecrets)),
	}
}

func transactionCells(t *dissect.Transaction) []string {
	latency := ""
	if l, ok := t.Latency(); ok {
		latency = duration(l)
	}
	name := "?"
	if t.Letter != 0 {
		name = protocol.Name(t.Letter)
	}
	about := Escape([]byte(t.Device))
	if t.HasError {
		about = strings.TrimPrefix(about+": "+errorCode(t.ErrorCode)+" "+meaning(t.ErrorCode), ": ")
	}
	if t.Reason != dissect.NoReason {
		about = strings.TrimPrefix(about+": "+t.Reason.String(), ": ")
		if p := packetList(t.Evidence); p != "" {
			about += ", packets " + p
		}
	}
	return []string{
		strconv.FormatInt(t.Number, 10), dayTime(startOf(t)), strconv.Itoa(t.Conn.Stream), name, Escape(t.SessionID),
		t.State.String(), latency, about,
	}
}

func violationCells(v *dissect.Violation) []string {
	return []string{
		dayTime(v.Time), strconv.Itoa(v.Conn.Stream), packetList(v.Packets), v.Severity().String(), v.BlameName(),
		v.Rule.ID + ": " + v.Said() + "\n→ " + v.Hint,
	}
}

func streamCells(s *dissect.Stream) []string {
	return []string{
		strconv.Itoa(s.Conn.Stream), s.Client.String(), s.Server.String(), dayTime(s.Start), duration(s.End - s.Start),
		s.State.String(), strconv.FormatInt(s.Frames, 10), strconv.FormatInt(s.Violations, 10),
		strconv.FormatInt(s.Missing, 10), Escape([]byte(s.Device)),
	}
}
