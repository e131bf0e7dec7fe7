package popularity

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRootOf(t *testing.T) {
	roots := map[string]bool{"fedora/updates/41/x86_64": true, "fedora/updates/41/x86_64/debug": true, "whole": true}
	for dir, want := range map[string]string{
		"fedora/updates/41/x86_64/Packages/v":       "fedora/updates/41/x86_64",
		"fedora/updates/41/x86_64":                  "fedora/updates/41/x86_64",
		"fedora/updates/41/x86_64/debug/Packages/v": "fedora/updates/41/x86_64/debug",
		"fedora/updates/41/x86_64x/Packages/v":      "fedora/updates/41/x86_64x",
		"fedora/Packages/40/Packages/v":             "fedora/Packages/40",
		"whole/Packages/v":                          "whole",
		"other/Packages":                            "other",
		"debian/pool/main/v/vlc":                    "debian",
		"opensuse/oss/x86_64":                       "opensuse/oss/x86_64",
		"Packages":                                  "Packages",
	} {
		if got := RootOf(dir, roots); got != want {
			t.Errorf("%s: got %s, want %s", dir, got, want)
		}
	}
}

// line is a line of imserve's own log.
func line(client string, at time.Time, path string) string {
	return write([]hit{{client: client, at: at, repo: "fedora", rest: path, status: 200, bytes: 100}}, "imserve")
}

const updates = "updates/41/Everything/x86_64"

