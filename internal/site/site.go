// Package site puts together what both programs share: the cache of a site with
// the mirrors, the policy and the catalogs that its configuration asks for. Both
// open the same directory in the same way, so that no file is fresh for one and
// stale for the other.
package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"intelligentmirror/internal/bucket"
	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/database"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/upstream"
)

// Site is one configuration at work. It is safe for concurrent use.
type Site struct {
	Config      *config.Config // that it was opened with
	Cache       *cache.Cache
	Generations *generation.Store
	Ledger      *cache.Ledger // nil where it can't be opened
	Refused     cache.Refused // what mirrors had that was not taken, since Open
	// Bucket is what caches of the site share, and Uploads what waits to come there;
	// both are nil where there is none. It is the one of the configuration that the site
	// was opened with.
	Bucket  *bucket.Bucket
	Uploads *bucket.Uploads

	o       Options
	client  *upstream.Client
	guarded *upstream.Client // for whatever clients name
	hosts   *upstream.Hosts
	now     atomic.Pointer[wiring]
}

// wiring is what a configuration decides of a site at work. It does not change.
type wiring struct {
	config  *config.Config
	mirrors map[string]*upstream.Mirrors
	checks  map[string]*cache.Check // of packages, by repo; none where it has no keys
	rings   map[string]*repodata.Keyring
}

// Options say who opens the site.
type Options struct {
	Program string // "imserve", "imsync": named to mirrors
	Via     string // this server's name in Via, by which a loop shows; "" sends none
	Rate    upstream.RateLimiter
	Lazy    bool             // catalogs are read when they are needed: see generation.Options
	Now     func() time.Time // nil is time.Now
	Log     *slog.Logger
}

// agent is the User-Agent.
func (o *Options) agent() string { return o.Program + "/" + Version() + " (IntelligentMirror)" }

