package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/testrepo"
)

// The site's repository: its name on the mirror, where upstream has it, and
// what its log is made of.
const (
	rootName     = "fedora/updates/41/Everything/x86_64"
	upstreamBase = "/pub/fedora/linux"
	upstreamRoot = upstreamBase + "/updates/41/Everything/x86_64"
	seed         = 1
	logDays      = 14
	logClients   = 60
	uplink       = 32 << 20 // bytes a second
)

// stage is the site with its upstream. It belongs to one goroutine, but for the
// methods of clients.go.
type stage struct {
	options
	config string
	up     *testrepo.Server
	specs  []testrepo.Spec // what upstream has now
	before []testrepo.Spec // what it had before the night
	lines  int             // of the access log
	bytes  int64           // of the packages at first

	sums    map[string][32]byte // upstream's files, by their paths below the root
	wanted  map[string]bool     // the names that the log asks for
	fetched map[string]bool     // the paths that the nights have fetched
	used    map[string]bool     // the paths that clients have asked for
}

// marker is the file that says that a folder is the demonstration's to empty.
const marker = ".made-by-the-demonstration"

// newStage empties the folder and makes the site: upstream with its repository,
// the configuration, the access log.
func newStage(o options) (*stage, error) {
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, err
	}
	for _, name := range []string{"imserve", "imsync"} {
		if _, err := os.Stat(filepath.Join(o.bin, name)); err != nil {
			return nil, fmt.Errorf("%w: run `make build` first, or say where the programs are with -bin", err)
		}
	}
	if err := empty(o.dir); err != nil {
		return nil, err
	}
	s := &stage{options: o, config: filepath.Join(o.dir, "config.toml"), specs: testrepo.Campus(seed),
		wanted: map[string]bool{}, fetched: map[string]bool{}, used: map[string]bool{}}
	if o.small {
		s.specs = testrepo.Small(s.specs)
	}
	for _, p := range s.specs {
		s.bytes += int64(p.Size)
	}
	if err := s.publish(s.specs); err != nil {
		return nil, err
	}
	if s.up, err = testrepo.Listen(filepath.Join(o.dir, "upstream")); err != nil {
		return nil, err
	}
	s.up.SetRate(uplink)
	if err := errors.Join(s.writeLog(), s.writeConfig()); err != nil {
		s.up.Close()
		return nil, err
	}
	return s, nil
}

// empty makes dir an empty folder, if it is none of somebody else's.
func empty(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ours := slices.ContainsFunc(names, func(e fs.DirEntry) bool { return e.Name() == marker })
	if len(names) > 0 && !ours {
		return fmt.Errorf("%s holds files that the demonstration did not make: move them, or choose another folder with -dir", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, marker), nil, 0o644)
}

// publish makes upstream's repository one of these packages.
func (s *stage) publish(specs []testrepo.Spec) error {
	dir := filepath.Join(s.dir, "upstream", upstreamRoot)
	if err := testrepo.Build(dir, specs, testrepo.BuildOptions{Seed: seed, Compression: testrepo.Zstd}); err != nil {
		return fmt.Errorf("build upstream's repository: %w", err)
	}
	s.specs = specs
	s.sums = map[string][32]byte{}
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		s.sums[filepath.ToSlash(rel)] = [32]byte(h.Sum(nil))
		return err
	})
}

// overnight is what upstream does while the site sleeps.
func (s *stage) overnight() error {
	s.before = s.specs
	return s.publish(testrepo.Overnight(s.specs, seed))
}

// updates is the number of packages that the night has changed.
func (s *stage) updates() int {
	n := 0
	for i := range s.specs {
		if s.specs[i].EVR() != s.before[i].EVR() {
			n++
		}
	}
	return n
}

// writeLog writes the requests of the two weeks before today, as the proxy that
// the site had until now has logged them.
func (s *stage) writeLog() error {
	visits := testrepo.Traffic(testrepo.TrafficOptions{
		Seed: seed, Specs: s.specs, Days: logDays, Clients: logClients,
		Until: time.Now().UTC().Truncate(24 * time.Hour),
	})
	for _, v := range visits {
		s.wanted[v.Package] = true
	}
	var text strings.Builder
	if err := testrepo.WriteLog(&text, testrepo.Combined, visits); err != nil {
		return err
	}
	s.lines = strings.Count(text.String(), "\n")
	return os.WriteFile(filepath.Join(s.dir, "logs/access.log"), []byte(text.String()), 0o644)
}

// writeConfig writes the configuration: where things are, and the one limit that
// makes sense of a repository this small.
func (s *stage) writeConfig() error {
	text := fmt.Sprintf(`# Made by the demonstration. Only "top" is a matter of taste; the rest says where things are.
cache_dir = %q
state_dir = %q

[[repo]]            # in place of the built-in one, whose upstreams are on the Internet
name      = "fedora"
upstreams = [%q]
aliases   = ["https://dl.fedoraproject.org%s"]

[serve]
listen = %q

[sync]
logs = [%q]
top  = 40           # the default is 500, more than this repository has
`, filepath.Join(s.dir, "cache"), filepath.Join(s.dir, "state"), s.up.URL+upstreamBase, upstreamBase,
		s.listen, filepath.Join(s.dir, "logs/access.log*"))
	return os.WriteFile(s.config, []byte(text), 0o644)
}

// spec is the package of that name.
func (s *stage) spec(name string) testrepo.Spec {
	i := slices.IndexFunc(s.specs, func(p testrepo.Spec) bool { return p.Name == name })
	return s.specs[i]
}
