package main

import (
	"errors"
	"io"
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
	path string
}

func openOutput(path string, std io.Writer) (*output, error) {
	if path == "" || path == "-" {
		return &output{Writer: std}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, failed(statusInput, "cannot write %s: %w", path, pathCause(err))
	}
	return &output{Writer: f, file: f, path: path}, nil
}

// commit gives the file its name.
func (o *output) commit() error {
	if o.file == nil {
		return nil
	}
	f := o.file
	o.file = nil
	err := f.Chmod(0o644)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), o.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return failed(statusInput, "cannot write %s: %w", o.path, pathCause(err))
	}
	return nil
}

// abort removes what was not committed.
func (o *output) abort() {
	if o.file != nil {
		_ = o.file.Close()
		_ = os.Remove(o.file.Name())
		o.file = nil
	}
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
