package systest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/testrepo"
)

// disaster is something that happens for a while; undo ends it, or is nil.
type disaster struct {
	name   string
	disk   bool // it needs a file system of the cache's own
	happen func(*chaos) (undo func())
}

var disasters = []disaster{
	{"imserve is killed", false, func(c *chaos) func() { c.restart(""); return nil }},
	{"imsync is killed", false, func(c *chaos) func() {
		c.run()
		return func() { c.sync.kill() }
	}},
	{"imserve stands still", false, func(c *chaos) func() {
		c.serving.signal(syscall.SIGSTOP)
		time.Sleep(c.stand())
		return func() { c.serving.signal(syscall.SIGCONT) }
	}},
	{"imsync stands still", false, func(c *chaos) func() {
		c.run()
		c.sync.signal(syscall.SIGSTOP)
		time.Sleep(c.stand())
		return func() { c.sync.signal(syscall.SIGCONT) }
	}},
	{"upstream publishes", false, func(c *chaos) func() { c.edition(); return nil }},
	{"mirrors misbehave", false, func(c *chaos) func() {
		at := c.draw.Int64N(100_000)
		faults := []testrepo.Fault{
			testrepo.Cut(at), testrepo.Stall(at), testrepo.Reset(at), testrepo.Status(503), testrepo.Status(500), testrepo.Slow(50_000), testrepo.Portal(), testrepo.Refuse(), testrepo.Hang(), testrepo.WrongRange(), testrepo.Chunked().With(testrepo.Cut(at)),
		}
		for _, m := range c.mirrors {
			if c.lies {
				m.On("*/"+c.specs[0].Filename(), testrepo.Corrupt(at%1000), testrepo.Truncate(at%1000).After(1))
			}
			for range 2 {
				m.On("*", faults[c.draw.IntN(len(faults))].Share(0.2+c.draw.Float64()/2, c.draw.Uint64()))
			}
		}
		return nil // until all is well again: mirrors misbehave for long
	}},
	{"mirrors are well", false, func(c *chaos) func() { c.heal(); return nil }},
	{"upstream is out of reach", false, func(c *chaos) func() {
		// Or all but the one that lags.
		for _, m := range c.mirrors[:len(c.mirrors)-c.draw.IntN(2)] {
			m.Stop()
		}
		return c.reachable
	}},
	{"a mirror catches up", false, func(c *chaos) func() { c.follow(); return nil }},
	{"the disk is full", true, func(c *chaos) func() {
		ballast := c.dir + "/cache/.im/ballast"
		// It ends when there is no room, which is what it is for.
		f, err := os.Create(ballast)
		for err == nil {
			_, err = f.Write(make([]byte, 64<<10))
		}
		return func() {
			if err := os.Remove(ballast); err != nil {
				c.t.Error(err)
			}
			f.Close()
		}
	}},
	{"the cache is read-only", true, func(c *chaos) func() {
		c.serving.kill()
		if c.sync != nil {
			c.sync.kill()
		}
		c.remount(syscall.MS_RDONLY)
		c.start("")
		return func() { c.remount(0) } // and imserve goes on as it is
	}},
	{"descriptors run out", false, func(c *chaos) func() {
		c.restart("40")
		crowd := c.crowd()
		return func() { c.restart(""); crowd.Wait() }
	}},
	{"a database is damaged", false, func(c *chaos) func() {
		name := filepath.Join(c.dir, databases[c.draw.IntN(len(databases))])
		if c.sync != nil {
			c.sync.kill()
		}
		c.serving.kill() // SQLite lets nobody write beside it
		c.damage(name)
		c.start("")
		return nil
	}},
	{"an index is damaged", false, func(c *chaos) func() {
		patterns := slices.Concat(indexes, brief)
		if name := c.one(c.dir + "/" + patterns[c.draw.IntN(len(patterns))]); name != "" {
			c.lies = false // what it promises may be forgotten
			c.heal()
			c.damage(name)
		}
		return nil
	}},
	{"attributes are damaged", false, func(c *chaos) func() {
		const facts = "user.im.facts"
		for range 5 {
			name := c.stored()
			if name == "" {
				continue
			}
			noise := make([]byte, c.draw.IntN(300))
			for i := range noise {
				noise[i] = byte(c.draw.Uint32())
			}
			// Where the disk is full, or the file gone, nothing is damaged.
			if c.draw.IntN(2) == 0 {
				_ = unix.Removexattr(name, facts)
			} else {
				_ = unix.Setxattr(name, facts, noise, 0)
			}
		}
		return nil
	}},
	{"the clock jumps", false, func(c *chaos) func() {
		const day = 24 * time.Hour
		by := []time.Duration{
			time.Minute, time.Hour, day, 60 * day, 3 * 365 * day,
			time.Since(time.Unix(0, 0)), // back it was never set
		}
		d := by[c.draw.IntN(len(by))]
		if c.draw.IntN(2) == 0 {
			d = -d
		}
		c.clock.set(d)
		if c.draw.IntN(2) == 0 {
			return nil // until it jumps again
		}
		return func() { c.clock.set(0) }
	}},
	{"times are years off", false, func(c *chaos) func() {
		// As a clock that was wrong has left them, here or upstream.
		for range 5 {
			names := []string{c.stored(), c.one(c.dir + "/cache/.im/*/*"), c.one(c.repo + "/Packages/*/*"), c.one(c.repo + "/repodata/*")}
			at := time.Now().AddDate(c.draw.IntN(21)-10, 0, 0)
			if name := names[c.draw.IntN(len(names))]; name != "" {
				_ = os.Chtimes(name, at, at) // it may be gone by now
			}
		}
		return nil
	}},
}

