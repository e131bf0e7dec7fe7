package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/upstream"
)

// ImportReport is what was adopted of a mirror's tree. Its JSON is the contract's.
type ImportReport struct {
	Roots    []*ImportedRoot `json:"roots"`
	Files    int             `json:"files"` // packages that were taken over
	Bytes    int64           `json:"bytes"`
	Failures int             `json:"failures"`
}

// ImportedRoot is a repository in that tree.
type ImportedRoot struct {
	Root    string `json:"root"`
	Files   int    `json:"files"` // packages that were taken over
	Bytes   int64  `json:"bytes"`
	Stored  int    `json:"stored"`  // packages that the cache had already
	Missing int    `json:"missing"` // packages that the metadata lists and the tree has not
	// Unlisted is the packages that were left out because the cache has other metadata
	// of the suite, which does not list them: that vouches for a .deb, and nothing else.
	Unlisted int `json:"unlisted"`
	// Current says that the tree's metadata is now the cache's; it is not where the
	// cache had a repomd.xml or InRelease of its own.
	Current bool      `json:"current"`
	Failed  []Failure `json:"failed"`
}

// ErrNoMirror says that a directory is no tree of a mirror.
var ErrNoMirror = errors.New("no mirror's tree")

// Import copies the repositories of a mirror's tree into the cache, those of RPM
// packages and Debian's: dir is the top of repo. Each file is verified against its
// repository's metadata, which has to be signed as the configuration asks; what that
// does not list is left out, and what is wrong or not there is a failure of that
// file alone, and a miss. dir is only read. A run may not be under way
// (ErrRunning). The error wraps ErrNoMirror where dir has no repository or is the
// cache itself.
func (a *Agent) Import(ctx context.Context, dir, repo string) (*ImportReport, error) {
	fail := func(err error) (*ImportReport, error) { return nil, fmt.Errorf("import %s: %w", dir, err) }
	unlock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := a.outside(dir); err != nil {
		return fail(err)
	}
	tree, err := os.OpenRoot(dir)
	if err != nil {
		return fail(err)
	}
	defer tree.Close()
	roots, err := findRoots(tree, repo)
	if err != nil {
		return fail(err)
	}
	if len(roots) == 0 {
		return fail(fmt.Errorf("there is no repodata/repomd.xml, and no InRelease or Release, in it: %w", ErrNoMirror))
	}
	report := &ImportReport{Roots: []*ImportedRoot{}}
	for _, root := range roots {
		x := &ImportedRoot{Root: root.String(), Failed: []Failure{}}
		report.Roots = append(report.Roots, x)
		if err := a.adopt(ctx, tree, root, x); err != nil && ctx.Err() == nil {
			x.Failed = append(x.Failed, Failure{x.Root, err.Error()})
		}
		report.Files += x.Files
		report.Bytes += x.Bytes
		report.Failures += len(x.Failed)
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
	}
	return report, nil
}

// outside refuses the cache's own tree, which needs no import.
func (a *Agent) outside(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return err
	}
	own, err := filepath.EvalSymlinks(a.site.Config.CacheDir)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(own, real); err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("it is in cache_dir, whose files are served as they are: %w", ErrNoMirror)
	}
	return nil
}

