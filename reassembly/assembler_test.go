package reassembly

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/capture"
)

// tape writes down what the assembler says, as one line a connection and direction.
type tape struct {
	lines map[string]*strings.Builder
	order []string
	next  map[string]int64
	bad   []string
	stall map[string]bool
}

func newTape() *tape {
	return &tape{lines: map[string]*strings.Builder{}, next: map[string]int64{}, stall: map[string]bool{}}
}

func (t *tape) line(c *Conn, d Direction) *strings.Builder {
	k := fmt.Sprintf("%d%c", c.Stream, "><"[d])
	if t.lines[k] == nil {
		t.lines[k] = &strings.Builder{}
		t.order = append(t.order, k)
	}
	return t.lines[k]
}

func (t *tape) Open(c *Conn) {}

func (t *tape) Chunk(c *Conn, d Direction, ch Chunk) {
	b := t.line(c, d)
	k := fmt.Sprintf("%d%c", c.Stream, "><"[d])
	if ch.Offset != t.next[k] {
		t.bad = append(t.bad, fmt.Sprintf("%s: offset %d, want %d", k, ch.Offset, t.next[k]))
	}
	t.next[k] = ch.Offset + int64(len(ch.Bytes)) + ch.Gap
	if ch.Gap > 0 {
		fmt.Fprintf(b, "<%d>", ch.Gap)
	}
	b.Write(ch.Bytes)
	if ch.Push {
		b.WriteByte('|')
	}
}

func (t *tape) Stall(c *Conn, d Direction, on bool) {
	t.stall[fmt.Sprintf("%d%c", c.Stream, "><"[d])] = on
}

func (t *tape) End(c *Conn, d Direction, why End, _, _ int64) {
	b := t.line(c, d)
	if strings.Contains(b.String(), " ") {
		t.bad = append(t.bad, "ended twice")
	}
	fmt.Fprintf(b, " %s", [...]string{"", "fin", "rst", "reopened", "evicted", "open"}[why])
}

func (t *tape) String() string {
	slices.Sort(t.order)
	var all []string
	for _, k := range t.order {
		all = append(all, k+t.lines[k].String())
	}
	return strings.Join(append(all, t.bad...), "\n")
}

// op is one segment: from the client (>) or the server (<), or a pause.
type op struct {
	dir   byte
	seq   uint32
	ack   uint32
	flags string
	data  string
	cut   int   // bytes that the capture left out
	at    int64 // ms
	port  uint16
}

// between sets the endpoints, of a segment from the client or back from the server.
func (s *Segment) between(client, server uint16, back bool) {
	src, dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), client), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 2}), server)
	if back {
		src, dst = dst, src
	}
	s.SetAddr(src, dst)
}

func play(ops []op, o Options) *tape {
	t := newTape()
	a := New(t, o)
	now := int64(0)
	for i, x := range ops {
		now = max(now+1e6, x.at*1e6)
		s := Segment{Seq: x.seq, Ack: x.ack, Payload: []byte(x.data), Length: len(x.data) + x.cut}
		s.between(4000+x.port, 9000, x.dir == '<')
		for _, f := range x.flags {
			s.Flags |= map[rune]byte{'S': FlagSYN, 'A': FlagACK, 'F': FlagFIN, 'R': FlagRST, 'P': FlagPSH}[f]
		}
		a.Segment(&s, now, int64(i+1))
	}
	a.Close()
	if a.holding() != 0 {
		t.bad = append(t.bad, fmt.Sprintf("%d bytes of held memory are not accounted for", a.holding()))
	}
	return t
}

// open is a handshake: the first data bytes have sequence numbers 101 and 501.
func open(more ...op) []op {
	return append([]op{{'>', 100, 0, "S", "", 0, 0, 0}, {'<', 500, 101, "SA", "", 0, 0, 0}, {'>', 101, 501, "A", "", 0, 0, 0}}, more...)
}

