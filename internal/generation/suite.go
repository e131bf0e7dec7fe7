package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"intelligentmirror/internal/cache"
)

// beside is k, which would be the entry file of r, for a client of a root that has
// another one: a Release beside an InRelease belongs to that, and in place of the
// InRelease that a repository has not got there may be one by now.
func (f *Refresher) beside(ctx context.Context, r Root, k, entry cache.Key, client string) (*cache.Object, error) {
	if path.Base(k.Path) == inRelease {
		return f.appeared(ctx, r, k, entry)
	}
	o, err := f.Get(ctx, entry, client)
	if err != nil {
		return nil, err
	}
	o.Close()
	if o, err := f.begunSuite(ctx, k, client); o != nil || err != nil {
		return o, err
	}
	return f.o.Cache.Get(ctx, k)
}

// appeared is the InRelease of a root that had only a Release when it was asked for
// last; the error is a *cache.AbsentError where there is still none to be had.
func (f *Refresher) appeared(ctx context.Context, r Root, k, entry cache.Key) (*cache.Object, error) {
	o, fresh, err := f.o.Cache.Stored(entry)
	if err == nil {
		o.Close()
	}
	if err != nil || !fresh {
		if fl, _, err := f.join(r, true); err == nil {
			wait := time.NewTimer(f.o.Patience - f.o.Now().Sub(fl.began))
			defer wait.Stop()
			select {
			case <-fl.done:
			case <-wait.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	o, err = f.stored(k, cache.Status{Fwd: "uri-miss", FwdStatus: 200, Stored: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &cache.AbsentError{Key: k}
	}
	return o, err
}

// begunSuite is Begun for the files of Debian's suites: an index by its plain name
// is that of the generation that the client began with or, if it began with none,
// of the current one. What that generation has not got is asked for by its digest,
// and not given at all where the name stands for other bytes by now.
func (f *Refresher) begunSuite(ctx context.Context, k cache.Key, client string) (*cache.Object, error) {
	r, digest, current := f.suiteOf(k, client)
	if digest == "" {
		return nil, nil
	}
	g := &Generation{Root: r, Digest: digest}
	status := cache.Status{Hit: true}
	if digest != current {
		status.Detail = outlived
	}
	name, _ := below(r.Path, k.Path)
	if name == release || name == releaseSignature {
		o, err := f.placed(g, name, status)
		if o == nil && err == nil && f.o.Store.isHeld(r) {
			// Upstream's is another publication's by now.
			return nil, &cache.AbsentError{Key: k}
		}
		return o, err
	}
	w, hashed := f.o.Store.promised(r, digest, k)
	if !w.Known() {
		return nil, nil
	}
	if o, err := f.placed(g, (debian{}).own(k.Path, w), status); o != nil || err != nil {
		return o, err
	}
	now, _ := f.o.Store.promised(r, current, k)
	if now == w && f.o.Cache.Holds(k, w) {
		return nil, nil
	}
	if hashed.Path != "" {
		o, err := f.o.Cache.Get(ctx, hashed)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, cache.ErrWrongContent) {
			return o, err
		}
	}
	if now == w {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: not there any more as the metadata lists it that this client began with: %w", k, fs.ErrNotExist)
}

// suiteOf is the suite that k is of, the generation that a client began with there,
// or else the current one, and the current one; "" where k is of none.
func (f *Refresher) suiteOf(k cache.Key, client string) (r Root, digest, current string) {
	for dir := k.Path; dir != ""; {
		dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)]
		r = Root{Repo: k.Repo, Path: dir, Kind: Debian}
		known := f.o.Store.known(r)
		if digest = f.sessions.of(r, client, f.o.Now()); digest == "" && !known {
			continue
		}
		current, err := f.o.Store.inTree(r)
		if err != nil {
			return r, "", ""
		}
		if digest == "" {
			digest = current
		}
		return r, digest, current
	}
	return r, "", ""
}

// known reports whether generations of r are kept.
func (s *Store) known(r Root) bool { return s.roots.Load().all[r] != nil }

// promised is what a kept generation of r says of the index k, and the name of that
// by its digest, where it has one.
func (s *Store) promised(r Root, digest string, k cache.Key) (w cache.Want, hashed cache.Key) {
	s.refresh()
	known := s.roots.Load().all[r]
	if known == nil || known.kept[digest] == nil {
		return w, hashed
	}
	c := known.kept[digest]
	name, ok := below(r.Path, k.Path)
	if !ok {
		return w, hashed
	}
	line := (debian{}).line
	if w, ok = c.find(line(name)); !ok {
		return w, hashed
	}
	hash := path.Join(path.Dir(name), "by-hash", strings.ToUpper(w.Digest.Type()), w.Digest.Hex())
	if _, ok := c.find(line(hash)); ok {
		hashed = r.key(hash)
	}
	return w, hashed
}

// Learn has the indices that clients have fetched of k's suites read, where nothing
// that is known promises anything of the package k: who asks for it has its digest
// from one of them. It waits for that as long as ctx.
func (f *Refresher) Learn(ctx context.Context, k cache.Key) {
	grows := func(r *root) bool { return r.layout().grows() }
	roots := f.o.Store.find(k)
	if !slices.ContainsFunc(roots, grows) {
		return // a package that is looked up once is served the faster
	}
	if w, _ := f.o.Store.Lookup(k); w.Known() {
		return
	}
	for _, r := range roots {
		if !grows(r) {
			continue
		}
		// What is under way may have begun before this client's index was there; what comes
		// after it has not.
		shared := true
		for try := 0; try < 2 && shared; try++ {
			select {
			case grown := <-f.grow(r.Root):
				shared = grown.Shared
			case <-ctx.Done():
				return
			}
		}
	}
}

// grow has what clients have fetched of r read, once for all that ask meanwhile.
func (f *Refresher) grow(r Root) <-chan singleflight.Result {
	return f.growing.DoChan(r.String(), func() (any, error) {
		if !f.enter() {
			return nil, nil
		}
		defer f.under.Done()
		if err := f.o.Store.grow(f.o.Cache, r); err != nil && !errors.Is(err, ErrOvertaken) {
			f.o.Log.Warn("what clients have fetched of a suite can't be read", "root", r.String(), "error", err)
		}
		return nil, nil
	})
}
