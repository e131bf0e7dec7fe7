package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
	"intelligentmirror/contrib/bench/internal/plot"
)

// A series is judged by the second half of the run: it is cut into bins of equal time,
// several days of the site each, whose medians are compared, so that neither the tides
// of a day nor the collector's saw count. It grows where both are true: Mann and
// Kendall's test (Mann 1945, Kendall 1975) finds an upward trend that chance makes once
// in a hundred, and Theil and Sen's slope (Theil 1950, Sen 1968) amounts, over that half,
// to more than a share of the level. Neither asks how the values are distributed.
const (
	bins         = 20
	fewestBins   = 8 // below, no order of the medians would be rare enough to tell
	significance = 2.326
	worthNaming  = 0.05
)

// verdict is what is said of a series.
type verdict struct {
	level float64 // the median of the second half
	rise  float64 // what Theil and Sen's slope adds in that half
	z     float64 // Mann and Kendall's statistic, as a standard normal deviate
	known bool    // there was enough to tell
	grows bool
}

func (v verdict) String() string {
	switch {
	case !v.known:
		return "too short to tell"
	case v.grows:
		return "grows"
	}
	return "flat"
}

// judgeSeries is the verdict on values noted at these times, in ascending order; least
// is a rise that is never worth naming.
func judgeSeries(at, values []float64, least float64) verdict {
	if len(at) < 2 {
		return verdict{}
	}
	half := at[0] + (at[len(at)-1]-at[0])/2
	width := (at[len(at)-1] - half) / bins
	in := make([][]float64, bins)
	var second []float64
	for i, t := range at {
		if t < half || math.IsNaN(values[i]) {
			continue
		}
		second = append(second, values[i])
		in[min(bins-1, int((t-half)/width))] = append(in[min(bins-1, int((t-half)/width))], values[i])
	}
	v := verdict{level: peer.Median(second)}
	var x, y []float64
	for i, b := range in {
		if len(b) > 0 {
			x, y = append(x, float64(i)), append(y, peer.Median(b))
		}
	}
	if len(x) < fewestBins {
		return v
	}
	v.known = true
	v.z = mannKendall(y)
	v.rise = theilSen(x, y) * bins
	v.grows = v.z > significance && v.rise > max(least, worthNaming*v.level)
	return v
}

// theilSen is the median of the slopes between all pairs of points.
func theilSen(x, y []float64) float64 {
	var slopes []float64
	for i := range x {
		for j := i + 1; j < len(x); j++ {
			slopes = append(slopes, (y[j]-y[i])/(x[j]-x[i]))
		}
	}
	return peer.Median(slopes)
}

// mannKendall is the test's statistic with the corrections for ties and continuity.
func mannKendall(y []float64) float64 {
	n := float64(len(y))
	var s float64
	ties := map[float64]float64{}
	for i := range y {
		ties[y[i]]++
		for j := i + 1; j < len(y); j++ {
			s += float64(cmp.Compare(y[j], y[i]))
		}
	}
	variance := n * (n - 1) * (2*n + 5)
	for _, t := range ties {
		variance -= t * (t - 1) * (2*t + 5)
	}
	if s == 0 || variance == 0 {
		return 0
	}
	return (s - math.Copysign(1, s)) / math.Sqrt(variance/18)
}

// judge is the verdict on each series of the table.
func (t *table) judge() []verdict {
	all := make([]verdict, len(figures))
	for i, f := range figures {
		at, values := t.column(i)
		all[i] = judgeSeries(at, values, f.least)
	}
	return all
}

// report prints the verdicts. Its error names the series that grow.
func report(w io.Writer, t *table, verdicts []verdict) error {
	lines := peer.NewTable("FIGURE", "UNIT", "LEVEL", "RISE", "Z", "VERDICT")
	var growing []string
	for i, f := range figures {
		v := verdicts[i]
		if v.grows {
			growing = append(growing, f.name)
		}
		lines.Row(f.name, f.unit, f.show(v.level), f.show(v.rise), fmt.Sprintf("%.1f", v.z), v)
	}
	if err := lines.Print(w); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, `
LEVEL  the median of the second half of %v
RISE   what the trend adds in that half: Theil and Sen's slope over the medians of %d bins
Z      Mann and Kendall's statistic of these medians; above %.2f a rise is no chance
`, t.lasted().Round(time.Second), bins, significance); err != nil {
		return err
	}
	if len(growing) > 0 {
		return fmt.Errorf("still growing: %s", strings.Join(growing, ", "))
	}
	return nil
}

// picture draws all series.
func picture(t *table, verdicts []verdict) []byte {
	minutes := func(v float64) string { return fmt.Sprintf("%.3g", v) }
	var panels []plot.Panel
	for i, f := range figures {
		at, values := t.column(i)
		at = slices.Clone(at)
		for k := range at {
			at[k] /= time.Minute.Seconds() // round numbers of these stand at the axis
		}
		panels = append(panels, plot.Panel{
			Title: f.name, Note: strings.TrimSpace(f.unit + "  " + verdicts[i].String()), Alarm: verdicts[i].grows,
			Lines: []plot.Line{{X: at, Y: values}}, X: minutes, Y: f.show,
		})
	}
	return plot.SVG(fmt.Sprintf("A site in fast motion for %v, by the minute", t.lasted().Round(time.Second)), 3, slices.Clip(panels))
}