func TestStreams(t *testing.T) {
	for _, c := range []struct {
		name string
		ops  []op
		want string
	}{
		{"in order", open(
			op{dir: '>', seq: 101, ack: 501, flags: "AP", data: "hello"}, op{dir: '<', seq: 501, ack: 106, flags: "AP", data: "yes"},
		), "0<yes| open\n0>hello| open"},
		{"out of order", open(
			op{dir: '>', seq: 104, ack: 501, flags: "AP", data: "lo"}, op{dir: '>', seq: 101, ack: 501, flags: "A", data: "hel"},
		), "0< open\n0>hello| open"},
		{"retransmitted", open(
			op{dir: '>', seq: 101, flags: "A", data: "hel"}, op{dir: '>', seq: 101, flags: "A", data: "hel"}, op{dir: '>', seq: 104, flags: "AP", data: "lo"},
		), "0< open\n0>hello| open"},
		{"retransmitted with more behind it", open(
			op{dir: '>', seq: 101, flags: "A", data: "hel"}, op{dir: '>', seq: 101, flags: "AP", data: "hello"},
		), "0< open\n0>hello| open"},
		{"the first copy wins after delivery", open(
			op{dir: '>', seq: 101, flags: "A", data: "hel"}, op{dir: '>', seq: 101, flags: "A", data: "XXXlo"},
		), "0< open\n0>hello open"},
		{"the first copy wins while held", open(
			op{dir: '>', seq: 104, flags: "A", data: "lo"}, op{dir: '>', seq: 103, flags: "A", data: "XXXX!"}, op{dir: '>', seq: 101, flags: "A", data: "he"},
		), "0< open\n0>heXloX! open"},
		{"the first copy wins over what fills the hole before it", open(
			op{dir: '>', seq: 104, flags: "A", data: "lo"}, op{dir: '>', seq: 101, flags: "AP", data: "helXXX"},
		), "0< open\n0>helloX| open"},
		{"the sequence number wraps", []op{
			{dir: '>', seq: 0xfffffffd, flags: "S"},
			{dir: '<', seq: 500, ack: 0xfffffffe, flags: "SA"},
			{dir: '>', seq: 3, flags: "A", data: "fgh"},
			{dir: '>', seq: 0xfffffffe, flags: "A", data: "abcde"},
		}, "0< open\n0>abcdefgh open"},
		{"data with the SYN", []op{
			{dir: '>', seq: 100, flags: "S", data: "fo"}, {dir: '<', seq: 500, ack: 103, flags: "SA"}, {dir: '>', seq: 103, flags: "AP", data: "omore"},
		}, "0< open\n0>foomore| open"},
		{"data with a SYN that was not accepted", []op{
			{dir: '>', seq: 100, flags: "S", data: "fo"},
			{dir: '>', seq: 100, flags: "S"},
			{dir: '<', seq: 500, ack: 101, flags: "SA"},
			{dir: '>', seq: 101, flags: "AP", data: "foomore"},
		}, "0< open\n0>foomore| open"},
		{"keep-alive", open(
			op{dir: '>', seq: 101, flags: "AP", data: "hi"}, op{dir: '>', seq: 102, flags: "A", data: "\x00"}, op{dir: '>', seq: 102, flags: "A"},
			op{dir: '>', seq: 103, flags: "AP", data: "ho"},
		), "0< open\n0>hi|ho| open"},
		{"keep-alive before the byte that it repeats", open(
			op{dir: '>', seq: 103, flags: "A", data: "\x00"}, op{dir: '>', seq: 101, flags: "AP", data: "hi!"}, op{dir: '>', seq: 104, flags: "AP", data: "ho"},
		), "0< open\n0>hi!|ho| open"},
		{"a NUL in a segment of its own, before its turn", open(
			op{dir: '>', seq: 103, flags: "A", data: "\x00"}, op{dir: '>', seq: 101, flags: "AP", data: "hi"},
		), "0< open\n0>hi|\x00 open"},
		{"FIN", open(
			op{dir: '>', seq: 101, flags: "APF", data: "bye"}, op{dir: '<', seq: 501, ack: 105, flags: "AF"}, op{dir: '>', seq: 105, ack: 502, flags: "A"},
		), "0< fin\n0>bye| fin"},
		{"FIN before the data", open(
			op{dir: '>', seq: 104, flags: "AF"}, op{dir: '>', seq: 101, flags: "AP", data: "bye"},
		), "0< open\n0>bye| fin"},
		{"FIN, and the data never came", open(
			op{dir: '>', seq: 104, flags: "AF"}, op{dir: '<', seq: 501, ack: 105, flags: "A", at: 3000}, op{dir: '<', seq: 501, ack: 105, flags: "A", at: 9000},
		), "0< open\n0><3> fin"},
		{"stale FIN", open(
			op{dir: '>', seq: 101, flags: "AP", data: "hello"}, op{dir: '>', seq: 103, flags: "AF"}, op{dir: '>', seq: 106, flags: "AP", data: "you"},
		), "0< open\n0>hello|you| open"},
		{"data behind the FIN", open(
			op{dir: '>', seq: 101, flags: "AF", data: "bye"}, op{dir: '>', seq: 104, flags: "AP", data: "more"},
		), "0< open\n0>bye| fin"},
		{"RST", open(
			op{dir: '>', seq: 101, flags: "AP", data: "hello"}, op{dir: '<', seq: 501, ack: 106, flags: "R"}, op{dir: '>', seq: 106, flags: "AP", data: "late"},
		), "0< rst\n0>hello| rst"},
		{"stale RST", open(
			op{dir: '>', seq: 101, flags: "AP", data: "hello"}, op{dir: '>', seq: 102, flags: "R"}, op{dir: '>', seq: 106, flags: "AP", data: "you"},
		), "0< open\n0>hello|you| open"},
		{"RST before the data", open(
			op{dir: '>', seq: 106, flags: "R"}, op{dir: '>', seq: 101, flags: "AP", data: "hello"},
		), "0< rst\n0>hello| rst"},
		{"refused", []op{{dir: '>', seq: 100, flags: "S"}, {dir: '<', seq: 0, ack: 101, flags: "RA"}}, "0< rst\n0> rst"},
		{
			"port reuse after RST", append(open(
				op{dir: '>', seq: 101, flags: "AP", data: "one"}, op{dir: '<', seq: 501, flags: "R"},
			), op{dir: '>', seq: 9000, flags: "S"}, op{dir: '<', seq: 7000, ack: 9001, flags: "SA"}, op{dir: '>', seq: 9001, flags: "AP", data: "two"}),
			"0< rst\n0>one| rst\n1< open\n1>two| open",
		},
		{
			"port reuse without an end", append(open(
				op{dir: '>', seq: 101, flags: "AP", data: "one"},
			), op{dir: '>', seq: 9000, flags: "S"}, op{dir: '>', seq: 9001, flags: "AP", data: "two"}),
			"0< reopened\n0>one| reopened\n1< open\n1>two| open",
		},
		{"the last ACK opens nothing", open(
			op{dir: '>', seq: 101, flags: "AF"}, op{dir: '<', seq: 501, ack: 102, flags: "AF"}, op{dir: '>', seq: 102, ack: 502, flags: "A"},
		), "0< fin\n0> fin"},
		{
			"SYN sent again", append([]op{{dir: '>', seq: 100, flags: "S"}}, open(op{dir: '>', seq: 101, flags: "AP", data: "x"})...),
			"0< open\n0>x| open",
		},
		{"SYN-ACK first", []op{
			{dir: '<', seq: 500, ack: 101, flags: "SA"}, {dir: '>', seq: 100, flags: "S"}, {dir: '>', seq: 101, ack: 501, flags: "AP", data: "x"},
		}, "0< open\n0>x| open"},
		{
			"old segments after port reuse", append(open(
				op{dir: '>', seq: 101, flags: "AP", data: "one"},
			), op{dir: '>', seq: 0x70000000, flags: "S"}, op{dir: '>', seq: 104, flags: "AP", data: "old"}, op{dir: '>', seq: 0x70000001, flags: "AP", data: "new"}),
			"0< reopened\n0>one| reopened\n1< open\n1>new| open",
		},
		{"hole that the peer acknowledged", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "AP", data: "c"},
			op{dir: '<', seq: 501, ack: 106, flags: "A"}, op{dir: '<', seq: 501, ack: 106, flags: "A", at: 1500},
		), "0< open\n0>a|<3>c| open"},
		{"hole that nobody acknowledged, filled late", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "AP", data: "c"}, op{dir: '>', seq: 102, flags: "AP", data: "bbb", at: 29000},
		), "0< open\n0>a|bbb|c| open"},
		{"hole that nobody acknowledged, filled too late", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "AP", data: "c"}, op{dir: '>', seq: 102, flags: "AP", data: "bbb", at: 31000},
		), "0< open\n0>a|<3>c| open"},
		{"hole where only one side is captured", []op{
			{dir: '>', seq: 100, flags: "S"},
			{dir: '>', seq: 101, flags: "AP", data: "a"},
			{dir: '>', seq: 105, flags: "AP", data: "c"},
			{dir: '>', seq: 102, flags: "AP", data: "bbb", at: 7000},
		}, "0< open\n0>a|<3>c| open"},
		{"hole before a FIN, filled late", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "AF"}, op{dir: '>', seq: 102, flags: "AP", data: "bbb", at: 3000},
		), "0< open\n0>a|bbb| fin"},
		{"hole before a FIN where only one side is captured", []op{
			{dir: '>', seq: 100, flags: "S"},
			{dir: '>', seq: 101, flags: "AP", data: "a"},
			{dir: '>', seq: 105, flags: "AF"},
			{dir: '>', seq: 102, flags: "AP", data: "bbb", at: 3000},
		}, "0< open\n0>a|<3> fin"},
		{"hole before a FIN, and the capture ends", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "AF"}, op{dir: '<', seq: 501, ack: 106, flags: "AF"},
		), "0< fin\n0>a|<3> fin"},
		{"hole before an RST, and the capture ends", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "R"},
		), "0< rst\n0>a|<3> rst"},
		{"hole before a FIN, and the port pair is opened anew", append(open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "AF"},
		), op{dir: '>', seq: 9000, flags: "S"}), "0< reopened\n0>a|<3> fin\n1< open\n1> open"},
		{"hole filled in time", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '>', seq: 105, flags: "AP", data: "c"},
			op{dir: '<', seq: 501, ack: 106, flags: "A"}, op{dir: '>', seq: 102, flags: "AP", data: "bbb", at: 500},
		), "0< open\n0>a|bbb|c| open"},
		{"hole with nothing behind it", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '<', seq: 501, ack: 107, flags: "A"}, op{dir: '<', seq: 501, ack: 107, flags: "A", at: 1500},
		), "0< open\n0>a|<5> open"},
		{"an acknowledged FIN that was not captured is no hole", open(
			op{dir: '>', seq: 101, flags: "AP", data: "a"}, op{dir: '<', seq: 501, ack: 103, flags: "A"}, op{dir: '<', seq: 501, ack: 103, flags: "A", at: 1500},
		), "0< open\n0>a| open"},
		{"cut by the snap length", open(
			op{dir: '>', seq: 101, flags: "AP", data: "ab", cut: 3}, op{dir: '>', seq: 106, flags: "AP", data: "f"},
		), "0< open\n0>ab<3>|f| open"},
		{"mid-stream out of order", []op{
			{dir: '>', seq: 105, ack: 9, flags: "AP", data: "lo"}, {dir: '>', seq: 102, ack: 9, flags: "A", data: "hel"}, {dir: '>', seq: 107, flags: "AP", data: "!"},
		}, "0< open\n0>hello|!| open"},
		{"mid-stream keep-alive", []op{
			{dir: '>', seq: 101, flags: "A", data: "\x00"}, {dir: '>', seq: 102, flags: "AP", data: "hello"},
		}, "0< open\n0>hello| open"},
		{"one direction only", []op{
			{dir: '<', seq: 500, ack: 101, flags: "SA"}, {dir: '<', seq: 501, ack: 160, flags: "AP", data: "yes"}, {dir: '<', seq: 504, ack: 200, flags: "AP", data: "no", at: 9000},
		}, "0<yes|no| open\n0> open"},
		{"two connections", []op{
			{dir: '>', seq: 1, flags: "S"}, {dir: '>', seq: 1, flags: "S", port: 1}, {dir: '>', seq: 2, flags: "AP", data: "a"}, {dir: '>', seq: 2, flags: "AP", data: "b", port: 1},
		}, "0< open\n0>a| open\n1< open\n1>b| open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := play(c.ops, Options{}).String(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	t.Run("held bytes of a direction", func(t *testing.T) {
		ops := open()
		for i := range 40 {
			ops = append(ops, op{dir: '>', seq: uint32(200 + 10*i), flags: "AP", data: "0123456789"})
		}
		got := play(ops, Options{MaxHeld: 2000}).String()
		if want := "0< open\n0><99>" + strings.Repeat("0123456789|", 40) + " open"; got != want {
			t.Errorf("got\n%s", got)
		}
	})
	t.Run("connections", func(t *testing.T) {
		var ops []op
		const conns, limit = 1000, 2 * Parts
		for i := range conns {
			ops = append(ops, op{dir: '>', seq: 1, flags: "S", port: uint16(i)}, op{dir: '>', seq: 2, flags: "AP", data: "x", port: uint16(i)})
		}
		got := play(ops, Options{MaxConns: limit}).String()
		if n := strings.Count(got, "evicted"); n < 2*(conns-limit) || n > 2*(conns-limit/2) {
			t.Errorf("%d directions were evicted, want those of at least %d connections:\n%s", n, conns-limit, got)
		}
		if n := strings.Count(got, "x|"); n != conns {
			t.Errorf("the bytes of %d connections came, want %d", n, conns)
		}
	})
}

