package cache

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FuzzFacts holds that whatever stands in the attribute of a stored file, which a copying
// program may have brought, the file is served by it or looked at anew, and what is known
// of it can be kept again.
func FuzzFacts(f *testing.F) {
	body := []byte("\xed\xab\xee\xdb and more")
	at := time.Unix(1_700_000_000, 0).UTC()
	whole, err := json.Marshal(Facts{
		SHA256: "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", Met: "sha1:0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33",
		Size: int64(len(body)), ModTime: at, ETag: `"x"`, LastModified: "Sun, 22 Nov 2026 03:00:00 GMT", URL: "http://a/b", Validated: at, Prefetched: at, Checked: "gpg",
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	for _, s := range []string{
		`{"sha256":"sha256:ab","size":13,"mtime":"2023-11-14T22:13:20Z"}`, `{"sha256":"x","met":":","size":13,"mtime":"2023-11-14T22:13:20Z"}`, `{"size":-1}`, `[]`, `{`, ``,
		`{"size":13,"mtime":"2023-11-14T22:13:20Z","etag":"a\r\nb","validated":"9999-12-31T23:59:59Z"}`, "null",
	} {
		f.Add([]byte(s))
	}
	k := Key{Repo: "r", Path: "a.rpm"}
	dir := f.TempDir()
	t, err := openTree(dir)
	if err != nil {
		f.Fatal(err)
	}
	name := filepath.Join(dir, k.String())
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(test *testing.T, attribute []byte) {
		if len(attribute) > maxAttr {
			return
		}
		if err := os.WriteFile(name, body, 0o644); err != nil {
			test.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			test.Fatal(err)
		}
		switch err := unix.Setxattr(name, factsAttr, attribute, 0); err {
		case nil:
		case unix.ENOSPC, unix.E2BIG:
			test.Skip("no file system has so large an attribute")
		default:
			test.Fatal(err)
		}
		s, err := t.open(k)
		if err != nil {
			test.Fatal(err)
		}
		defer s.file.Close()
		if s.facts.Size != int64(len(body)) || !s.facts.ModTime.Equal(at) {
			test.Fatalf("facts of another file: %+v", s.facts)
		}
		if s.facts.Tag() == "" {
			test.Error("no entity tag")
		}
		for _, want := range []Want{{}, {Digest: "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", Size: int64(len(body))}} {
			for _, p := range []Policy{{MaxAge: time.Hour}, {MaxAge: time.Hour, Anchor: true}} {
				got := Decide(at.Add(time.Minute), &s.facts, want, p)
				if want.Known() && got == Serve && !s.facts.Keeps(want.Digest) {
					test.Errorf("served though metadata promises other bytes: %+v", s.facts)
				}
			}
		}
		if err := s.verify(Want{Digest: Digest("sha256:").of(body), Size: int64(len(body))}, at); err != nil {
			test.Error(err)
		}
	})
}

// of is the digest of body, of d's kind.
func (d Digest) of(body []byte) Digest {
	h := d.New()
	h.Write(body)
	return sumOf(d.Type(), h)
}
