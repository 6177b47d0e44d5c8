// Package lua writes the protocol's table as a Wireshark plugin: one Lua file, in which the table is
// generated and the code that reads it is fixed.
package lua

import (
	_ "embed" // the template
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/nubishark/nubishark/protocol"
)

//go:generate go run ../cmd/nubishark lua -o nubison.lua

//go:embed template.lua
var template string

// Options steer the plugin.
type Options struct {
	// Name is the protocol's filter name; "" means nubison.
	Name string
	// Version says what made it.
	Version string
	// Ports are the TCP ports that are always dissected, as Wireshark writes ranges.
	Ports string
	// LittleEndian is the preset byte order of two-byte lengths.
	LittleEndian bool
}

// DefaultName is the filter name of the protocol.
const DefaultName = "nubison"

// Mark is what every plugin of ours has in its first lines.
const Mark = "Made by nubishark"

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Generate writes the plugin.
func Generate(w io.Writer, o Options) error {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if !validName.MatchString(o.Name) {
		return errors.New("a plugin's name is lower-case letters, digits and _")
	}
	title := "NUBISON IoT over TCP"
	if o.Name != DefaultName {
		title += " (" + o.Name + ")"
	}
	if o.Version == "" {
		o.Version = "(development)"
	}
	login := protocol.ByLetter('L')[0].Shape()
	r := strings.NewReplacer(
		"@TABLES@", tables(login), "@NAME@", o.Name, "@TITLE@", title, "@TITLESHORT@", strings.ToUpper(o.Name), "@VERSION@", o.Version,
		"@PORTS@", o.Ports, "@LITTLE@", strconv.FormatBool(o.LittleEndian), "@HEADER@", strconv.Itoa(protocol.HeaderSize),
		"@TOKENAT@", strconv.Itoa(protocol.TokenAt+1), "@TOKENEND@", strconv.Itoa(protocol.TokenAt+protocol.TokenSize),
		"@MAXPACKET@", strconv.Itoa(protocol.MaxPacket),
	)
	_, err := r.WriteString(w, template)
	return err
}

// tables writes the protocol's tables as Lua tables.
func tables(login *protocol.Shape) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("local LETTERS = %q\n", protocol.Letters)
	p("local LOGIN = { fixed = %d }\n", login.Fixed)
	p("local NAMES = {")
	for _, l := range []byte(protocol.Letters) {
		p(" %c = %q,", l, protocol.Name(l))
	}
	p(" }\nlocal TOKENED = {")
	for _, l := range []byte(protocol.Letters) {
		if protocol.ByLetter(l)[0].Shape().HasToken {
			p(" %c = true,", l)
		}
	}
	p(" }\n\nlocal ERRORS = {\n")
	for _, e := range protocol.ErrorCodes {
		p("  [%d] = %q,\n", e.Code, e.Meaning)
	}
	p("}\n\nlocal FIELDS = {\n")
	for _, f := range fields() {
		p("  { name = %q, title = %q, ftype = %q", f.name, f.title, f.ftype)
		if f.values != "" {
			p(", values = %s", f.values)
		}
		if f.about != "" {
			p(", about = %q", f.about)
		}
		p(" },\n")
	}
	p("}\n\nlocal P = {\n")
	for _, f := range distinct() {
		p("  %s = { name = %q, title = %q, size = %d, kind = %q", key(f), f.Name, f.Title, f.Size, kinds[f.Kind])
		if f.Secret {
			p(", secret = true")
		}
		p(" },\n")
	}
	p("}\n\nlocal LAYOUTS = {\n")
	for _, l := range protocol.Layouts {
		layout(&b, l)
	}
	p("}\n\nlocal RULES = {\n")
	for _, r := range protocol.Rules {
		if !decidable(r) {
			continue
		}
		group, severity := expert(r)
		p("  { id = %q, group = %q, severity = %q },\n", r.ID, group, severity)
	}
	p("}\n")
	return b.String()
}

func layout(b *strings.Builder, l *protocol.Layout) {
	sh := l.Shape()
	fmt.Fprintf(b, "  { letter = \"%c\", from = %q, fixed = %d", l.Letter, l.From, sh.Fixed)
	if sh.LengthWidth > 0 {
		fmt.Fprintf(b, ", length_at = %d, width = %d", sh.LengthAt, sh.LengthWidth)
	}
	if len(l.Tail) > 0 {
		fmt.Fprintf(b, ", tail_fixed = %d", sh.TailFixed)
	}
	if sh.TailLengthWidth > 0 {
		fmt.Fprintf(b, ", tail_width = %d", sh.TailLengthWidth)
	}
	if l.Answers != "" {
		fmt.Fprintf(b, ", answers = %q, success = %v", l.Answers, l.Outcome == protocol.Success)
	}
	b.WriteString(",\n    fields = {")
	parts(b, l.Fields)
	b.WriteString(" }, tail = {")
	parts(b, l.Tail)
	b.WriteString(" } },\n")
}

