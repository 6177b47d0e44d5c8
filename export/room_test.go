package export

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// anyNumber returns a number of any size, most of them not negative.
func anyNumber() int64 {
	switch v := rand.Int64() >> rand.IntN(64); rand.IntN(50) {
	case 0:
		return -v
	case 1:
		return math.MaxInt64
	default:
		return v
	}
}

// anyFrame changes a frame at random, so that many stay usual.
func anyFrame(f *dissect.Frame) *dissect.Frame {
	g := *f
	g.Number, g.Time, g.Offset, g.Length, g.Transaction = anyNumber(), anyNumber(), anyNumber(), int(anyNumber()), anyNumber()
	g.From = protocol.Side(rand.IntN(3))
	g.Packets = []int64{anyNumber(), anyNumber()}[:max(1, rand.IntN(20)-17)]
	g.SessionID = anyID()
	if rand.IntN(4) == 0 {
		g.Letter, g.RequestLetter = anyLetter(), anyLetter()
	}
	if rand.IntN(8) == 0 {
		g.Violations, g.Missing = protocol.Rules[:rand.IntN(3)], rand.IntN(3)
	}
	if h := g.Clone(); rand.IntN(8) == 0 && len(h.Raw) > protocol.StatusAt && h.Letter == 'R' {
		h.Raw[protocol.StatusAt] = byte(rand.IntN(3)) // its fields are parts of it
		h.SessionID = g.SessionID
		return h
	}
	return &g
}

func anyID() []byte {
	id := []byte("session1")
	switch rand.IntN(8) {
	case 0:
		id[rand.IntN(8)] = byte(rand.Uint32())
	case 1:
		id = id[:rand.IntN(8)]
	}
	return id
}

func anyLetter() byte {
	some := protocol.Letters + "\x00\"x\xff"
	return some[rand.IntN(len(some))]
}

// A line that is written the short way is the same as one that is written part by part.
func TestUsualLines(t *testing.T) {
	frames := kept(t).frames
	for _, format := range []Format{NDJSON, JSON} {
		writer, err := New(io.Discard, Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		w := writer.(*jsonWriter)
		usual, answered := 0, 0
		const rounds = 50000
		for i := range rounds {
			f := anyFrame(frames[rand.IntN(len(frames))])
			start := bytes.Repeat([]byte("-"), i%3*1000)
			if got, ok := w.usualHead(start, f); ok {
				usual++
				if want := w.head(bytes.Clone(start), f); !bytes.Equal(got, want) {
					t.Fatalf("%+v: got\n%s\nwant\n%s", f, got, want)
				}
			}
			x := &dissect.Transaction{
				Number: anyNumber(), Conn: f.Conn, Letter: f.Letter, From: f.From, Device: "PRD00001_device-" + string(anyID()), SessionID: f.SessionID,
				State: dissect.Answered, Request: anyNumber(), Response: anyNumber(), RequestTime: anyNumber(), ResponseTime: anyNumber(),
			}
			switch rand.IntN(20) {
			case 0:
				x.HasError, x.ErrorCode = true, 6
			case 1:
				x.Reason = dissect.NotAnswered
			case 4:
				x.State = dissect.Failed
			case 5:
				x.Request = 0
			case 6:
				x.Response = 0
			case 2:
				x.Device = x.Device[:rand.IntN(9)]
			case 3:
				x.Device += string(bytes.Repeat([]byte("long"), rand.IntN(90)))
			}
			if got, ok := w.answered(start, x); ok {
				answered++
				if want := w.transaction(bytes.Clone(start), x); !bytes.Equal(got, want) {
					t.Fatalf("%+v: got\n%s\nwant\n%s", x, got, want)
				}
			}
		}
		if usual < rounds/4 || answered < rounds/4 {
			t.Errorf("%d packets and %d transactions of %d were usual", usual, answered, rounds)
		}
	}
}

// The same holds for lines of text.
func TestUsualTextLines(t *testing.T) {
	frames := kept(t).frames
	var got bytes.Buffer
	writer, err := New(&got, Options{Format: Text, Flush: true})
	if err != nil {
		t.Fatal(err)
	}
	w := writer.(*textWriter)
	for i := range 50000 {
		f := anyFrame(frames[rand.IntN(len(frames))])
		if i%2 == 0 {
			f.Number &= 1<<(i%30) - 1
		}
		got.Reset()
		w.Frame(f)
		if want := append(appendWhat(w.head(nil, f), f, false), '\n'); !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%+v: got\n%s\nwant\n%s", f, got.Bytes(), want)
		}
	}
}

