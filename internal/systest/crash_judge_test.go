package systest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// judge looks at what a kill has left of a tree that was before, starts a server on it
// and goes on with the case, which ends with want.
func (c *crashSite) judge(x crashCase, before, want map[string]string) {
	c.t.Helper()
	left := c.stock()
	c.sound(left, c.spoiled)
	c.uploaded(nil)
	unnoted := c.unnoted(left)
	for name := range before {
		if left[name] == "" && name != c.spoiled && (x.goes == nil || !x.goes(c, left, name)) {
			c.t.Errorf("%s was stored, and is lost", name)
		}
	}
	c.offline(left)
	there := c.there()

	c.up.Forget()
	if x.command != nil {
		if r := c.imsync(c.words(x)...); r.code != 0 && !(x.once && r.code == 1) {
			c.t.Errorf("imsync %s, the next time: exit code %d: %s%s", x.command[0], r.code, r.stdout, r.stderr)
		}
	}
	if x.counts {
		if got := c.ranked(); got != c.counted {
			c.t.Errorf("the logs come to\n%s, and to this where nothing is killed:\n%s", got, c.counted)
		}
	}
	// What the case is there to take away is not there any more.
	now := c.stock()
	maps.DeleteFunc(there, func(name string, _ int64) bool { return x.goes != nil && x.goes(c, now, name) && now[name] == "" })
	c.asked()
	c.frugal(there)
	if x.command == nil {
		c.uploadedBut(unnoted)
	}
	c.sound(c.stock(), "")
	// What upstream has no more may go sooner or later.
	wanted, got := maps.Clone(want), c.stock()
	maps.DeleteFunc(wanted, func(name, sum string) bool { return c.now[name] != sum })
	maps.DeleteFunc(got, func(name, sum string) bool { return c.now[name] != sum })
	if diff := difference(wanted, got); diff != "" {
		c.t.Errorf("in the end the tree is not that of an undisturbed program:\n%s", diff)
	}
	if c.bucket != nil {
		c.once() // which finds what a kill has kept from being noted
		c.uploaded(c.stock())
	}
	c.tidy()
}

// sound checks that a tree has what upstream had and nothing else, that what is known
// of each file fits it, and that metadata is whole. except is a file that nobody has
// repaired yet.
func (c *crashSite) sound(tree map[string]string, except string) {
	c.t.Helper()
	for name, sum := range tree {
		if name == except {
			continue
		}
		if !c.known[[2]string{name, sum}] {
			c.t.Errorf("%s is stored with bytes that upstream never had", name)
		}
		c.fits(name, sum)
		if root, ok := strings.CutSuffix(name, "repodata/repomd.xml"); ok {
			b, err := os.ReadFile(filepath.Join(c.dir, "cache", name))
			if err != nil {
				c.t.Fatal(err)
			}
			for _, m := range listed.FindAllSubmatch(b, -1) {
				if file := root + string(m[1]); tree[file] == "" {
					c.t.Errorf("%s lists %s, which is not there", name, m[1])
				}
			}
		}
	}
}