func parts(b *strings.Builder, list []protocol.Field) {
	for _, f := range list {
		fmt.Fprintf(b, " P.%s,", key(f))
	}
}

// key names a field in the plugin: with its size where there are several of a name.
func key(f protocol.Field) string {
	if f.Kind == protocol.Length {
		return fmt.Sprintf("%s%d", f.Name, f.Size)
	}
	return f.Name
}

// distinct returns every field of the table once, in its order.
func distinct() (list []protocol.Field) {
	seen := map[string]bool{}
	for _, l := range protocol.Layouts {
		for _, f := range l.Whole() {
			if !seen[key(f)] {
				seen[key(f)] = true
				list = append(list, f)
			}
		}
	}
	return list
}

var kinds = map[protocol.Kind]string{
	protocol.Letter: "letter", protocol.ID: "id", protocol.Text: "text", protocol.Length: "length", protocol.Payload: "payload",
	protocol.StatusNum: "status", protocol.Code: "code",
}

// field is a field of Wireshark's.
type field struct{ name, title, ftype, values, about string }

// fields are those of the table, in its order, and the generated ones.
func fields() (list []field) {
	seen := map[string]bool{}
	for _, l := range protocol.Layouts {
		for _, f := range l.Whole() {
			if !seen[f.Name] {
				seen[f.Name] = true
				list = append(list, field{name: f.Name, title: f.Title, ftype: ftypes[f.Kind], values: values(f.Kind)})
			}
		}
	}
	return append(list,
		field{name: "name", title: "Name", ftype: "string", about: "The packet's name"},
		field{name: "request_type", title: "Request type", ftype: "string", about: "The letter of the request that a response answers"},
		field{name: "offset", title: "Stream offset", ftype: "uint32", about: "In what TCP handed over of this direction"},
		field{name: "device_key", title: "Device", ftype: "string", about: "Product code and identifier of the last login"},
		field{name: "response_in", title: "Response in", ftype: "response", about: "The packet that answers this request"},
		field{name: "response_to", title: "Response to", ftype: "request", about: "The packet with the request"},
		field{name: "latency", title: "Latency", ftype: "time", about: "From the request's packet to the response's"},
		field{name: "violation", title: "Violation", ftype: "string", about: "The ID of a rule that is broken"},
		field{name: "unanswered", title: "No response seen", ftype: "bool"},
	)
}

var ftypes = map[protocol.Kind]string{
	protocol.Letter: "string", protocol.ID: "string", protocol.Text: "string", protocol.Length: "uint16", protocol.Payload: "bytes",
	protocol.StatusNum: "uint8", protocol.Code: "hex16",
}

func values(k protocol.Kind) string {
	switch k {
	case protocol.StatusNum:
		return `{ [0] = "failure", [1] = "success" }`
	case protocol.Code:
		return "ERRORS"
	}
	return ""
}

// decidable reports whether one pass over the packets, in the order of the capture, can tell that a rule is broken.
func decidable(r *protocol.Rule) bool {
	switch r {
	case protocol.NoResponse, protocol.OrphanResponse, protocol.SessionIDNotEchoed, protocol.UnknownToken, protocol.CaptureGap,
		protocol.CaptureMidstream:
		return false
	}
	return true
}

// expert maps a rule to a group and a severity of Wireshark's expert information.
func expert(r *protocol.Rule) (group, severity string) {
	group = "PROTOCOL"
	switch r {
	case protocol.ShortPacket, protocol.UnknownType, protocol.TruncatedPacket, protocol.StrayBytes, protocol.LengthByteOrder,
		protocol.LengthWidth, protocol.LengthMissing, protocol.LengthMismatch:
		group = "MALFORMED"
	case protocol.ErrorResponse, protocol.UnknownErrorCode, protocol.BadStatus:
		group = "RESPONSE_CODE"
	case protocol.UnknownToken, protocol.TokenMismatch, protocol.TokenAfterLogout:
		group = "SECURITY"
	case protocol.SessionIDReused, protocol.SessionIDCollision, protocol.RequestRepeated, protocol.LateResponse, protocol.DuplicateResponse,
		protocol.LoginRepeated:
		group = "SEQUENCE"
	}
	return group, map[protocol.Severity]string{protocol.Error: "ERROR", protocol.Warning: "WARN", protocol.Note: "NOTE"}[r.Severity]
}
