package upstream

import (
	"os"
	"path/filepath"
	"testing"

	"intelligentmirror/internal/cache"
)

// FuzzReadSnapshot holds that a saved list of mirrors, whatever is in its file, is read or
// refused, asks addresses of the web alone, and names no repomd.xml that it has no digest of.
func FuzzReadSnapshot(f *testing.F) {
	for _, s := range []string{
		`{"repo":"r","root":"41","url":"https://l/","fetched":"2026-11-22T03:00:00Z","bases":["https://a/41","http://b/41"],"current":{"size":3,"digest":"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"},"alternates":[{"digest":"sha256:00"}]}`,
		`{"bases":["file:///etc","gopher://a","//x","http://u:p@h/","http://[::1","https://a/../..","\u0000"]}`, `{"alternates":[{"digest":":"}]}`, `{}`, `null`, `{"bases":null,"current":null}`, `[`, ``,
	} {
		f.Add([]byte(s))
	}
	name := filepath.Join(f.TempDir(), "list")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := readSnapshot(name)
		if err != nil {
			return
		}
		if again := order(s.Bases); len(again) != len(s.Bases) {
			t.Errorf("%q are put in order as %q", s.Bases, again)
		}
		if s.Current == nil {
			return // a list of mirrors alone
		}
		const none = cache.Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
		current, listed := s.names([]byte("no version of anything"))
		if current || listed && !s.lists(none) {
			t.Errorf("it names what it has no digest of: %s", text)
		}
	})
}
