package cache_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// TestUnite: what is stored several times is stored once, whoever knows of it, and
// all else stays what it was.
func TestUnite(t *testing.T) {
	body, lone := rpm(300_000, 61), rpm(1000, 62)
	primary := []cache.Key{{Repo: "r", Path: "x/repodata/primary.xml"}, {Repo: "s", Path: "x/repodata/primary.xml"}}
	alone := cache.Key{Repo: "r", Path: "lone.rpm"}
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case filepath.Base(r.URL.Path) == "primary.xml":
			file([]byte("<?xml version=\"1.0\"?><metadata/>"), day1)(w, r)
		case filepath.Base(r.URL.Path) == "lone.rpm":
			file(lone, day1)(w, r)
		case r.URL.Path == "/"+there.Path:
			file(body, day0)(w, r)
		default:
			file(body, day1)(w, r)
		}
	})
	c := s.openListed(listed{}, nil)
	for _, k := range append([]cache.Key{here, there, other, alone}, primary...) {
		if _, _, err := get(c, k); err != nil {
			t.Fatal(err)
		}
	}
	c.Settled()
	s.oneFile(here)
	reader, err := c.Get(waiting(t), there)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()

	var read int
	pause := func(ctx context.Context, n int) error { read += n; return ctx.Err() }
	done, err := c.Unite(waiting(t), pause)
	if err != nil || done.Files != 2 || done.Bytes < 2*int64(len(body)) || done.Bytes > 2*int64(len(body))+20_000 {
		t.Errorf("%+v, %v", done, err)
	}
	if read > 4*len(body) {
		t.Errorf("%d bytes were read", read)
	}
	s.oneFile(here, there, other)
	s.oneFile(alone)
	s.oneFile(primary[0])
	s.noPartials()
	var got bytes.Buffer
	if _, err := reader.SendTo(waiting(t), &got, 0, -1); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Errorf("who read it: %d bytes, %v", got.Len(), err)
	}
	// Each name is validated as before, by its own time.
	s.pass(time.Hour)
	for _, k := range []cache.Key{here, there, other} {
		if status := s.mustGet(c, k, body); status.FwdStatus != 304 {
			t.Errorf("%s, an hour later: %+v", k, status)
		}
	}
	if again, err := c.Unite(waiting(t), pause); err != nil || again != (cache.United{}) {
		t.Errorf("again: %+v, %v", again, err)
	}
	if e, err := c.Evict(waiting(t), true); err != nil || e.Short != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestUniteDamaged: a file that is not what it says does not take the place of one
// that is, and whoever ends it early ends it.
func TestUniteDamaged(t *testing.T) {
	body := rpm(300_000, 63)
	s := newSite(t, file(body, day1))
	c := s.openListed(listed{}, nil)
	s.mustGet(c, here, body)
	s.mustGet(c, there, body)
	c.Settled()
	stop := errors.New("enough")
	if _, err := c.Unite(waiting(t), func(context.Context, int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
	name := filepath.Join(s.dir, here.String()) // it is read, since it comes first
	bad := bytes.Clone(body)
	bad[7] ^= 1
	if err := errors.Join(os.WriteFile(name, bad, 0o644), os.Chtimes(name, day1, day1)); err != nil {
		t.Fatal(err)
	}
	done, err := c.Unite(waiting(t), func(context.Context, int) error { return nil })
	if err != nil || done.Files != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	s.oneFile(there)
	s.mustGet(c, there, body)
}

// TestUniteReplacedMeanwhile: a name that gets other bytes while the file is read that it
// would have shared keeps them.
func TestUniteReplacedMeanwhile(t *testing.T) {
	body, next := rpm(300_000, 64), rpm(300_000, 65)
	s := newSite(t, file(body, day1))
	c := s.openListed(listed{}, nil)
	s.mustGet(c, here, body) // it is read, since it comes first
	s.mustGet(c, there, body)
	c.Settled()
	replace := sync.OnceFunc(func() {
		s.answer(file(next, day1.Add(time.Hour)))
		s.pass(365 * 24 * time.Hour)
		s.mustGet(c, there, next)
		c.Settled()
	})
	done, err := c.Unite(waiting(t), func(context.Context, int) error { replace(); return nil })
	if err != nil || done.Files != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	for k, want := range map[cache.Key][]byte{here: body, there: next} {
		if got, err := os.ReadFile(filepath.Join(s.dir, k.String())); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes that it should not have, %v", k, len(got), err)
		}
		s.oneFile(k)
	}
}