func TestStall(t *testing.T) {
	tape := play(open(
		op{dir: '>', seq: 105, flags: "AP", data: "lo"},
	)[:4], Options{})
	if !tape.stall["0>"] && tape.String() != "0< open\n0><4>lo| open" {
		t.Errorf("the hole was not told: %v %s", tape.stall, tape)
	}
}

// A segment that was sent again and never acknowledged never reached the peer: that can be told.
func TestEvidence(t *testing.T) {
	var c *Conn
	w := &witness{opened: opened{&c}}
	a := New(w, Options{})
	seg := func(dir byte, seq, ack uint32, flags byte, data string) {
		s := Segment{Seq: seq, Ack: ack, Flags: flags, Payload: []byte(data), Length: len(data)}
		s.between(1, 2, dir == '<')
		a.Segment(&s, 1, 1)
	}
	seg('>', 100, 0, FlagSYN, "")
	seg('<', 500, 101, FlagSYN|FlagACK, "")
	seg('>', 101, 501, FlagACK, "hello")
	seg('<', 501, 106, FlagACK, "")
	seg('>', 106, 501, FlagACK, "world")
	seg('>', 106, 501, FlagACK, "world")
	if c.Acked(0) != 5 || fmt.Sprint(w.told) != "[heard 0 heard 1 acked 0 to 5 resent 0 5-10]" {
		t.Errorf("acknowledged up to %d, want 5; told %q", c.Acked(0), w.told)
	}
	if s := a.Stats(); s.Retransmitted != 5 || s.Streams != 1 {
		t.Errorf("stats %+v", s)
	}
}

