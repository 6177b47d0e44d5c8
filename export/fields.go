package export

import (
	"encoding/binary"
	"net/netip"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/filter"
	"github.com/nubishark/nubishark/protocol"
)

// subject is what a filter is asked about: a packet, or bytes that are none, with what is known of it.
type subject struct {
	conn  *dissect.Conn
	frame *dissect.Frame // nil for bytes that are no packet
	// violation is of the bytes that are no packet.
	violation *dissect.Violation
	// more are violations of the packet that were found later than it was settled.
	more []*dissect.Violation
	// tx is the packet's transaction, nil while it is not over; request and response are the capture packets with
	// their last bytes, 0 where they are not known.
	tx                *dissect.Transaction
	request, response int64
	// asked is the time of the request (ns) where the response is late, 0 if it is not known.
	asked int64
}

// accessor is a field with how to get its values.
type accessor struct {
	filter.Field
	// later tells that the values may be known only once the packet's transaction is over.
	later  bool
	values func(s *subject, to []filter.Value) []filter.Value
}

// Values implements filter.Record.
func (s *subject) Values(field int, to []filter.Value) []filter.Value {
	return accessors[field].values(s, to)
}

// The fields that filters may name: those of the Wireshark plugin, some of Wireshark's own, and some of ours.
var (
	accessors    = allFields()
	filterFields = namesOf(accessors)
)

func namesOf(list []accessor) []filter.Field {
	fields := make([]filter.Field, len(list))
	for i := range list {
		fields[i] = list[i].Field
	}
	return fields
}

// FilterFields are the fields that a filter may name.
func FilterFields() []filter.Field { return filterFields }

func allFields() (list []accessor) {
	add := func(name string, kind filter.Kind, later bool, f func(s *subject, to []filter.Value) []filter.Value) {
		list = append(list, accessor{filter.Field{Name: name, Kind: kind}, later, f})
	}
	text := func(name string, f func(s *subject) string) {
		add(name, filter.Text, false, func(s *subject, to []filter.Value) []filter.Value { return appendText(to, f(s)) })
	}
	number := func(name string, f func(s *subject) (n int64, ok bool)) {
		add(name, filter.Number, false, func(s *subject, to []filter.Value) []filter.Value {
			if n, ok := f(s); ok {
				to = append(to, filter.Value{Num: n})
			}
			return to
		})
	}
	add("nubison", filter.Proto, false, func(s *subject, to []filter.Value) []filter.Value {
		return append(to, filter.Value{Bytes: s.bytes()})
	})
	list = append(list, wireFields()...)
	text("nubison.name", func(s *subject) string {
		if s.frame == nil {
			return ""
		}
		return protocol.Name(s.frame.Letter)
	})
	text("nubison.from", func(s *subject) string { return s.from().String() })
	number("nubison.offset", func(s *subject) (int64, bool) { return s.offset(), true })
	number("nubison.length", func(s *subject) (int64, bool) { return s.length(), true })
	number("nubison.missing_bytes", func(s *subject) (int64, bool) {
		return s.ofFrame(func(f *dissect.Frame) int64 { return int64(f.Missing) })
	})
	text("nubison.device_key", func(s *subject) string { return Escape([]byte(s.conn.Device())) })
	text("nubison.request_type", func(s *subject) string {
		if s.frame == nil || s.frame.RequestLetter == 0 {
			return ""
		}
		return string(rune(s.frame.RequestLetter))
	})
	list = append(list, laterFields()...)
	number("frame.number", func(s *subject) (int64, bool) {
		p := s.packets()
		if len(p) == 0 {
			return 0, false
		}
		return p[len(p)-1], true
	})
	number("tcp.stream", func(s *subject) (int64, bool) { return int64(s.conn.Stream), true })
	return append(list, addressFields()...)
}

func (s *subject) from() protocol.Side {
	if s.frame != nil {
		return s.frame.From
	}
	return s.violation.From
}

func (s *subject) bytes() []byte {
	if s.frame != nil {
		return s.frame.Raw
	}
	return s.violation.Bytes
}

func (s *subject) offset() int64 {
	if s.frame != nil {
		return s.frame.Offset
	}
	return s.violation.Offset
}

func (s *subject) length() int64 {
	if s.frame != nil {
		return int64(s.frame.Length)
	}
	return s.violation.Length
}

func (s *subject) packets() []int64 {
	if s.frame != nil {
		return s.frame.Packets
	}
	return s.violation.Packets
}

