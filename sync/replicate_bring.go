package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/manifest"
)

// copied is the generations of the other that are here in a round.
type copied struct {
	current []*generation.Generation
	// promises is what each of these promises.
	promises []func(cache.Key) (cache.Want, bool)
	// ours are the files that change with a generation, by the flip, and not by themselves.
	ours map[cache.Key]bool
	// closed are the roots whose metadata can't be copied in this round.
	closed []generation.Root
	// at is where a metadata file of a kept generation is here, by its SHA-256.
	at map[string]generationFile
}

type generationFile struct{ digest, name string }

// bring copies what the other's lists have. What fails is noted; an error is what
// ended it.
func (r *replication) bring(ctx context.Context) error {
	kept, err := r.inventory()
	if err != nil {
		return err
	}
	c, err := r.copyGenerations(ctx, kept)
	if err != nil {
		return err
	}
	todo, err := r.compare(c)
	defer todo.close()
	if err != nil {
		return err
	}
	if size := int64(r.site.Config.CacheSize); todo.all > size {
		return fmt.Errorf("%w: the files of %s have %d bytes, and it allows %d", ErrTooSmall, r.how.From, todo.all, size)
	}
	if todo.bytes > 0 {
		if _, err := r.site.Cache.MakeRoom(ctx, todo.bytes); err != nil && ctx.Err() == nil {
			r.log.Warn("there may be no room for all that is copied", "error", err)
		}
	}
	r.progress.Begin(todo.files, todo.bytes)
	r.reached.begin(todo.files, todo.bytes)
	defer r.progress.End()
	for phase, list := range todo.lists {
		if err := r.fetchAll(ctx, list, c); err != nil {
			return err
		}
		if phase == phasePackages {
			if err := r.flipAll(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// errOutOfStep says that the other's lists are of two moments.
var errOutOfStep = errors.New("it has changed while it was listed")

// copyGenerations brings the other's generations beside the tree, and keeps those
// that are not current. A root that fails is left as it is.
func (r *replication) copyGenerations(ctx context.Context, kept []generation.Kept) (*copied, error) {
	entries, err := r.entries(kept)
	if err != nil {
		return nil, err
	}
	c := &copied{ours: map[cache.Key]bool{}, at: map[string]generationFile{}}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(rootsAtOnce)
	for _, k := range kept {
		g.Go(func() error {
			root, err := k.At()
			var gen *generation.Generation
			if err == nil {
				gen, err = r.copyGeneration(ctx, root, k, entries)
			}
			var promises func(cache.Key) (cache.Want, bool)
			if err == nil && k.Current {
				promises, err = r.site.Generations.Promises(gen)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, generation.ErrHeld):
				r.leave(k.Root, fmt.Sprintf("it is held at its metadata until `imsync release %s`", k.Root))
				c.closed = append(c.closed, root)
				return nil
			case err != nil:
				c.closed = append(c.closed, root)
				r.came(k.Root, cache.Outcome{}, err)
				return nil
			}
			for _, f := range k.Files {
				c.at[f.SHA256] = generationFile{k.Digest, f.Name}
			}
			if k.Current {
				c.current, c.promises = append(c.current, gen), append(c.promises, promises)
				for _, key := range gen.Keys() {
					c.ours[key] = true
				}
			}
			return nil
		})
	}
	err = g.Wait()
	slices.SortFunc(c.current, func(a, b *generation.Generation) int { return strings.Compare(a.Root.String(), b.Root.String()) })
	return c, err
}

// copyGeneration brings one generation.
func (r *replication) copyGeneration(ctx context.Context, root generation.Root, k generation.Kept, entries map[cache.Key]string) (*generation.Generation, error) {
	if k.Current && !slices.ContainsFunc(root.Entries(), func(e cache.Key) bool { return entries[e] == k.Digest }) {
		return nil, errOutOfStep
	}
	done, err := r.site.Generations.Copy(ctx, r.site.Cache, k, func(name string) cache.Source {
		return within{r.origin.Files(".im"), k.File(name)}
	})
	r.mu.Lock()
	r.report.Bytes += done.Fetched
	r.report.ResumedBytes += done.Resumed
	r.moved = r.moved || done.Fetched > 0
	r.mu.Unlock()
	if err == nil && !k.Current {
		err = r.site.Generations.Keep(done.Generation, k)
	}
	return done.Generation, err
}

// within is a source in which a file has another name.
type within struct {
	cache.Source
	as cache.Key
}

// Local implements cache.LocalSource: it is the site's own.
func (within) Local() {}

// Fetch implements cache.Source.
func (w within) Fetch(ctx context.Context, req cache.Request, p *cache.Partial) error {
	req.Key = w.as
	return w.Source.Fetch(ctx, req, p)
}

// entries is the digests of the entry files that the other's tree has of these.
func (r *replication) entries(kept []generation.Kept) (map[cache.Key]string, error) {
	all := map[cache.Key]string{}
	for _, k := range kept {
		if root, err := k.At(); err == nil && k.Current {
			for _, e := range root.Entries() {
				all[e] = ""
			}
		}
	}
	err := r.each(func(l manifest.Line) error {
		if k, _, ok := keyOf(l); ok {
			if _, asked := all[k]; asked {
				all[k] = l.SHA256
			}
		}
		return nil
	})
	return all, err
}

// fetchAll fetches the files of a list, some at a time. What fails is noted; an error
// is what ended it.
func (r *replication) fetchAll(ctx context.Context, list io.Reader, c *copied) error {
	queue := make(chan manifest.Line)
	var workers sync.WaitGroup
	for range r.how.Parallel {
		workers.Go(func() {
			for l := range queue {
				r.fetch(ctx, l, c)
			}
		})
	}
	err := manifest.Each(list, func(l manifest.Line) error {
		if err := r.gaveUp(); err != nil {
			return err
		}
		select {
		case queue <- l:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(queue)
	workers.Wait()
	return cmp.Or(err, ctx.Err())
}

// fetch copies one file.
func (r *replication) fetch(ctx context.Context, l manifest.Line, c *copied) {
	k, w, _ := keyOf(l)
	if !w.Known() {
		r.fail(l.Path, errors.New("its digest can't be computed there"))
		return
	}
	track := &counted{Track: r.progress.Item(Item{Path: l.Path, Name: path.Base(l.Path), Size: l.Size, Key: k, Want: w}), to: &r.reached, size: l.Size}
	var out cache.Outcome
	given := false
	var err error
	if g, ok := c.at[l.SHA256]; ok {
		// It has come with a generation already.
		given, err = r.site.Generations.Provide(k, w, g.digest, g.name)
	}
	if err == nil && !given {
		out, err = r.site.Cache.Prefetch(ctx, k, w, copying{tracked{r.origin.Files(k.Repo), track}})
	}
	track.Done(out, err)
	switch {
	case err != nil && ctx.Err() != nil:
		return // not a failure: it goes on the next time
	case errors.Is(err, fs.ErrNotExist) && !r.final:
		r.mu.Lock()
		r.moved, r.absent = true, true // it is gone there by now, which the next list has
		r.mu.Unlock()
		return
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s lists it, and has not got it: `imsync verify` there may tell why", r.how.From)
	}
	r.came(l.Path, out, err)
}

// copying is a source that is the site's own.
type copying struct{ tracked }

// Local implements cache.LocalSource.
func (copying) Local() {}

// flipAll lets the other's current generations become current, but for roots of
// which something could not be copied.
func (r *replication) flipAll(ctx context.Context, c *copied) error {
	for _, g := range c.current {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if f, missing := r.missing(g.Root); missing {
			r.leave(g.Root.String(), "its metadata does not become current before all is there that the other has of it, such as "+f)
			continue
		}
		was := r.site.Generations.Digest(g.Root)
		err := r.site.Generations.Flip(g)
		switch {
		case errors.Is(err, generation.ErrHeld), errors.Is(err, generation.ErrOvertaken):
			r.leave(g.Root.String(), err.Error())
		case err != nil:
			r.came(g.Root.String(), cache.Outcome{}, err)
		case was != g.Digest && !slices.Contains(r.report.Changed, g.Root.String()):
			r.report.Changed = append(r.report.Changed, g.Root.String())
		}
	}
	return nil
}

// missing is a file below the root that could not be copied in this round.
// Where more has failed than is noted it may be any.
func (r *replication) missing(root generation.Root) (path string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed > len(r.report.Failed) {
		return r.report.Failed[0].Path, true
	}
	for _, f := range r.report.Failed {
		repo, rest, _ := strings.Cut(f.Path, "/")
		if root.Covers(cache.Key{Repo: repo, Path: rest}) {
			return f.Path, true
		}
	}
	return "", false
}
