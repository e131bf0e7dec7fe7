package sync

import (
	"context"

	"intelligentmirror/internal/generation"
)

// Named are the roots, of RPM packages or suites, that the cache has under a name.
func (a *Agent) Named(name string) ([]generation.Root, error) {
	return a.site.Generations.Named(name)
}

// Hold keeps a root at the generation that it has now, for both programs, until
// Release. Its repo is one of the configuration's. The error wraps fs.ErrNotExist
// where it has none.
func (a *Agent) Hold(ctx context.Context, root generation.Root) error {
	return a.site.Generations.Hold(ctx, a.site.Cache, root, a.site.Mirrors(root.Repo).Grab())
}

// Release lets a root go on, and reports whether it was held.
func (a *Agent) Release(root generation.Root) (held bool, err error) {
	return a.site.Generations.Release(root)
}

// Held lists the roots that are held.
func (a *Agent) Held() ([]string, error) { return a.site.Generations.Held() }

// Purge deletes what the cache has at a path below its directory. See cache.Purge.
func (a *Agent) Purge(name string) (files int, bytes int64, err error) {
	return a.site.Cache.Purge(name)
}
