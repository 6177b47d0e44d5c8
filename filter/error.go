package filter

import (
	"fmt"
	"unicode/utf8"
)

// Error is a mistake in an expression.
type Error struct {
	// At and Len are where it stands, in bytes; Column is the place as people count, in characters from 1.
	At, Len, Column int
	Text            string
}

func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Text) }

func fault(at, n int, format string, args ...any) error {
	return &Error{At: at, Len: n, Text: fmt.Sprintf(format, args...)}
}

func (t token) fault(format string, args ...any) error {
	return fault(t.at, t.end-t.at, format, args...)
}

// place counts the column of a mistake.
func (e *Error) place(in string) {
	e.At = min(max(e.At, 0), len(in))
	e.Column = 1 + utf8.RuneCountInString(in[:e.At])
}

// nearest returns the name that is most like another.
func nearest(name string, list []Field) string {
	best, least := "", -1
	for i := range list {
		if d := distance(name, list[i].Name); least < 0 || d < least {
			best, least = list[i].Name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with the next (Damerau, restricted).
func distance(a, b string) int {
	if len(a) > 256 {
		a = a[:256]
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, older
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
