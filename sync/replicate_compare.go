package sync

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

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
	all   int64 // bytes of all that the other has, but for files that can't be had here at all
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
		r.report.FilesBytes = sum(r.report.FilesBytes, l.Size)
		k, w, ok := keyOf(l)
		if !ok {
			return nil // a name that no client can ask for
		}
		phase, ok := r.phase(k, c)
		if size := int64(r.site.Config.CacheSize); ok && l.Size > size {
			r.fail(l.Path, fmt.Errorf("it is said to have %d bytes, and cache_size allows %d for all files", l.Size, size))
			return nil
		}
		t.all = sum(t.all, l.Size)
		if !ok || w.Known() && r.site.Cache.Holds(k, w) {
			return nil
		}
		if r.contradicts(k, w, c) {
			if !slices.ContainsFunc(c.closed, func(x generation.Root) bool { return x.Covers(k) }) {
				r.fail(l.Path, errors.New("the metadata that is current here promises other bytes: "+
					"what is here stays, and comes from upstream where it is missing; `imsync verify` there tells whether its file is damaged"))
			}
			return nil
		}
		t.files++
		t.bytes = sum(t.bytes, l.Size)
		return manifest.Write(t.out[phase], l)
	})
	if err != nil {
		return t, err
	}
	return t, t.ready()
}

// sum is that of two sizes, which another has said and are at the most what they can be.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// contradicts reports whether the other's file k, of which w is said, is not what
// metadata promises that is current here, nor what the other's own does which is about to
// be: with the metadata, what has verified a file, it may change, and not by a list that
// nobody has signed.
func (r *replication) contradicts(k cache.Key, w cache.Want, c *copied) bool {
	now, _ := r.site.Generations.Lookup(k)
	if !w.Known() || !now.Known() || now == w {
		return false
	}
	if now.Digest.Type() != w.Digest.Type() {
		// Only of a file that is here both are known.
		facts, err := r.site.Cache.Known(k)
		if err != nil || !facts.Keeps(now.Digest) {
			return false
		}
	}
	return !slices.ContainsFunc(c.promises, func(promised func(cache.Key) (cache.Want, bool)) bool {
		x, listed := promised(k)
		return listed && (x == w || x.Digest.Type() != w.Digest.Type())
	})
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
