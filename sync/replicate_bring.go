package sync

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/manifest"
)

// phases are the order in which files come: packages, metadata that no generation
// has, and last the entry files of that, by which everything else is found. Metadata
// of generations comes beside the tree and becomes current between the first and
// the second.
const (
	phasePackages = iota
	phaseMetadata
	phaseEntries
	phases
)

// copied is the generations of the other that are here in a round.
type copied struct {
	current []*generation.Generation
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
	if size := int64(r.site.Config.CacheSize); r.report.FilesBytes > size {
		return fmt.Errorf("%w: the files of %s have %d bytes, and it allows %d", ErrTooSmall, r.how.From, r.report.FilesBytes, size)
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
	entries, err := r.entries()
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
				c.current = append(c.current, gen)
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

// entries is the digests of the entry files that the other's tree has.
func (r *replication) entries() (map[cache.Key]string, error) {
	all := map[cache.Key]string{}
	err := r.each(func(l manifest.Line) error {
		if k, _, ok := keyOf(l); ok {
			if _, entry := generation.RootOf(k); entry {
				all[k] = l.SHA256
			}
		}
		return nil
	})
	return all, err
}

// keyOf is the file of a line, and what is promised of it; ok is false for one that no
// request can name, or that is no file of a repository's.
func keyOf(l manifest.Line) (k cache.Key, w cache.Want, ok bool) {
	repo, rest, _ := strings.Cut(l.Path, "/")
	if repo == "" || repo == "-" || strings.HasPrefix(repo, ".") {
		return k, w, false
	}
	k, err := cache.NewKey(repo, cache.Key{Path: rest}.EscapedPath())
	if err != nil || k.String() != l.Path {
		return k, w, false
	}
	if l.SHA256 == "" {
		return k, w, true
	}
	w.Digest, err = cache.NewDigest("sha256", l.SHA256)
	w.Size = l.Size
	return k, w, err == nil
}

// todo is what is missing here, by phases. It lies on the disk: a cache may have a
// million files.
type todo struct {
	lists [phases]*os.File
	out   [phases]*bufio.Writer
	files int
	bytes int64
}

func (t *todo) open(dir string) error {
	for i := range t.lists {
		f, err := os.CreateTemp(dir, ".todo-*")
		if err != nil {
			return err
		}
		t.lists[i], t.out[i] = f, bufio.NewWriter(f)
		if err := os.Remove(f.Name()); err != nil {
			return err // so that no crash leaves it
		}
	}
	return nil
}

func (t *todo) close() {
	for _, f := range t.lists {
		if f != nil {
			f.Close()
		}
	}
}

// ready has the lists read from their beginnings.
func (t *todo) ready() error {
	for i, f := range t.lists {
		if err := t.out[i].Flush(); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return nil
}

// compare finds what the other has and this cache has not. The caller closes the todo.
func (r *replication) compare(c *copied) (*todo, error) {
	t := &todo{}
	if err := t.open(r.dir); err != nil {
		return t, err
	}
	r.report.Files, r.report.FilesBytes = 0, 0
	err := r.each(func(l manifest.Line) error {
		r.report.Files++
		r.report.FilesBytes += l.Size
		k, w, ok := keyOf(l)
		if !ok {
			return nil // a name that no client can ask for
		}
		phase, ok := r.phase(k, c)
		if !ok || w.Known() && r.site.Cache.Holds(k, w) {
			return nil
		}
		t.files++
		t.bytes += l.Size
		return manifest.Write(t.out[phase], l)
	})
	if err != nil {
		return t, err
	}
	return t, t.ready()
}

// phase is when the file k is to be fetched; ok is false for one that is not to be
// fetched by itself.
func (r *replication) phase(k cache.Key, c *copied) (phase int, ok bool) {
	root, entry := generation.EntryOf(k)
	metadata := entry || r.site.Config.Serve.Classify("/"+k.String()) == config.Metadata
	switch {
	case c.ours[k]:
		return 0, false
	case metadata && slices.ContainsFunc(c.closed, func(x generation.Root) bool { return x.Contains(k) }):
		return 0, false
	case entry && r.site.Generations.Keeps(root):
		return 0, false // what is whole here is not given up for what is not whole there
	case entry:
		return phaseEntries, true
	case metadata:
		return phaseMetadata, true
	}
	return phasePackages, true
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
	case errors.Is(err, fs.ErrNotExist):
		r.mu.Lock()
		r.moved = true // it is gone there by now, which the next list has
		r.mu.Unlock()
		return
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
func (r *replication) missing(root generation.Root) (path string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.report.Failed {
		repo, rest, _ := strings.Cut(f.Path, "/")
		if root.Covers(cache.Key{Repo: repo, Path: rest}) {
			return f.Path, true
		}
	}
	return "", false
}
