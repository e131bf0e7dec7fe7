// Package site puts together what both programs share: the cache of a site with
// the mirrors, the policy and the catalogs that its configuration asks for. Both
// open the same directory in the same way, so that no file is fresh for one and
// stale for the other.
package site

import (
	"errors"
	"fmt"
	"log/slog"
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
	checks  map[string]*cache.Check // of packages, by repo; none where it has no keys
}

// Options say who opens the site.
type Options struct {
	Program string // "imserve", "imsync": named to mirrors
	Via     string // this server's name in Via, by which a loop shows; "" sends none
	Rate    upstream.RateLimiter
	Log     *slog.Logger
}

// Open opens the cache of cfg, and makes its directories where they are missing.
// The error wraps ErrKeys where the keys of a repo can't be read.
func Open(cfg *config.Config, o Options) (*Site, error) {
	checks, err := packageChecks(cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	s := &Site{Config: cfg, mirrors: map[string]*upstream.Mirrors{}, checks: checks}
	s.client = upstream.New(upstream.Options{
		UserAgent: o.Program + "/" + Version() + " (IntelligentMirror)",
		Via:       o.Via,
		Rate:      o.Rate,
		Log:       o.Log,
	})
	for _, r := range cfg.Repos {
		s.mirrors[r.Name] = s.client.Mirrors(r.Name, r.Upstreams)
	}
	s.Generations, err = generation.Open(generation.Options{
		Dir: cfg.CacheDir, Keep: time.Duration(cfg.GenerationKeep), Log: o.Log,
	})
	if err != nil {
		return nil, err
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
	if signed(k) {
		p.Check = s.checks[k.Repo]
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
