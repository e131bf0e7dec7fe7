package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"

	imsync "intelligentmirror/sync"
)

// The picture's measures, in SVG's units.
const (
	plotWidth, plotHeight = 960, 560
	plotLeft, plotRight   = 90, 20
	upperTop, lowerTop    = 70, 340
	panelHeight           = 180
)

// Colours that are told apart by who sees few of them, and in grey.
const (
	withColour, withoutColour, wastedColour = "#0060a8", "#8a8a8a", "#e08000"
)

// drawReplay draws a result by day, as SVG: above the hit ratio with and without
// prefetching, below the bytes that were prefetched, used and wasted.
func drawReplay(r *replayResult) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="13">`+"\n",
		plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
	}
	text(plotLeft, 24, "start", fmt.Sprintf("imsync replay: %d days, a budget of %s for a night", r.Days, r.Budget))
	if r.Flatters != "" {
		text(plotLeft, 42, "start", "When versions were published is not known: this flatters.")
	}
	p := &plot{b: &b, days: r.ByDay, text: text}
	p.ratios()
	p.bytes()
	p.dates()
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// plot is a picture under way.
type plot struct {
	b    *bytes.Buffer
	days []imsync.DayCounts
	text func(x, y float64, anchor, s string)
}

// x is the middle of a day.
func (p *plot) x(day int) float64 { return plotLeft + (float64(day)+0.5)*p.step() }

// step is how wide a day is.
func (p *plot) step() float64 {
	return float64(plotWidth-plotLeft-plotRight) / float64(max(1, len(p.days)))
}

// axis draws the lines at 0, half and all of a panel, and what they stand for.
func (p *plot) axis(top float64, title string, label func(share float64) string) {
	p.text(plotLeft, top-8, "start", title)
	for _, share := range [...]float64{0, 0.5, 1} {
		y := top + panelHeight*(1-share)
		fmt.Fprintf(p.b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, plotWidth-plotRight, y, y)
		p.text(plotLeft-8, y+4, "end", label(share))
	}
}

// legend names the colours of a panel, at its right.
func (p *plot) legend(top float64, entries ...[2]string) {
	x := float64(plotWidth - plotRight)
	for i := len(entries) - 1; i >= 0; i-- {
		x -= 7.5 * float64(len(entries[i][1])) // about as wide as the text
		p.text(x, top-8, "start", entries[i][1])
		x -= 18
		fmt.Fprintf(p.b, `<rect x="%.1f" y="%.1f" width="12" height="12" fill="%s"/>`+"\n", x, top-18, entries[i][0])
		x -= 18
	}
}

// ratios draws the hit ratios of the days. A day without a request has none.
func (p *plot) ratios() {
	p.axis(upperTop, "hit ratio", func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) })
	p.legend(upperTop, [2]string{withoutColour, "without"}, [2]string{withColour, "with prefetching"})
	for _, line := range [...]struct {
		colour string
		with   bool
	}{{withoutColour, false}, {withColour, true}} {
		var points []string
		flush := func() {
			if len(points) == 1 {
				x, y, _ := strings.Cut(points[0], ",")
				fmt.Fprintf(p.b, `<circle cx="%s" cy="%s" r="2" fill="%s"/>`+"\n", x, y, line.colour)
			} else if len(points) > 1 {
				fmt.Fprintf(p.b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`+"\n", line.colour, strings.Join(points, " "))
			}
			points = nil
		}
		for i := range p.days {
			c := &p.days[i].Counts
			if c.Requests == 0 {
				flush()
				continue
			}
			n, _ := hits(c, line.with)
			points = append(points, fmt.Sprintf("%.1f,%.1f", p.x(i), upperTop+panelHeight*(1-float64(n)/float64(c.Requests))))
		}
		flush()
	}
}

// bytes draws what was prefetched on each day, what of it was used below what was
// wasted.
func (p *plot) bytes() {
	most := int64(1)
	for i := range p.days {
		most = max(most, p.days[i].PrefetchedBytes)
	}
	p.axis(lowerTop, "prefetched", func(share float64) string { return size(int64(math.Round(share * float64(most)))) })
	p.legend(lowerTop, [2]string{withColour, "used"}, [2]string{wastedColour, "wasted"})
	width := max(0.5, 0.8*p.step())
	for i := range p.days {
		y := float64(lowerTop + panelHeight)
		for _, part := range [...]struct {
			colour string
			bytes  int64
		}{{withColour, p.days[i].UsedBytes}, {wastedColour, p.days[i].WastedBytes}} {
			if part.bytes <= 0 {
				continue
			}
			height := panelHeight * float64(part.bytes) / float64(most)
			y -= height
			fmt.Fprintf(p.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", p.x(i)-width/2, y, width, height, part.colour)
		}
	}
}

// dates names some days below the panels.
func (p *plot) dates() {
	every := max(1, (len(p.days)+7)/8)
	for i := 0; i < len(p.days); i += every {
		p.text(p.x(i), lowerTop+panelHeight+20, "middle", p.days[i].Date)
	}
}
