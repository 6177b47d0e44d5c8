package capture

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRingOfFilesKeepsTheLatest(t *testing.T) {
	dir := t.TempDir()
	w, err := CreateFiles(filepath.Join(dir, "x.pcapng"), Rotation{Duration: 10 * second, Files: 2}, []Interface{{Name: "eth0", Link: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var sent uint64
	w.Stats = func(int) Stats { return Stats{Known: true, Received: 2 * sent, Dropped: sent} }
	for i := range int64(35) {
		sent++
		if err := w.Write(Packet{Time: (1_700_000_000 + i) * second, Link: 1, Data: []byte("abc")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2 || filepath.Base(names[1]) != "x_00004_20231114221350.pcapng" {
		t.Fatal(names, err)
	}
	for i, want := range []int{10, 5} {
		b, err := os.ReadFile(names[i])
		if err != nil {
			t.Fatal(err)
		}
		if got := len(mustRead(t, b)); got != want {
			t.Errorf("%s: %d packets, want %d", names[i], got, want)
		}
		src := openBytes(t, b)
		for batch := new(Batch); src.Next(batch) == nil; {
		}
		if st := src.Stats(); !st.Known || st.Received == 0 || st.Received > 2*sent/3 {
			t.Errorf("%s: counts %+v of its share of %d packets", names[i], st, sent)
		}
	}
}

func TestFilesRotateBySize(t *testing.T) {
	dir := t.TempDir()
	w, err := CreateFiles(filepath.Join(dir, "x.pcapng"), Rotation{Size: 1000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(30) {
		if err := w.Write(Packet{Time: i, Link: 1, Data: make([]byte, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 5 {
		t.Error(names, err)
	}
}

func TestFileThatVanishesIsReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pcapng")
	w, err := CreateFiles(path, Rotation{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if w.Flush() == nil {
		t.Error("no error")
	}
	if _, err := CreateFiles(filepath.Join(path, "no", "x.pcapng"), Rotation{Size: 1}, nil); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

// A mark of the clock comes back where it was, and only from files of ours.
func TestMarksComeBack(t *testing.T) {
	var out bytes.Buffer
	w := NewPcapngWriter(&out)
	w.AddInterface(Interface{Name: "eth0", Filter: "tcp", Link: 1, SnapLen: 99})
	w.AddInterface(Interface{Name: "eth1", Link: 1})
	for _, err := range []error{
		w.Write(Packet{Time: 5 * second, Link: 1, Iface: 1, Data: []byte("a")}), w.Mark(7*second + 1),
		w.WriteComment(Packet{Time: 8 * second, Link: 1, Data: []byte("b")}, "look here"), w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	refs := func(file []byte) (list []Ref) {
		src := openBytes(t, file)
		var b Batch
		for src.Next(&b) == nil {
			list = append(list, b.Refs...)
		}
		return list
	}
	got := refs(out.Bytes())
	if len(got) != 3 || got[0].Iface != 1 || got[1].Number != 0 || got[1].Time != 7*second+1 || got[2].Number != 2 {
		t.Errorf("%+v", got)
	}
	if other := refs(bytes.Replace(out.Bytes(), []byte(Application), []byte("something"), 1)); len(other) != 2 {
		t.Errorf("%+v", other)
	}
	if !bytes.Contains(out.Bytes(), []byte("look here")) {
		t.Error("no comment")
	}
}

// The files of a ring, read together, are what was captured: packets, marks of the clock and counts.
func TestRingReadTogether(t *testing.T) {
	dir := t.TempDir()
	w, err := CreateFiles(filepath.Join(dir, "x.pcapng"), Rotation{Duration: 10 * second}, []Interface{{Name: "eth0", Link: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var sent uint64
	w.Stats = func(int) Stats { return Stats{Known: true, Received: 2 * sent, Dropped: sent} }
	want := []int64{}
	for i := range int64(35) {
		at := (1_700_000_000 + i) * second
		sent++
		if err := w.Write(Packet{Time: at, Link: 1, Data: []byte("abc")}); err != nil {
			t.Fatal(err)
		}
		want = append(want, at)
		if i%3 == 2 {
			if err := w.Mark(at + 7); err != nil {
				t.Fatal(err)
			}
			want = append(want, -(at + 7))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 4 {
		t.Fatal(names, err)
	}
	src, err := Open(names...)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var got []int64
	var b Batch
	for src.Next(&b) == nil {
		for _, r := range b.Refs {
			if r.Number == 0 {
				r.Time = -r.Time
			}
			got = append(got, r.Time)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	if st := src.Stats(); st.Received != 2*sent || st.Dropped != sent {
		t.Errorf("counts %+v of %d packets", st, sent)
	}
}

// What is left of a file on a full disk is whole.
func TestFileOnFullDiskEndsWithAWholeBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pcapng")
	w, err := CreateFiles(path, Rotation{}, []Interface{{Name: "eth0", Link: 1}})
	if err != nil {
		t.Fatal(err)
	}
	p := Packet{Time: second, Link: 1, Data: make([]byte, 1000)}
	for range 50 {
		if err := errors.Join(w.Write(p), w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.f.Write([]byte("a part of a block")); err != nil { // as a disk that becomes full leaves it
		t.Fatal(err)
	}
	if err := w.intact(errors.New("no space left on device")); err == nil {
		t.Fatal("the error is lost")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(mustRead(t, b)); got != 50 {
		t.Errorf("%d packets", got)
	}
}