// findRoots finds the repositories of a tree that is repo's, those of RPM packages,
// Debian's suites and flat ones. A link to one is another name of it, as stable is of
// bookworm.
func findRoots(tree *os.Root, repo string) ([]generation.Root, error) {
	var roots []generation.Root
	add := func(file string) error {
		r, ok := generation.RootOf(cache.Key{Repo: repo, Path: file})
		if !ok || slices.Contains(roots, r) {
			return nil
		}
		if _, err := cache.NewKey(repo, (&url.URL{Path: file}).EscapedPath()); err != nil {
			return err
		}
		roots = append(roots, r)
		return nil
	}
	err := fs.WalkDir(tree.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && p != "." && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case e.Type().IsRegular():
			return add(p)
		case e.Type()&fs.ModeSymlink != 0:
			for _, entry := range append(generation.EntryFiles(), "") {
				file := path.Join(p, entry)
				if fi, err := tree.Stat(filepath.FromSlash(file)); err != nil || !fi.Mode().IsRegular() {
					continue
				}
				if err := add(file); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return roots, err
}

// adopt takes over one repository.
func (a *Agent) adopt(ctx context.Context, tree *os.Root, root generation.Root, x *ImportedRoot) error {
	store := a.site.Generations
	had := a.site.Cache.Has(store.Entry(root))
	g, err := store.Import(ctx, a.site.Cache, root, tree)
	for _, u := range g.Unfit {
		x.Failed = append(x.Failed, Failure{u.Key.String(), u.Err.Error()})
	}
	if err != nil {
		return err
	}
	t := taking{Agent: a, tree: tree, from: upstream.Directory(tree), root: x}
	flip := func() error {
		if had && store.Digest(root) != g.Digest {
			return nil // the cache's own stays
		}
		if err := store.Flip(g.Generation); err != nil {
			return err
		}
		x.Current = !had
		return nil
	}
	if a.site.ListedOnly(root) {
		// Its packages can't be stored before they are listed.
		if err := flip(); err != nil {
			return err
		}
		t.listed = true
	}
	if err := t.packages(ctx, root, g.Generation); err != nil {
		return err
	}
	if t.listed {
		return nil
	}
	return flip()
}

// taking is the packages of one repository on their way out of a tree.
type taking struct {
	*Agent
	tree *os.Root
	from cache.Source
	root *ImportedRoot
	// listed says that only what the cache's metadata promises can be stored.
	listed bool
}

// packages takes over what g lists.
func (t *taking) packages(ctx context.Context, root generation.Root, g *generation.Generation) error {
	if root.Kind == generation.Debian {
		stats, err := t.site.Generations.EachPackage(g, func(k cache.Key, w cache.Want) error { return t.take(ctx, k, w, nil) })
		return t.described(root, stats, err)
	}
	stats, err := g.Packages(func(p *repodata.Package) error {
		k, err := root.Key(p.Location)
		if err != nil {
			return nil // no request can name it
		}
		d, err := cache.NewDigest(p.Checksum.Type, p.Checksum.Hex)
		return t.take(ctx, k, cache.Want{Digest: d, Size: p.Size}, err)
	})
	return t.described(root, stats, err)
}

// described reports the packages that root's metadata does not describe as it should,
// where it could be read to its end.
func (t *taking) described(root generation.Root, stats repodata.Stats, err error) error {
	if err == nil && stats.Skipped > 0 {
		t.fail(root.String(), fmt.Errorf("%d packages that the metadata describes badly: %v", stats.Skipped, stats.Refused[0]))
	}
	return err
}

// take takes over one package of which the metadata promises w, or can't because of
// unusable. The error is ctx's.
func (t *taking) take(ctx context.Context, k cache.Key, w cache.Want, unusable error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	x := t.root
	if _, err := t.tree.Stat(filepath.FromSlash(k.Path)); errors.Is(err, fs.ErrNotExist) {
		x.Missing++
		return nil
	}
	if unusable != nil {
		t.fail(k.String(), unusable)
		return nil
	}
	if now, _ := t.site.Generations.Lookup(k); t.listed && now != w {
		x.Unlisted++
		return nil
	}
	out, err := t.site.Cache.Bring(ctx, k, w, t.from)
	switch {
	case err != nil && ctx.Err() == nil:
		t.fail(k.String(), err)
	case err != nil:
	case out.Stored || out.Joined:
		x.Stored++
	default:
		x.Files++
		x.Bytes += w.Size
	}
	return nil
}

// fail notes what could not be taken over.
func (t *taking) fail(path string, err error) {
	t.root.Failed = append(t.root.Failed, Failure{path, err.Error()})
}
