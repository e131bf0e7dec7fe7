package cache

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"intelligentmirror/internal/testrepo"
)

func TestFits(t *testing.T) {
	portal := "<!DOCTYPE html>\n<html><head><title>Log in</title></head></html>"
	for _, tt := range []struct {
		path, head string
		want       bool
	}{
		{"a.rpm", "\xed\xab\xee\xdb\x03\x00", true},
		{"a.RPM", "\xed\xab\xee\xdb\x03\x00", true},
		{"a.rpm", "\xed\xab\xee", false},
		{"a.rpm", "", false},
		{"a.rpm", portal, false},
		{"a.drpm", "drpm\x00DLT3", true},
		{"a.drpm", portal, false},
		{"a.deb", "!<arch>\ndebian-binary", true},
		{"a.deb", portal, false},
		{"a.udeb", "!<arch>\ndebian-binary", true},
		{"repomd.xml", "<?xml version=\"1.0\"?>\n<repomd>", true},
		{"repomd.xml", "\xef\xbb\xbf  \n<repomd>", true},
		{"repomd.xml", "", false},
		{"repomd.xml", "{}", false},
		{"repomd.xml", portal, false},
		{"repomd.xml", "<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\">\n<html xmlns=\"x\">", false},
		{"p.xml.gz", "\x1f\x8b\x08\x00", true},
		{"p.xml.gz", portal, false},
		{"p.xml.xz", "\xfd7zXZ\x00\x00", true},
		{"p.xml.zst", "\x28\xb5\x2f\xfd\x04", true},
		{"p.xml.zst", "\x1f\x8b\x08\x00", false},
		{"p.sqlite.bz2", "BZh91AY", true},
		{"p.xml.zck", "\x00ZCK1\x01", true},
		{"InRelease", "-----BEGIN PGP SIGNED MESSAGE-----", true},
		{"InRelease", portal, false},
		{"InRelease", "  \n<HTML>", false},
		{"Packages", "", true},
		{"index.html", portal, true},
	} {
		if got := FormatOf("x/" + tt.path).Fits([]byte(tt.head)); got != tt.want {
			t.Errorf("%s, %.20q: %v, want %v", tt.path, tt.head, got, tt.want)
		}
	}
}

// TestFitsRealFiles: every package and metadata file that was found in the wild
// fits the format of its name.
func TestFitsRealFiles(t *testing.T) {
	n := 0
	err := filepath.WalkDir(testrepo.Shared(t, ""), func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		format := FormatOf(p)
		if format == AnyFormat || format == HTML {
			return nil
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		head := make([]byte, sniffLen)
		k, err := io.ReadFull(f, head)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return err
		}
		if k == 0 {
			return nil // a file that was emptied to save space
		}
		n++
		if !format.Fits(head[:k]) {
			t.Errorf("%s begins with %.20q", p, head[:k])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 50 {
		t.Errorf("only %d files were looked at", n)
	}
}