// ofFrame returns a number that is there where it is not 0.
func (s *subject) ofFrame(f func(*dissect.Frame) int64) (int64, bool) {
	if s.frame == nil {
		return 0, false
	}
	n := f(s.frame)
	return n, n != 0
}

func appendText(to []filter.Value, s string) []filter.Value {
	if s == "" {
		return to
	}
	return append(to, filter.Value{Bytes: []byte(s)})
}

// wireFields are those of the table, each once, and the payload as text.
func wireFields() (list []accessor) {
	seen := map[string]bool{}
	for _, l := range protocol.Layouts {
		for _, f := range l.Whole() {
			if !seen[f.Name] {
				seen[f.Name] = true
				list = append(list, wireField(f))
			}
		}
	}
	return append(list, accessor{filter.Field{Name: "nubison.payload_text", Kind: filter.Text}, false, func(s *subject, to []filter.Value) []filter.Value {
		return s.each("payload", to, func(_ int, v *dissect.FieldValue) (filter.Value, bool) {
			return filter.Value{Bytes: v.Value}, isText(v.Value)
		})
	}})
}

// each appends what a packet's complete fields with a name give.
func (s *subject) each(name string, to []filter.Value, get func(i int, v *dissect.FieldValue) (filter.Value, bool)) []filter.Value {
	if s.frame == nil {
		return to
	}
	fields := s.frame.Fields()
	for i := range fields {
		v := &fields[i]
		if v.Name != name || !v.Complete {
			continue
		}
		if x, ok := get(i, v); ok {
			to = append(to, x)
		}
	}
	return to
}

func wireField(f protocol.Field) accessor {
	a := accessor{Field: filter.Field{Name: "nubison." + f.Name}}
	get := func(_ *subject, _ int, v *dissect.FieldValue) (filter.Value, bool) {
		return filter.Value{Bytes: v.Value}, true
	}
	switch f.Kind {
	case protocol.Letter, protocol.ID, protocol.Text:
		a.Kind = filter.Text
		get = func(_ *subject, _ int, v *dissect.FieldValue) (filter.Value, bool) {
			return filter.Value{Bytes: []byte(Escape(v.Trimmed()))}, true
		}
	case protocol.Length:
		a.Kind, a.Max = filter.Number, 0xffff
		get = func(s *subject, i int, _ *dissect.FieldValue) (filter.Value, bool) {
			return filter.Value{Num: lengthOf(s.frame, i)}, true
		}
	case protocol.Payload:
		a.Kind = filter.Bytes
		get = func(_ *subject, _ int, v *dissect.FieldValue) (filter.Value, bool) {
			return filter.Value{Bytes: v.Value}, len(v.Value) > 0
		}
	case protocol.StatusNum:
		a.Kind, a.Max, a.Labels = filter.Number, 0xff, map[string]uint64{"failure": 0, "success": 1}
		get = func(_ *subject, _ int, v *dissect.FieldValue) (filter.Value, bool) {
			return filter.Value{Num: int64(v.Value[0])}, true
		}
	case protocol.Code:
		a.Kind, a.Max, a.Labels = filter.Number, 0xffff, map[string]uint64{}
		for _, e := range protocol.ErrorCodes {
			a.Labels[e.Meaning] = uint64(e.Code)
		}
		get = func(_ *subject, _ int, v *dissect.FieldValue) (filter.Value, bool) {
			return filter.Value{Num: int64(binary.BigEndian.Uint16(v.Value))}, true
		}
	}
	name := f.Name
	a.values = func(s *subject, to []filter.Value) []filter.Value {
		return s.each(name, to, func(i int, v *dissect.FieldValue) (filter.Value, bool) { return get(s, i, v) })
	}
	return a
}

// lengthOf reads the i-th field, a length, in the byte order in which it tells the size of the field behind it;
// in the protocol's where neither does.
func lengthOf(f *dissect.Frame, i int) int64 {
	fields := f.Fields()
	v := &fields[i]
	if len(v.Value) == 1 {
		return int64(v.Value[0])
	}
	big, little := binary.BigEndian.Uint16(v.Value), binary.LittleEndian.Uint16(v.Value)
	if i+1 < len(fields) && int(little) == len(fields[i+1].Value) {
		return int64(little)
	}
	return int64(big)
}

