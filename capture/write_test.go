package capture

import (
	"bytes"
	"errors"
	"testing"
)

func TestWrittenPcapReadsBack(t *testing.T) {
	for nanos, cutTime := range map[bool]int64{true: 1, false: 1000} {
		var out bytes.Buffer
		w := NewPcapWriter(&out, 276, nanos)
		const at = 1_700_000_000_123_456_789
		if err := errors.Join(
			w.Write(Packet{Time: at, Link: 276, Data: []byte("abc"), WireLen: 60}),
			w.Write(Packet{Link: 276, Data: []byte("d")}), w.Close()); err != nil {
			t.Fatal(err)
		}
		equal(t, mustRead(t, out.Bytes()), got{0, at / cutTime * cutTime, 276, 60, "abc"}, got{0, 0, 276, 1, "d"})
	}
}

func TestPcapWriterRefusesWhatTheFormatCannotHold(t *testing.T) {
	w := NewPcapWriter(&bytes.Buffer{}, 1, true)
	for _, p := range []Packet{{Link: 2}, {Link: 1, Time: -1}, {Link: 1, Time: (1 << 32) * second}} {
		if w.Write(p) == nil {
			t.Errorf("%+v is written", p)
		}
	}
	if NewPcapngWriter(&bytes.Buffer{}).Write(Packet{Time: -1}) == nil {
		t.Error("pcapng: a time before 1970 is written")
	}
}

func TestWrittenPcapngReadsBackWithStatistics(t *testing.T) {
	var out bytes.Buffer
	w := NewPcapngWriter(&out)
	const at = 1_700_000_000_123_456_789
	w.SetStats(Stats{Received: 5, Dropped: 2, Known: true})
	if err := errors.Join(
		w.Write(Packet{Time: at, Link: 1, Data: []byte("abc"), WireLen: 60}),
		w.Write(Packet{Time: at + 1, Link: 276, Data: []byte("d")}),
		w.Write(Packet{Time: at + 2, Link: 1}), w.Close()); err != nil {
		t.Fatal(err)
	}
	src := openBytes(t, out.Bytes())
	packets, err := drain(t, src)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, packets, got{0, at, 1, 60, "abc"}, got{0, at + 1, 276, 1, "d"}, got{0, at + 2, 1, 0, ""})
	if s := src.Stats(); s.Received != 5 || s.Dropped != 2 || !s.Known {
		t.Fatalf("%+v", s)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWritersReportAFullDisk(t *testing.T) {
	if NewPcapWriter(fullDisk{}, 1, true).Close() == nil || NewPcapngWriter(fullDisk{}).Close() == nil {
		t.Fatal("no error")
	}
}
