package lua_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nubishark/nubishark/analyze"
	"github.com/nubishark/nubishark/capture"
	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/internal/simulate"
	"github.com/nubishark/nubishark/lua"
	"github.com/nubishark/nubishark/protocol"
)

// A row is what the analyzer or the plugin says of a packet, or of bytes that are none. Packet numbers are those
// of the packet with the last byte.
type row struct {
	packet, from, offset, length          string
	letter, request, session              string
	status, code, rules                   string
	responseTo, latency, missing          string
	client, identifier, token, key, bytes string
}

func (r *row) String() string {
	if r.letter == "" {
		return fmt.Sprintf("%s %s+%s: %s bytes that are no packet [%s]", r.packet, r.from, r.offset, r.length, r.rules)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s+%s: %s", r.packet, r.from, r.offset, r.letter)
	for _, part := range [][2]string{
		{" to ", r.request},
		{" ", r.session},
		{" length ", r.length},
		{" status ", r.status},
		{" error ", r.code},
		{" answers packet ", r.responseTo},
		{" after ", r.latency},
		{" missing ", r.missing},
		{" client ", r.client},
		{" identifier ", r.identifier},
		{" token ", r.token},
		{" key ", r.key},
		{" payload ", short(r.bytes)},
	} {
		if part[1] != "" {
			b.WriteString(part[0] + part[1])
		}
	}
	fmt.Fprintf(&b, " [%s]", r.rules)
	return b.String()
}

// short is a long payload's size and what tells it from others.
func short(hex string) string {
	if len(hex) <= 24 {
		return hex
	}
	sum := sha256.Sum256([]byte(hex))
	return fmt.Sprintf("%s... (%d bytes, %x)", hex[:12], len(hex)/2, sum[:4])
}

// analyst collects the analyzer's rows.
type analyst struct {
	frames       []*dissect.Frame
	violations   []*dissect.Violation
	transactions map[int64]*dissect.Transaction
}

func (a *analyst) Frame(f *dissect.Frame)         { a.frames = append(a.frames, f.Clone()) }
func (a *analyst) Violation(v *dissect.Violation) { a.violations = append(a.violations, v) }
func (a *analyst) Stream(*dissect.Stream)         {}
func (a *analyst) Transaction(t *dissect.Transaction) {
	if a.transactions == nil {
		a.transactions = map[int64]*dissect.Transaction{}
	}
	a.transactions[t.Number] = t.Clone()
}

func analysed(t *testing.T, path string) (lines []string) {
	t.Helper()
	src, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var a analyst
	if _, err := analyze.Run(context.Background(), src, analyze.Options{}, &a); err != nil {
		t.Fatal(err)
	}
	at := map[int64]string{}
	for _, f := range a.frames {
		at[f.Number] = strconv.FormatInt(slices.Max(f.Packets), 10)
	}
	for _, f := range a.frames {
		r := rowOf(f, at[f.Number])
		if tx := a.transactions[f.Transaction]; tx != nil && f.Letter == 'R' && !slices.Contains(f.Violations, protocol.SessionIDNotEchoed) {
			r.responseTo = at[tx.Request]
			if ns, ok := tx.Latency(); ok && tx.Response == f.Number {
				r.latency = seconds(float64(ns) / 1e9)
			}
		}
		lines = append(lines, r.String())
	}
	for _, v := range a.violations {
		switch v.Rule {
		case protocol.ShortPacket, protocol.StrayBytes, protocol.UnknownType:
			r := row{
				packet: strconv.FormatInt(slices.Max(v.Packets), 10), from: v.From.String(), offset: strconv.FormatInt(v.Offset, 10),
				length: strconv.FormatInt(v.Length, 10), rules: v.Rule.ID,
			}
			lines = append(lines, r.String())
		}
	}
	slices.Sort(lines)
	return lines
}

// seconds is a latency as far as a double of seconds holds it.
func seconds(s float64) string { return fmt.Sprintf("%.6f", s) }

func rowOf(f *dissect.Frame, packet string) *row {
	r := &row{
		packet: packet, from: f.From.String(), offset: strconv.FormatInt(f.Offset, 10), length: strconv.Itoa(f.Length), letter: string(rune(f.Letter)),
		session: strings.ReplaceAll(string(f.SessionID), " ", "_"),
	}
	var ids []string
	for _, v := range f.Violations {
		if lua.Decidable(v) {
			ids = append(ids, v.ID)
		}
	}
	slices.Sort(ids)
	r.rules = strings.Join(ids, " ")
	if f.RequestLetter != 0 {
		r.request = string(rune(f.RequestLetter))
	}
	if s, ok := f.Status(); ok {
		r.status = strconv.Itoa(int(s))
	}
	if e, ok := f.ErrorCode(); ok {
		r.code = fmt.Sprintf("0x%04x", e)
	}
	if f.Missing > 0 {
		r.missing = strconv.Itoa(f.Missing)
	}
	fields := f.Fields()
	for i := range fields {
		v := &fields[i]
		switch v.Name {
		case "client_id":
			r.client = shown(v.Trimmed())
		case "identifier":
			r.identifier = shown(v.Trimmed())
		case "access_token":
			r.token = shown(v.Value)
		case "encryption_key":
			r.key = fmt.Sprintf("%x", v.Value)
		case "payload":
			r.bytes = fmt.Sprintf("%x", v.Value[:max(len(v.Value)-f.Missing, 0)])
		}
	}
	return r
}

var escape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// shown is text as far as both sides write it alike: without what is escaped.
func shown(b []byte) string {
	var s strings.Builder
	for _, c := range escape.ReplaceAll(b, nil) {
		if c > ' ' && c < 0x7f {
			s.WriteByte(c)
		}
	}
	return s.String()
}

// concluded makes rows of what the plugin showed: maps of field names, without the protocol's, to values. A tail
// that came late is joined to its packet.
func concluded(t *testing.T, items []map[string]string) (lines []string) {
	t.Helper()
	var rows []*row
	ending := map[string]*row{}
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b map[string]string) int { return number(a["offset"]) - number(b["offset"]) })
	for _, m := range items {
		packet := m["packet"]
		if p := m["ends_in"]; p != "" {
			packet = p
		}
		offset, length := number(m["offset"]), number(m["length"])
		if m["size"] != m["length"] && m["missing_bytes"] == "" {
			t.Errorf("packet %s: the length is %s, that of the item %s", packet, m["length"], m["size"])
		}
		where := func(x int) string { return fmt.Sprint(m["stream"], m["from"], x) }
		rules := strings.Split(m["violation"], ",")
		slices.Sort(rules)
		r := &row{
			packet: packet, from: m["from"], offset: m["offset"], length: m["length"], letter: m["type"], request: m["request_type"], session: m["session_id"],
			status: m["status"], code: m["error_code"], rules: strings.Join(rules, " "), responseTo: m["response_to"], missing: m["missing_bytes"],
			client: shown([]byte(m["client_id"])), identifier: shown([]byte(m["identifier"])), token: shown([]byte(m["access_token"])),
			key: m["encryption_key"], bytes: m["payload"],
		}
		// A request shows its response's latency, too, from the second pass on.
		if answer := m["type"] == "" || m["type"] == "R"; answer && m["latency"] != "" {
			s, err := strconv.ParseFloat(m["latency"], 64)
			if err != nil {
				t.Fatal(err)
			}
			r.latency = seconds(s)
		}
		if whole := ending[where(offset)]; m["tail_of"] != "" && whole != nil && whole.packet == m["tail_of"] {
			whole.packet, whole.length, whole.latency, whole.key, whole.bytes = r.packet, strconv.Itoa(number(whole.length)+length), r.latency, r.key, r.bytes
			if r.code != "" {
				whole.code = r.code
			}
			ending[where(offset+length)] = whole
			continue
		}
		ending[where(offset+length)] = r
		if r.letter == "" && r.rules == "" {
			continue // bytes that nobody is to blame for
		}
		rows = append(rows, r)
	}
	for _, r := range rows {
		if strings.Contains(r.rules, protocol.LateResponse.ID) {
			r.latency = "" // its transaction has none
		}
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	return lines
}

// synthetic writes a capture of the simulator's.
func synthetic(t *testing.T, o simulate.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pcap")
	if err := simulate.PcapFile(path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// differ returns the lines that only one has: of the analyzer with -, of the plugin with +.
func differ(analyzer, plugin []string) (out []string) {
	count := map[string]int{}
	for _, l := range analyzer {
		count[l]++
	}
	for _, l := range plugin {
		count[l]--
	}
	for l, n := range count {
		for ; n > 0; n-- {
			out = append(out, "- "+l)
		}
		for ; n < 0; n++ {
			out = append(out, "+ "+l)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(a[2:]+a, b[2:]+b) })
	return out
}

func same(t *testing.T, analyzer, plugin []string) {
	t.Helper()
	if d := cmp.Diff(analyzer, plugin); d != "" {
		t.Errorf("-analyzer +plugin:\n%s", d)
	}
}

// number reads a number that a program wrote.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