// Packets of both sides that are all captured again within 20 ms, as a mirror port has them, are known again; what TCP sends again later is not
// taken for them.
func TestTwinsOfBothSides(t *testing.T) {
	a := New(nobody{}, Options{})
	var list []Segment
	seg := func(dir byte, seq, ack uint32, flags byte, data string) {
		s := Segment{Seq: seq, Ack: ack, Flags: flags, Payload: []byte(data), Length: len(data), id: uint32(len(list)+1) << 16}
		s.between(1, 2, dir == '<')
		list = append(list, s)
	}
	seg('>', 100, 0, FlagSYN, "")
	seg('<', 500, 101, FlagSYN|FlagACK, "")
	for i := range uint32(4) {
		seg('>', 101+5*i, 501+5*i, FlagACK|FlagPSH, "hello")
		seg('<', 501+5*i, 106+5*i, FlagACK|FlagPSH, "world")
	}
	play := func(from int, at int64) {
		for i := range list[from:] {
			a.Segment(&list[from+i], at+int64(i)*1e6, int64(i+1))
		}
	}
	play(0, 1e9)
	play(2, 1e9+10e6)
	if s := a.Stats(); s.Duplicates != 8 || s.Retransmitted != 0 {
		t.Errorf("%d duplicates, %d bytes sent again, want 8 and 0", s.Duplicates, s.Retransmitted)
	}
	play(2, 1e9+200e6)
	if s := a.Stats(); s.Duplicates != 8 || s.Retransmitted != 40 {
		t.Errorf("%d duplicates, %d bytes sent again, want 8 and 40", s.Duplicates, s.Retransmitted)
	}
}

