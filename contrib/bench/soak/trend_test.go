package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The verdict is on what lasts: neither noise, nor tides, nor what was filled in the
// first half grows; a leak below the tides does.
func TestJudgeSeries(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 1))
	const n = 1440 // two hours, a sample each five seconds
	for _, c := range []struct {
		name  string
		n     int
		value func(i int) float64
		want  string
	}{
		{"constant", n, func(int) float64 { return 7 }, "flat"},
		{"nothing at all", n, func(int) float64 { return 0 }, "flat"},
		{"noise", n, func(int) float64 { return 100 + 10*noise.NormFloat64() }, "flat"},
		{"a tide a day", n, func(i int) float64 { return 100 + 50*math.Sin(float64(i)*2*math.Pi/12) }, "flat"},
		{"a collector's saw", n, func(i int) float64 { return 100 + float64(i%40) }, "flat"},
		{"filled in the first half", n, func(i int) float64 { return min(float64(i), 600) }, "flat"},
		{"falling", n, func(i int) float64 { return 10_000 - float64(i) }, "flat"},
		{"one step of noise in a hundred", n, func(i int) float64 { return 100 + 0.001*float64(i) }, "flat"},
		{"one peak", n, func(i int) float64 {
			if i > 1400 {
				return 1000
			}
			return 100
		}, "flat"},
		{"a leak", n, func(i int) float64 { return 100 + 0.05*float64(i) }, "grows"},
		{"a leak in noise", n, func(i int) float64 { return 100 + 0.03*float64(i) + 10*noise.NormFloat64() }, "grows"},
		{"a leak below tides", n, func(i int) float64 { return 100 + 0.03*float64(i) + 50*math.Sin(float64(i)*2*math.Pi/12) }, "grows"},
		{"in steps", n, func(i int) float64 { return 100 + 10*float64(i/100) }, "grows"},
		{"what could not be learned", n, func(i int) float64 {
			if i%3 == 0 {
				return math.NaN()
			}
			return 7
		}, "flat"},
		{"a few samples", 12, func(i int) float64 { return float64(i) }, "too short to tell"},
		{"one", 1, func(int) float64 { return 1 }, "too short to tell"},
		{"none", 0, nil, "too short to tell"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var at, values []float64
			for i := range c.n {
				at, values = append(at, 5*float64(i)), append(values, c.value(i))
			}
			if v := judgeSeries(at, values, 2); v.String() != c.want {
				t.Errorf("%s: %+v, want %s", v, v, c.want)
			}
		})
	}
}

// Against values computed by hand.
func TestMannKendall(t *testing.T) {
	for _, c := range []struct {
		name string
		y    []float64
		want float64
	}{
		{"ascending", []float64{1, 2, 3, 4, 5}, 9 / math.Sqrt(5*4*15/18.)},
		{"descending", []float64{5, 4, 3, 2, 1}, -9 / math.Sqrt(5*4*15/18.)},
		{"with ties", []float64{1, 1, 2, 2}, 3 / math.Sqrt((4*3*13-2*2*9)/18.)},
		{"all the same", []float64{3, 3, 3}, 0},
		{"as many up as down", []float64{1, 2, 2, 1}, 0},
	} {
		if got := mannKendall(c.y); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// One value far off moves the slope of the others hardly.
func TestTheilSen(t *testing.T) {
	x := []float64{0, 1, 2, 3, 4}
	if got := theilSen(x, []float64{1, 3, 5, 700, 9}); got != 2 {
		t.Errorf("%v", got)
	}
}
