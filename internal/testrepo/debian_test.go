package testrepo

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBuildSuite: the files that a suite has, and what its Release says of them.
func TestBuildSuite(t *testing.T) {
	when := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	mark := func(b []byte) ([]byte, error) { return append([]byte("signed "), b[:3]...), nil }
	debs := []Deb{{Name: "hello", Version: "1.0-1", Size: 1001}, {Name: "world", Version: "2", Arch: "all"}}
	for _, tt := range []struct {
		suite  Suite
		want   []string // but for indices by their digests
		byHash int      // how many of these
		listed []string // in Release
		until  string
	}{
		{
			suite: Suite{Name: "stable", Time: when, Valid: time.Hour, ByHash: true, Inline: mark, Detached: mark},
			want: []string{
				"dists/stable/InRelease", "dists/stable/Release", "dists/stable/Release.gpg",
				"dists/stable/main/binary-all/Packages.gz", "dists/stable/main/binary-all/Packages.xz",
				"dists/stable/main/binary-amd64/Packages.gz", "dists/stable/main/binary-amd64/Packages.xz",
				"pool/main/h/hello/hello_1.0-1_amd64.deb", "pool/main/w/world/world_2_all.deb",
			},
			byHash: 4,
			listed: []string{
				"main/binary-all/Packages", "main/binary-all/Packages.gz", "main/binary-all/Packages.xz",
				"main/binary-amd64/Packages", "main/binary-amd64/Packages.gz", "main/binary-amd64/Packages.xz",
			},
			until: "Sun, 22 Nov 2026 04:00:00 UTC",
		},
		{
			suite:  Suite{Time: when, Inline: mark, Packed: []Compression{Gzip}},
			want:   []string{"InRelease", "Packages.gz", "Release", "hello_1.0-1_amd64.deb", "world_2_all.deb"},
			listed: []string{"Packages", "Packages.gz"},
		},
	} {
		t.Run(tt.suite.Name, func(t *testing.T) {
			files, err := BuildSuite(debs, tt.suite)
			if err != nil {
				t.Fatal(err)
			}
			byHash, root := 0, path.Join("dists", tt.suite.Name)+"/"
			if tt.suite.Name == "" {
				root = ""
			}
			var got []string
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if !strings.Contains(name, "by-hash") {
					got = append(got, name)
				} else if byHash++; path.Base(name) != hexSum(files[name]) {
					t.Errorf("%s is called after other bytes", name)
				}
			}
			if !slices.Equal(got, tt.want) || byHash != tt.byHash {
				t.Errorf("%q, %d by their digests; want %q, %d", got, byHash, tt.want, tt.byHash)
			}
			head, sums, _ := strings.Cut(string(files[root+"Release"]), "SHA256:\n")
			var listed []string
			for line := range strings.Lines(sums) {
				f := strings.Fields(line)
				listed = append(listed, f[2])
				if b, there := files[root+f[2]]; there && (f[0] != hexSum(b) || f[1] != fmt.Sprint(len(b))) {
					t.Errorf("listed is %s", line)
				}
			}
			if !slices.Equal(listed, tt.listed) {
				t.Errorf("listed are %q, want %q", listed, tt.listed)
			}
			if _, until, _ := strings.Cut(head, "Valid-Until: "); strings.SplitN(until, "\n", 2)[0] != tt.until {
				t.Errorf("valid until %q, want %q", until, tt.until)
			}
			for _, name := range []string{"InRelease", "Release.gpg"} {
				if b, there := files[root+name]; there && string(b) != "signed Ori" {
					t.Errorf("%s is %q", name, b)
				}
			}
		})
	}
}

// TestDebsAreDebs: dpkg takes our packages.
func TestDebsAreDebs(t *testing.T) {
	deb := Deb{Name: "hello", Version: "1.0-1", Size: 1001}
	files, err := BuildSuite([]Deb{deb}, Suite{})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "hello.deb")
	if err := os.WriteFile(name, files[deb.Filename(true)], 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := Program(t, "dpkg-deb")
	if got := run(t, dpkg, "--field", name, "Package", "Version"); got != "Package: hello\nVersion: 1.0-1\n" {
		t.Errorf("its fields are\n%s", got)
	}
	if got := run(t, dpkg, "--contents", name); !strings.Contains(got, " 1001 ") || !strings.Contains(got, "usr/share/hello") {
		t.Errorf("it has\n%s", got)
	}
}
