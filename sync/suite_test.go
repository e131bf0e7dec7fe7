package sync

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// suite makes upstream's archive one with a package in that version, and returns it.
func (b *bench) suite(version string) map[string][]byte {
	b.Helper()
	b.set(b.now().Add(time.Hour))
	files, err := testrepo.BuildSuite([]testrepo.Deb{{Name: "vlc", Version: version, Size: 2000}},
		testrepo.Suite{Name: "stable", Inline: unsigned, Time: b.now()})
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range files {
		if err := b.up.Put("/debian/"+name, text); err != nil {
			b.Fatal(err)
		}
	}
	return files
}

// TestSuitesInARun: a run brings the new indices of a suite that clients use, those
// that they have asked for, and then all of them are current; of a package nothing is
// fetched. A suite that is held stays.
func TestSuitesInARun(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings string
		asked    string // a package in the log
		staged   bool
	}{
		{"its archive's packages are asked for", "", "debian/pool/main/v/vlc/vlc_0_amd64.deb", true},
		{"it is configured", `roots = ["r/debian/dists/stable"]`, "", true},
		{"nobody uses it", "", "other/vlc_0_amd64.deb", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "packages = []\n"+tt.settings, nil, pkgSpec("a", "1"))
			if tt.asked != "" {
				b.logs(fmt.Sprintf("10.0.0.1 - - [21/Nov/2026:09:12:44 +0000] \"GET /r/%s HTTP/1.1\" 200 2000 \"-\" \"apt\"\n", tt.asked))
			}
			first := b.suite("1")
			// A client's apt-get update.
			fresh := b.site.Refresher(b.agent.log)
			defer fresh.Close()
			const entry, index = "debian/dists/stable/InRelease", "debian/dists/stable/main/binary-amd64/Packages.xz"
			root := generation.Root{Repo: "r", Path: "debian/dists/stable", Kind: generation.Debian}
			client := func(name string) {
				t.Helper()
				k, err := cache.NewKey("r", name)
				if err != nil {
					t.Fatal(err)
				}
				var o *cache.Object
				if name == entry {
					o, err = fresh.Get(t.Context(), k, "10.0.0.1")
				} else {
					o, err = b.site.Cache.Get(t.Context(), k)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				if _, err := o.SendTo(t.Context(), &bytes.Buffer{}, 0, -1); err != nil {
					t.Fatal(err)
				}
			}
			client(entry)
			client(index)
			has := func(files map[string][]byte) bool {
				t.Helper()
				same := 0
				for _, name := range []string{entry, index} {
					got, err := os.ReadFile(filepath.Join(b.dir, "r", name))
					if err != nil {
						t.Fatal(err)
					}
					if bytes.Equal(got, files[strings.TrimPrefix(name, "debian/")]) {
						same++
					}
				}
				if same == 1 {
					t.Error("an index and its InRelease are of two publications")
				}
				return same == 2
			}
			// The first run has its generation become whole.
			b.once()
			if !has(first) {
				t.Fatal("what a client has fetched is not there")
			}
			second := b.suite("2")
			b.up.Forget()
			report := b.once()
			if has(second) != tt.staged || has(first) == tt.staged {
				t.Errorf("staged %v, want %v: %+v", has(second), tt.staged, report)
			}
			if lines := b.up.Lines("GET", "*.deb"); len(lines) != 0 {
				t.Errorf("packages were fetched: %q", lines)
			}
			if n := b.up.Count("GET", "/debian/*Packages.gz"); n != 0 {
				t.Error("an index that nobody uses was fetched")
			}
			for _, x := range report.Roots {
				if x.Root == root.String() && (!tt.staged || !x.Changed || len(x.Failed) > 0) {
					t.Errorf("%+v", x)
				}
			}
			if !tt.staged {
				return
			}
			if w, _ := b.site.Generations.Lookup(cache.Key{Repo: "r", Path: index}); w.Size != int64(len(second[strings.TrimPrefix(index, "debian/")])) {
				t.Errorf("of the index %+v is promised", w)
			}

			roots, err := b.agent.Named(root.String())
			if err != nil || len(roots) != 1 || roots[0] != root {
				t.Fatalf("%+v, %v", roots, err)
			}
			if err := b.agent.Hold(t.Context(), root); err != nil {
				t.Fatal(err)
			}
			third := b.suite("3")
			// Whose metadata can't be had is known afterwards too.
			b.up.On("*Release", testrepo.Status(404))
			if _, err := b.agent.Release(root); err != nil {
				t.Fatal(err)
			}
			if report := b.once(); report.Failures != 1 {
				t.Errorf("%d failures of a suite that is gone: %+v", report.Failures, report)
			}
			if failed, err := b.agent.history.failedRoots(); err != nil || failed[root.String()] == "" {
				t.Errorf("failed: %v, %v", failed, err)
			}
			b.up.Heal()
			if err := b.agent.Hold(t.Context(), root); err != nil {
				t.Fatal(err)
			}
			if report := b.once(); !has(second) || has(third) {
				t.Errorf("held: %+v", report)
			}
			if was, err := b.agent.Release(root); !was || err != nil {
				t.Errorf("release: %v, %v", was, err)
			}
			if b.once(); !has(third) {
				t.Error("released, it does not go on")
			}
		})
	}
}

// TestARunUnites: what came twice before anybody could tell is stored once after a
// run, and the report says so.
func TestARunUnites(t *testing.T) {
	b := newBench(t, `packages = ["a"]`, nil, pkgSpec("a", "1"))
	location := pkgSpec("a", "1").Location()
	body, err := os.ReadFile(filepath.Join(b.files, "updates/41", location))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.up.Put("/copies/a.rpm", body); err != nil {
		t.Fatal(err)
	}
	from := b.site.Mirrors("r").Grab()
	if _, err := b.site.Cache.Bring(t.Context(), cache.Key{Repo: "r", Path: "copies/a.rpm"}, cache.Want{}, from); err != nil {
		t.Fatal(err)
	}
	report := b.once()
	if report.United.Files != 1 || report.United.Bytes < int64(len(body)) {
		t.Errorf("%+v", report.United)
	}
	one, err := os.Stat(filepath.Join(b.dir, "r/copies/a.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.Stat(filepath.Join(b.dir, benchRoot, location))
	if err != nil || !os.SameFile(one, two) {
		t.Errorf("two files still: %v", err)
	}
	if again := b.once(); again.United != (cache.United{}) {
		t.Errorf("again: %+v", again.United)
	}
}
