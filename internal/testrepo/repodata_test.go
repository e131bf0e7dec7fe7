package testrepo

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// attrs are the attributes of an element.
type attrs map[string]string

func (a *attrs) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	*a = make(attrs)
	for _, at := range start.Attr {
		(*a)[at.Name.Local] = at.Value
	}
	return d.Skip()
}

type fileDoc struct {
	Type string `xml:"type,attr"`
	Path string `xml:",chardata"`
}

type sumDoc struct {
	Type  string `xml:"type,attr"`
	PkgID string `xml:"pkgid,attr"`
	Hex   string `xml:",chardata"`
}

// packageDoc is all that primary.xml says of a package.
type packageDoc struct {
	Type        string `xml:"type,attr"`
	Name        string `xml:"name"`
	Arch        string `xml:"arch"`
	Version     attrs  `xml:"version"`
	Checksum    sumDoc `xml:"checksum"`
	Summary     string `xml:"summary"`
	Description string `xml:"description"`
	Time        attrs  `xml:"time"`
	Size        attrs  `xml:"size"`
	Location    attrs  `xml:"location"`
	Format      struct {
		License    string    `xml:"license"`
		Vendor     string    `xml:"vendor"`
		Group      string    `xml:"group"`
		BuildHost  string    `xml:"buildhost"`
		SourceRPM  string    `xml:"sourcerpm"`
		Header     attrs     `xml:"header-range"`
		Provides   []attrs   `xml:"provides>entry"`
		Requires   []attrs   `xml:"requires>entry"`
		Conflicts  []attrs   `xml:"conflicts>entry"`
		Obsoletes  []attrs   `xml:"obsoletes>entry"`
		Recommends []attrs   `xml:"recommends>entry"`
		Files      []fileDoc `xml:"file"`
	} `xml:"format"`
}

// listDoc is all that filelists.xml and other.xml say of a package.
type listDoc struct {
	PkgID   string    `xml:"pkgid,attr"`
	Name    string    `xml:"name,attr"`
	Arch    string    `xml:"arch,attr"`
	Version attrs     `xml:"version"`
	Files   []fileDoc `xml:"file"`
}

type document[P any] struct {
	XMLName  xml.Name
	Count    int `xml:"packages,attr"`
	Packages []P `xml:"package"`
}

func parse[P any](t *testing.T, data []byte, key func(P) string) document[P] {
	t.Helper()
	var d document[P]
	if err := xml.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(d.Packages, func(a, b P) int { return strings.Compare(key(a), key(b)) })
	return d
}

func TestMetadataIsWhatCreaterepoMakes(t *testing.T) {
	createrepo := Program(t, "createrepo_c")
	for _, tt := range []struct {
		name  string
		specs []Spec
	}{
		{"awkward", awkward()},
		{"campus", Small(Campus(3))},
		{"empty", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := build(t, tt.specs, BuildOptions{Compression: Plain, SimpleNames: true})
			theirs := t.TempDir()
			run(t, createrepo, "--quiet", "--simple-md-filenames", "--outputdir", theirs, dir)
			both := func(typ string) (ours, other []byte) {
				t.Helper()
				ours, err := os.ReadFile(filepath.Join(dir, "repodata", typ+".xml"))
				if err != nil {
					t.Fatal(err)
				}
				packed, err := os.ReadFile(filepath.Join(theirs, "repodata", typ+".xml.gz"))
				if err != nil {
					t.Fatal(err)
				}
				return ours, unpack(t, packed, ".gz")
			}

			ours, other := both("primary")
			location := func(p packageDoc) string { return p.Location["href"] }
			want, got := parse(t, other, location), parse(t, ours, location)
			if got.Count != len(tt.specs) || len(got.Packages) != len(tt.specs) {
				t.Errorf("primary: %d packages, said to be %d, of %d", len(got.Packages), got.Count, len(tt.specs))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("primary (-createrepo_c +ours):\n%s", diff)
			}
			for _, typ := range []string{"filelists", "other"} {
				ours, other := both(typ)
				id := func(p listDoc) string { return p.PkgID }
				if diff := cmp.Diff(parse(t, other, id), parse(t, ours, id)); diff != "" {
					t.Errorf("%s (-createrepo_c +ours):\n%s", typ, diff)
				}
			}
		})
	}
}

func unpack(t *testing.T, packed []byte, suffix string) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(packed)
	var err error
	switch suffix {
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".xz":
		r, err = xz.NewReader(r)
	case ".zst":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRepomd(t *testing.T) {
	at := time.Date(2026, 11, 20, 3, 4, 5, 0, time.UTC)
	var plain [3][]byte // the first case's documents: packing changes none of them
	for _, tt := range []struct {
		name, suffix string
		o            BuildOptions
		time         time.Time
	}{
		{"default", ".gz", BuildOptions{}, defaultBuildTime},
		{"plain", "", BuildOptions{Compression: Plain}, defaultBuildTime},
		{"xz, simple names", ".xz", BuildOptions{Compression: XZ, SimpleNames: true}, defaultBuildTime},
		{"zstd, at a time", ".zst", BuildOptions{Compression: Zstd, Time: at}, at},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := build(t, awkward(), tt.o)
			data, err := os.ReadFile(filepath.Join(dir, "repodata", "repomd.xml"))
			if err != nil {
				t.Fatal(err)
			}
			var md struct {
				Revision string `xml:"revision"`
				Data     []struct {
					Type         string `xml:"type,attr"`
					Checksum     sumDoc `xml:"checksum"`
					OpenChecksum sumDoc `xml:"open-checksum"`
					Location     attrs  `xml:"location"`
					Timestamp    int64  `xml:"timestamp"`
					Size         int    `xml:"size"`
					OpenSize     int    `xml:"open-size"`
				} `xml:"data"`
			}
			if err := xml.Unmarshal(data, &md); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprint(tt.time.Unix()); md.Revision != want {
				t.Errorf("revision %s, want %s", md.Revision, want)
			}
			var types []string
			for i, d := range md.Data {
				types = append(types, d.Type)
				name := filepath.Join(dir, filepath.FromSlash(d.Location["href"]))
				packed, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				open := unpack(t, packed, tt.suffix)
				if plain[i] == nil {
					plain[i] = open
				}
				if !bytes.Equal(open, plain[i]) {
					t.Errorf("%s: unpacked, it is another document", d.Type)
				}
				want := d.Type + ".xml" + tt.suffix
				if !tt.o.SimpleNames {
					want = hexSum(packed) + "-" + want
				}
				if got := d.Location["href"]; got != "repodata/"+want {
					t.Errorf("%s: location %s, want repodata/%s", d.Type, got, want)
				}
				if d.Size != len(packed) || d.OpenSize != len(open) || d.Timestamp != tt.time.Unix() ||
					d.Checksum != (sumDoc{Type: "sha256", Hex: hexSum(packed)}) ||
					d.OpenChecksum != (sumDoc{Type: "sha256", Hex: hexSum(open)}) {
					t.Errorf("%s: %+v does not describe its file", d.Type, d)
				}
				info, err := os.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				if !info.ModTime().Equal(tt.time) {
					t.Errorf("%s: modified %s, want %s", d.Type, info.ModTime(), tt.time)
				}
			}
			if diff := cmp.Diff([]string{"primary", "filelists", "other"}, types); diff != "" {
				t.Error(diff)
			}
		})
	}
}
