package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// The table says what the protocol's description says.
func TestLayouts(t *testing.T) {
	var got []string
	for _, l := range Layouts {
		s := fmt.Sprintf("%c %s %v %s/%d:", l.Letter, l.Name, l.From, l.Answers, l.Outcome)
		for _, f := range l.Fields {
			s += fmt.Sprintf(" %s %d", f.Name, f.Size)
		}
		for _, f := range l.Tail {
			s += fmt.Sprintf(" [%s %d]", f.Name, f.Size)
		}
		got = append(got, s)
	}
	want := `L login device /0: type 1 session_id 8 client_id 20 client_secret 20 product_code 8 identifier_length 1 identifier 0
O logout device /0: type 1 session_id 8 access_token 24
D data device /0: type 1 session_id 8 access_token 24 payload_length 2 payload 0
C command server /0: type 1 session_id 8 access_token 24 [payload_length 1] [payload 0]
H heartbeat device /0: type 1 session_id 8 access_token 24 [payload_length 1] [payload 0]
R response server DHO/1: type 1 session_id 8 status 1
R response server L/1: type 1 session_id 8 status 1 access_token 24 [encryption_key_length 1] [encryption_key 0]
R response device C/1: type 1 session_id 8 status 1 [payload_length 1] [payload 0]
R response server LDH/2: type 1 session_id 8 status 1 error_code 2
R response device C/2: type 1 session_id 8 status 1
R response server O/2: type 1 session_id 8 status 1 [error_code 2]`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s", s)
	}
}

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		letter byte
		want   Shape
	}{
		{'L', Shape{Fixed: 58, LengthAt: 57, LengthWidth: 1}},
		{'D', Shape{Fixed: 35, LengthAt: 33, LengthWidth: 2, HasToken: true}},
		{'H', Shape{Fixed: 33, TailFixed: 1, TailLengthWidth: 1, HasToken: true}},
	} {
		if got := *ByLetter(c.letter)[0].Shape(); got != c.want {
			t.Errorf("%c: %+v, want %+v", c.letter, got, c.want)
		}
	}
}

// What a framer takes for granted of the rows.
func TestLayoutsAreSound(t *testing.T) {
	for _, l := range Layouts {
		if l.Fields[0].Kind != Letter || l.Fields[1].Kind != ID || l.Fields[1].Size != SessionIDSize {
			t.Errorf("%s: a packet starts with letter and session ID", l.Name)
		}
		if (l.Letter == 'R') != (l.Outcome != NoStatus) || (l.Answers == "") != (l.Outcome == NoStatus) {
			t.Errorf("%s: a response, and nothing else, answers letters with a status", l.Name)
		}
		for _, list := range [][]Field{l.Fields, l.Tail} {
			for i, f := range list {
				if f.Size == 0 && (i != len(list)-1 || list[i-1].Kind != Length) {
					t.Errorf("%s: %s has neither a size nor a length before it at the end", l.Name, f.Name)
				}
				if f.Title == "" {
					t.Errorf("%s: %s has no title", l.Name, f.Name)
				}
			}
		}
	}
}

func TestDirections(t *testing.T) {
	for _, c := range []struct {
		side   Side
		letter string
	}{{Device, "LODHR"}, {Server, "CR"}, {Unknown, "LODCHR"}} {
		for b := range 256 {
			if got, want := MaySend(c.side, byte(b)), strings.IndexByte(c.letter, byte(b)) >= 0; got != want {
				t.Errorf("MaySend(%v, %q) = %v", c.side, byte(b), got)
			}
		}
	}
	if Device.Other() != Server || Server.Other() != Device || Unknown.Other() != Unknown {
		t.Error("the other side is wrong")
	}
}

func TestErrorCodes(t *testing.T) {
	if e, ok := LookupError(0x0003); !ok || e.Blame != Device || e.Meaning != "client ID or client secret not valid" {
		t.Errorf("0x0003 is %+v", e)
	}
	if e, ok := LookupError(0x9999); !ok || e.Blame != Server {
		t.Errorf("0x9999 is %+v", e)
	}
	if e, ok := LookupError(0x1234); ok || e.Meaning != "unknown(0x1234)" {
		t.Errorf("0x1234 is %+v", e)
	}
	for _, e := range ErrorCodes {
		if e.Hint == "" {
			t.Errorf("%#04x has no hint", e.Code)
		}
	}
}

func TestNames(t *testing.T) {
	if got := Name('H'); got != "heartbeat" {
		t.Errorf("H is %s", got)
	}
	if got := Name('*'); got != "unknown(0x2a)" {
		t.Errorf("* is %s", got)
	}
	if Letters != "LODCHR" {
		t.Errorf("letters %s", Letters)
	}
}

// The catalogue is complete: whoever reads a rule learns what it is and what to do.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules {
		if r.Explain == "" || r.Hint == "" || r.Example == "" || r.Clause == "" || seen[r.ID] {
			t.Errorf("rule %s is not complete, or twice there", r.ID)
		}
		seen[r.ID] = true
		if RuleByID(r.ID) != r {
			t.Errorf("rule %s is not found", r.ID)
		}
		if (r.Severity == Note) != (r.Blame == Capture) {
			t.Errorf("rule %s: notes, and nothing else, are the capture's", r.ID)
		}
	}
	if len(Rules) != 28 || RuleByID("no-such") != nil {
		t.Errorf("%d rules", len(Rules))
	}
}
