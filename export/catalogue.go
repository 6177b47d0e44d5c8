package export

import (
	"fmt"
	"io"

	"github.com/nubishark/nubishark/protocol"
)

// WriteCatalogue writes the catalogue of violations as a table.
func WriteCatalogue(w io.Writer, width int) error {
	if width <= 0 {
		width = DefaultWidth
	}
	g := newGrid(w, []column{{title: "ID", width: 22}, {title: "Severity", width: 8}, {title: "Whose", width: 9}, {title: "Raised when"}}, width, false)
	for _, r := range protocol.Rules {
		g.row([]string{r.ID, r.Severity.String(), r.Blame.String(), r.Explain})
	}
	return g.close()
}

// WriteRule writes one rule of the catalogue in full.
func WriteRule(w io.Writer, r *protocol.Rule, width int) error {
	if width <= 0 {
		width = DefaultWidth
	}
	text := fmt.Sprintf("%s (%s, %s)\n\n%s\n\nRule:    %s\nExample: %s\nTo do:   %s", r.ID, r.Severity, r.Blame, r.Explain, r.Clause, r.Example, r.Hint)
	if list := r.Explains().List(); len(list) > 0 {
		text += "\nCapture: may explain it by"
		for i, a := range list {
			if i > 0 {
				text += ";"
			}
			text += fmt.Sprintf(" %s (%s)", a, a.Phrase())
		}
	}
	_, err := fmt.Fprintln(w, wrap(text, width))
	return err
}
