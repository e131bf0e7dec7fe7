// Package plot draws the benchmarks' pictures: panels of lines side by side, as SVG,
// with axes that are linear or logarithmic.
package plot

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
)

// Line is points that belong together, in the order in which they are joined. A point
// that is no number is left out; on a logarithmic axis so is one that is not positive.
type Line struct {
	Name string // "" is not named in the picture
	X, Y []float64
}

// Panel is one diagram. The vertical axis of a linear one begins at 0.
type Panel struct {
	Title, Note string // the note stands behind the title
	Alarm       bool   // the note is to be seen
	Lines       []Line
	LogX, LogY  bool
	X, Y        func(float64) string // how a value is written on the axes
}

// The measures of a panel, in SVG's units.
const (
	panelWidth, panelHeight = 320, 190
	left, right, top, low   = 62, 14, 40, 30
	titleHeight             = 40
)

// colours are told apart by who sees few of them, and in grey.
var colours = [...]string{"#0060a8", "#e08000", "#8a8a8a", "#30a060", "#a03080"}

const alarm = "#c00000"

// SVG is the panels in rows of so many, below a title.
func SVG(title string, columns int, panels []Panel) []byte {
	rows := (len(panels) + columns - 1) / columns
	width, height := columns*panelWidth, titleHeight+rows*panelHeight
	d := &drawing{}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="11">`+"\n", width, height)
	fmt.Fprintf(d, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(d, `<text x="12" y="26" font-size="15">%s</text>`+"\n", html.EscapeString(title))
	for i, p := range panels {
		d.panel(p, float64(i%columns*panelWidth), float64(titleHeight+i/columns*panelHeight))
	}
	d.WriteString("</svg>\n")
	return d.Bytes()
}

// drawing is a picture under way.
type drawing struct{ bytes.Buffer }

func (d *drawing) text(x, y float64, anchor, colour, s string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, colour, html.EscapeString(s))
}

// panel draws one whose upper left corner is there.
func (d *drawing) panel(p Panel, x0, y0 float64) {
	x := scale{log: p.LogX, from: x0 + left, to: x0 + panelWidth - right}
	y := scale{log: p.LogY, from: y0 + panelHeight - low, to: y0 + top}
	for _, l := range p.Lines {
		for i := range l.X {
			if x.takes(l.X[i]) && y.takes(l.Y[i]) {
				x.cover(l.X[i])
				y.cover(l.Y[i])
			}
		}
	}
	if !p.LogY {
		y.cover(0)
		y.most *= 1.05
	}
	x.widen()
	y.widen()
	d.text(x0+left, y0+14, "start", "#000", p.Title)
	note := "#555"
	if p.Alarm {
		note = alarm
	}
	d.text(x0+left, y0+28, "start", note, p.Note)
	for _, v := range y.ticks() {
		at := y.at(v)
		fmt.Fprintf(d, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", x.from, x.to, at, at)
		d.text(x.from-5, at+4, "end", "#555", p.Y(v))
	}
	for _, v := range x.ticks() {
		anchor := "middle"
		if x.at(v) > x.to-20 {
			anchor = "end" // it would stand out of the panel
		}
		d.text(x.at(v), y.from+14, anchor, "#555", p.X(v))
	}
	for i, l := range p.Lines {
		d.line(l, x, y, colours[i%len(colours)], i)
	}
}

// line draws the i-th line of a panel, and its name.
func (d *drawing) line(l Line, x, y scale, colour string, i int) {
	var points []string
	for i := range l.X {
		if x.takes(l.X[i]) && y.takes(l.Y[i]) {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(l.X[i]), y.at(l.Y[i])))
		}
	}
	fmt.Fprintf(d, `<polyline fill="none" stroke="%s" stroke-width="1.2" points="%s"/>`+"\n", colour, strings.Join(points, " "))
	if x.log {
		for _, p := range points {
			px, py, _ := strings.Cut(p, ",")
			fmt.Fprintf(d, `<circle cx="%s" cy="%s" r="2.5" fill="%s"/>`+"\n", px, py, colour)
		}
	}
	if l.Name != "" {
		d.text(x.from+6, y.to+10+13*float64(i), "start", colour, l.Name)
	}
}

// scale is an axis: which values are where.
type scale struct {
	log         bool
	from, to    float64 // where it begins and ends in the picture
	least, most float64
	used        bool
}

// takes reports whether a value can be on the axis.
func (s *scale) takes(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!s.log || v > 0)
}

// cover makes the axis reach a value.
func (s *scale) cover(v float64) {
	if !s.used {
		s.least, s.most, s.used = v, v, true
	}
	s.least, s.most = min(s.least, v), max(s.most, v)
}

// widen makes a logarithmic axis begin and end at powers of ten: what is nearly flat
// looks so.
func (s *scale) widen() {
	if s.log && s.used {
		s.least = math.Pow(10, math.Floor(math.Log10(s.least)+1e-9))
		s.most = math.Pow(10, math.Ceil(math.Log10(s.most)-1e-9))
	}
}

// at is where a value is. An axis with one value alone has it at its beginning.
func (s *scale) at(v float64) float64 {
	least, most := s.least, s.most
	if s.log {
		v, least, most = math.Log(v), math.Log(least), math.Log(most)
	}
	if most == least {
		return s.from
	}
	return s.from + (v-least)/(most-least)*(s.to-s.from)
}

// ticks are the values that are written at the axis: round ones, powers of ten on a
// logarithmic axis.
func (s *scale) ticks() []float64 {
	if !s.used {
		return nil
	}
	var all []float64
	if s.log {
		for v := math.Pow(10, math.Ceil(math.Log10(s.least)-1e-9)); v <= s.most*(1+1e-9); v *= 10 {
			all = append(all, v)
		}
		return all
	}
	if s.most == s.least {
		return []float64{s.least}
	}
	step := math.Pow(10, math.Floor(math.Log10((s.most-s.least)/3)))
	for _, n := range []float64{5, 2} {
		if (s.most-s.least)/(n*step) >= 3 {
			step *= n
			break
		}
	}
	for i := math.Ceil(s.least / step); i*step <= s.most; i++ {
		all = append(all, i*step)
	}
	return all
}
