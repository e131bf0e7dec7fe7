package sync

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// unsigned is the InRelease of a suite whose repo has no keys here.
func unsigned(text []byte) ([]byte, error) { return text, nil }

// mirrored writes the suites, each with these packages, as the tree of one mirror, and
// returns it with all that it has.
func (b *bench) mirrored(list []testrepo.Deb, suites ...testrepo.Suite) (dir string, has map[string][]byte) {
	b.Helper()
	dir, has = b.TempDir(), map[string][]byte{}
	for _, s := range suites {
		s.Time = b.now()
		files, err := testrepo.BuildSuite(list, s)
		if err != nil {
			b.Fatal(err)
		}
		for name, body := range files {
			has[name] = body
			b.write(filepath.Join(dir, name), body)
		}
	}
	return dir, has
}

// write makes a file of a mirror's tree, as old as what upstream had then.
func (b *bench) write(name string, body []byte) {
	b.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, body, 0o644), os.Chtimes(name, b.now(), b.now())); err != nil {
		b.Fatal(err)
	}
}

// imported is what adopting dir comes to.
func (b *bench) imported(dir string) *ImportReport {
	b.Helper()
	report, err := b.agent.Import(b.Context(), dir, "r")
	if err != nil {
		b.Fatal(err)
	}
	return report
}

// cached is a file of repo r in the cache, nil where it is not there.
func (b *bench) cached(name string) []byte {
	b.Helper()
	body, err := os.ReadFile(filepath.Join(b.dir, "r", name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Fatal(err)
	}
	return body
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func testDebs(version string) []testrepo.Deb {
	return []testrepo.Deb{{Name: "vlc", Version: version, Size: 2000}, {Name: "mplayer", Version: version, Size: 3000},
		{Name: "libi", Version: version, Arch: "i386", Size: 100}}
}

// TestImportSuites: of a mirror's suite everything is the cache's afterwards, by each
// of its names, with no upstream in reach; and the next InRelease that upstream
// has waits for nothing that archives do not have.
func TestImportSuites(t *testing.T) {
	for _, tt := range []struct {
		name  string
		suite testrepo.Suite
	}{
		{"by hash", testrepo.Suite{Name: "stable", ByHash: true, Inline: unsigned, Detached: unsigned}},
		{"by name", testrepo.Suite{Name: "stable/updates", Inline: unsigned}},
		{"Release with its signature", testrepo.Suite{Name: "stable", Detached: unsigned}},
		{"flat", testrepo.Suite{Inline: unsigned}},
		{"flat by hash", testrepo.Suite{ByHash: true, Inline: unsigned}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "packages = []", nil, pkgSpec("a", "1"))
			dir, has := b.mirrored(testDebs("1"), tt.suite)
			root := path.Join("dists", tt.suite.Name)
			if tt.suite.Name == "" {
				root = "."
			}
			// As a program leaves it that unpacks what it reads.
			var unpacked []string
			for name, body := range has {
				if plain, ok := strings.CutSuffix(name, ".gz"); ok {
					b.write(filepath.Join(dir, plain), gunzip(t, body))
					unpacked = append(unpacked, plain)
				}
			}
			b.up.Stop()
			report := b.imported(dir)
			if len(report.Roots) != 1 || report.Failures != 0 {
				t.Fatalf("%+v, %+v", report, report.Roots[0])
			}
			at := strings.TrimSuffix("r/"+strings.TrimPrefix(root, "."), "/")
			if x := report.Roots[0]; x.Root != at || x.Files != 3 || x.Stored+x.Missing+x.Unlisted != 0 || !x.Current || x.Bytes != report.Bytes || x.Bytes < 5100 {
				t.Errorf("%+v", x)
			}
			for name, body := range has {
				base := path.Base(name)
				// Beside an InRelease nobody needs these.
				if tt.suite.Inline != nil && (base == "Release" || base == "Release.gpg") {
					continue
				}
				if !bytes.Equal(b.cached(name), body) {
					t.Errorf("%s: %d bytes, want %d", name, len(b.cached(name)), len(body))
				}
			}
			for _, name := range unpacked {
				if b.cached(name) != nil {
					t.Errorf("%s is the cache's, which no archive has", name)
				}
			}
			for name, body := range has {
				if path.Ext(name) != ".deb" {
					continue
				}
				k := cache.Key{Repo: "r", Path: name}
				if w, held := b.site.Generations.Lookup(k); !held || w.Size != int64(len(body)) {
					t.Errorf("%s: %+v is promised", name, w)
				}
			}

			// A second time there is nothing to do.
			again := b.imported(dir)
			if x := again.Roots[0]; again.Failures != 0 || x.Files != 0 || x.Stored != 3 || x.Current {
				t.Errorf("again: %+v", x)
			}
			if err := b.up.Restart(); err != nil {
				t.Fatal(err)
			}
			b.set(b.now().Add(time.Hour))
			next := tt.suite
			next.Time = b.now()
			files, err := testrepo.BuildSuite(testDebs("2"), next)
			if err != nil {
				t.Fatal(err)
			}
			for name, body := range files {
				if err := b.up.Put("/"+name, body); err != nil {
					t.Fatal(err)
				}
			}
			staged, err := b.site.Generations.Stage(t.Context(), b.site.Cache,
				generation.Root{Repo: "r", Path: strings.TrimPrefix(root, "."), Kind: generation.Debian}, b.site.Mirrors("r").Grab())
			if err != nil || !staged.Changed || staged.Files == 0 {
				t.Errorf("the next InRelease: %+v, %v", staged, err)
			}
		})
	}
}

