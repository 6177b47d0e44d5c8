package export

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/dissect"
)

// A note on a device is told in lines, records and the first look, and counts as no fault.
func TestNotes(t *testing.T) {
	note := &dissect.Note{ID: dissect.DeviceSilent, Conn: &dissect.Conn{Stream: 3}, Device: "P_\x1b[31m", Time: 1e18, Message: "nothing since 10:00"}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Format: Text, View: All}, `2001-09-09T01:46:40.000000000Z stream 3 note device-silent device=P_\x1b[31m: nothing since 10:00` + "\n"},
		{
			Options{Format: NDJSON},
			`{"record":"note","id":"device-silent","stream":3,"device":"P_\\x1b[31m","time":"2001-09-09T01:46:40.000000000Z","message":"nothing since 10:00"}` + "\n",
		},
		{Options{Format: Table}, "Devices that are late or come back too often\n09-09 01:46:40.000 P_\\x1b[31m: nothing since 10:00 (device-silent)\n"},
	} {
		var out bytes.Buffer
		w, err := New(&out, c.o)
		if err != nil {
			t.Fatal(err)
		}
		w.(dissect.NoteSink).Note(note)
		if err := w.Close(Totals{Packets: 1, TCPStreams: 1, NubisonStreams: 1}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: no %q in:\n%s", c.o.Format, c.want, out.String())
		}
		if w.Worst() != 0 {
			t.Error("a note is a fault")
		}
	}
}

// The first look can be had in the middle, and the run goes on.
func TestInterim(t *testing.T) {
	var out, now bytes.Buffer
	w, err := New(&out, Options{Format: Text, View: Packets})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Interim(&now, Totals{Name: "eth0", Packets: 7}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(now.String(), "eth0: 7 packets") || out.Len() > 0 {
		t.Errorf("%q and %q", now.String(), out.String())
	}
}
