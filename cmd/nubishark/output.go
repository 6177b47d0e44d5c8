package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// output is where records go: standard output, or a file that appears under its name when it
// is complete.
type output struct {
	io.Writer
	file *os.File
	temp string // what is renamed, "" where the file is written in place
	path string
}

// openOutput opens a file to be written, which must be none of the inputs. A device or a pipe is written
// as it is, behind a link the file that it leads to.
func openOutput(path string, std io.Writer, inputs ...string) (*output, error) {
	if path == "" || path == "-" {
		return &output{Writer: std}, nil
	}
	old, err := os.Stat(path)
	switch {
	case err == nil && !old.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, failed(statusInput, "cannot write %s: %w", path, pathCause(err))
		}
		return &output{Writer: f, file: f, path: path}, nil
	case err == nil:
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, failed(statusInput, "cannot write: %w", err)
		}
		for _, in := range inputs {
			if st, err := os.Stat(in); err == nil && os.SameFile(st, old) {
				return nil, failed(statusUsage, "%s is read: it cannot be written, too", in)
			}
		}
	}
	o := &output{path: path, temp: filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))}
	o.file, err = os.OpenFile(o.temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, failed(statusInput, "cannot write %s: %w", path, pathCause(err))
	}
	o.Writer = o.file
	if old != nil {
		_ = o.file.Chmod(old.Mode().Perm())
	}
	return o, nil
}

// commit gives the file its name.
func (o *output) commit() error {
	if o.file == nil {
		return nil
	}
	f := o.file
	o.file = nil
	err := f.Close()
	if err == nil && o.temp != "" {
		err = os.Rename(o.temp, o.path)
	}
	if err != nil {
		if o.temp != "" {
			_ = os.Remove(o.temp)
		}
		return failed(statusInput, "cannot write %s: %w", o.path, pathCause(err))
	}
	return nil
}

// abort removes what was not committed.
func (o *output) abort() {
	if o.file == nil {
		return
	}
	_ = o.file.Close()
	if o.temp != "" {
		_ = os.Remove(o.temp)
	}
	o.file = nil
}

// sameTwice returns an input that is named twice.
func sameTwice(files []string) (string, bool) {
	var seen []fs.FileInfo
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			continue
		}
		for _, o := range seen {
			if os.SameFile(o, st) {
				return f, true
			}
		}
		seen = append(seen, st)
	}
	return "", false
}

// pathCause leaves the path out of an error that names it already.
func pathCause(err error) error {
	var path *os.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// terminal is what is known of where the output goes.
type terminal struct {
	width           int // 0 where it is none
	color, progress bool
}

// terminal looks at where the output goes.
func (a *analysis) terminal(cmd *cobra.Command) (t terminal, err error) {
	out, isOut := asTerminal(cmd.OutOrStdout())
	if isOut && a.output == "" {
		if w, _, err := term.GetSize(out); err == nil {
			t.width = w
		}
		t.color = os.Getenv("NO_COLOR") == ""
	}
	switch a.color {
	case "auto":
	case "always":
		t.color = true
	case "never":
		t.color = false
	default:
		return t, badValue("color", a.color, "auto, always or never")
	}
	// A bar between the lines of a list would be in the way.
	late := a.format == "table" && (a.view == "" || a.view == "summary" || a.view == "all")
	_, isErr := asTerminal(cmd.ErrOrStderr())
	t.progress = isErr && (late || !isOut || a.output != "")
	return t, nil
}

// asTerminal returns the descriptor of a terminal.
func asTerminal(w any) (fd int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}
