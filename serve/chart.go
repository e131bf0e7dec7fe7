package serve

import (
	"fmt"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// chart is the accounting of 30 days as the status page draws it, in a drawing that
// is chartWidth wide, chartHeight high, and stretched to the place that it has.
type chart struct {
	Bars     []bar    // bytes, a day each
	Hits     []string // the share of answers without a download: lines, a run of days with requests each
	Bytes    []string // the share of the bytes
	First    string   // the dates at the ends
	Last     string
	Most     int64 // bytes of the highest bar
	Day      []chartDay
	Together string // all of it in a sentence, for who does not see it
}

// bar is a day's bytes: From came from the store, and Rest was downloaded for it.
type bar struct{ X, Width, Top, From, Rest float64 }

// Base is where the part from the store begins, below that which was downloaded.
func (b bar) Base() float64 { return b.Top + b.Rest }

// chartDay is a day in the table beside the drawing.
type chartDay struct {
	cache.Day
	HitShare, ByteShare string
}

const (
	chartWidth  = 600.0
	chartHeight = 100.0
)

// draw is the chart of n days that end with the day of now.
func draw(days []cache.Day, now time.Time, n int) chart {
	known := map[string]cache.Day{}
	c := chart{}
	var sum cache.Totals
	for _, d := range days {
		known[d.Date] = d
		c.Most = max(c.Most, d.Served)
		sum.Requests, sum.Hits = sum.Requests+d.Requests, sum.Hits+d.Hits
		sum.Served, sum.Upstream = sum.Served+d.Served, sum.Upstream+d.Upstream
		c.Day = append(c.Day, chartDay{d, shareText(d.Hits, d.Requests), shareText(fromStore(d.Totals), d.Served)})
	}
	step := chartWidth / float64(n)
	var hits, bytes curve
	for i := range n {
		date := now.UTC().AddDate(0, 0, i-n+1).Format(time.DateOnly)
		if i == 0 {
			c.First = date
		}
		c.Last = date
		d, ok := known[date]
		if !ok || d.Requests == 0 {
			hits.end()
			bytes.end()
			continue
		}
		x := step * (float64(i) + 0.5)
		hits.to(x, float64(d.Hits)/float64(d.Requests))
		if d.Served > 0 {
			bytes.to(x, float64(fromStore(d.Totals))/float64(d.Served))
			all, from := chartHeight*float64(d.Served)/float64(c.Most), chartHeight*float64(fromStore(d.Totals))/float64(c.Most)
			c.Bars = append(c.Bars, bar{X: x - step*0.4, Width: step * 0.8, Top: chartHeight - all, From: from, Rest: all - from})
		}
	}
	c.Hits, c.Bytes = hits.done(), bytes.done()
	c.Together = fmt.Sprintf("In 30 days %s of %s answers needed no download, and %s of the bytes came from the store.",
		shareText(sum.Hits, sum.Requests), countText(sum.Requests), shareText(fromStore(sum), sum.Served))
	return c
}

// fromStore is the bytes that were sent and not downloaded for it. What a download
// brought beyond what clients took of it makes that less than nothing at times.
func fromStore(t cache.Totals) int64 { return max(t.Served-t.Upstream, 0) }

// curve is a drawing of shares from 0 to 1, of several pieces.
type curve struct {
	pieces []string
	points []string
}

func (l *curve) to(x, share float64) {
	l.points = append(l.points, fmt.Sprintf("%.1f,%.1f", x, chartHeight*(1-min(max(share, 0), 1))))
}

// end ends a piece. One of a single point gets a little length, so that it shows.
func (l *curve) end() {
	if len(l.points) == 1 {
		var x, y float64
		if _, err := fmt.Sscanf(l.points[0], "%f,%f", &x, &y); err == nil {
			l.points = append(l.points, fmt.Sprintf("%.1f,%.1f", x+4, y))
		}
	}
	if len(l.points) > 0 {
		l.pieces = append(l.pieces, strings.Join(l.points, " "))
	}
	l.points = nil
}

func (l *curve) done() []string {
	l.end()
	return l.pieces
}
