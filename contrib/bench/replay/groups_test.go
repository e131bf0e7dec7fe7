package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/repodata"
)

// write makes a file of that text.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestReadIndex: sources, and what tasks and metapackages bring along.
func TestReadIndex(t *testing.T) {
	x, err := readIndex(write(t, "Packages", `Package: vim
Source: vim-src (2:9)
Section: editors
Depends: libc6

Package: task-desk
Section: tasks
Depends: tasksel (= 3.73), desk
Recommends: vim | nano, gimp:any

Package: desk
Depends: panel (>= 2), icons
Section: metapackages
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &index{
		sources: map[string]string{"vim": "vim-src"},
		tasks: []*repodata.Group{
			{ID: "task-desk", Packages: []string{"vim", "gimp"}, Groups: []string{"desk"}},
			{ID: "desk", Packages: []string{"panel", "icons"}},
		},
	}
	if d := cmp.Diff(want, x, cmp.AllowUnexported(index{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestGroup: which packages are installed together, and what machines begin with.
func TestGroup(t *testing.T) {
	var packs []*pack
	for _, name := range []string{"panel", "vim", "core", "alone"} {
		packs = append(packs, &pack{name: name})
	}
	g := group(packs, []*repodata.Group{
		{ID: "base", Packages: []string{"core", "elsewhere"}},
		{ID: "desk", Packages: []string{"panel"}},
		{ID: "desk-environment", Groups: []string{"base", "desk", "missing"}},
		{ID: "elsewhere", Packages: []string{"elsewhere"}},
		{ID: "task-desk", Packages: []string{"vim"}, Groups: []string{"task-panel"}},
		{ID: "task-panel", Packages: []string{"panel"}, Groups: []string{"task-desk"}}, // each has the other
	})
	want := &grouping{
		of:           [][]int{{1, 2, 3}, {2, 3}, {0}, nil},
		members:      [][]int{{2}, {0}, {0, 1}, {0, 1}},
		environments: [][]int{{0, 1, 2}},
	}
	if d := cmp.Diff(want, g, cmp.AllowUnexported(grouping{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if p, n := g.coverage(); p != 3 || n != 2 {
		t.Errorf("coverage %d packages, %d groups; want 3 and 2", p, n)
	}
}

// TestInstalls: what machines begin with, and what they install together.
func TestInstalls(t *testing.T) {
	from := time.Date(2022, 6, 4, 0, 0, 0, 0, time.UTC) // a Saturday
	with := func(name string, hours ...int) *pack {
		p := &pack{name: name, popularity: 1e9}
		for _, h := range hours {
			p.releases = append(p.releases, release{from.Add(time.Duration(h) * time.Hour), fmt.Sprintf("%s-%d.rpm", name, len(p.releases)), 1})
		}
		return p
	}
	packs := []*pack{with("a", -1, 1), with("b", -1, 1), with("c", -1), with("d", -1, 1)}
	for _, tc := range []struct {
		name    string
		grouped float64
		oneOff  float64
		groups  *grouping
		want    string // who asked for how many of each, the first day
	}{
		{name: "nobody has what is so rare", groups: &grouping{of: make([][]int, 4), environments: [][]int{{0, 1, 2}}}},
		{name: "an environment, and its updates for the six who update on a Saturday", grouped: 1, groups: &grouping{of: make([][]int, 4), environments: [][]int{{0, 1, 2}}},
			want: "a-1.rpm 6, b-1.rpm 6"},
		{name: "a group", grouped: 1, oneOff: 1, groups: &grouping{of: [][]int{{0}, {0}, {0}, {0}}, members: [][]int{{0, 1, 2, 3}}},
			want: "a-1.rpm 40, b-1.rpm 40, c-0.rpm 40, d-1.rpm 40"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := site{seed: 1, packs: packs, clients: 40, from: from, days: 1, oneOff: tc.oneOff, groups: tc.groups, grouped: tc.grouped}
			var log bytes.Buffer
			if _, _, err := s.write(&log); err != nil {
				t.Fatal(err)
			}
			asked := map[string]int{}
			for line := range strings.Lines(log.String()) {
				asked[strings.TrimPrefix(strings.Fields(line)[6], "/")]++
			}
			var got []string
			for _, path := range slices.Sorted(maps.Keys(asked)) {
				got = append(got, fmt.Sprintf("%s %d", path, asked[path]))
			}
			if list := strings.Join(got, ", "); list != tc.want {
				t.Errorf("%q, want %q", list, tc.want)
			}
		})
	}
}

// TestRunWithGroups: a run from end to end says what of the packages groups have, and
// has no line for what -ways leaves out.
func TestRunWithGroups(t *testing.T) {
	comps := write(t, "comps.xml", `<comps><group><id>some</id><packagelist><packagereq type="default">pkg20</packagereq>
<packagereq type="mandatory">pkg25</packagereq><packagereq type="default">pkg29</packagereq></packagelist></group></comps>`)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-history", histories(t), "-clients", "4", "-days", "40", "-warmup", "20", "-tail", "20",
		"-comps", comps, "-grouped", "0.5", "-ways", "alone"}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "of which groups have 3; 1 groups have two or more") || strings.Count(out.String(), " ranks alone ") != len(budgets) ||
		strings.Contains(out.String(), "newcomers") {
		t.Errorf("printed:\n%s", &out)
	}
}
