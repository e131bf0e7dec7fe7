package popularity

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is explained adds up to what is ranked, open and closed.
func TestExplanationsAddUp(t *testing.T) {
	dir := t.TempDir()
	o := options()
	clock := now
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	writeFile(t, dir+"/log", write(traffic(21, 3000), "imserve"))
	ingest1(t, s, dir+"/log")
	check := func(when string, files bool) {
		t.Helper()
		all := ranks(t, s)
		explained := 0
		for _, r := range all[:20] {
			list, err := s.Explain(t.Context(), halfLife, r.Name)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				if x.Root != r.Root {
					continue
				}
				explained++
				if diff := cmp.Diff(r, x.Rank); diff != "" {
					t.Errorf("%s: %s", when, diff)
				}
				sum, clients, requests, fileRequests := 0.0, 0, 0, 0
				for i, d := range x.Days {
					sum, clients, requests = sum+d.Score, clients+d.Clients, requests+d.Requests
					if i > 0 && !d.Day.Before(x.Days[i-1].Day) {
						t.Errorf("%s: %v is not before %v", when, d.Day, x.Days[i-1].Day)
					}
				}
				for _, f := range x.Files {
					fileRequests += f.Requests
					if !strings.HasPrefix(f.Path, r.Root+"/") {
						t.Errorf("%s is not below %s", f.Path, r.Root)
					}
				}
				if math.Abs(sum-r.Score) > 1e-9 || clients != r.ClientDays || requests != r.Requests || files && fileRequests != requests {
					t.Errorf("%s: %+v is explained with %v, %d, %d, %d", when, r, sum, clients, requests, fileRequests)
				}
			}
		}
		if explained != 20 {
			t.Errorf("%s: %d of 20 are explained", when, explained)
		}
	}
	check("open", true)
	clock = clock.AddDate(0, 0, 20)
	ingest1(t, s, dir+"/log")
	check("closed", false)
}

// An explanation says what a scanner and the cap took away.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	o := options()
	o.ClientCap = 10
	s := openStore(t, dir, o)
	var b strings.Builder
	for i := range 20 {
		b.WriteString(answer("10.0.0.1", i, aPackage(i), 200))
	}
	for i := range 50 {
		b.WriteString(answer("10.0.0.2", i, fmt.Sprintf("/%d", i), 404))
	}
	b.WriteString(answer("10.0.0.2", 60, aPackage(0), 200) + answer("10.0.0.3", 70, aPackage(0), 200) +
		answer("10.0.0.3", 80, "/fedora/p/pkg0-2-1.x86_64.rpm", 200))
	writeFile(t, dir+"/log", b.String())
	ingest1(t, s, dir+"/log")
	day := now.Truncate(24 * time.Hour)
	want := []Explanation{{
		Rank: Rank{1, "pkg0", "x86_64", "fedora/p", 1.5, 2, 2, 3, 300, day.Add(80 * time.Second)},
		Days: []DayShare{{Day: day, Clients: 2, Requests: 3, Bytes: 300, Worth: 1, Score: 1.5, Capped: 1, Scanners: 1}},
		Files: []FileShare{
			{"fedora/p/pkg0-1-1.x86_64.rpm", 2, day.Add(70 * time.Second)},
			{"fedora/p/pkg0-2-1.x86_64.rpm", 1, day.Add(80 * time.Second)},
		},
	}}
	for _, name := range []string{"pkg0", "pkg0.x86_64"} {
		got, err := s.Explain(t.Context(), halfLife, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, name := range []string{"nobody", "pkg0.noarch", ""} {
		if got, err := s.Explain(t.Context(), halfLife, name); err != nil || len(got) != 0 || got == nil {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
}
