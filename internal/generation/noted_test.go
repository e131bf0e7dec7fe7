package generation_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// Where both files of a root are lost, what it kept is kept, and a hold holds, by what the
// generations tell: what was replaced stays for its time, nothing of it looks withdrawn,
// and with the next time that metadata expires both files are there again.
func TestNotedRoot(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, testrepo.BuildOptions{}, spec("vlc", "1"))
			b.setNow(time.Now())
			b.flip(b.mustStage())
			b.publish(testrepo.BuildOptions{}, spec("vlc", "2"))
			second := b.mustStage()
			b.flip(second)
			if err := b.store.Hold(context.Background(), b.cache, b.root, b.mirrors.Grab()); err != nil {
				t.Fatal(err)
			}
			b.older(48 * time.Hour)
			for _, which := range []string{"*.root", "*.spare"} {
				b.damage(which, way)
			}
			b.store = b.open()
			kept := func(when string) {
				t.Helper()
				if w, held := b.lookup(spec("vlc", "2")); !held || !w.Known() {
					t.Errorf("%s what is current is not promised: %+v, %t", when, w, held)
				}
				if _, held := b.lookup(spec("vlc", "1")); !held {
					t.Errorf("%s what was replaced is kept no more", when)
				}
				if list, err := b.store.Held(); err != nil || len(list) != 1 {
					t.Errorf("%s held: %q, %v", when, list, err)
				}
			}
			kept("after a restart")
			if gone, err := b.store.Expire(true); err != nil || len(gone) != 0 {
				t.Errorf("would expire: %v, %v", gone, err)
			}
			if gone, err := b.store.Expire(false); err != nil || len(gone) != 0 {
				t.Errorf("expired: %v, %v", gone, err)
			}
			b.lose("*/*.root")
			b.store = b.open()
			kept("by the files that are there again")
			if s := b.mustStage(); s.Changed || s.Digest != second.Digest {
				t.Errorf("staged: %+v", s)
			}

			if held, err := b.store.Release(b.root); err != nil || !held {
				t.Errorf("released: %t, %v", held, err)
			}
			b.setNow(b.now().Add(8 * 24 * time.Hour))
			b.older(48 * time.Hour)
			if gone, err := b.store.Expire(false); err != nil || len(gone) != 1 {
				t.Errorf("when its time is over: %v, %v", gone, err)
			}
			if _, held := b.lookup(spec("vlc", "1")); held {
				t.Error("it is kept for longer than its time")
			}
			for _, which := range []string{"*.root", "*.spare"} {
				b.lose(which)
			}
			b.store = b.open()
			if list, err := b.store.Held(); err != nil || len(list) != 0 {
				t.Errorf("held after it was released: %q, %v", list, err)
			}
		})
	}
}

// What lies in a generation's directory is a note only of that generation, and of the root
// that it is called after: a file that a mirror lists under such a name is none.
func TestForgedNote(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("vlc", "1"))
	first := b.mustStage()
	b.flip(first)
	names, err := filepath.Glob(filepath.Join(b.dir, ".im/gen", first.Digest, "*.root"))
	if err != nil || len(names) != 1 {
		t.Fatalf("notes: %q, %v", names, err)
	}
	right, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{"*.root", "*.spare", "*/*.root"} {
		b.lose(which)
	}
	other := filepath.Join(b.dir, ".im/gen", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	for name, where := range map[string]string{
		"of another generation": filepath.Join(other, filepath.Base(names[0])),
		"of another root":       filepath.Join(filepath.Dir(names[0]), "0123456789abcdef0123456789abcdef.root"),
		"by no such name":       filepath.Join(filepath.Dir(names[0]), "a.root"),
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(where), 0o755), os.WriteFile(where, right, 0o644)); err != nil {
			t.Fatal(err)
		}
		b.store = b.open()
		if _, held := b.lookup(spec("vlc", "1")); held {
			t.Errorf("%s: it is believed", name)
		}
		if err := os.Remove(where); err != nil {
			t.Fatal(err)
		}
	}
	if generation.IsFile(".im/gen/" + first.Digest + "/" + filepath.Base(names[0])) {
		t.Error("a note counts as upstream's")
	}
	if err := os.WriteFile(names[0], right, 0o644); err != nil {
		t.Fatal(err)
	}
	b.store = b.open()
	if _, held := b.lookup(spec("vlc", "1")); !held {
		t.Error("the right one is not believed")
	}
}

// older makes all that lies among the generations so much older than now.
func (b *bench) older(by time.Duration) {
	b.Helper()
	older(b.T, b.dir, b.now().Add(-by))
}

// older gives all that lies among the generations of the cache in dir that time.
func older(t *testing.T, dir string, at time.Time) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, ".im/gen/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Chtimes(name, at, at); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// lose removes the files that a pattern below the generations finds.
func (b *bench) lose(pattern string) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(b.dir, ".im/gen", pattern))
	if err != nil || len(names) == 0 {
		b.Fatalf("%s finds %q, %v", pattern, names, err)
	}
	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			b.Fatal(err)
		}
	}
}