// TestImportWrongSuites: what is wrong in a tree is listed and stays out, and costs
// nothing else.
func TestImportWrongSuites(t *testing.T) {
	const vlc, mplayer = "pool/main/v/vlc/vlc_1_amd64.deb", "pool/main/m/mplayer/mplayer_1_amd64.deb"
	const amd64, i386 = "dists/stable/main/binary-amd64/Packages", "dists/stable/main/binary-i386/Packages"
	suite := testrepo.Suite{Name: "stable", Inline: unsigned}
	for _, tt := range []struct {
		name   string
		change map[string][]byte // nil: the file goes
		want   ImportedRoot
		failed []string
		stored map[string]bool
	}{
		{
			"a package has other bytes", map[string][]byte{vlc: []byte("!<arch>\nnot what is listed")},
			ImportedRoot{Files: 2, Current: true}, []string{"r/" + vlc}, map[string]bool{vlc: false, mplayer: true, amd64 + ".xz": true},
		},
		{
			"a package is not there", map[string][]byte{vlc: nil},
			ImportedRoot{Files: 2, Missing: 1, Current: true}, nil, map[string]bool{vlc: false, mplayer: true},
		},
		{
			"an index of another publication, in all its forms", map[string][]byte{amd64 + ".xz": []byte("xz"), amd64 + ".gz": []byte("gz")},
			ImportedRoot{Files: 1, Current: true}, []string{"r/" + amd64 + ".gz", "r/" + amd64 + ".xz"},
			map[string]bool{vlc: false, amd64 + ".xz": false, amd64 + ".gz": false, i386 + ".xz": true},
		},
		{
			"one form of an index was packed anew", map[string][]byte{amd64 + ".gz": []byte("gz")},
			ImportedRoot{Files: 3, Current: true}, nil, map[string]bool{vlc: true, amd64 + ".xz": true, amd64 + ".gz": false},
		},
		{
			"an architecture is not mirrored", map[string][]byte{i386 + ".xz": nil, i386 + ".gz": nil, "pool/main/l/libi/libi_1_i386.deb": nil},
			ImportedRoot{Files: 2, Current: true}, nil, map[string]bool{vlc: true, i386 + ".xz": false},
		},
		{
			"no index at all", map[string][]byte{amd64 + ".xz": nil, amd64 + ".gz": nil, i386 + ".xz": nil, i386 + ".gz": nil},
			ImportedRoot{}, []string{"r/dists/stable"}, map[string]bool{vlc: false, "dists/stable/InRelease": false},
		},
		{
			"no InRelease, but a page", map[string][]byte{"dists/stable/InRelease": []byte("<html>Please log in</html>")},
			ImportedRoot{}, []string{"r/dists/stable"}, map[string]bool{vlc: false, "dists/stable/InRelease": false},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "packages = []", nil, pkgSpec("a", "1"))
			b.up.Stop()
			dir, has := b.mirrored(testDebs("1"), suite)
			for name, body := range tt.change {
				if body != nil {
					b.write(filepath.Join(dir, name), body)
				} else if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			report := b.imported(dir)
			x := report.Roots[0]
			var failed []string
			for _, f := range x.Failed {
				failed = append(failed, f.Path)
			}
			slices.Sort(failed)
			if x.Files != tt.want.Files || x.Missing != tt.want.Missing || x.Current != tt.want.Current || !slices.Equal(failed, tt.failed) || report.Failures != len(failed) {
				t.Errorf("%+v, failed %q; want %+v, %q", x, failed, tt.want, tt.failed)
			}
			for name, want := range tt.stored {
				if got := b.cached(name); bytes.Equal(got, has[name]) != want || !want && got != nil {
					t.Errorf("%s: %d bytes stored, want them %v", name, len(got), want)
				}
			}
		})
	}
}