// The side that resets a connection is the one that ends it first.
func TestWhoResets(t *testing.T) {
	var first []Direction
	a := New(&ends{first: &first}, Options{})
	s := Segment{Seq: 100, Flags: FlagSYN}
	s.between(1, 2, false)
	a.Segment(&s, 1, 1)
	s = Segment{Seq: 500, Ack: 101, Flags: FlagRST | FlagACK}
	s.between(1, 2, true)
	a.Segment(&s, 2, 2)
	if len(first) != 2 || first[0] != 1 {
		t.Errorf("the directions ended in the order %v", first)
	}
}

type ends struct {
	opened
	first *[]Direction
}

func (*ends) Open(*Conn) {}
func (e *ends) End(_ *Conn, d Direction, _ End, _, _ int64) {
	*e.first = append(*e.first, d)
}

type opened struct{ c **Conn }

// The first packet of a direction is told even where all else of the connection is known: its SYN-ACK was not captured.
func TestFirstPacketIsHeard(t *testing.T) {
	var c *Conn
	w := &witness{opened: opened{&c}}
	a := New(w, Options{})
	for i, x := range []struct {
		back     bool
		seq, ack uint32
		flags    byte
		data     string
	}{{seq: 100, flags: FlagSYN}, {seq: 101, ack: 501, flags: FlagACK}, {seq: 101, ack: 501, flags: FlagACK, data: "hello"}, {back: true, seq: 501, ack: 106, flags: FlagACK}} {
		s := Segment{Seq: x.seq, Ack: x.ack, Flags: x.flags, Payload: []byte(x.data), Length: len(x.data)}
		s.between(4000, 9000, x.back)
		a.Segment(&s, int64(i+1)*1e6, int64(i+1))
	}
	if got := fmt.Sprint(w.told); got != "[heard 0 heard 1 acked 0 to 5]" {
		t.Errorf("told %s", got)
	}
}