// A payload is shown as text where all of it is, cut off behind a whole character.
func TestPayloadsInLines(t *testing.T) {
	parts := []string{"plain ", "\"", "\\", "\n", "온도", "é", "😀", "\x01", "\xff", "\x80\x80"}
	texts := 0
	for i := range 20000 {
		var p []byte
		some := parts[:7+rand.IntN(len(parts)-6)]
		for len(p) < i%120 {
			p = append(p, some[rand.IntN(len(some))]...)
		}
		want := fmt.Sprintf(" %d bytes", len(p))
		begin, end := p, ""
		if len(p) > maxSaidPayload {
			begin, end = p[:maxSaidPayload], "…"
		}
		switch {
		case readable(p):
			texts++
			if end != "" {
				if last := len(begin) - 1; begin[last] >= utf8.RuneSelf {
					for !utf8.RuneStart(begin[last]) {
						last--
					}
					begin = begin[:last]
				}
			}
			want += ` "` + escaped(begin) + `"` + end
		case len(p) > 0:
			want += " " + hex.EncodeToString(begin) + end
		}
		if got := string(appendPayload(nil, p)); got != want {
			t.Fatalf("%q: got %s, want %s", p, got, want)
		}
	}
	if texts < 1000 {
		t.Errorf("only %d were text", texts)
	}
}

// The room suffices for the longest that is written there.
func TestRoomSuffices(t *testing.T) {
	w := &jsonWriter{base: &base{}, array: false}
	f := kept(t).frames[0].Clone()
	f.Number, f.Packets, f.Time, f.Offset, f.Length, f.Transaction = math.MinInt64, []int64{math.MinInt64}, math.MinInt64, math.MinInt64, math.MinInt64, math.MinInt64
	f.Conn.Stream = math.MinInt64
	f.From, f.Letter, f.RequestLetter, f.SessionID = protocol.Unknown, 'R', 'H', []byte("session1")
	b, ok := w.usualHead(nil, f)
	if !ok || len(b) >= mostBounded-mostAtOnce {
		t.Errorf("%v: %s", ok, b)
	}
	b, ok = w.answered(nil, &dissect.Transaction{
		Number: math.MinInt64, Conn: f.Conn, Letter: 'H', From: protocol.Unknown, Device: string(bytes.Repeat([]byte("d"), mostAtOnce)), SessionID: f.SessionID,
		State: dissect.Answered, Request: math.MinInt64, Response: math.MinInt64, RequestTime: math.MinInt64, ResponseTime: -1,
	})
	if !ok || len(b) >= mostBounded-mostAtOnce {
		t.Errorf("%v: %s", ok, b)
	}
}

// Numbers are written as they are, near the one before or not.
func TestSeries(t *testing.T) {
	var s, follow series
	v := int64(0)
	for range 400000 {
		switch rand.IntN(1000) {
		case 0:
			v = anyNumber()
		case 1:
			v = 0
		case 2, 3, 4:
			v += int64(rand.IntN(200) - 80)
		default:
			v += int64(rand.IntN(3))
		}
		var r room
		if got := string(r[:follow.next(&r, 0, v)]); got != strconv.FormatInt(v, 10) {
			t.Fatalf("%d is written as %s", v, got)
		}
		if got := string(r[:s.write(&r, 0, v)]); got != strconv.FormatInt(v, 10) {
			t.Fatalf("%d is written as %s", v, got)
		}
		if got := string(r[:r.num(0, v)]); got != strconv.FormatInt(v, 10) {
			t.Fatalf("%d is written as %s", v, got)
		}
	}
}