// laterFields are those of transactions and violations.
func laterFields() (list []accessor) {
	add := func(name string, kind filter.Kind, f func(s *subject, to []filter.Value) []filter.Value) {
		list = append(list, accessor{filter.Field{Name: name, Kind: kind}, true, f})
	}
	add("nubison.response_in", filter.Number, func(s *subject, to []filter.Value) []filter.Value {
		if s.isRequest() && s.response != 0 {
			to = append(to, filter.Value{Num: s.response})
		}
		return to
	})
	add("nubison.response_to", filter.Number, func(s *subject, to []filter.Value) []filter.Value {
		if s.frame != nil && s.frame.Letter == 'R' && s.request != 0 {
			to = append(to, filter.Value{Num: s.request})
		}
		return to
	})
	add("nubison.latency", filter.Seconds, func(s *subject, to []filter.Value) []filter.Value {
		if ns, ok := s.latency(); ok {
			to = append(to, filter.Value{Num: ns})
		}
		return to
	})
	add("nubison.unanswered", filter.Truth, func(s *subject, to []filter.Value) []filter.Value {
		if s.isRequest() && s.tx != nil && s.tx.Response == 0 {
			to = append(to, filter.Value{Num: 1})
		}
		return to
	})
	add("nubison.state", filter.Text, func(s *subject, to []filter.Value) []filter.Value {
		if s.tx != nil {
			to = appendText(to, s.tx.State.String())
		}
		return to
	})
	add("nubison.reason", filter.Text, func(s *subject, to []filter.Value) []filter.Value {
		if s.tx != nil {
			to = appendText(to, s.tx.Reason.String())
		}
		return to
	})
	add("nubison.violation", filter.Text, func(s *subject, to []filter.Value) []filter.Value {
		s.broken(func(r *protocol.Rule, _ protocol.Severity) { to = appendText(to, r.ID) })
		return to
	})
	add("nubison.severity", filter.Text, func(s *subject, to []filter.Value) []filter.Value {
		s.broken(func(_ *protocol.Rule, v protocol.Severity) { to = appendText(to, v.String()) })
		return to
	})
	for _, r := range protocol.Rules {
		add("nubison.rule."+r.ID, filter.Present, func(s *subject, to []filter.Value) []filter.Value {
			s.broken(func(o *protocol.Rule, _ protocol.Severity) {
				if o == r {
					to = append(to, filter.Value{Num: 1})
				}
			})
			return to
		})
	}
	return list
}

func (s *subject) latency() (ns int64, ok bool) {
	if s.tx != nil && s.tx.Reason == dissect.AnsweredLate && s.frame != nil && s.frame.Letter == 'R' {
		return s.frame.Time - s.tx.RequestTime, true
	}
	if s.tx != nil {
		return s.tx.Latency()
	}
	if s.frame == nil || s.asked == 0 || !s.frame.Late() {
		return 0, false
	}
	return s.frame.Time - s.asked, true
}

func (s *subject) isRequest() bool { return s.frame != nil && protocol.IsRequest(s.frame.Letter) }

// broken calls do with each rule that the packet or the bytes broke.
func (s *subject) broken(do func(*protocol.Rule, protocol.Severity)) {
	if s.frame == nil {
		do(s.violation.Rule, s.violation.Severity())
		return
	}
	for _, r := range s.frame.Violations {
		do(r, r.Severity)
	}
	for _, v := range s.more {
		do(v.Rule, v.Severity())
	}
}

// addressFields are Wireshark's own of a packet's ends.
func addressFields() (list []accessor) {
	const src, dst = 1, 2
	ends := func(s *subject, which int, do func(netip.AddrPort)) {
		if which&src != 0 {
			do(s.conn.Src(s.from()))
		}
		if which&dst != 0 {
			do(s.conn.Dst(s.from()))
		}
	}
	for _, f := range []struct {
		name  string
		which int
	}{{"tcp.srcport", src}, {"tcp.dstport", dst}, {"tcp.port", src | dst}} {
		list = append(list, accessor{filter.Field{Name: f.name, Kind: filter.Number, Max: 0xffff}, false, func(s *subject, to []filter.Value) []filter.Value {
			ends(s, f.which, func(a netip.AddrPort) { to = append(to, filter.Value{Num: int64(a.Port())}) })
			return to
		}})
	}
	for _, f := range []struct {
		name  string
		which int
		v6    bool
	}{{"ip.src", src, false}, {"ip.dst", dst, false}, {"ip.addr", src | dst, false}, {"ipv6.src", src, true}, {"ipv6.dst", dst, true}, {"ipv6.addr", src | dst, true}} {
		list = append(list, accessor{filter.Field{Name: f.name, Kind: filter.Address}, false, func(s *subject, to []filter.Value) []filter.Value {
			ends(s, f.which, func(a netip.AddrPort) {
				if a.Addr().Is6() == f.v6 {
					to = append(to, filter.Value{Addr: a.Addr()})
				}
			})
			return to
		}})
	}
	return list
}
