package generation_test

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// A catalog that something has damaged is made anew at the next look at upstream, from
// the metadata that is here.
func TestDamagedCatalog(t *testing.T) {
	all := map[string]func(string, []byte) error{
		"a page":    func(path string, _ []byte) error { return os.WriteFile(path, []byte("<html>\n"), 0o644) },
		"its start": func(path string, b []byte) error { return os.WriteFile(path, b[:3], 0o644) },
	}
	maps.Copy(all, ways)
	for name, way := range all {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{}, spec("vlc", "1"), spec("mplayer", "1"))
			first := b.mustStage()
			b.flip(first)
			path := filepath.Join(b.dir, ".im/gen", first.Digest, "catalog")
			right, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b.damage("*/catalog", way)
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

// ways are what may become of a file that was just removed: bad disks and people do
// all of that.
var ways = map[string]func(path string, b []byte) error{
	"gone":        func(string, []byte) error { return nil },
	"empty":       func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o644) },
	"cut":         func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o644) },
	"noise":       func(path string, b []byte) error { return os.WriteFile(path, bytes.Repeat([]byte{7}, len(b)), 0o644) },
	"nothing":     func(path string, _ []byte) error { return os.WriteFile(path, []byte("{}"), 0o644) },
	"a directory": func(path string, _ []byte) error { return os.MkdirAll(path+"/in/it", 0o755) },
	"unreadable":  func(path string, _ []byte) error { return os.Symlink(path, path) },
}

// damage does it to the one file that a pattern below the generations finds.
func (b *bench) damage(pattern string, way func(string, []byte) error) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(b.dir, ".im/gen", pattern))
	if err != nil || len(names) != 1 {
		b.Fatalf("%s finds %q, %v", pattern, names, err)
	}
	was, err := os.ReadFile(names[0])
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Remove(names[0]); err != nil {
		b.Fatal(err)
	}
	if err := way(names[0], was); err != nil {
		b.Fatal(err)
	}
}

// What is noted of a root is noted twice: whatever happens to one of the files, what it
// kept is kept, a hold holds, and the next time that metadata expires both are there.
func TestDamagedRoot(t *testing.T) {
	for name, way := range ways {
		for _, which := range []string{"*.root", "*.spare"} {
			t.Run(name+" "+which, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, testrepo.BuildOptions{}, spec("vlc", "1"))
				b.flip(b.mustStage())
				b.publish(testrepo.BuildOptions{}, spec("vlc", "2"))
				b.flip(b.mustStage())
				if err := b.store.Hold(context.Background(), b.cache, b.root, b.mirrors.Grab()); err != nil {
					t.Fatal(err)
				}
				b.damage(which, way)
				b.store = b.open()
				for range 2 {
					if _, held := b.lookup(spec("vlc", "1")); !held {
						t.Error("what was replaced is kept no more")
					}
					if list, err := b.store.Held(); err != nil || len(list) != 1 {
						t.Errorf("held: %q, %v", list, err)
					}
					if gone, err := b.store.Expire(false); err != nil || len(gone) != 0 {
						t.Errorf("expired: %v, %v", gone, err)
					}
					// Now it is the other file's turn, if this one is right again.
					other := map[string]string{"*.root": "*.spare", "*.spare": "*.root"}[which]
					b.damage(other, ways["gone"])
					b.store = b.open()
				}
			})
		}
	}
}

// Where both are lost, and what the generations tell, no metadata goes that might have
// been kept, until its time is over; a root that is in use has its own again at the next
// look at upstream.
func TestLostRoot(t *testing.T) {
	for _, name := range []string{"noise", "a directory", "unreadable"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{}, spec("vlc", "1"))
			b.setNow(time.Now())
			b.flip(b.mustStage())
			for _, which := range []string{"*.root", "*.spare", "*/*.root"} {
				b.damage(which, ways[name])
			}
			b.store = b.open()
			b.setNow(b.now().Add(6 * 24 * time.Hour))
			if gone, err := b.store.Expire(false); err != nil || len(gone) != 0 {
				t.Errorf("expired before its time: %v, %v", gone, err)
			}
			again := b.mustStage()
			if !again.Changed {
				t.Error("there is nothing to put right")
			}
			b.flip(again)
			if _, held := b.lookup(spec("vlc", "1")); !held {
				t.Error("what is current is not kept")
			}
			// Of a root that nobody uses.
			for _, which := range []string{"*.root", "*.spare", "*/*.root"} {
				b.damage(which, ways[name])
			}
			b.setNow(b.now().Add(15 * 24 * time.Hour))
			for range 2 { // the first sees that nobody can be kept any more
				if _, err := b.store.Expire(false); err != nil {
					t.Fatal(err)
				}
			}
			if left, err := filepath.Glob(filepath.Join(b.dir, ".im/gen/*")); err != nil || len(left) != 1 || !strings.HasSuffix(left[0], ".lock") {
				t.Errorf("left: %q, %v", left, err)
			}
		})
	}
}
