package dissect

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/nubishark/nubishark/protocol"
)

// The records of what is usual are written by one processor and read by another: one line of the cache each.
func TestUsualRecordsFitALine(t *testing.T) {
	const line = 64
	if n := unsafe.Sizeof(whole{}); n > line {
		t.Errorf("a packet's takes %d bytes", n)
	}
	if n := unsafe.Sizeof(exchange{}); n > line {
		t.Errorf("a transaction's takes %d bytes", n)
	}
}

// A packet is cut into its fields by sizes alone, so only the last field's may be told by the packet.
func TestFormsEndWithTheFieldOfAnySize(t *testing.T) {
	if len(forms) != 2*len(protocol.Layouts) || len(forms) > 256 {
		t.Fatalf("%d forms for %d layouts", len(forms), len(protocol.Layouts))
	}
	for i, k := range forms {
		if k.Row != i || len(k.Fields) > mostFields {
			t.Errorf("form %d has row %d, %d fields", i, k.Row, len(k.Fields))
		}
		if want := protocol.Layouts[i/2]; k.Layout != want || want.Row() != i/2 {
			t.Fatalf("form %d is of another layout", i)
		}
		raw := make([]byte, protocol.MaxPacket)
		end := 0
		fields := make([]FieldValue, len(k.Fields))
		k.cut(fields, raw)
		for _, v := range fields {
			if v.At != end {
				t.Errorf("%s %d: %s starts at %d, behind %d", k.Layout.Name, i, v.Name, v.At, end)
			}
			end = v.At + len(v.Value)
		}
		if last := k.Fields[len(k.Fields)-1]; last.Size == 0 && end != len(raw) {
			t.Errorf("%s %d: it ends at %d", k.Layout.Name, i, end)
		}
	}
}

// ledger writes down all of what it is lent, and may spoil it: it belongs to it during the call.
type ledger struct {
	notes
	spoil bool
	cell  int64
}

func (l *ledger) Frame(f *Frame) {
	if l.cell != 0 {
		l.add("a frame is told the number of another")
	}
	if f.Layout != nil {
		l.add("%s", f.Layout.Name)
	}
	l.add("%d %d %v %v %d %d %d %c %c %q %d %v %d %v %q", f.Number, f.Conn.Stream, f.From, f.Packets, f.Time, f.Offset, f.Length, f.Letter,
		f.RequestLetter, f.SessionID, f.Missing, f.Holes, f.Transaction, f.Violations, f.Raw)
	for _, v := range f.Fields() {
		l.add("%s %d %q %v", v.Name, v.At, v.Value, v.Complete)
	}
	if !l.spoil {
		return
	}
	fields := f.Fields()
	for i := range fields {
		fields[i] = FieldValue{Field: &protocol.Field{Name: "spoiled"}, At: -1}
	}
	*f = Frame{
		Number: -1, Packets: []int64{1, 2}, Violations: protocol.Rules, Holes: [][2]int{{1, 2}}, Missing: 3, Transaction: -1,
		Layout: &protocol.Layout{}, fields: fields[:1], form: &Form{}, RequestLetter: 'X', dir: 7, role: asLate, truncated: true, slot: -1, cell: &l.cell,
	}
}

func (l *ledger) Transaction(t *Transaction) {
	l.add("%d %d %c %v %q %q %v %d %d %d %d %x %v %v %v", t.Number, t.Conn.Stream, t.Letter, t.From, t.Device, t.SessionID, t.State, t.Request,
		t.Response, t.RequestTime, t.ResponseTime, t.ErrorCode, t.HasError, t.Reason, t.Evidence)
	if l.spoil {
		*t = Transaction{
			Number: -1, Device: "spoiled", SessionID: []byte("spoiled"), State: Failed, HasError: true, ErrorCode: 1, Reason: NotAnswered,
			Evidence: []int64{1}, paired: true, request: new(int64), response: new(int64), kept: &numbers{7, 8, 9}, remember: -1,
		}
	}
}

// What a sink does with the records that it is lent reaches no others.
func TestLentRecordsMayBeSpoiled(t *testing.T) {
	for seed := range uint64(50) {
		var told [2]ledger
		for i := range told {
			told[i].spoil = i == 1
			k := newTalk(Options{}, Opening{Opener: true, FromStart: [2]bool{true, true}})
			k.d.out.sink = &told[i]
			c := newConversation(k, seed, 1)
			in(k)
			for range 40 {
				c.step()
			}
			k.close()
			if seed == 0 && k.c.d.short == 0 {
				t.Error("nothing went the short way")
			}
		}
		want, got := strings.Join(told[0].lines, "\n"), strings.Join(told[1].lines, "\n")
		if got != want {
			t.Fatalf("seed %d: untouched:\n%s\nspoiled:\n%s", seed, want, got)
		}
	}
}
