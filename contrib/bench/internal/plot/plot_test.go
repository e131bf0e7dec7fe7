package plot

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func number(v float64) string { return fmt.Sprintf("%g", v) }

// A picture is well-formed, whatever the texts are, and leaves out what is no point.
func TestSVG(t *testing.T) {
	svg := string(SVG("a < b", 2, []Panel{
		{Title: "linear & plain", Note: "grows", Alarm: true, Lines: []Line{{X: []float64{0, 1, 2}, Y: []float64{10, math.NaN(), 20}}}, X: number, Y: number},
		{Title: "logarithmic", Lines: []Line{{Name: "one", X: []float64{0, 1, 100}, Y: []float64{5, 1, 100}}}, LogX: true, LogY: true, X: number, Y: number},
		{Title: "nothing", X: number, Y: number},
	}))
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for _, want := range []string{"a &lt; b", "linear &amp; plain", `fill="#c00000">grows`, `points="62.0,142.9 306.0,85.7"`, `points="382.0,200.0 626.0,80.0"`, ">one<"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is not in\n%s", want, svg)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name        string
		log         bool
		least, most float64
		want        []float64
	}{
		{"round steps", false, 0, 10, []float64{0, 2, 4, 6, 8, 10}},
		{"small", false, 0, 0.35, []float64{0, 0.1, 0.2, 0.3}},
		{"one value", false, 7, 7, []float64{7}},
		{"powers of ten", true, 1, 1000, []float64{1, 10, 100, 1000}},
		{"less than a power, widened", true, 20, 70, []float64{10, 100}},
		{"a power alone", true, 10, 10, []float64{10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scale{log: c.log, least: c.least, most: c.most, used: true}
			s.widen()
			same := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
			if got := s.ticks(); !slices.EqualFunc(got, c.want, same) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
