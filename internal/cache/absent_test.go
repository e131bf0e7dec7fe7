package cache_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// place puts a file into the tree as somebody else would.
func (s *site) place(path, text string, modified time.Time) {
	s.t.Helper()
	name := filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	// By a rename, as the programs do: another inode.
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chtimes(name+".new", modified, modified); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		s.t.Fatal(err)
	}
}

// absence gets k, which must not be there, and reports whether upstream was
// asked, and whether it could not be.
func absence(t *testing.T, s *site, c *cache.Cache, k cache.Key) (asked, offline bool) {
	t.Helper()
	before := s.gets.Load()
	_, _, err := get(c, k)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: %v", k, err)
	}
	var absent *cache.AbsentError
	if errors.As(err, &absent) {
		return s.gets.Load() != before, absent.Offline
	}
	return true, false
}

var asc = cache.Key{Repo: "r", Path: "x/repodata/repomd.xml.asc"}

const repomd = "r/x/repodata/repomd.xml"

func TestAbsentIsRemembered(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(*site) // the second request
		asked  bool
	}{
		{"at once", func(*site) {}, false},
		{"in a minute", func(s *site) { s.pass(time.Minute) }, true},
		{"the clock was set back", func(s *site) { s.pass(-time.Second) }, true},
		{"the repository changed", func(s *site) { s.place(repomd, "<two/>", day0) }, true},
		{"the repository changed, its time did not", func(s *site) { s.place(repomd, "<one/>", day0) }, true},
		{"the repository went", func(s *site) { os.Remove(filepath.Join(s.dir, repomd)) }, true},
		{"another repository changed", func(s *site) { s.place("r/y/repodata/repomd.xml", "<two/>", day1) }, false},
	} {
		for _, k := range []cache.Key{pkg, asc} {
			t.Run(tt.name+", "+filepath.Base(k.Path), func(t *testing.T) {
				s := newSite(t, http.NotFound)
				s.place(repomd, "<one/>", day0)
				c := s.open(nil)
				if asked, _ := absence(t, s, c, k); !asked {
					t.Fatal("nobody was asked the first time")
				}
				tt.before(s)
				if asked, _ := absence(t, s, c, k); asked != tt.asked {
					t.Errorf("asked: %v, want %v", asked, tt.asked)
				}
			})
		}
	}
}

// TestAbsentArrives holds that a file is found as soon as it is there.
func TestAbsentArrives(t *testing.T) {
	s := newSite(t, http.NotFound)
	c := s.open(nil)
	absence(t, s, c, pkg)
	body := rpm(3000, 1)
	s.place(pkg.String(), string(body), day0) // by the other program
	s.answer(file(body, day0))
	if got, _, err := get(c, pkg); err != nil || string(got) != string(body) {
		t.Errorf("placed: %d bytes, %v", len(got), err)
	}
	// Gone again; what was said before it came is no more.
	if err := os.Remove(filepath.Join(s.dir, pkg.String())); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Minute)
	if got, _, err := get(c, pkg); err != nil || string(got) != string(body) {
		t.Errorf("in a minute: %d bytes, %v", len(got), err)
	}
}

// TestAbsentButPromised holds that what current metadata lists is asked for each time.
func TestAbsentButPromised(t *testing.T) {
	s := newSite(t, http.NotFound)
	body := rpm(3000, 1)
	c := s.open(promises{key: pkg, want: want(body)})
	absence(t, s, c, pkg)
	s.answer(file(body, day0))
	if got, _, err := get(c, pkg); err != nil || string(got) != string(body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestAbsentOffline holds what is said of a file that was not there, once
// upstream can't be asked any more.
func TestAbsentOffline(t *testing.T) {
	media := cache.Key{Repo: "r", Path: "x/media.1/media"}
	for _, tt := range []struct {
		name    string
		key     cache.Key
		before  func(*site)
		restart bool
		absent  bool
	}{
		{"the same repository", asc, func(*site) {}, false, true},
		{"beside repodata", media, func(*site) {}, false, true},
		{"a package", pkg, func(*site) {}, false, true},
		{"the repository changed", asc, func(s *site) { s.place(repomd, "<two/>", day1) }, false, false},
		{"after a restart", asc, func(*site) {}, true, true},
		{"beside repodata, after a restart", media, func(*site) {}, true, true},
		{"a package, after a restart", pkg, func(*site) {}, true, false},
		{"the repository changed, after a restart", asc, func(s *site) { s.place(repomd, "<two/>", day1) }, true, false},
		{"no repository", cache.Key{Repo: "r", Path: "z/repodata/repomd.xml.asc"}, func(*site) {}, false, false},
		{"never asked", cache.Key{Repo: "r", Path: "x/repodata/repomd.xml.key"}, func(*site) {}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, http.NotFound)
			s.place(repomd, "<one/>", day0)
			c := s.open(nil)
			if !strings.HasSuffix(tt.key.Path, ".key") {
				absence(t, s, c, tt.key)
			}
			s.pass(time.Hour)
			tt.before(s)
			// Out of reach, and nobody else is given its port.
			s.answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			if tt.restart {
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				c = s.open(nil)
			}
			if got := c.WasAbsent(tt.key); got != tt.absent {
				t.Errorf("it was absent: %v, want %v", got, tt.absent)
			}
			_, _, err := get(c, tt.key)
			var absent *cache.AbsentError
			if got := errors.As(err, &absent) && absent.Offline; got != tt.absent {
				t.Errorf("%v", err)
			}
			if tt.absent == errors.As(err, new(*cache.UnreachableError)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAbsentIsBounded holds that whoever asks for many files that are not there
// does not fill the memory, or the attribute.
func TestAbsentIsBounded(t *testing.T) {
	s := newSite(t, http.NotFound)
	s.place(repomd, "<one/>", day0)
	c := s.open(nil)
	for i := range 5000 {
		c.NoteAbsent(cache.Key{Repo: "r", Path: fmt.Sprintf("x/%d/media.1/media", i)})
	}
	if n := c.Absences(); n > 4096 || n < 2000 {
		t.Errorf("%d are remembered", n)
	}
}