// TestImportFindsAll: suites beside repositories of RPM packages, under a link's name
// too; what begins with a dot is no repository, nor is what is not there.
func TestImportFindsAll(t *testing.T) {
	b := newBench(t, "packages = []", nil, pkgSpec("a", "1"))
	dir, _ := b.mirrored(testDebs("1"), testrepo.Suite{Name: "bookworm", Inline: unsigned}, testrepo.Suite{Name: "trixie", Inline: unsigned}, testrepo.Suite{Inline: unsigned})
	if err := testrepo.Build(filepath.Join(dir, "rpms"), []testrepo.Spec{pkgSpec("b", "1")}, testrepo.BuildOptions{Time: b.now()}); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	b.write(filepath.Join(outside, "InRelease"), []byte("Suite: outside\n"))
	for name, to := range map[string]string{"dists/stable": "bookworm", "dists/oldstable": outside, "dists/none": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.write(filepath.Join(dir, ".temp/dists/sid/InRelease"), []byte("Suite: sid\n"))
	report := b.imported(dir)
	var roots []string
	for _, x := range report.Roots {
		roots = append(roots, x.Root)
		if !x.Current || len(x.Failed) > 0 {
			t.Errorf("%+v", x)
		}
	}
	slices.Sort(roots)
	if want := []string{"r", "r/dists/bookworm", "r/dists/stable", "r/dists/trixie", "r/rpms"}; !slices.Equal(roots, want) {
		t.Errorf("found %q, want %q", roots, want)
	}
	one, err := os.Stat(filepath.Join(b.dir, "r/dists/bookworm/main/binary-amd64/Packages.xz"))
	if err != nil {
		t.Fatal(err)
	}
	if two, err := os.Stat(filepath.Join(b.dir, "r/dists/stable/main/binary-amd64/Packages.xz")); err != nil || !os.SameFile(one, two) {
		t.Errorf("an index with two names is two files: %v", err)
	}
}

// TestImportBesideOwn: where the cache has a suite's metadata that stays, and what
// the tree has and that does not, is taken over all the same.
func TestImportBesideOwn(t *testing.T) {
	b := newBench(t, "packages = []", nil, pkgSpec("a", "1"))
	suite := testrepo.Suite{Name: "stable", Inline: unsigned}
	newer, has := b.mirrored(testDebs("2"), suite)
	b.set(b.now().Add(-24 * time.Hour))
	older, _ := b.mirrored(append(testDebs("1"), testDebs("2")[0]), suite)
	b.set(b.now().Add(24 * time.Hour))
	b.imported(newer)
	report := b.imported(older)
	if x := report.Roots[0]; x.Current || x.Files != 3 || x.Stored != 1 || len(x.Failed) > 0 {
		t.Errorf("%+v", x)
	}
	if !bytes.Equal(b.cached("dists/stable/InRelease"), has["dists/stable/InRelease"]) {
		t.Error("the tree's metadata has taken the place of the cache's")
	}
}
