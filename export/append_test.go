package export

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

// escaped is what Escape returns, character by character.
func escaped(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && size == 1 || !unicode.IsPrint(r):
			for _, c := range b[:size] {
				fmt.Fprintf(&s, `\x%02x`, c)
			}
		case r == '\\':
			s.WriteString(`\\`)
		default:
			s.WriteRune(r)
		}
		b = b[size:]
	}
	return s.String()
}

// readable is what isText reports, character by character.
func readable(b []byte) bool {
	return len(b) > 0 && utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool {
		return !unicode.IsPrint(r) && !strings.ContainsRune("\n\r\t", r)
	})
}

func checkBytes(t *testing.T, in []byte) {
	t.Helper()
	want := escaped(in)
	if got := Escape(in); got != want {
		t.Errorf("Escape(%q) = %s, want %s", in, got, want)
	}
	if got, want := string(appendJSONWire(nil, in)), string(appendJSON(nil, want)); `"`+got+`"` != want {
		t.Errorf("%q in JSON is %s, want %s", in, got, want)
	}
	if text, asIs := readText(in); asIs && string(AppendEscaped(nil, in)) != string(in) {
		t.Errorf("%q stands for itself, text %v", in, text)
	}
	if got := isText(in); got != readable(in) {
		t.Errorf("isText(%q) = %v", in, got)
	}
	for _, e := range []*escaping{inText, inJSON} {
		got, ok := e.append([]byte("x"), in, true)
		want := "x"
		if readable(in) {
			all, _ := e.append(nil, in, false)
			want += string(all)
		}
		if string(got) != want || ok != readable(in) {
			t.Errorf("readable, %q is %s, %v", in, got, ok)
		}
	}
	if got := string(appendHex([]byte("x"), in)); got != "x"+hex.EncodeToString(in) {
		t.Errorf("%q in hexadecimal is %s", in, got)
	}
}

// Eight bytes at a time is the same as one at a time, wherever what cannot stand for itself is.
func TestBytesAtOnce(t *testing.T) {
	for c := range 256 {
		for at := range 17 {
			for _, fill := range []string{"a", " ", "~", "\x7f", "\xff", "\x80", "\"", "\\", "\x1f", "온"} {
				s := []byte(strings.Repeat(fill, at) + string([]byte{byte(c)}) + strings.Repeat(fill, 16-at))
				checkBytes(t, s)
				checkBytes(t, s[:min(len(s), at+1+c%9)])
			}
		}
	}
}

// What is escaped takes no more memory than it needs: reports keep much of it.
func TestEscapeAllocatesItsTextOnly(t *testing.T) {
	b := []byte("PRD00001_온도\x00\\")
	if n := testing.AllocsPerRun(100, func() { _ = Escape(b) }); n > 1 {
		t.Errorf("%.1f allocations", n)
	}
}

// The same holds for bytes that are written in several pieces.
func TestManyBytesAtOnce(t *testing.T) {
	parts := []string{"plain", "\"", "\\", "\x00", "\n", "\xff", "온도", "\u202e", "😀", "\xed\x95", "é"}
	for i := range 2000 {
		var b []byte
		few := parts[:1+rand.IntN(len(parts))]
		for range rand.IntN(300) {
			b = append(b, few[rand.IntN(len(few))]...)
		}
		if i%2 == 0 {
			b = bytes.ToValidUTF8(bytes.ReplaceAll(b, []byte{0}, nil), nil)
		}
		checkBytes(t, b)
	}
}

func FuzzBytesAtOnce(f *testing.F) {
	f.Add([]byte("온도\u202e\x00\xff\"\\ plain and more of it"))
	f.Fuzz(checkBytes)
}

// What is remembered of characters is what the tables say.
func TestPrintable(t *testing.T) {
	for r := rune(-1); r <= unicode.MaxRune+1; r++ {
		if isPrint(r) != unicode.IsPrint(r) {
			t.Fatalf("isPrint(%U) = %v", r, isPrint(r))
		}
	}
}

func TestNumbers(t *testing.T) {
	list := []int64{0, math.MaxInt64, math.MinInt64, -1}
	for p := int64(1); p <= math.MaxInt64/10; p *= 10 {
		list = append(list, p, p-1, p+1, 10*p-1, -p)
	}
	for p := range 63 {
		list = append(list, 1<<p, 1<<p-1, rand.Int64N(1<<p))
	}
	for _, v := range list {
		want := strconv.FormatInt(v, 10)
		if got := string(appendNum(nil, v)); got != want {
			t.Errorf("%d is written as %s", v, got)
		}
		if got := string(appendRight([]byte("x"), v, 6)); v >= 0 && got != fmt.Sprintf("x%6d", v) {
			t.Errorf("%d is written as %q", v, got)
		}
	}
}

