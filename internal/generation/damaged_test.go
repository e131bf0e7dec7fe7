package generation_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// A catalog that something has damaged is made anew at the next look at upstream, from
// the metadata that is here.
func TestDamagedCatalog(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"noise":     func(b []byte) []byte { return bytes.Repeat([]byte{7}, len(b)) },
		"cut":       func(b []byte) []byte { return b[:len(b)-5] },
		"a page":    func([]byte) []byte { return []byte("<html>\n") },
		"its start": func(b []byte) []byte { return b[:3] },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{}, spec("vlc", "1"), spec("mplayer", "1"))
			first := b.mustStage()
			b.flip(first)
			path := filepath.Join(b.dir, ".im/gen", first.Digest, "catalog")
			right, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(bytes.Clone(right)), 0o644); err != nil {
				t.Fatal(err)
			}
			b.store = b.open()
			b.up.Forget()
			again := b.mustStage()
			if lines := b.up.Lines("", "*"); !again.Grown || len(lines) != 1 || !strings.HasSuffix(lines[0], "repomd.xml if 304") {
				t.Errorf("made anew: %t, asked for %q", again.Grown, lines)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, right) {
				t.Errorf("the catalog has %d bytes, it had %d: %v", len(got), len(right), err)
			}
			b.flip(again)
			if w, held := b.lookup(spec("vlc", "1")); !held || !w.Known() {
				t.Errorf("a package that it lists: %+v, %t", w, held)
			}
		})
	}
}
