package export

import (
	"bytes"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// padding is what tablewriter puts around a cell.
const padding = 2

// minFlex is the least width of the column that takes what is left, as long as another can be left out.
const minFlex = 24

// grid lays rows out in columns, each as wide as it is told, row by row. The cells of the last
// column are wrapped, all others cut where they are too long.
type grid struct {
	cols     []column
	shown    []int
	widths   []int
	markdown bool
	t        *tablewriter.Table
	err      error
	rows     int64
}

// newGrid starts a table for a terminal of so many columns.
func newGrid(w io.Writer, cols []column, width int, markdown bool) *grid {
	g := &grid{markdown: markdown}
	left := g.choose(cols, width)
	widths := tw.NewMapper[int, int]()
	for i, c := range g.cols {
		n := c.width
		if n == 0 {
			n = max(left, minFlex/2)
		}
		g.widths = append(g.widths, n)
		widths.Set(i, n+padding)
	}
	opts := append(gridOptions(g.cols, markdown), tablewriter.WithStreaming(tw.StreamConfig{Enable: true}), tablewriter.WithColumnWidths(widths))
	g.t = tablewriter.NewTable(&trimmer{w: w}, opts...)
	g.err = g.t.Start()
	titles := make([]any, len(g.cols))
	for i, c := range g.cols {
		titles[i] = c.title
	}
	g.t.Header(titles...)
	return g
}

// choose leaves out columns, those for the widest terminals first, until the last one has room, and returns
// how much that is.
func (g *grid) choose(cols []column, width int) (left int) {
	out := make([]bool, len(cols))
	for {
		left = width - padding
		drop, flex := -1, false
		for i, c := range cols {
			if out[i] {
				continue
			}
			flex = flex || c.width == 0
			if c.width > 0 {
				left -= c.width + padding
			}
			if c.from > 0 && (drop < 0 || c.from > cols[drop].from) {
				drop = i
			}
		}
		if g.markdown || drop < 0 || left >= minFlex || !flex && left+padding >= 0 {
			break
		}
		out[drop] = true
	}
	for i, c := range cols {
		if !out[i] {
			g.cols = append(g.cols, c)
			g.shown = append(g.shown, i)
		}
	}
	return left
}

// gridOptions pins down what else would depend on the environment.
func gridOptions(cols []column, markdown bool) []tablewriter.Option {
	aligns := make([]tw.Align, len(cols))
	for i, c := range cols {
		aligns[i] = tw.AlignLeft
		if c.right {
			aligns[i] = tw.AlignRight
		}
	}
	var r tw.Renderer = renderer.NewMarkdown()
	if !markdown {
		r = renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Symbols: tw.NewSymbols(tw.StyleLight),
			Settings: tw.Settings{
				Separators: tw.Separators{ShowHeader: tw.On, ShowFooter: tw.Off, BetweenRows: tw.Off, BetweenColumns: tw.Off},
				Lines:      tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: tw.On, ShowFooterLine: tw.Off},
			},
		})
	}
	return []tablewriter.Option{
		tablewriter.WithRenderer(r),
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithRowAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone), tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off), tablewriter.WithEastAsian(tw.Off),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: aligns}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: aligns}),
	}
}

// row writes one row; cells has one for each column, shown or not.
func (g *grid) row(cells []string) {
	out := make([]string, len(g.cols))
	for i, at := range g.shown {
		switch {
		case g.markdown:
			out[i] = markdownCell.Replace(cells[at])
		case i == len(g.cols)-1:
			out[i] = wrap(cells[at], g.widths[i])
		default:
			out[i] = fit(cells[at], g.widths[i])
		}
	}
	if err := g.t.Append(out); err != nil && g.err == nil {
		g.err = err
	}
	g.rows++
}

func (g *grid) close() error {
	if err := g.t.Close(); err != nil && g.err == nil {
		g.err = err
	}
	return g.err
}

// fit cuts a text to a width, with an ellipsis where it is cut.
func fit(s string, width int) string {
	if twwidth.Width(s) <= width {
		return s
	}
	return twwidth.Truncate(s, width, "…")
}

// wrap breaks a text into lines of at most a width: at spaces, or inside a word that is too long.
func wrap(s string, width int) string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		indent := ""
		if strings.HasPrefix(line, "→ ") {
			indent = "  "
		}
		out = append(out, wrapLine(line, width, indent)...)
	}
	return strings.Join(out, "\n")
}

// wrapLine wraps one line; those after the first start with the indent.
func wrapLine(line string, width int, indent string) (out []string) {
	cur := ""
	for _, word := range strings.Split(line, " ") {
		next := word
		if cur != "" {
			next = cur + " " + word
		}
		if twwidth.Width(next) <= width {
			cur = next
			continue
		}
		if strings.TrimSpace(cur) != "" {
			out = append(out, cur)
		}
		cur = word
		if len(out) > 0 {
			cur = indent + word
		}
		for twwidth.Width(cur) > width {
			part := prefix(cur, width)
			out = append(out, part)
			cur = indent + cur[len(part):]
		}
	}
	return append(out, cur)
}

// prefix returns the longest start of s that is at most so wide, at least one character.
func prefix(s string, width int) string {
	n := 0
	for i := range s {
		if i > 0 && twwidth.Width(s[:i]) > width {
			break
		}
		n = i
	}
	if n == 0 {
		return s
	}
	return s[:n]
}

// trimmer cuts blanks at the ends of lines.
type trimmer struct{ w io.Writer }

// Write implements io.Writer. It is called with whole lines.
func (t *trimmer) Write(b []byte) (int, error) {
	lines := bytes.SplitAfter(b, []byte("\n"))
	for _, l := range lines {
		end := bytes.HasSuffix(l, []byte("\n"))
		l = bytes.TrimRight(l, " \n")
		if end {
			l = append(l[:len(l):len(l)], '\n')
		}
		if _, err := t.w.Write(l); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
