package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Rotation says when a capture that goes on begins a new file, and how many are kept. The zero value is one file.
type Rotation struct {
	// Size is in bytes, Duration in ns of packet time; 0 means that it does not count.
	Size, Duration int64
	// Files is how many files are kept: the oldest goes first; 0 keeps all.
	Files int
}

// rotates reports whether there is more than one file.
func (r Rotation) rotates() bool { return r.Size > 0 || r.Duration > 0 }

// Files writes packets to a pcapng file as they come, or to a ring of files. It must not be shared between goroutines.
type Files struct {
	// Stats tells what an interface has counted since the capture began; each file ends with its share. It may be nil.
	Stats func(iface int) Stats

	path   string
	rot    Rotation
	ifaces []Interface
	told   []Stats // in the files before

	f     *os.File
	name  string
	w     *PcapngWriter
	start int64 // time of the first packet of the file (ns)
	any   bool  // the file has a packet
	whole int64 // size up to which it was handed over, in whole blocks
	count int
	kept  []string
}

// CreateFiles begins writing. With rotation, the names are those of dumpcap: x_00001_20261123080000.pcapng for x.pcapng.
func CreateFiles(path string, rot Rotation, ifaces []Interface) (*Files, error) {
	w := &Files{path: path, rot: rot, ifaces: ifaces, told: make([]Stats, len(ifaces))}
	if rot.rotates() {
		if st, err := os.Stat(filepath.Dir(path)); err != nil {
			return nil, err
		} else if !st.IsDir() {
			return nil, fmt.Errorf("%s is no folder", filepath.Dir(path))
		}
		return w, nil // the first file is named by its first packet
	}
	return w, w.open(path)
}

func (w *Files) open(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	w.f, w.name, w.any, w.whole = f, name, false, 0
	w.w = NewPcapngWriter(f)
	for _, i := range w.ifaces {
		w.w.AddInterface(i)
	}
	return nil
}

// Name is the file that is written, "" before the first packet of a ring.
func (w *Files) Name() string { return w.name }

// Write writes a packet, to a new file where it is time for one.
func (w *Files) Write(p Packet) error {
	if w.rot.rotates() && (w.w == nil || w.full(p.Time)) {
		if err := w.next(p.Time); err != nil {
			return err
		}
	}
	if !w.any || p.Time < w.start { // earlier than the first: the clock was set back
		w.any, w.start = true, p.Time
	}
	return w.intact(w.w.Write(p))
}

func (w *Files) full(now int64) bool {
	return w.rot.Size > 0 && w.w.Size() >= w.rot.Size || w.rot.Duration > 0 && w.any && now-w.start >= w.rot.Duration
}

// next begins the next file of a ring.
func (w *Files) next(now int64) error {
	if err := w.finish(); err != nil {
		return err
	}
	w.count++
	ext := filepath.Ext(w.path)
	stamp := time.Unix(0, now).UTC().Format("20060102150405")
	if err := w.open(fmt.Sprintf("%s_%05d_%s%s", strings.TrimSuffix(w.path, ext), w.count, stamp, ext)); err != nil {
		return err
	}
	w.kept = append(w.kept, w.name)
	for w.rot.Files > 0 && len(w.kept) > w.rot.Files {
		if err := os.Remove(w.kept[0]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		w.kept = w.kept[1:]
	}
	return nil
}

// Mark notes where the clock stood, as PcapngWriter.Mark does.
func (w *Files) Mark(time int64) error {
	if w.w == nil {
		return nil
	}
	return w.intact(w.w.Mark(time))
}

// intact cuts a file that could not be written on back to its last whole block.
func (w *Files) intact(err error) error {
	if err != nil {
		_ = w.f.Truncate(w.whole) // what is there of a block is no use
	}
	return err
}

// Flush hands over what is buffered, and reports a file that is not where it was any more.
func (w *Files) Flush() error {
	if w.w == nil {
		return nil
	}
	if err := w.intact(w.w.Flush()); err != nil {
		return err
	}
	w.whole = w.w.Size()
	there, err := os.Stat(w.name)
	if err != nil {
		return err
	}
	if mine, err := w.f.Stat(); err != nil || !os.SameFile(there, mine) {
		return fmt.Errorf("%s was replaced", w.name)
	}
	return nil
}

// finish ends the file that is written.
func (w *Files) finish() error {
	if w.w == nil {
		return nil
	}
	if w.Stats != nil {
		for id := range w.ifaces {
			now := w.Stats(id)
			w.w.SetInterfaceStats(id, now.since(w.told[id]))
			w.told[id] = now
		}
	}
	err := errors.Join(w.intact(w.w.Close()), w.f.Close())
	w.w, w.f = nil, nil
	return err
}

// Close ends the last file.
func (w *Files) Close() error { return w.finish() }
