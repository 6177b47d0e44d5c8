package export

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/internal/simulate"
)

func TestDetailHidesSecrets(t *testing.T) {
	const secret = "not-a-secret" // of the capture
	for _, o := range []Options{{Format: Text, Detail: true, Hex: true}, {Format: Text, Hex: true}, {Format: Text, Detail: true}} {
		got := render(t, open(t, session), o)
		plain := regexp.MustCompile(`\s+`).ReplaceAllString(got, "")
		if strings.Contains(got, secret) || strings.Contains(plain, hex.EncodeToString([]byte(secret))) {
			t.Errorf("%+v shows the client secret", o)
		}
		o.ShowSecrets = true
		got = render(t, open(t, session), o)
		// The secret stands at 29 of the first packet: over the end of a row.
		if o.Detail && !strings.Contains(got, "Client secret: "+secret) || o.Hex && !strings.Contains(got, " 6e 6f 74  not\n") && !strings.Contains(got, "6e 6f 74  ") {
			t.Errorf("%+v hides the client secret though it is asked for", o)
		}
	}
}

// Bytes that the capture misses stand as dashes, and a violation points at its field.
func TestDetailShowsWhatIsMissing(t *testing.T) {
	path := written(t, simulate.Options{Seed: 4, Connections: 3, Requests: 10, PayloadMin: 100, PayloadMax: 200, Interval: 300e6, Spacing: 50e6, SnapLen: 130})
	got := render(t, open(t, path), Options{Format: Text, Detail: true, Hex: true})
	for _, want := range []string{"] Payload: (", "the rest is missing)", " -- --  -- --", "-----", " bytes missing\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	path = written(t, simulate.Options{Seed: 4, Connections: 8, Requests: 10, PayloadMax: 60, Interval: 300e6, Spacing: 50e6, Faults: []string{"length-byte-order", "error-response"}, FaultRate: 0.5})
	got = render(t, open(t, path), Options{Format: Text, Detail: true})
	for _, want := range []string{
		`\] Payload length: \d+ \(little-endian; big-endian it is \d+\)  ← length-byte-order\n`, `\] Error code: 0x[0-9a-f]{4} \([^)]+\)  ← error-response\n`,
		`    ! error length-byte-order, by the device \(packet \d+\): `,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("nothing matches %s", want)
		}
	}
}

func TestDetailIsText(t *testing.T) {
	for _, f := range Formats {
		if _, err := New(nil, Options{Format: f, Detail: true}); (err == nil) != (f == Text) {
			t.Errorf("%s: %v", f, err)
		}
	}
}
