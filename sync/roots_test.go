package sync

import (
	"fmt"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestRootsOfLongAgo: a root that nobody has asked for in half a year is looked after no
// longer, and is again when somebody does.
func TestRootsOfLongAgo(t *testing.T) {
	b := newBench(t, `packages = []`, []string{"vim"}, testrepo.Spec{Name: "vim", Version: "1", Release: "1", Size: 2000})
	b.set(b.now().Add(rootsFor - 2*day))
	if r := b.once(); len(r.Roots) != 1 {
		t.Errorf("after nearly half a year: %+v", r.Roots)
	}
	b.set(b.now().Add(3 * day))
	b.up.Forget()
	if r := b.once(); len(r.Roots) != 0 || len(b.up.Requests()) != 0 {
		t.Errorf("after half a year: %+v, and upstream is asked %v", r.Roots, b.up.Requests())
	}
	b.logs(fmt.Sprintf("10.0.0.1 - - [%s] \"GET /%s/repodata/repomd.xml HTTP/1.1\" 200 2000 \"-\" \"libdnf\"\n", b.now().Format("02/Jan/2006:15:04:05 -0700"), benchRoot))
	if r := b.once(); len(r.Roots) != 1 {
		t.Errorf("when somebody has asked: %+v", r.Roots)
	}
}

// TestMadeUpRoots: a log with roots without end costs no more questions than a large
// site's, and not the roots that clients asked for last.
func TestMadeUpRoots(t *testing.T) {
	b := newBench(t, `packages = []`, []string{"vim"}, testrepo.Spec{Name: "vim", Version: "1", Release: "1", Size: 2000})
	var lines strings.Builder
	for i := range mostRoots + 50 {
		fmt.Fprintf(&lines, "10.0.0.9 - - [20/Nov/2026:09:12:44 +0000] \"GET /r/made-up/%d/repodata/repomd.xml HTTP/1.1\" 200 2000 \"-\" \"libdnf\"\n", i)
	}
	b.logs(lines.String())
	r := b.once()
	known := false
	for _, root := range r.Roots {
		known = known || root.Root == benchRoot
	}
	if len(r.Roots) != mostRoots || !known || r.Fetched != 1 {
		t.Errorf("%d roots, the known one among them: %v; %d packages fetched", len(r.Roots), known, r.Fetched)
	}
}
