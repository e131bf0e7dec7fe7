package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
)

// TestMetalinkText: what is written is what a reader of metalinks finds.
func TestMetalinkText(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	version := func(s string, size int64) generation.Version {
		sum := sha256.Sum256([]byte(s))
		return generation.Version{Digest: hex.EncodeToString(sum[:]), Size: size, Modified: at}
	}
	a, b, c := version("a", 1), version("b", 2), version("c", 3)
	for _, tt := range []struct {
		name       string
		kept       []generation.Version
		alternates []generation.Version
	}{
		{"nothing is kept", nil, nil},
		{"what is current alone", []generation.Version{c}, nil},
		{"two before it", []generation.Version{c, b, a}, []generation.Version{b, a}},
		{"a newer one that clients do not get yet", []generation.Version{a, c}, []generation.Version{a}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			urls := []string{"http://mirror.test:3180/r/o%20s/repodata/repomd.xml", "https://public.test/r/?a&b/repodata/repomd.xml"}
			text, err := (&metalink{now: at, current: c, kept: tt.kept, urls: urls}).text()
			if err != nil {
				t.Fatal(err)
			}
			m, err := repodata.ParseMetalink(bytes.NewReader(text))
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			same := func(got repodata.Version, want generation.Version) bool {
				return got.Timestamp == at.Unix() && got.Size == want.Size && len(got.Checksums) == 1 &&
					got.Checksums[0].Type == "sha256" && got.Checksums[0].Hex == want.Digest
			}
			if !same(m.Current, c) || len(m.Alternates) != len(tt.alternates) || strings.Join(m.URLs, " ") != strings.Join(urls, " ") {
				t.Fatalf("%+v\n%s", m, text)
			}
			for i, want := range tt.alternates {
				if !same(m.Alternates[i], want) {
					t.Errorf("the alternate %d is %+v, want %+v", i, m.Alternates[i], want)
				}
			}
		})
	}
}

// TestMetalinkPage: any client gets a metalink of what this mirror serves now, for the
// address by which it asks, and is told what is wrong otherwise.
func TestMetalinkPage(t *testing.T) {
	m := newMirror(t, setup{bases: []string{"https://public.example.test/r"}})
	const text = "<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"/>"
	m.put(repomd, []byte(text))
	r := m.get("/-/setup/metalink/r/os", "X-Forwarded-For", "192.168.3.4")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/metalink+xml" || r.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %v %s", r.Status, r.Header, r.body)
	}
	got, err := repodata.ParseMetalink(bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	if got.Current.Size != int64(len(text)) || got.Current.Checksums[0].Hex != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v", got.Current)
	}
	if want := []string{m.url + "/" + repomd, m.up.URL + "/r/" + repomd, "https://public.example.test/r/" + repomd}; strings.Join(got.URLs, " ") != strings.Join(want, " ") {
		t.Errorf("it names %q, want %q", got.URLs, want)
	}
	for path, code := range map[string]int{"": 404, "none/os": 404, "r/none": 404, "r/os%2Fx": 404, "../r/os": 404, "-/os": 404} {
		if r := m.get("/-/setup/metalink/" + path); r.StatusCode != code {
			t.Errorf("%q: %s, want %d: %s", path, r.Status, code, r.body)
		}
	}
	m.up.Stop()
	if r := m.get("/-/setup/metalink/r/os"); r.StatusCode != 200 {
		t.Errorf("with upstream away, and the metadata stored: %s", r.Status)
	}
	if r := m.get("/-/setup/metalink/r/new"); r.StatusCode != 502 || !strings.HasPrefix(string(r.body), "No route to host") {
		t.Errorf("with upstream away, and nothing stored: %s %s", r.Status, r.body)
	}
}
