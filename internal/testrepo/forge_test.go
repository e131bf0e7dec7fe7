package testrepo

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/xi2/xz"
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
	before, forged := read(), 0
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
		forged++
		b, err := os.ReadFile(filepath.Join(dir, d.Location.Href))
		if err != nil || string(b) != "lies" || hexSum(b) != d.Checksum || d.Size != 4 || d.OpenSize != 7 {
			t.Errorf("%+v: %q, %v", d, b, err)
		}
	}
	if forged != 1 {
		t.Errorf("filelists is listed %d times", forged)
	}
	if err := Forge(dir, "modules", nil, 0); err == nil {
		t.Error("a type that is not listed is forged")
	}
}

// TestBomb holds that a bomb unpacks to what it is meant to be.
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

// TestGreedy holds that what asks for a dictionary is sound but for that, and is no good
// to who has less.
func TestGreedy(t *testing.T) {
	const dictionary = 1 << 26
	text := strings.Repeat("Jack is a dull boy. ", 20_000)
	// bounded unpacks with so much memory, and no more, for a dictionary.
	bounded := map[Compression]func(b []byte, most int) error{
		XZ: func(b []byte, most int) error {
			r, err := xz.NewReader(bytes.NewReader(b), uint32(most))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
		Zstd: func(b []byte, most int) error {
			r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(uint64(most)))
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
			return err
		},
	}
	for c, unpacked := range bounded {
		b, err := Greedy(c, text, dictionary)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(unpack(t, b, "."+string(c))); got != text {
			t.Errorf("%s: %d bytes", c, len(got))
		}
		if err := unpacked(b, dictionary); err != nil {
			t.Errorf("%s, with all that it asks for: %v", c, err)
		}
		if err := unpacked(b, dictionary/2); err == nil {
			t.Errorf("%s asks for less than it should", c)
		}
	}
	if _, err := Greedy(Gzip, text, dictionary); err == nil {
		t.Error("gzip asks for a dictionary")
	}
}
