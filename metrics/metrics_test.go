package metrics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nubishark/nubishark/dissect"
	"github.com/nubishark/nubishark/protocol"
)

func TestScrape(t *testing.T) {
	m := New()
	c := &dissect.Conn{}
	m.Frame(&dissect.Frame{Letter: 'D', Conn: c})
	m.Transaction(&dissect.Transaction{Letter: 'D', State: dissect.Answered, Request: 1, Response: 2, RequestTime: 1e9, ResponseTime: 3e9})
	m.Violation(&dissect.Violation{Rule: protocol.ShortPacket, Blame: protocol.Device})
	m.Violation(&dissect.Violation{Rule: protocol.CaptureGap})
	m.Note(&dissect.Note{ID: dissect.DeviceSilent})
	m.Captured(7, 8, 1)
	m.Stream(&dissect.Stream{Conn: c})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`nubishark_frames_total{type="D"} 1`,
		`nubishark_transactions_total{state="answered",type="D"} 1`,
		`nubishark_latency_seconds_sum{type="D"} 2`,
		`nubishark_violations_total{blame="device",id="short-packet",severity="error"} 1`,
		`nubishark_violations_total{blame="capture",id="capture-gap",severity="note"} 1`,
		`nubishark_notes_total{id="device-silent"} 1`,
		"nubishark_packets_total 7",
		"nubishark_dropped_packets_total 1",
		"nubishark_devices_connected 0",
	} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("no %s in:\n%s", want, body)
		}
	}
}