// Open opens the cache of cfg, and makes its directories where they are missing.
// The error wraps ErrKeys where the keys of a repo can't be read, and
// bucket.ErrCredentials where those of the bucket can't be used.
func Open(cfg *config.Config, o Options) (*Site, error) {
	rings, err := Keyrings(cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.StateDir, 0o755); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Site{Config: cfg, o: o}
	if s.Bucket, err = OpenBucket(cfg, o.Program, o.Now); err != nil {
		return nil, err
	}
	s.Generations, err = generation.Open(generation.Options{
		Dir: cfg.CacheDir, Keep: time.Duration(cfg.GenerationKeep), Signing: s.signing, Refused: &s.Refused, Lazy: o.Lazy,
		Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	up := upstream.Options{
		UserAgent: o.agent(),
		Via:       o.Via,
		Rate:      o.Rate,
		Lists:     filepath.Join(cfg.CacheDir, ".im", "lists"),
		Refused:   &s.Refused,
		Now:       o.Now,
		Log:       o.Log,
	}
	s.client = upstream.New(up)
	up.Lists = ""
	up.MayReach = func(host string, a netip.Addr) bool { return s.now.Load().config.MayReach(host, a) }
	s.guarded = upstream.New(up)
	s.hosts = s.guarded.Hosts()
	if err := s.Reconfigure(cfg, rings); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	accounts := filepath.Join(cfg.CacheDir, ".im", "cache.db")
	s.Ledger, err = cache.OpenLedger(accounts, o.Now, o.Log)
	if err != nil {
		aside, failed := database.Mend(context.Background(), accounts, o.Log)
		if err = errors.Join(err, failed); aside && failed == nil {
			s.Ledger, err = cache.OpenLedger(accounts, o.Now, o.Log)
		}
	}
	if err != nil {
		// Statistics are not worth a package that is not served.
		o.Log.Warn("nothing is accounted", "error", err)
		s.Ledger = nil
	}
	s.Cache, err = cache.Open(cache.Options{
		Dir:           cfg.CacheDir,
		Size:          int64(cfg.CacheSize),
		MinFree:       int64(cfg.MinFree),
		Policy:        s.policy,
		Source:        s.source,
		Catalog:       s.Generations,
		Twins:         s.Generations.Twins,
		Known:         s.Generations.Knows,
		QuickAbortMax: func() int64 { return int64(s.now.Load().config.Serve.QuickAbortMax) },
		Committed:     s.committed,
		Ledger:        s.Ledger,
		Now:           o.Now,
		Log:           o.Log,
	})
	if err == nil && s.Bucket != nil {
		s.Uploads, err = s.uploads(o.Log)
	}
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
	s.hosts.Close()
	s.guarded.Close()
	return errors.Join(errs...)
}

// Refresher answers requests for repomd.xml and InRelease. Its Close comes before the Site's.
func (s *Site) Refresher(log *slog.Logger) *generation.Refresher {
	return generation.NewRefresher(generation.RefresherOptions{
		Store: s.Generations, Cache: s.Cache, Source: s.source, Log: log,
		Rest: func() time.Duration { return time.Duration(s.now.Load().config.Serve.MetadataMaxAge) },
		Withdrawn: func(k cache.Key, digest cache.Digest) bool {
			m := s.Mirrors(k.Repo)
			return m != nil && m.Withdrawn(k, digest)
		},
	})
}

// Reconfigure makes the repositories of cfg, their mirrors and keys (Keyrings has
// read them), and how long what is stored of them is fresh, those of the site from
// now on; directories and sizes stay as they were opened. A repository that is the
// same as before keeps what is known of its mirrors. An error changes nothing.
func (s *Site) Reconfigure(cfg *config.Config, rings map[string]*repodata.Keyring) error {
	before := s.now.Load()
	w := &wiring{config: cfg, mirrors: map[string]*upstream.Mirrors{}, checks: packageChecks(rings), rings: rings}
	for i := range cfg.Repos {
		r := &cfg.Repos[i]
		if before != nil {
			was := before.config.Repo(r.Name)
			if was != nil && reflect.DeepEqual(was, r) && before.config.BuiltIn(r.Name) == cfg.BuiltIn(r.Name) &&
				slices.Equal(before.config.Origins(r.Name), cfg.Origins(r.Name)) && likeSiblings(before.config, cfg) {
				w.mirrors[r.Name] = before.mirrors[r.Name]
				continue
			}
		}
		u, err := s.repo(cfg, r)
		if err != nil {
			return err
		}
		w.mirrors[r.Name] = s.client.Repo(u)
	}
	s.now.Store(w)
	return nil
}

// likeSiblings reports whether mirrors that a configuration made ask siblings as
// those of the other would.
func likeSiblings(a, b *config.Config) bool {
	return slices.Equal(a.Serve.Siblings, b.Serve.Siblings) && slices.Equal(a.Serve.Metadata, b.Serve.Metadata) &&
		slices.Equal(a.Serve.Packages, b.Serve.Packages)
}

// repo is where the files of a repository of cfg come from.
func (s *Site) repo(cfg *config.Config, r *config.Repo) (upstream.Repo, error) {
	u := upstream.Repo{
		Name: r.Name, Upstreams: r.Upstreams, First: cfg.Origins(r.Name), ListsFirst: cfg.BuiltIn(r.Name), Paths: r.AliasPaths,
		Bucket: s.shared(), Vet: s.Generations,
	}
	for _, base := range cfg.Serve.Siblings {
		u.Siblings = append(u.Siblings, base+"/"+r.Name)
	}
	u.Mutable = func(file string) bool { return cfg.Serve.Classify("/"+r.Name+"/"+file) == config.Metadata }
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

// Origin is another imserve at a URL, whose cache is copied into this one: so many
// files at a time, within rate, nil being no limit. The caller calls done in the end.
func (s *Site) Origin(base string, atOnce int, rate upstream.RateLimiter) (origin *upstream.Origin, done func()) {
	c := upstream.New(upstream.Options{
		UserAgent: s.o.agent(), PerHost: atOnce, Rate: rate, Now: s.o.Now, Log: s.o.Log,
		Parent: func(*http.Request) (*url.URL, error) { return nil, nil },
	})
	o := c.Origin(base)
	return o, func() { o.Close(); c.Close() }
}

// Claims says which repository a URL belongs to, and what its path is there:
// because the configuration names its host (config.Config.Resolve) or one of the
// repository's lists does. host may have a port, path is escaped as it was sent.
// It answers from memory and is meant to be called on each proxied request.
func (s *Site) Claims(host, path string) (repo, rest string, ok bool) {
	if repo, rest, ok = s.now.Load().config.Resolve(host, path); ok {
		return repo, rest, true
	}
	return s.client.Claims().Find(host, path)
}

// Learnt is what the repositories' lists have named so far, beyond what the
// configuration says.
func (s *Site) Learnt() upstream.Claims { return s.client.Claims() }

// Mirrors is where the files of a repo come from; nil if there is no such repo.
func (s *Site) Mirrors(repo string) *upstream.Mirrors { return s.now.Load().mirrors[repo] }

// MirrorsNow is Mirrors as it is at this moment, whatever Reconfigure does later.
func (s *Site) MirrorsNow() func(repo string) *upstream.Mirrors {
	w := s.now.Load()
	return func(repo string) *upstream.Mirrors { return w.mirrors[repo] }
}

// Hosts is the hosts that are no repository's, as far as they may be reached.
func (s *Site) Hosts() *upstream.Hosts { return s.hosts }

func (s *Site) source(repo string) cache.Source {
	if repo == cache.Strangers {
		return s.hosts
	}
	if m := s.Mirrors(repo); m != nil {
		return m
	}
	return nil
}

// policy is how the cache treats the file k.
func (s *Site) policy(k cache.Key) cache.Policy {
	now := s.now.Load()
	cfg := now.config
	p := cache.Policy{MaxAge: time.Duration(cfg.Serve.PackageMaxAge), Format: cache.FormatOf(k.Path)}
	if cfg.Serve.Classify("/"+k.String()) == config.Metadata {
		p.MaxAge, p.Metadata = time.Duration(cfg.Serve.MetadataMaxAge), true
	}
	if signed(k) {
		p.Check = now.checks[k.Repo]
	}
	if ring := now.rings[k.Repo]; ring != nil && listed(k) && cfg.Repo(k.Repo).RepoGPGCheck != config.GPGNever {
		p.Check = s.listedCheck(k, ring)
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