type witness struct {
	opened
	told []string
}

func (w *witness) tell(format string, args ...any) {
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

func (w *witness) Heard(_ *Conn, d Direction)              { w.tell("heard %d", d) }
func (w *witness) Acked(_ *Conn, d Direction, to, _ int64) { w.tell("acked %d to %d", d, to) }
func (w *witness) Before(_ *Conn, d Direction, n int64)    { w.tell("before %d %d", d, n) }
func (w *witness) Resent(_ *Conn, d Direction, from, to, _, _ int64) {
	w.tell("resent %d %d-%d", d, from, to)
}

func (o *opened) Open(c *Conn)                          { *o.c = c }
func (*opened) Chunk(*Conn, Direction, Chunk)           {}
func (*opened) Stall(*Conn, Direction, bool)            {}
func (*opened) End(*Conn, Direction, End, int64, int64) {}

// FuzzAssembler sends pieces of a stream in any order: what is handed on must be in order, each byte as it was
// first captured, but for a NUL, which may be that of a keep-alive probe.
func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0, 5, 0, 5, 5, 1, 3, 4, 2, 40, 3, 0})
	f.Add([]byte{10, 5, 0, 0, 10, 0, 12, 9, 7, 0, 60, 3})
	f.Add([]byte{10, 1, 0, 0, 42, 0, 12, 9, 42, 0, 12, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &model{t: t, first: map[int64]byte{}}
		a := New(m, Options{MaxHeld: 4096, MaxHeldTotal: 8192})
		s := Segment{Seq: 99, Flags: FlagSYN}
		s.between(1, 2, false)
		now := int64(0)
		a.Segment(&s, now, 1)
		for i := 0; i+2 < len(b); i += 3 {
			now += int64(b[i+2]>>5) * 100e6
			off, n := int64(b[i])*3, int(b[i+1])
			s := Segment{Seq: 100 + uint32(off), Flags: FlagACK, Length: n}
			s.between(1, 2, b[i+2]&16 != 0)
			if b[i+2]&16 != 0 {
				s.Seq, s.Ack, s.Length = 7, 100+uint32(off), 0
				a.Segment(&s, now, int64(i))
				continue
			}
			s.Payload = make([]byte, n-n*int(b[i+2]&1)/2) // half of it may be cut
			for k := range s.Payload {
				s.Payload[k] = byte(i + k)
				if at := off + int64(k); at >= m.next {
					if _, known := m.first[at]; !known {
						m.first[at] = s.Payload[k]
					}
				}
			}
			if b[i+2]&14 == 14 {
				s.Flags |= FlagFIN
			}
			a.Segment(&s, now, int64(i))
		}
		a.Close()
		if a.holding() != 0 {
			t.Errorf("%d held bytes are left", a.holding())
		}
	})
}