// fits checks that the facts of a stored file are void or its own.
func (c *crashSite) fits(name, sum string) {
	c.t.Helper()
	path := filepath.Join(c.dir, "cache", name)
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(path, "user.im.facts", buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return
	}
	if err != nil {
		c.t.Fatalf("the facts of %s: %v", name, err)
	}
	var facts struct {
		SHA256, Met string
		Size        int64
	}
	if err := json.Unmarshal(buf[:n], &facts); err != nil {
		c.t.Errorf("the facts of %s: %v", name, err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		c.t.Fatal(err)
	}
	if facts.Size != fi.Size() {
		return // void
	}
	for _, d := range []string{facts.SHA256, facts.Met} {
		if d != "" && d != "sha256:"+sum {
			c.t.Errorf("%s has the digest %s, and facts that say %s", name, sum, d)
		}
	}
}

// ranked is what the site's logs come to, a line for a package.
func (c *crashSite) ranked() string {
	c.t.Helper()
	var ranks []struct {
		Name       string
		ClientDays int `json:"client_days"`
		Requests   int
	}
	c.decode(c.imsync("rank", "--json"), &ranks)
	var b strings.Builder
	for _, r := range ranks {
		fmt.Fprintln(&b, r.Name, r.ClientDays, r.Requests)
	}
	return b.String()
}

// offline starts a server on what is there while upstream is out of reach, and whose cache
// is copied, which would be asked first: it serves all of it.
func (c *crashSite) offline(left map[string]string) {
	c.t.Helper()
	if c.from != nil {
		c.from.run.kill()
		defer c.from.start()
	}
	c.up.Stop()
	defer func() {
		if err := c.up.Restart(); err != nil {
			c.t.Fatal(err)
		}
	}()
	server := c.serve()
	for name, sum := range left {
		if name == c.spoiled {
			continue
		}
		a, err := server.fetch("/" + name)
		right := err == nil && a.err == nil && a.status == 200
		switch {
		case isIndex(name): // which one is its InRelease's to say
			right = right && c.known[[2]string{name, digest(a.body)}]
		default:
			right = right && digest(a.body) == sum
		}
		if !right {
			c.t.Errorf("%s is stored, and with upstream out of reach a client gets: %v, %v, status %d, %d bytes: %.60s", name, err, a.err, a.status, len(a.body), a.body)
		}
	}
	for name := range left {
		if suite, ok := strings.CutSuffix(name, "InRelease"); ok {
			c.updates(server, suite)
		}
	}
	server.kill()
}

// isIndex reports whether a path is of a suite's file that changes with its InRelease.
func isIndex(path string) bool {
	return strings.Contains(path, "/dists/") && !strings.Contains(path, "/by-hash/") && !strings.HasSuffix(path, "InRelease")
}

// inRelease is a line of an InRelease that lists a file.
var inRelease = regexp.MustCompile(`(?m)^ ([0-9a-f]{64}) +\d+ (\S+)$`)

// updates checks that a client which begins with a suite's InRelease gets the indices
// that this lists, by their digests all that upstream had.
func (c *crashSite) updates(server *server, suite string) {
	c.t.Helper()
	for _, m := range inRelease.FindAllSubmatch(server.get("/"+suite+"InRelease"), -1) {
		name, sum := string(m[2]), string(m[1])
		hashed := suite + path.Dir(name) + "/by-hash/SHA256/" + sum
		if !c.known[[2]string{hashed, sum}] {
			continue // upstream has it packed alone
		}
		for _, p := range []string{suite + name, hashed} {
			a, err := server.fetch("/" + p)
			if err != nil || a.err != nil || a.status != 200 || digest(a.body) != sum {
				c.t.Errorf("%s is listed by the InRelease that a client began with, and it gets: %v, %v, status %d, %d bytes: %.60s", p, err, a.err, a.status, len(a.body), a.body)
			}
		}
	}
}

// there is how many bytes of each of upstream's files are on the disk, or in the bucket:
// of those that are whole, under whatever name, all.
func (c *crashSite) there() map[string]int64 {
	c.t.Helper()
	whole, parts := map[string]bool{}, [][]byte{}
	err := filepath.WalkDir(c.dir+"/cache", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		whole[digest(b)] = true
		if strings.HasPrefix(name, c.dir+"/cache/.im/partial/") {
			parts = append(parts, b)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	there, shared := map[string]int64{}, c.objects()
	for name, sum := range c.now {
		b, err := os.ReadFile(c.upstreamFile(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it stays here though upstream has withdrawn it
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if whole[sum] || shared[name] == sum {
			there[name] = int64(len(b))
		}
		for _, part := range parts {
			if len(part) > 0 && strings.HasPrefix(string(b), string(part)) {
				there[name] = max(there[name], int64(len(part)))
			}
		}
	}
	return there
}

// upstreamFile is the file that upstream serves for a path in the cache.
func (c *crashSite) upstreamFile(name string) string {
	return filepath.Join(c.tree, upstreamBase, strings.TrimPrefix(name, "fedora/"))
}

// frugal checks that upstream was asked for no byte that was there. An entry file is
// asked for again: only its being in the tree says that it was looked at.
func (c *crashSite) frugal(there map[string]int64) {
	c.t.Helper()
	for name, size := range c.sizes {
		if base := path.Base(name); base == "repomd.xml" || base == "InRelease" || base == "Release" {
			continue
		}
		if sent := c.up.Sent(upstreamBase + strings.TrimPrefix(name, "fedora")); sent > size-there[name] {
			c.t.Errorf("%s has %d bytes, %d of them were there, and %d were asked for", name, size, there[name], sent)
		}
	}
}

// tidy checks that nothing is left which nobody goes on with, but for what prune takes
// when it is old (TestSweep): an empty partial file was a lock, and what was to be renamed
// is called so.
func (c *crashSite) tidy() {
	c.t.Helper()
	for name, sum := range files(c.t, c.dir+"/cache/.im") {
		base := filepath.Base(name)
		mayStay := strings.HasPrefix(base, ".new-") || strings.HasPrefix(name, "gen/.") || sum == digest(nil)
		if !mayStay && (strings.HasPrefix(base, ".") || strings.HasPrefix(name, "partial/")) {
			c.t.Errorf(".im/%s is left behind", name)
		}
	}
}
