package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/testrepo"
)

const (
	upstreamBase = "/pub/fedora/linux"
	rootPath     = "updates/41/Everything/x86_64" // below that, and below the repository's name
	repomd       = "repodata/repomd.xml"

	shrink     = 8                     // packages have so many times less than a campus's
	cacheSize  = 28 << 20              // bytes: with the databases and metadata, less than what clients ask for in a day
	remembered = 6                     // generations that clients are held to
	withdrawn  = 3                     // packages that a generation lacks
	otherFiles = 40                    // packages that another site has
	otherSize  = 20_000                // bytes of each
	otherPath  = "/pool/tool%d.rpm"    // of each
	otherPage  = "/pool/index.html"    // none of a cache's business
	otherText  = "<html>pool</html>\n" // of that page
)

// upstream is what the site downloads from: two mirrors of one repository, and a site
// elsewhere that no repository claims. It is safe for concurrent use, but for publish.
type upstream struct {
	mirrors   []*testrepo.Server
	elsewhere *testrepo.Server

	staged, served string // the repository as it is made, and as mirrors have it
	seed           uint64
	specs          []testrepo.Spec
	draw           *rand.Rand

	mu    sync.Mutex
	kept  []map[string][]byte // the files of the latest generations, by their paths below the root, oldest first
	all   [][]byte            // each repomd.xml that there ever was
	count int                 // generations so far
}

// newUpstream publishes a first generation below dir.
func newUpstream(dir string, seed uint64) (u *upstream, err error) {
	u = &upstream{
		staged: dir + "/staged", served: dir + "/served" + upstreamBase + "/" + rootPath, seed: seed,
		specs: testrepo.Campus(seed), draw: rand.New(rand.NewPCG(seed, 1<<32)),
	}
	for i := range u.specs {
		u.specs[i].Size = max(2000, u.specs[i].Size/shrink)
	}
	pool := dir + "/elsewhere/pool"
	if err := errors.Join(os.MkdirAll(u.served, 0o755), os.MkdirAll(pool, 0o755), os.WriteFile(pool+"/index.html", []byte(otherText), 0o644)); err != nil {
		return nil, err
	}
	for i := range otherFiles {
		if err := os.WriteFile(fmt.Sprintf(dir+"/elsewhere"+otherPath, i), otherBody(i), 0o644); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	for range 2 {
		m, err := testrepo.Listen(dir + "/served")
		if err != nil {
			return u, err
		}
		u.mirrors = append(u.mirrors, m)
	}
	if u.elsewhere, err = testrepo.Listen(dir + "/elsewhere"); err != nil {
		return u, err
	}
	return u, u.publish()
}

// otherBody is a package of the other site: a lead of an RPM, and what tells it from others.
func otherBody(i int) []byte {
	return append([]byte("\xed\xab\xee\xdb"), bytes.Repeat([]byte{byte(i)}, otherSize)...)
}

func (u *upstream) close() {
	for _, m := range u.mirrors {
		m.Close()
	}
	if u.elsewhere != nil {
		u.elsewhere.Close()
	}
}

// publish makes the next generation, and the mirrors come by it as mirrors do, in
// whatever order. A package that is withdrawn is there again in the next.
func (u *upstream) publish() error {
	if u.generation() > 0 {
		u.specs = testrepo.Overnight(u.specs, u.draw.Uint64())
	}
	specs := slices.Clone(u.specs)
	for range withdrawn {
		at := u.draw.IntN(len(specs))
		specs = slices.Delete(specs, at, at+1)
	}
	err := testrepo.Build(u.staged, specs, testrepo.BuildOptions{Seed: u.seed, Compression: testrepo.Zstd, Time: time.Now().Truncate(time.Second)})
	if err != nil {
		return err
	}
	// What clients may get is known before any of them can.
	if err := u.remember(); err != nil {
		return err
	}
	order := testrepo.Order(u.draw.IntN(int(testrepo.MetadataFirst) + 1))
	steps, err := testrepo.Sync(u.served, u.staged, order, u.draw.Uint64())
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := step.Do(); err != nil {
			return fmt.Errorf("%v: %w", order, err)
		}
	}
	for _, m := range append(u.mirrors, u.elsewhere) {
		m.Forget()
	}
	return nil
}

// remember reads the generation that is staged.
func (u *upstream) remember() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := map[string][]byte{}
	if len(u.kept) > 0 {
		last = u.kept[len(u.kept)-1]
	}
	next := map[string][]byte{}
	err := filepath.WalkDir(u.staged, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		path := strings.TrimPrefix(name, u.staged+"/")
		body, err := os.ReadFile(name)
		if bytes.Equal(body, last[path]) {
			body = last[path] // in memory once
		}
		next[path] = body
		return err
	})
	if err != nil {
		return err
	}
	u.kept = append(u.kept, next)
	u.kept = slices.Delete(u.kept, 0, max(0, len(u.kept)-remembered))
	u.all = append(u.all, next[repomd])
	u.count++
	return nil
}

// generation is how many generations there were.
func (u *upstream) generation() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count
}

// paths are the files of the current generation, or of the one before, below the root.
func (u *upstream) paths(before bool) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := len(u.kept) - 1
	if before {
		at = max(0, at-1)
	}
	return slices.Sorted(maps.Keys(u.kept[at]))
}

// had reports whether what holds of a version of a file holds of one that upstream ever
// had, as far as that is remembered.
func (u *upstream) had(path string, holds func([]byte) bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if path == repomd {
		return slices.ContainsFunc(u.all, holds)
	}
	return slices.ContainsFunc(u.kept, func(g map[string][]byte) bool { return g[path] != nil && holds(g[path]) })
}

// lasting reports whether a file is the same in all generations that are remembered, so
// that nobody can be told that it is gone.
func (u *upstream) lasting(path string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !slices.ContainsFunc(u.kept, func(g map[string][]byte) bool { return !bytes.Equal(g[path], u.kept[0][path]) || g[path] == nil })
}

// misbehave lets one of the mirrors fail in the ways that mirrors fail in.
func (u *upstream) misbehave() {
	at := u.draw.Int64N(50_000)
	faults := []testrepo.Fault{
		testrepo.Cut(at), testrepo.Stall(at), testrepo.Reset(at), testrepo.Status(503), testrepo.Slow(50_000), testrepo.Portal(),
		testrepo.Hang(), testrepo.WrongRange(), testrepo.Chunked().With(testrepo.Cut(at)), testrepo.Corrupt(at),
	}
	u.mirrors[u.draw.IntN(len(u.mirrors))].On("*", faults[u.draw.IntN(len(faults))].Share(0.3, u.draw.Uint64()))
}

// heal ends all that.
func (u *upstream) heal() {
	for _, m := range u.mirrors {
		m.Heal()
	}
}
