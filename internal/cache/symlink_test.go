package cache_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// TestSymlinksInMidRun: a directory of stored files that turns into a symbolic link out of
// the tree, to the very files that were there with all that is known of them, is followed
// by nothing that a cache does: no byte is read, written, marked or deleted there.
func TestSymlinksInMidRun(t *testing.T) {
	body := rpm(70_000, 41)
	for _, tt := range []struct {
		name string
		do   func(s *site, c *cache.Cache) error // not nil: that anything came of it
	}{
		{"get", func(_ *site, c *cache.Cache) error {
			if got, _, err := get(c, here); err == nil {
				return fmt.Errorf("%d bytes were served", len(got))
			}
			return nil
		}},
		{"stored", func(_ *site, c *cache.Cache) error {
			if o, _, err := c.Stored(here); err == nil {
				o.Close()
				return errors.New("it is")
			}
			return nil
		}},
		{"prefetch", func(s *site, c *cache.Cache) error {
			newer := rpm(80_000, 42)
			s.answer(file(newer, day1.AddDate(0, 0, 1)))
			if out, err := c.Prefetch(waiting(s.t), here, want(newer), s.mirrors()); err == nil {
				return fmt.Errorf("%+v", out)
			}
			return nil
		}},
		{"sum", func(_ *site, c *cache.Cache) error {
			if _, err := c.Sum(context.Background(), here.String()); err == nil {
				return errors.New("its digest is known")
			}
			return nil
		}},
		{"open", func(_ *site, c *cache.Cache) error {
			if f, _, err := c.Open(here.String()); err == nil {
				return f.Close()
			}
			return nil
		}},
		{"invalidate", func(_ *site, c *cache.Cache) error { return c.Invalidate(here) }},
		{"withdraw", func(_ *site, c *cache.Cache) error {
			if ok, err := c.Withdraw(here, "gone", false); ok {
				return fmt.Errorf("it is withdrawn: %w", err)
			}
			return nil
		}},
		{"delete what was prefetched", func(_ *site, c *cache.Cache) error {
			if n, ok, err := c.DeletePrefetched(here); ok {
				return fmt.Errorf("%d bytes, %w", n, err)
			}
			return nil
		}},
		{"discard", func(_ *site, c *cache.Cache) error {
			if n, ok, err := c.Discard(here, want(body).Digest); ok {
				return fmt.Errorf("%d bytes, %w", n, err)
			}
			return nil
		}},
		{"purge the file", func(_ *site, c *cache.Cache) error {
			if n, _, err := c.Purge(here.String()); err == nil {
				return fmt.Errorf("%d files are purged", n)
			}
			return nil
		}},
		{"purge what is above", func(_ *site, c *cache.Cache) error {
			_, _, err := c.Purge(here.Repo) // the link goes
			return err
		}},
		{"list", func(_ *site, c *cache.Cache) error {
			if all, err := c.List(here.Repo, "41/Packages"); err == nil {
				return fmt.Errorf("%v", all)
			}
			return nil
		}},
		{"walk", func(_ *site, c *cache.Cache) error {
			return c.Walk(context.Background(), func(k cache.Key, _ cache.Facts) error { return fmt.Errorf("%s", k) })
		}},
		{"audit", func(_ *site, c *cache.Cache) error {
			return c.Audit(context.Background(), "", func(context.Context, int) error { return nil }, func(f cache.Finding) error { return fmt.Errorf("%s", f.Key) })
		}},
		{"evict", func(s *site, c *cache.Cache) error {
			s.pass(100 * 24 * time.Hour)
			if e, err := c.MakeRoom(context.Background(), 1<<60); err != nil || len(e.Files) > 0 {
				return fmt.Errorf("%+v, %w", e, err)
			}
			return nil
		}},
		{"unite", func(_ *site, c *cache.Cache) error {
			if u, err := c.Unite(context.Background(), func(context.Context, int) error { return nil }); err != nil || u.Files > 0 {
				return fmt.Errorf("%+v, %w", u, err)
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, file(body, day1))
			c := s.openListed(listed{}, nil)
			if _, err := c.Prefetch(waiting(t), here, want(body), s.mirrors()); err != nil {
				t.Fatal(err)
			}
			outside := t.TempDir()
			at, to := filepath.Join(s.dir, here.Repo, "41"), filepath.Join(outside, "moved")
			if err := errors.Join(os.Rename(at, to), os.Symlink(to, at)); err != nil {
				t.Fatal(err)
			}
			before := listing(t, outside)
			known, err := os.ReadFile(filepath.Join(to, "Packages", filepath.Base(here.Path)))
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.do(s, c); err != nil {
				t.Error(err)
			}
			if after := listing(t, outside); after != before {
				t.Errorf("outside of the tree: %s, before %s", after, before)
			}
			if now, err := os.ReadFile(filepath.Join(to, "Packages", filepath.Base(here.Path))); err != nil || string(now) != string(known) {
				t.Errorf("the file outside has other bytes, %v", err)
			}
		})
	}
}

// TestSymlinkInPlaceOfOwn: a link in the place of what is the cache's own is refused when
// the cache is opened, before anything is made where it leads; one in the place of the
// cache directory is that directory.
func TestSymlinkInPlaceOfOwn(t *testing.T) {
	for _, name := range []string{".im", ".im/partial", ".im/gen", ".im/tombstones", ".im/lists"} {
		dir, outside := t.TempDir(), t.TempDir()
		err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.Symlink(outside, filepath.Join(dir, name)))
		if err != nil {
			t.Fatal(err)
		}
		before := listing(t, outside)
		c, err := cache.Open(cache.Options{Dir: dir})
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)+" is a symbolic link") {
			t.Errorf("%s: %v", name, err)
		}
		if after := listing(t, outside); after != before {
			t.Errorf("%s: there is now %s", name, after)
		}
	}
	body := rpm(5000, 1)
	s := newSite(t, file(body, day1))
	link := filepath.Join(t.TempDir(), "cache")
	if err := os.Symlink(s.dir, link); err != nil {
		t.Fatal(err)
	}
	s.dir = link
	if _, err := s.open(nil).Prefetch(waiting(t), here, want(body), s.mirrors()); err != nil {
		t.Errorf("a cache directory that is a link: %v", err)
	}
	onDisk(t, link, here, body)
}

// TestSymlinkForAPartial: who can guess the name of a partial file, and puts a link there,
// has nothing written where that leads. The request is to be passed on.
func TestSymlinkForAPartial(t *testing.T) {
	body := rpm(70_000, 41)
	sum := sha256.Sum256([]byte(here.String()))
	for _, suffix := range []string{"", ".new"} {
		t.Run("partial"+suffix, func(t *testing.T) {
			s := newSite(t, file(body, day1))
			c := s.openListed(listed{}, nil)
			secret := filepath.Join(t.TempDir(), "secret")
			name := filepath.Join(s.dir, ".im/partial", fmt.Sprintf("%x", sum[:16]))
			err := os.WriteFile(secret, []byte("secret"), 0o600)
			if suffix != "" {
				// What has come of another file has to begin anew.
				err = errors.Join(err, os.WriteFile(name, []byte("left over"), 0o644))
			}
			if err = errors.Join(err, os.Symlink(secret, name+suffix)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := get(c, here); err != nil && !errors.Is(err, cache.ErrUnstorable) {
				t.Errorf("err = %v", err)
			}
			if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
				t.Errorf("the file that the link leads to has %d bytes, %v", len(b), err)
			}
		})
	}
}