// model checks what an assembler says of one direction.
type model struct {
	t     *testing.T
	next  int64
	first map[int64]byte
	ended int
}

func (m *model) Open(*Conn)                   {}
func (m *model) Stall(*Conn, Direction, bool) {}
func (m *model) Chunk(_ *Conn, d Direction, ch Chunk) {
	if d != 0 {
		return
	}
	if ch.Offset != m.next || m.ended > 0 || ch.Gap > 0 && len(ch.Bytes) > 0 || ch.Gap <= 0 && len(ch.Bytes) == 0 {
		m.t.Fatalf("chunk %+v after offset %d, ended %d", ch, m.next, m.ended)
	}
	for i, c := range ch.Bytes {
		if want, ok := m.first[ch.Offset+int64(i)]; ok && want != c && want != 0 {
			m.t.Fatalf("byte %d is %d, was captured first as %d", ch.Offset+int64(i), c, want)
		}
	}
	m.next += int64(len(ch.Bytes)) + ch.Gap
}

func (m *model) End(_ *Conn, d Direction, _ End, _, _ int64) {
	if d == 0 {
		m.ended++
		if m.ended > 1 {
			m.t.Fatal("ended twice")
		}
	}
}

func BenchmarkAssembler(b *testing.B) {
	const conns = 1000
	a := New(&opened{new(*Conn)}, Options{})
	payload := make([]byte, 100)
	seq := make([]uint32, conns)
	packet := func(i int) Segment {
		c := i % conns
		s := Segment{Seq: seq[c], Flags: FlagACK | FlagPSH, Payload: payload, Length: len(payload)}
		s.between(uint16(c), 9000, false)
		seq[c] += uint32(len(payload))
		return s
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := packet(i)
		a.Segment(&s, int64(i)*1000, int64(i))
	}
}

// BenchmarkBehindAHole is what many small segments cost that wait.
func BenchmarkBehindAHole(b *testing.B) {
	for b.Loop() {
		a := New(&opened{new(*Conn)}, Options{})
		s := Segment{Seq: 99, Flags: FlagSYN}
		s.between(1, 2, false)
		a.Segment(&s, 0, 1)
		for i := range 20_000 {
			s := Segment{Seq: 110 + 2*uint32(i), Flags: FlagACK, Payload: []byte("hi"), Length: 2}
			s.between(1, 2, false)
			a.Segment(&s, 1000, int64(i+2))
		}
		a.Close()
	}
}

func BenchmarkDecode(b *testing.B) {
	p := capture.Packet{Link: 1, Data: ethernet(0x0800, ipv4(6, tcpBytes(1, 2, 3, 4, FlagACK, make([]byte, 100))))}
	p.WireLen = len(p.Data)
	var d Decoder
	b.ReportAllocs()
	for b.Loop() {
		var s Segment
		if !d.Decode(&p, &s) {
			b.Fatal("no segment")
		}
	}
}

// holding is the memory of all segments behind holes.
func (a *Assembler) holding() (n int) {
	for i := range a.parts {
		n += a.parts[i].held
	}
	return n
}

// Segments in order, and their acknowledgements, cost no memory.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	a := New(&opened{new(*Conn)}, Options{})
	payload := make([]byte, 100)
	seq, packet := uint32(100), int64(0)
	take := func(fromOpener bool, s Segment) {
		s.between(4000, 9000, !fromOpener)
		packet++
		a.Segment(&s, packet*1000, packet)
	}
	take(true, Segment{Seq: seq - 1, Flags: FlagSYN})
	take(false, Segment{Seq: 499, Ack: seq, Flags: FlagSYN | FlagACK})
	take(true, Segment{Seq: seq, Ack: 500, Flags: FlagACK})
	n := testing.AllocsPerRun(1000, func() {
		take(true, Segment{Seq: seq, Ack: 500, Flags: FlagACK | FlagPSH, Payload: payload, Length: len(payload)})
		seq += uint32(len(payload))
		take(false, Segment{Seq: 500, Ack: seq, Flags: FlagACK})
	})
	if n > 0 {
		t.Errorf("%.2f allocations for a segment and its acknowledgement", n)
	}
	if a.Stats().Stray > 0 || a.Stats().Segments < 2000 {
		t.Errorf("the segments were not taken in: %+v", a.Stats())
	}
}
