package testrepo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSyncOfASuite: the files that a suite is entered by come in an order that the seed
// draws, and in that one each time.
func TestSyncOfASuite(t *testing.T) {
	source := t.TempDir()
	mark := func(text []byte) ([]byte, error) { return text, nil }
	files, err := BuildSuite([]Deb{{Name: "a", Version: "1"}}, Suite{Name: "stable", Inline: mark, Detached: mark})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range files {
		if err := putFile(filepath.Join(source, name), body, defaultBuildTime); err != nil {
			t.Fatal(err)
		}
	}
	drawn := map[string]bool{}
	for seed := range uint64(20) {
		var entries string
		for again := range 10 {
			steps, err := Sync(t.TempDir(), source, Careful, seed)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range steps {
				if strings.Contains(s.Path, "Release") {
					got = append(got, filepath.Base(s.Path))
				}
			}
			if list := strings.Join(got, " "); again == 0 {
				entries = list
			} else if list != entries {
				t.Fatalf("one seed, two orders: %s, and %s", entries, list)
			}
		}
		drawn[entries] = true
	}
	if len(drawn) < 3 {
		t.Errorf("of six orders only these are drawn: %v", drawn)
	}
}

// TestSync: however a mirror's job goes about it, in the end the mirror has what its
// source has; what is listed comes before or after repomd.xml as the order says.
func TestSync(t *testing.T) {
	for _, o := range []Order{Careful, Hasty, Shuffled, MetadataFirst} {
		t.Run(o.String(), func(t *testing.T) {
			dir, first, second := t.TempDir(), t.TempDir(), t.TempDir()
			old, kept, fresh := Spec{Name: "old", Version: "1", Release: "1"}, Spec{Name: "kept", Version: "1", Release: "1"}, Spec{Name: "new", Version: "1", Release: "1"}
			err := errors.Join(Build(first, []Spec{old, kept}, BuildOptions{}), Build(second, []Spec{kept, fresh}, BuildOptions{}))
			if err != nil {
				t.Fatal(err)
			}
			paths := func(source string, seed uint64) (list []string) {
				t.Helper()
				steps, err := Sync(dir, source, o, seed)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range steps {
					list = append(list, s.Path)
				}
				return list
			}
			for _, source := range []string{first, second, first} {
				if one, two := paths(source, 7), paths(source, 7); !slices.Equal(one, two) {
					t.Errorf("one seed, two orders:\n%q\n%q", one, two)
				}
				steps, err := Sync(dir, source, o, 7)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range steps {
					if err := s.Do(); err != nil {
						t.Fatal(err)
					}
				}
				got, err := filesIn(dir)
				if err != nil {
					t.Fatal(err)
				}
				want, err := filesIn(source)
				if err != nil || len(got) != len(want) {
					t.Errorf("%d files, want %d: %v", len(got), len(want), err)
				}
				for name := range want {
					a, aerr := os.ReadFile(filepath.Join(dir, name))
					b, berr := os.ReadFile(filepath.Join(source, name))
					if aerr != nil || berr != nil || string(a) != string(b) {
						t.Errorf("%s differs: %v, %v", name, aerr, berr)
					}
				}
			}
			list := paths(second, 7)
			at := slices.Index(list, "repodata/repomd.xml")
			before, after := 0, 0
			for i, name := range list {
				if strings.HasSuffix(name, ".rpm") && name != old.Location() && (i > at) != (o == MetadataFirst) {
					t.Errorf("%s comes at %d, repomd.xml at %d", name, i, at)
				}
				if strings.HasPrefix(name, "repodata/") && i < at {
					before++
				} else if strings.HasPrefix(name, "repodata/") && i > at {
					after++
				}
			}
			if o == Careful && before != 3 || o == Hasty && after != 3 {
				t.Errorf("%d of the metadata before repomd.xml, %d behind it: %q", before, after, list)
			}
		})
	}
}
