package sync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
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
	// Current says that the tree's metadata is now the cache's; it is not where the
	// cache had a repomd.xml of its own.
	Current bool      `json:"current"`
	Failed  []Failure `json:"failed"`
}

// ErrNoMirror says that a directory is no tree of a mirror.
var ErrNoMirror = errors.New("no mirror's tree")

// Import copies the repositories of a mirror's tree into the cache: dir is the
// top of repo. Each file is verified against its repository's metadata; what that
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
	report := &ImportReport{Roots: []*ImportedRoot{}}
	for _, root := range roots {
		x := &ImportedRoot{Root: root.String(), Failed: []Failure{}}
		report.Roots = append(report.Roots, x)
		if err := a.adopt(ctx, tree, root, x); err != nil {
			if ctx.Err() != nil {
				return report, ctx.Err()
			}
			x.Failed = append(x.Failed, Failure{x.Root, err.Error()})
		}
		report.Files += x.Files
		report.Bytes += x.Bytes
		report.Failures += len(x.Failed)
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

// findRoots finds the repositories of a tree that is repo's.
func findRoots(tree *os.Root, repo string) ([]generation.Root, error) {
	var roots []generation.Root
	err := fs.WalkDir(tree.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && p != "." && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix("/"+p, "/repodata/repomd.xml"):
			return nil
		}
		at := strings.TrimSuffix(path.Dir(path.Dir(p)), ".")
		root, err := generation.ParseRoot(repo + "/" + at)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		roots = append(roots, root)
		return nil
	})
	if err == nil && len(roots) == 0 {
		err = fmt.Errorf("there is no repodata/repomd.xml in it: %w", ErrNoMirror)
	}
	return roots, err
}

// adopt takes over one repository.
func (a *Agent) adopt(ctx context.Context, tree *os.Root, root generation.Root, x *ImportedRoot) error {
	from := upstream.Directory(tree)
	own, err := root.Key("repodata/repomd.xml")
	if err != nil {
		return err
	}
	had := a.site.Cache.Has(own)
	g, err := a.site.Generations.Stage(ctx, a.site.Cache, root, from)
	if err != nil {
		return err
	}
	stats, err := g.Packages(func(p *repodata.Package) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, err := root.Key(p.Location)
		if err != nil {
			return nil // no request can name it
		}
		if _, err := tree.Stat(filepath.FromSlash(k.Path)); errors.Is(err, fs.ErrNotExist) {
			x.Missing++
			return nil
		}
		d, err := cache.NewDigest(p.Checksum.Type, p.Checksum.Hex)
		if err == nil {
			var out cache.Outcome
			out, err = a.site.Cache.Bring(ctx, k, cache.Want{Digest: d, Size: p.Size}, from)
			switch {
			case err != nil:
			case out.Stored || out.Joined:
				x.Stored++
			default:
				x.Files++
				x.Bytes += p.Size
			}
		}
		if err != nil && ctx.Err() == nil {
			x.Failed = append(x.Failed, Failure{k.String(), err.Error()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if stats.Skipped > 0 {
		x.Failed = append(x.Failed, Failure{x.Root, fmt.Sprintf("%d packages that the metadata describes badly: %v", stats.Skipped, stats.Refused[0])})
	}
	if had {
		return nil
	}
	if err := a.site.Generations.Flip(g.Generation); err != nil {
		return err
	}
	x.Current = true
	return nil
}