// Digits are those of the number where the halves and the quarters of it change.
func TestDigits(t *testing.T) {
	for high := range uint64(fourDigits) {
		for _, v := range []uint64{high * fourDigits, high*fourDigits + fourDigits - 1, high*fourDigits + high} {
			b := binary.LittleEndian.AppendUint64(nil, zeros+digitsOf(v))
			if got, want := string(b), fmt.Sprintf("%08d", v); got != want {
				t.Fatalf("%s are the digits of %s", got, want)
			}
		}
		b := binary.LittleEndian.AppendUint64(nil, fourZeros+lastDigits(high))
		if got, want := string(b[:4]), fmt.Sprintf("%04d", high); got != want {
			t.Fatalf("%s are the last digits of %s", got, want)
		}
	}
}

// The clock writes what the time package does, whatever it wrote before.
func TestClock(t *testing.T) {
	var c clock
	at := []int64{0, -1, math.MinInt64, math.MaxInt64, 86400e9 - 1, 86400e9, -86400e9, -86400e9 - 1}
	for i := range 2000 {
		at = append(at, int64(i-1000)*3599_999_999_999, rand.Int64(), at[rand.IntN(len(at))])
	}
	for _, ns := range at {
		want := time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z")
		if got := string(c.append(nil, ns)); got != want {
			t.Fatalf("%d ns is written as %s, want %s", ns, got, want)
		}
	}
}

// What stands for a token is that of the token, whatever the connection sent before.
func TestSeals(t *testing.T) {
	var c dissect.Conn
	zeros := make([]byte, protocol.TokenSize)
	if got := string(appendSealed(nil, &c, zeros)); got != mask(zeros) {
		t.Errorf("zeros are shown as %q", got)
	}
	for i := range 2000 {
		b := bytes.Repeat([]byte{byte(rand.IntN(3))}, protocol.TokenSize-rand.IntN(2))
		b[rand.IntN(len(b))] = 9
		if got := string(appendSealed(nil, &c, b)); got != mask(b) {
			t.Fatalf("%d: %x is shown as %q, want %s", i, b, got, mask(b))
		}
	}
}

// Lines stay whole and in order, those that are longer than the room for one, too.
func TestOutput(t *testing.T) {
	var got, want bytes.Buffer
	o := newOutput(&got)
	for i := range 2000 {
		n := rand.IntN(300)
		switch i % 100 {
		case 7:
			n = roomOfLine + rand.IntN(roomOfLine)
		case 8:
			n = bufferSize - rand.IntN(3)
		case 9:
			n = bufferSize + rand.IntN(3)
		}
		line := bytes.Repeat([]byte{byte('a' + i%26)}, n)
		want.Write(line)
		if i%3 == 0 {
			if k, err := o.Write(line); k != n || err != nil {
				t.Fatal(k, err)
			}
			continue
		}
		b := append(o.line(), line...)
		if i%3 == 1 && n > 0 {
			b = append(b, make([]byte, bufferSize)...)[:n] // it went elsewhere, and became shorter
			b[0] = '!'
			want.Bytes()[want.Len()-n] = '!'
		}
		o.take(b)
	}
	if err := o.Flush(); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes became %d others: %v", want.Len(), got.Len(), err)
	}
}

type full struct{ writes int }

func (b *full) Write([]byte) (int, error) { b.writes++; return 0, fmt.Errorf("no space left") }

func TestOutputKeepsTheFirstError(t *testing.T) {
	var b full
	o := newOutput(&b)
	for range 2 * bufferSize / 1000 {
		o.take(append(o.line(), make([]byte, 1000)...))
	}
	if err := o.Flush(); err == nil || b.writes != 1 {
		t.Errorf("%v after %d writes", err, b.writes)
	}
}

// A note is a line of its own, behind the one before.
func TestNoteLeavesTheLineBefore(t *testing.T) {
	for _, n := range []*dissect.Note{{ID: "silent", Message: "noted", Conn: &dissect.Conn{}}, {ID: "gaps", Message: "noted"}} {
		var out bytes.Buffer
		w, err := New(&out, Options{Format: Text, View: All})
		if err != nil {
			t.Fatal(err)
		}
		w.Frame(&dissect.Frame{Number: 7, Conn: &dissect.Conn{}, Letter: 'H', SessionID: []byte("session1")})
		w.(dissect.NoteSink).Note(n)
		if err := w.Flush(); err != nil || strings.Count(out.String(), "\n") != 2 || !strings.Contains(out.String(), "     7 1970-01-01T00:00:00.000000000Z ") {
			t.Errorf("%v: %q", err, out.String())
		}
	}
}
