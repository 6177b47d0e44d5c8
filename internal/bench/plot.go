package main

import (
	"fmt"
	"math"
	"os"
	"strings"
)

// point is a measured time.
type point struct{ packets, seconds float64 }

// series is a line of a plot.
type series struct {
	name, color string
	points      []point
}

const (
	plotWidth, plotHeight  = 640, 400
	left, right, top, foot = 70, 150, 20, 50
)

// plot writes times over packets, both axes logarithmic, as SVG: what grows with the packets is a slope of one.
func plot(path string, list []series) error {
	x := axis{1e5, 1e7, left, plotWidth - right}
	y := axis{0.01, 10, plotHeight - foot, top}
	for _, s := range list {
		for _, p := range s.points {
			x.hi, y.hi, y.lo = max(x.hi, p.packets), max(y.hi, p.seconds), min(y.lo, p.seconds)
		}
	}
	y.lo, y.hi = math.Pow(10, math.Floor(math.Log10(y.lo))), math.Pow(10, math.Ceil(math.Log10(y.hi)))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	for v := x.lo; v <= x.hi*1.01; v *= 10 {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%.0e</text>`+"\n",
			x.at(v), top, x.at(v), plotHeight-foot, x.at(v), plotHeight-foot+18, v)
	}
	for v := y.lo; v <= y.hi*1.01; v *= 10 {
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g s</text>`+"\n",
			left, y.at(v), plotWidth-right, y.at(v), left-8, y.at(v)+4, v)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">packets</text>`+"\n", (left+plotWidth-right)/2, plotHeight-10)
	for i, s := range list {
		var line []string
		for _, p := range s.points {
			line = append(line, fmt.Sprintf("%.1f,%.1f", x.at(p.packets), y.at(p.seconds)))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.at(p.packets), y.at(p.seconds), s.color)
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.Join(line, " "), s.color)
		at := top + 20 + 20*i
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"/><text x="%d" y="%d">%s</text>`+"\n",
			plotWidth-right+10, at-4, plotWidth-right+30, at-4, s.color, plotWidth-right+36, at, s.name)
	}
	b.WriteString("</svg>\n")
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// axis is logarithmic.
type axis struct{ lo, hi, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*(math.Log10(v)-math.Log10(a.lo))/(math.Log10(a.hi)-math.Log10(a.lo))
}
