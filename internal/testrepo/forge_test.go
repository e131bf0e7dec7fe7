package testrepo

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForge holds that a forged file is in the repository as repomd.xml lists it,
// and that all other files are listed as before.
func TestForge(t *testing.T) {
	dir := t.TempDir()
	if err := Build(dir, []Spec{{Name: "a", Version: "1", Release: "1"}}, BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	type record struct {
		Type     string `xml:"type,attr"`
		Checksum string `xml:"checksum"`
		Location struct {
			Href string `xml:"href,attr"`
		} `xml:"location"`
		Size     int `xml:"size"`
		OpenSize int `xml:"open-size"`
	}
	read := func() (doc struct {
		Data []record `xml:"data"`
	}) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, "repodata/repomd.xml"))
		if err == nil {
			err = xml.Unmarshal(b, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	before := read()
	if err := Forge(dir, "filelists", []byte("lies"), 7); err != nil {
		t.Fatal(err)
	}
	for i, d := range read().Data {
		if d.Type != "filelists" {
			if d != before.Data[i] {
				t.Errorf("%s was %+v, and is %+v", d.Type, before.Data[i], d)
			}
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, d.Location.Href))
		if err != nil || string(b) != "lies" || hexSum(b) != d.Checksum || d.Size != 4 || d.OpenSize != 7 {
			t.Errorf("%+v: %q, %v", d, b, err)
		}
	}
	if err := Forge(dir, "modules", nil, 0); err == nil {
		t.Error("a type that is not listed is forged")
	}
}

// TestBomb holds that a bomb unpacks to what
// it is meant to be.
func TestBomb(t *testing.T) {
	const size = 3<<20 + 500
	for _, c := range []Compression{Gzip, XZ, Zstd} {
		b, err := Bomb(c, "<head>", "<unit/>", size)
		if err != nil {
			t.Fatal(err)
		}
		text := string(unpack(t, b, "."+string(c)))
		if len(text) != size || !strings.HasPrefix(text, "<head><unit/><unit/>") || len(b) > size/200 {
			t.Errorf("%s: %d bytes of %d", c, len(text), len(b))
		}
	}
}

// TestGreedy holds that what asks for a dictionary is sound but for that.
func TestGreedy(t *testing.T) {
	text := strings.Repeat("Jack is a dull boy. ", 20_000)
	for _, c := range []Compression{XZ, Zstd} {
		b, err := Greedy(c, text, 1<<26)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(unpack(t, b, "."+string(c))); got != text {
			t.Errorf("%s: %d bytes", c, len(got))
		}
	}
	if _, err := Greedy(Gzip, text, 1<<26); err == nil {
		t.Error("gzip asks for a dictionary")
	}
}
