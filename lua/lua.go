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
	"sync"

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

var validName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9_]*$`) })

// Generate writes the plugin.
func Generate(w io.Writer, o Options) error {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if !validName().MatchString(o.Name) {
		return errors.New("a plugin's name is lower-case letters, digits and _")
	}
	title := "NUBISON IoT over TCP"
	if o.Name != DefaultName {
		title += " (" + o.Name + ")"
	}
	if o.Version == "" {
		o.Version = "(development)"
	}
	r := strings.NewReplacer(
		"@TABLES@", tables(), "@NAME@", o.Name, "@TITLE@", title, "@SHORT@", strings.ToUpper(o.Name), "@VERSION@", o.Version,
		"@PORTS@", o.Ports, "@LITTLE@", strconv.FormatBool(o.LittleEndian),
	)
	_, err := r.WriteString(w, template)
	return err
}

// tables writes the protocol's tables as Lua tables.
func tables() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("local HEADER, TOKEN_AT, TOKEN_SIZE, MAX_PACKET = %d, %d, %d, %d -- in bytes\n", protocol.HeaderSize, protocol.TokenAt, protocol.TokenSize,
		protocol.MaxPacket)
	p("local LETTERS = %q\nlocal NAMES = {", protocol.Letters)
	for i, l := range []byte(protocol.Letters) {
		if i > 0 {
			p(",")
		}
		p(" %c = %q", l, protocol.Name(l))
	}
	p(" }\n\nlocal ERRORS = {\n")
	for _, e := range protocol.ErrorCodes {
		p("  [0x%04x] = %q,\n", e.Code, e.Meaning)
	}
	p("}\nlocal STATUS = { [0] = \"failure\", [1] = \"success\" }\n\nlocal FIELDS = {\n")
	for _, f := range fields() {
		line := fmt.Sprintf("  { name = %q, title = %q, ftype = %q", f.name, f.title, f.ftype)
		if f.extra != "" {
			line += ", " + f.extra
		}
		if f.about != "" {
			about := fmt.Sprintf("about = %q", f.about)
			if len(line)+len(about) > 114 {
				about = "\n    " + about
			}
			line += ", " + about
		}
		p("%s },\n", strings.ReplaceAll(line, ", \n", ",\n"))
	}
	p("}\n\nlocal LAYOUTS = {\n")
	for _, l := range protocol.Layouts {
		layout(&b, l)
	}
	p("}\n\nlocal RULES = {\n")
	for _, r := range protocol.Rules {
		if group, severity := expert(r); Decidable(r) {
			p("  { id = %q, group = %q, severity = %q },\n", r.ID, group, severity)
		}
	}
	p("}\n")
	return b.String()
}

func layout(b *strings.Builder, l *protocol.Layout) {
	fmt.Fprintf(b, "  { letter = \"%c\", from = %q", l.Letter, l.From)
	if l.Answers != "" {
		fmt.Fprintf(b, ", answers = %q, success = %v", l.Answers, l.Outcome == protocol.Success)
	}
	fmt.Fprintf(b, ",\n    fields = %q", parts(l.Fields))
	if len(l.Tail) > 0 {
		fmt.Fprintf(b, ", tail = %q", parts(l.Tail))
	}
	b.WriteString(" },\n")
}

func parts(list []protocol.Field) string {
	var words []string
	for _, f := range list {
		if f.Size > 0 {
			words = append(words, fmt.Sprintf("%s:%d", f.Name, f.Size))
		} else {
			words = append(words, f.Name)
		}
	}
	return strings.Join(words, " ")
}

var kinds = map[protocol.Kind]string{
	protocol.Letter: "letter", protocol.ID: "id", protocol.Text: "text", protocol.Length: "length", protocol.Payload: "payload",
	protocol.StatusNum: "status", protocol.Code: "code",
}

// field is a field of Wireshark's; extra holds more of its Lua table.
type field struct{ name, title, ftype, extra, about string }

// fields are those of the table, in its order, and the generated ones.
func fields() (list []field) {
	seen := map[string]bool{}
	for _, l := range protocol.Layouts {
		for _, f := range l.Whole() {
			if seen[f.Name] {
				continue
			}
			seen[f.Name] = true
			x := field{name: f.Name, title: f.Title, ftype: ftypes[f.Kind], extra: fmt.Sprintf("kind = %q", kinds[f.Kind])}
			switch {
			case f.Secret:
				x.extra += ", secret = true"
			case f.Kind == protocol.StatusNum:
				x.extra += `, values = STATUS`
			case f.Kind == protocol.Code:
				x.extra += ", values = ERRORS, hex = true"
			}
			list = append(list, x)
		}
	}
	return append(list,
		field{name: "payload_text", title: "Payload text", ftype: "string", about: "The payload where it is clean UTF-8"},
		field{name: "name", title: "Name", ftype: "string", about: "The packet's name"},
		field{name: "from", title: "Sent by", ftype: "string", about: "device or server"},
		field{name: "offset", title: "Stream offset", ftype: "uint32", about: "In the bytes that TCP handed over of this direction"},
		field{name: "length", title: "Length", ftype: "uint32", about: "Of the packet in bytes"},
		field{name: "missing_bytes", title: "Missing bytes", ftype: "uint32", about: "Bytes of the packet that the capture does not hold"},
		field{name: "ends_in", title: "Ends in", ftype: "NONE", about: "The capture packet with the last byte, if another one was needed to tell"},
		field{name: "tail_of", title: "Optional part of", ftype: "NONE", about: "The capture packet that this tail belongs to"},
		field{name: "device_key", title: "Device", ftype: "string", about: "Product code and identifier of the last login"},
		field{name: "request_type", title: "Request type", ftype: "string", about: "The letter of the request that a response answers"},
		field{name: "response_in", title: "Response in", ftype: "RESPONSE", about: "The capture packet that answers this request"},
		field{name: "response_to", title: "Response to", ftype: "REQUEST", about: "The capture packet with the request"},
		field{name: "latency", title: "Latency", ftype: "time", about: "From the request's last byte to the response's"},
		field{name: "violation", title: "Violation", ftype: "string", about: "The ID of a rule that is broken"},
		field{name: "unanswered", title: "No response", ftype: "bool", about: "There is no response within the timeout; known from the second pass on"},
	)
}

var ftypes = map[protocol.Kind]string{
	protocol.Letter: "string", protocol.ID: "string", protocol.Text: "string", protocol.Length: "uint16", protocol.Payload: "bytes",
	protocol.StatusNum: "uint8", protocol.Code: "uint16",
}

// Decidable reports whether one pass over the packets, in the order of the capture, can tell that a rule is broken.
func Decidable(r *protocol.Rule) bool {
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

// FieldNames are the names of the plugin's fields, without that of the protocol.
func FieldNames() (names []string) {
	for _, f := range fields() {
		names = append(names, f.name)
	}
	return names
}
