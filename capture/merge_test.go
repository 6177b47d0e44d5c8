package capture

import (
	"errors"
	"strings"
	"testing"
)

func pcapOf(times ...uint32) []byte {
	file := pcapHead(le, magicMicro, 4, 1)
	for _, sec := range times {
		file = append(file, pcapRecord(le, sec, 0, 1, "a")...)
	}
	return file
}

func ngOf(times ...uint64) []byte {
	file := join(ngSection(be), ngInterface(be, 113, ngResol(0)...))
	for _, sec := range times {
		file = append(file, ngPacket(be, 0, sec, 1, "b")...)
	}
	return file
}

func openAll(t *testing.T, files ...[]byte) Source {
	t.Helper()
	var paths []string
	for _, f := range files {
		paths = append(paths, write(t, "x.pcap", f))
	}
	src, err := Open(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func story(packets []got) string {
	var s strings.Builder
	for _, p := range packets {
		s.WriteString(p.Data)
		s.WriteByte(byte('0' + p.Time/second))
	}
	return s.String()
}

func TestFilesAreMergedByTimeAndThenByName(t *testing.T) {
	for _, c := range []struct {
		a, b []byte
		want string
	}{
		{pcapOf(1, 3, 5), ngOf(2, 3, 4), "a1b2a3b3b4a5"},
		{ngOf(3, 4), pcapOf(3, 3), "b3a3a3b4"},
		{pcapOf(), ngOf(1), "b1"},
		{pcapOf(5, 1), gz(ngOf(3, 6)), "b3a5a1b6"}, // what is out of order stays so
	} {
		packets, err := drain(t, openAll(t, c.a, c.b))
		if got := story(packets); got != c.want || err != nil {
			t.Errorf("%s, %v; want %s", got, err, c.want)
		}
	}
}

func TestMergeOfManyFilesKeepsEveryPacketInOrder(t *testing.T) {
	var files [][]byte
	const each = 3000
	for i := range uint32(7) {
		var times []uint32
		for j := range uint32(each) {
			times = append(times, j*(i+1)/3)
		}
		files = append(files, pcapOf(times...))
	}
	packets, err := drain(t, openAll(t, files...))
	if len(packets) != 7*each || err != nil {
		t.Fatalf("%d packets, %v", len(packets), err)
	}
	for i := 1; i < len(packets); i++ {
		if packets[i].Time < packets[i-1].Time {
			t.Fatalf("packet %d goes back in time", i+1)
		}
	}
}

func TestDamageOfOneFileIsToldAfterTheOthers(t *testing.T) {
	src := openAll(t, cut(pcapOf(1, 2, 9), 1), pcapOf(3, 4), cut(ngOf(5, 9), 4))
	packets, err := drain(t, src)
	if got := story(packets); got != "a1a2a3a4b5" {
		t.Fatal(got)
	}
	var d *DamageError
	if !errors.As(err, &d) || strings.Count(err.Error(), "cut short") != 2 {
		t.Fatal(err)
	}
}

func TestMergeFailsToOpenWithTheNameOfTheCulprit(t *testing.T) {
	good, empty := write(t, "good", pcapOf(1)), write(t, "empty", nil)
	_, err := Open(good, empty)
	if !errors.Is(err, ErrEmpty) || !strings.HasPrefix(err.Error(), empty+": ") {
		t.Fatal(err)
	}
}

func TestMergeSumsStats(t *testing.T) {
	a, b := pcapOf(1), gz(pcapOf(2))
	src := openAll(t, a, b)
	drain(t, src)
	want := Stats{Read: int64(len(a) + len(b)), Size: int64(len(a) + len(b))}
	if s := src.Stats(); s != want {
		t.Fatalf("%+v, want %+v", s, want)
	}
}
