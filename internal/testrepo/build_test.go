package testrepo

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// run runs a program and returns what it wrote. Debian's rpm keeps its database
// in the home directory, below the root that it installs into.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME=/nonexistent")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// awkward is a repository with something of everything that a Spec can say.
func awkward() []Spec {
	return []Spec{
		{
			Name: "app", Version: "1.0", Release: "1.fc41", Size: 3000, Summary: `Fish & "chips" <hot>`,
			Requires: []string{"libapp.so.1()(64bit)", "app-data = 2:3.1~rc1-1.fc41", "/usr/bin/sh", "/usr/bin/app",
				"/usr/share/app-data/theme", "(shell or nothing)", "rpmlib(CompressedFileNames) <= 3.0.4-1", "shell < 9"},
			Recommends: []string{"app-doc"}, Obsoletes: []string{"oldapp < 1.0"}, Conflicts: []string{"otherapp > 7"},
			Files: []string{"/usr/bin/app", "/etc/app.conf", "/etc/app.d/", "/usr/share/doc/app/README"},
		},
		{Name: "app-libs", Version: "1.0", Release: "1.fc41", Source: "app", Size: 40000,
			Provides: []string{"libapp.so.1()(64bit)"}},
		{Name: "app-data", Epoch: 2, Version: "3.1~rc1", Release: "1.fc41", Arch: "noarch", Size: 2048,
			Files: []string{"/usr/share/app-data/theme"}},
		{Name: "app-doc", Version: "1.0^20261001git", Release: "1.fc41", Arch: "noarch", Size: 2048},
		{Name: "libstdc++", Version: "14.2.1", Release: "3.fc41", Size: 1 << 20},
		{Name: "shell", Version: "5.2", Release: "4.fc41", Files: []string{"/usr/bin/sh"}, Provides: []string{"/bin/sh", "nothing"}},
		{Name: "meta", Version: "1", Release: "1", Arch: "noarch"},
		{Name: "app-libs", Version: "1.0", Release: "1.fc41", Arch: "i686", Source: "app", Size: 100,
			Provides: []string{"libapp.so.1"}},
	}
}

func build(t *testing.T, specs []Spec, o BuildOptions) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	if err := Build(dir, specs, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tree maps each file below dir to its digest and modification time.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		files[rel] = fmt.Sprintf("%x %s", sha256.Sum256(data), info.ModTime().UTC())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestBuildIsAFunctionOfItsArguments(t *testing.T) {
	first := tree(t, build(t, awkward(), BuildOptions{Seed: 7}))
	if diff := cmp.Diff(first, tree(t, build(t, awkward(), BuildOptions{Seed: 7}))); diff != "" {
		t.Errorf("the same arguments, another tree (-first +second):\n%s", diff)
	}
	other := tree(t, build(t, awkward(), BuildOptions{Seed: 8}))
	for _, s := range awkward() {
		if same := first[s.Location()] == other[s.Location()]; same != (s.Size == 0) {
			t.Errorf("%s: the same bytes with another seed: %v", s.NEVRA(), same)
		}
	}
}

func TestBuildTimeGivesOtherBytes(t *testing.T) {
	s := Spec{Name: "app", Version: "1", Release: "1", Size: 5000}
	again := s
	again.BuildTime = defaultBuildTime.Add(time.Hour)
	_, a, err := buildRPM(s, BuildOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := buildRPM(again, BuildOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != len(b) {
		t.Errorf("sizes %d and %d: a rebuilt package should be told from the first by its digest alone", len(a), len(b))
	}
	if string(a[len(a)-1000:]) == string(b[len(b)-1000:]) {
		t.Error("the payloads are the same")
	}
}

func TestBuildOverAnother(t *testing.T) {
	specs := awkward()
	update := slices.Clone(specs)
	update[0].Release = "2.fc41"
	update[0].BuildTime = defaultBuildTime.AddDate(0, 0, 1)

	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("KeepOld=%v", keep), func(t *testing.T) {
			dir := build(t, specs, BuildOptions{})
			before := tree(t, dir)
			if err := Build(dir, update, BuildOptions{KeepOld: keep}); err != nil {
				t.Fatal(err)
			}
			want := tree(t, build(t, update, BuildOptions{}))
			if keep {
				for name, sum := range before {
					if _, ok := want[name]; !ok {
						want[name] = sum
					}
				}
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBuildKeepsTheVersionsBefore(t *testing.T) {
	before := Small(Campus(1))
	after := Overnight(before, 1)
	dir := build(t, slices.Concat(before, after), BuildOptions{})
	for _, s := range slices.Concat(before, after) {
		if _, err := os.Stat(filepath.Join(dir, s.Location())); err != nil {
			t.Error(err)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	good := Spec{Name: "app", Version: "1", Release: "1"}
	with := func(change func(*Spec)) []Spec {
		s := good
		change(&s)
		return []Spec{s}
	}
	for _, tt := range []struct {
		name  string
		specs []Spec
		o     BuildOptions
	}{
		{"no name", with(func(s *Spec) { s.Name = "" }), BuildOptions{}},
		{"a hyphen in the version", with(func(s *Spec) { s.Version = "1-2" }), BuildOptions{}},
		{"a slash in the name", with(func(s *Spec) { s.Name = "../app" }), BuildOptions{}},
		{"a relative file", with(func(s *Spec) { s.Files = []string{"etc/app"} }), BuildOptions{}},
		{"a file twice", with(func(s *Spec) { s.Files = []string{"/etc/app", "/etc/app/"} }), BuildOptions{}},
		{"an operator that is none", with(func(s *Spec) { s.Requires = []string{"foo => 1"} }), BuildOptions{}},
		{"half a dependency", with(func(s *Spec) { s.Provides = []string{"foo >="} }), BuildOptions{}},
		{"a package in two ways", append(with(func(s *Spec) { s.Size = 1 }), good), BuildOptions{}},
		{"an unknown compression", []Spec{good}, BuildOptions{Compression: "rar"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := Build(t.TempDir(), tt.specs, tt.o); err == nil {
				t.Error("no error")
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, bb := range []struct {
		name  string
		specs []Spec
	}{{"small", Small(Campus(1))}, {"full", Campus(1)}} {
		b.Run(bb.name, func(b *testing.B) {
			var bytes int64
			for _, s := range bb.specs {
				bytes += int64(s.Size)
			}
			b.SetBytes(bytes)
			for b.Loop() {
				if err := Build(b.TempDir(), bb.specs, BuildOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