func TestRank(t *testing.T) {
	day := 24 * time.Hour
	kernel := func(version string) string { return updates + "/Packages/k/kernel-" + version + "-1.fc41.x86_64.rpm" }
	vlc := updates + "/Packages/v/vlc-3-1.fc41.x86_64.rpm"
	for _, c := range []struct {
		name string
		log  string
		want []Rank
	}{
		{"nothing", "", []Rank{}},
		{"a half-life",
			line("a", now, vlc) + line("a", now.Add(-60*day), vlc) + line("a", now.Add(-120*day), vlc),
			[]Rank{{1, "vlc", "x86_64", "fedora/" + updates, 1.75, 1, 3, 3, 300, now}}},
		{"a new version inherits", line("a", now.Add(-60*day), kernel("6.8")) + line("b", now, kernel("6.9")),
			[]Rank{{1, "kernel", "x86_64", "fedora/" + updates, 1.5, 1, 2, 2, 200, now}}},
		{"two versions on a day are one client-day", line("a", now, kernel("6.8")) + line("a", now, kernel("6.9")),
			[]Rank{{1, "kernel", "x86_64", "fedora/" + updates, 1, 1, 1, 2, 200, now}}},
		{"the most clients on a day, not all of them",
			line("a", now, vlc) + line("b", now, vlc) + line("c", now.Add(-60*day), vlc),
			[]Rank{{1, "vlc", "x86_64", "fedora/" + updates, 2.5, 2, 3, 3, 300, now}}},
		{"few recent ones before more old ones",
			line("a", now.Add(-240*day), vlc) + line("b", now.Add(-240*day), vlc) + line("a", now, kernel("6.8")),
			[]Rank{
				{1, "kernel", "x86_64", "fedora/" + updates, 1, 1, 1, 1, 100, now},
				{2, "vlc", "x86_64", "fedora/" + updates, 0.125, 2, 2, 2, 200, now.Add(-240 * day)},
			}},
		{"equals by name, arch, root",
			line("a", now, "b/x-1-1.noarch.rpm") + line("a", now, "a/x-1-1.noarch.rpm") + line("a", now, "b/x-1-1.i686.rpm") + line("a", now, "b/w-1-1.noarch.rpm"),
			[]Rank{
				{1, "w", "noarch", "fedora/b", 1, 1, 1, 1, 100, now},
				{2, "x", "i686", "fedora/b", 1, 1, 1, 1, 100, now},
				{3, "x", "noarch", "fedora/a", 1, 1, 1, 1, 100, now},
				{4, "x", "noarch", "fedora/b", 1, 1, 1, 1, 100, now},
			}},
		{"a clock ahead is worth no more", line("a", now.Add(40*time.Hour), vlc),
			[]Rank{{1, "vlc", "x86_64", "fedora/" + updates, 1, 1, 1, 1, 100, now.Add(40 * time.Hour)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, options())
			writeFile(t, dir+"/log", c.log)
			ingest1(t, s, dir+"/log")
			if diff := cmp.Diff(c.want, ranks(t, s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A root that becomes known later counts for what came before, and one that lies
// in another takes over what is below it.
func TestRootKnownLater(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, options())
	deep := "site/x/rpms/a-1-1.noarch.rpm"
	root := func() string { return ranks(t, s)[0].Root }
	for i, c := range []struct{ path, want string }{
		{deep, "fedora/site/x/rpms"},
		{"site/repodata/repomd.xml", "fedora/site"},
		{"site/x/repodata/repomd.xml", "fedora/site/x"},
		{"site/y/repodata/repomd.xml", "fedora/site/x"},
	} {
		appendFile(t, dir+"/log", line("a", now.Add(time.Duration(i)*time.Second), c.path))
		ingest1(t, s, dir+"/log")
		if got := root(); got != c.want {
			t.Errorf("after %s: %s, want %s", c.path, got, c.want)
		}
	}
}

// TestTop: the first of many are those that the whole ranking begins with.
func TestTop(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, options())
	draw := rand.New(rand.NewPCG(1, 2))
	var log strings.Builder
	for range 600 {
		client, name := fmt.Sprintf("10.0.0.%d", draw.IntN(40)), fmt.Sprintf("p%03d", int(100*math.Pow(draw.Float64(), 2)))
		log.WriteString(line(client, now, updates+"/Packages/p/"+name+"-1-1.x86_64.rpm"))
	}
	writeFile(t, dir+"/log", log.String())
	ingest1(t, s, dir+"/log")
	whole := ranks(t, s)
	if len(whole) < 80 {
		t.Fatalf("%d names", len(whole))
	}
	even := func(name, _, _ string) bool { return (name[3]-'0')%2 == 0 }
	var odd []Rank
	for _, r := range whole {
		if !even(r.Name, r.Arch, r.Root) {
			r.Rank = len(odd) + 1
			odd = append(odd, r)
		}
	}
	for _, c := range []struct {
		name string
		all  []Rank
		gone func(name, arch, root string) bool
	}{{"all", whole, nil}, {"some are gone", odd, even}} {
		for _, most := range []int{0, 1, 2, 7, len(c.all) / 4, len(c.all)/4 + 1, len(c.all) - 1, len(c.all), 1000} {
			want := c.all
			if most > 0 {
				want = want[:min(most, len(want))]
			}
			got, all, err := s.Top(t.Context(), halfLife, most, c.gone)
			if err != nil || all != len(c.all) {
				t.Fatalf("%s, %d: of %d, %v", c.name, most, all, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, the first %d (-want +got):\n%s", c.name, most, diff)
			}
		}
	}
}

func TestRankRefusesHalfLife(t *testing.T) {
	s := openStore(t, t.TempDir(), options())
	for _, d := range []time.Duration{0, -time.Hour} {
		if _, err := s.Rank(t.Context(), d); err == nil {
			t.Errorf("%v: no error", d)
		}
	}
}

// The names in JSON are the contract's.
func TestRankJSON(t *testing.T) {
	got, err := json.Marshal([]Rank{{1, "vlc", "x86_64", "fedora/updates", 1.5, 2, 3, 4, 5, now}})
	const want = `[{"rank":1,"name":"vlc","arch":"x86_64","root":"fedora/updates","score":1.5,"clients":2,"client_days":3,"requests":4,"bytes":5,"last_seen":"2026-11-22T12:00:00Z"}]`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func appendFile(t testing.TB, path, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
}
