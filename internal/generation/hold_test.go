package generation_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// get is what a client gets of a file of the root.
func (b *bench) get(location string) []byte {
	b.Helper()
	k, err := b.root.Key(location)
	if err != nil {
		b.Fatal(err)
	}
	o, err := b.cache.Get(context.Background(), k)
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	var got bytes.Buffer
	if _, err := o.SendTo(context.Background(), &got, 0, -1); err != nil {
		b.Fatal(err)
	}
	return got.Bytes()
}

func (b *bench) hold() error {
	return b.store.Hold(context.Background(), b.cache, b.root, b.mirrors)
}

// TestHold: while a root is held neither a client's request nor a run goes past
// its generation, and upstream isn't even asked; released, both do.
func TestHold(t *testing.T) {
	for _, by := range []string{"a run", "a client"} {
		t.Run("brought by "+by, func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
			if err := b.hold(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nothing to hold: %v", err)
			}
			if by == "a run" {
				b.flip(b.mustStage())
			}
			held := b.get("repodata/repomd.xml")
			if err := b.hold(); err != nil {
				t.Fatal(err)
			}
			if list, err := b.store.Held(); err != nil || len(list) != 1 || list[0] != b.root.String() {
				t.Errorf("held: %v, %v", list, err)
			}
			b.now = b.now.Add(48 * time.Hour)
			next := spec("a", "2")
			b.publish(testrepo.BuildOptions{}, next)
			b.up.Forget()
			if !bytes.Equal(b.get("repodata/repomd.xml"), held) {
				t.Error("a client got past the generation that is held")
			}
			s := b.mustStage()
			if s.Changed || !s.Held {
				t.Errorf("staged: %+v", s)
			}
			if lines := b.up.Lines("", "*"); len(lines) != 0 {
				t.Errorf("upstream was asked %q", lines)
			}
			if b.store = b.open(); !bytes.Equal(b.get("repodata/repomd.xml"), held) {
				t.Error("a restart forgets")
			}

			if was, err := b.store.Release(b.root); !was || err != nil {
				t.Errorf("release: %v, %v", was, err)
			}
			if was, err := b.store.Release(b.root); was || err != nil {
				t.Errorf("release again: %v, %v", was, err)
			}
			b.now = b.now.Add(time.Hour)
			if s := b.mustStage(); !s.Changed || s.Held {
				t.Errorf("released, and staged: %+v", s)
			}
		})
	}
}

// TestHoldUnderARun: what a run staged before the root was held does not become
// current.
func TestHoldUnderARun(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	b.flip(b.mustStage())
	b.now = b.now.Add(48 * time.Hour)
	b.publish(testrepo.BuildOptions{}, spec("a", "2"))
	s := b.mustStage()
	if err := b.hold(); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Flip(s.Generation); !errors.Is(err, generation.ErrHeld) {
		t.Errorf("flip: %v", err)
	}
	if w, _ := b.lookup(spec("a", "1")); !w.Known() {
		t.Error("what is held is not promised")
	}
	if w, _ := b.store.Lookup(cache.Key{Repo: "r", Path: "updates/41/repodata/repomd.xml"}); !w.Known() {
		t.Error("repomd.xml is not promised to stay")
	}
}