// Which files are damaged, below the site's directory: databases while no program has
// them open, indexes at any time, and what is there only while no mirror has anything
// newer, which a run may miss.
var (
	brief = []string{"cache/.im/gen/*.lag"}

	databases = []string{
		"cache/.im/cache.db", "state/popularity.db", "state/imsync.db", "cache/.im/cache.db-wal", "state/popularity.db-wal",
	}
	indexes = []string{
		"cache/.im/gen/*/catalog", "cache/.im/gen/*.root", "cache/.im/gen/*.spare", "cache/.im/gen/*/*-primary*", "cache/.im/gen/*/repomd.xml",
		"cache/.im/usage", "cache/.im/wanted", "cache/.im/lists/*.json", "cache/.im/tombstones/" + rootName + "/Packages/*/*.rpm",
	}
)

// matches is the files that a pattern below the site's directory finds.
func (c *chaos) matches(pattern string) []string {
	c.t.Helper()
	names, err := filepath.Glob(filepath.Join(c.dir, pattern))
	if err != nil {
		c.t.Fatal(err)
	}
	return names
}

// one is one of the files that a pattern finds, "" where it finds none.
func (c *chaos) one(pattern string) string {
	c.t.Helper()
	names := c.matches(strings.TrimPrefix(pattern, c.dir))
	if len(names) == 0 {
		return ""
	}
	return names[c.draw.IntN(len(names))]
}

// stored is one of the files that clients can get, "" where there is none.
func (c *chaos) stored() string {
	c.t.Helper()
	patterns := []string{"/Packages/*/*", "/repodata/*"}
	return c.one(c.cached() + patterns[c.draw.IntN(len(patterns))])
}

// crowd lets many clients ask at once.
func (c *chaos) crowd() *sync.WaitGroup {
	var crowd sync.WaitGroup
	path := "/" + rootName + "/" + c.specs[c.draw.IntN(len(c.specs))].Location()
	for range chaosCrowd {
		crowd.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), hung)
			defer cancel()
			c.ask(ctx, path, "", nil)
		})
	}
	return &crowd
}

// damage does to a file what a bad disk or a bad person does. It gives it another
// inode, since a generation's metadata are the tree's files too.
func (c *chaos) damage(name string) {
	c.t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		return // it is not there now, or damaged
	}
	how := c.draw.IntN(6)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	c.t.Logf("damaged: %s, way %d", strings.TrimPrefix(name, c.dir), how)
	switch how {
	case 0:
		return
	case 1:
		b = b[:len(b)/2]
	case 2:
		for i := range b {
			b[i] = byte(c.draw.Uint32())
		}
	case 3:
		b = nil
	case 4:
		_ = os.MkdirAll(name+"/in/it", 0o755) // as below
		return
	case 5:
		_ = os.Symlink(name, name) // which nobody can read, root neither
		return
	}
	// On a disk that is full it is not there then.
	_ = os.WriteFile(name, b, 0o644)
}
