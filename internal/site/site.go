// Package site puts together what both programs share: the cache of a site with
// the mirrors, the policy and the catalogs that its configuration asks for. Both
// open the same directory in the same way, so that no file is fresh for one and
// stale for the other.
package site

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/upstream"
)

// Site is one configuration at work. It is safe for concurrent use.
type Site struct {
	Config      *config.Config
	Cache       *cache.Cache
	Generations *generation.Store
	Ledger      *cache.Ledger // nil where it can't be opened

	client  *upstream.Client
	mirrors map[string]*upstream.Mirrors
}

// Options say who opens the site.
type Options struct {
	Program string // "imserve", "imsync": named to mirrors
	Via     string // this server's name in Via, by which a loop shows; "" sends none
	Rate    upstream.RateLimiter
	Log     *slog.Logger
}

// Open opens the cache of cfg, and makes its directories where they are missing.
func Open(cfg *config.Config, o Options) (*Site, error) {
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	s := &Site{Config: cfg, mirrors: map[string]*upstream.Mirrors{}}
	var err error
	s.Generations, err = generation.Open(generation.Options{
		Dir: cfg.CacheDir, Keep: time.Duration(cfg.GenerationKeep), Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	s.client = upstream.New(upstream.Options{
		UserAgent: o.Program + "/" + Version() + " (IntelligentMirror)",
		Via:       o.Via,
		Rate:      o.Rate,
		Lists:     filepath.Join(cfg.CacheDir, ".im", "lists"),
		Log:       o.Log,
	})
	for i := range cfg.Repos {
		r, err := s.repo(&cfg.Repos[i])
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.mirrors[r.Name] = s.client.Repo(r)
	}
	s.Ledger, err = cache.OpenLedger(filepath.Join(cfg.CacheDir, ".im", "cache.db"), time.Now, o.Log)
	if err != nil {
		// Statistics are not worth a package that is not served.
		o.Log.Warn("nothing is accounted", "error", err)
		s.Ledger = nil
	}
	s.Cache, err = cache.Open(cache.Options{
		Dir:     cfg.CacheDir,
		MinFree: int64(cfg.MinFree),
		Policy:  s.policy,
		Source:  s.source,
		Catalog: s.Generations,
		Ledger:  s.Ledger,
		Log:     o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the downloads, which stay resumable, and writes what is accounted.
func (s *Site) Close() error {
	var errs []error
	if s.Cache != nil {
		errs = append(errs, s.Cache.Close())
	}
	if s.Ledger != nil {
		errs = append(errs, s.Ledger.Close())
	}
	s.client.Close()
	return errors.Join(errs...)
}

// repo is where the files of a configured repository come from.
func (s *Site) repo(r *config.Repo) (upstream.Repo, error) {
	u := upstream.Repo{
		Name: r.Name, Upstreams: r.Upstreams, ListsFirst: s.Config.BuiltIn(r.Name), Paths: r.AliasPaths, Vet: s.Generations,
	}
	if !r.Metalink.IsZero() {
		u.Metalink = r.Metalink.Find
	}
	if !r.Mirrorlist.IsZero() {
		u.Mirrorlist = r.Mirrorlist.Find
	}
	if r.Proxy != "" {
		var err error
		if u.Proxy, err = url.Parse(r.Proxy); err != nil {
			return u, fmt.Errorf("repo %s: proxy: %w", r.Name, err)
		}
	}
	return u, nil
}

// Claims says which repository a URL belongs to, and what its path is there:
// because the configuration names its host (config.Config.Resolve) or one of the
// repository's lists does. host may have a port, path is escaped as it was sent.
// It answers from memory and is meant to be called on each proxied request.
func (s *Site) Claims(host, path string) (repo, rest string, ok bool) {
	if repo, rest, ok = s.Config.Resolve(host, path); ok {
		return repo, rest, true
	}
	return s.client.Claims(host, path)
}

// Mirrors is where the files of a repo come from; nil if there is no such repo.
func (s *Site) Mirrors(repo string) *upstream.Mirrors { return s.mirrors[repo] }

func (s *Site) source(repo string) cache.Source {
	if m := s.mirrors[repo]; m != nil {
		return m
	}
	return nil
}

// policy is how the cache treats the file k.
func (s *Site) policy(k cache.Key) cache.Policy {
	p := cache.Policy{MaxAge: time.Duration(s.Config.Serve.PackageMaxAge), Format: cache.FormatOf(k.Path)}
	if s.Config.Serve.Classify("/"+k.String()) == config.Metadata {
		p.MaxAge = time.Duration(s.Config.Serve.MetadataMaxAge)
	}
	switch path.Base(k.Path) {
	case "repomd.xml", "InRelease", "Release":
		p.Anchor = true
	}
	return p
}

// Version is the program's, as the Go toolchain stamped it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
