package systest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"intelligentmirror/internal/testrepo"
)

// shared lets the site have a bucket, in which nothing is.
func (c *crashSite) shared() {
	c.t.Helper()
	c.bucket = testrepo.StartBucket(c.t.(testrepo.BucketTB))
	c.share(c.bucket, c.bucket.Endpoint)
}

// keepBucket puts by what the bucket has, and backBucket returns to it.
func (c *crashSite) keepBucket() {
	c.t.Helper()
	if c.bucket != nil {
		c.mkdir(c.bucket.File("mirror"))
		c.command("cp", "--archive", c.bucket.File("mirror"), c.dir+"/objects")
	}
}

func (c *crashSite) backBucket() {
	c.t.Helper()
	if c.bucket != nil {
		c.command("rm", "--recursive", "--force", c.bucket.File("mirror"))
		c.command("cp", "--archive", c.dir+"/objects", c.bucket.File("mirror"))
	}
}

// settled waits until a server has uploaded all that waits, or has been killed. What a
// client has got whole is noted by then.
func (c *crashSite) settled(from *server) {
	c.t.Helper()
	if c.bucket != nil {
		c.await("an empty queue", func() bool { return len(c.waiting()) == 0 || !from.running() })
	}
}

// shares checks that a server has read from the bucket, and uploaded.
func (c *crashSite) shares(from *server) {
	c.t.Helper()
	if s := from.bucket(); s.Uploaded == 0 || s.Came == 0 {
		c.t.Errorf("the bucket had no part in it: %+v", s)
	}
}

// waiting are the paths that wait for the bucket.
func (c *crashSite) waiting() map[string]bool {
	c.t.Helper()
	names, err := filepath.Glob(c.dir + "/cache/.im/bucket/*.json")
	if err != nil {
		c.t.Fatal(err)
	}
	all := map[string]bool{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // it has been uploaded meanwhile
		}
		var w struct{ Repo, Path string }
		if err == nil {
			err = json.Unmarshal(b, &w)
		}
		if err != nil {
			c.t.Errorf("what waits for the bucket: %s: %v", name, err)
		}
		all[w.Repo+"/"+w.Path] = true
	}
	return all
}

// objects are what the bucket shows, with their digests.
func (c *crashSite) objects() map[string]string {
	c.t.Helper()
	if c.bucket == nil {
		return nil
	}
	if _, err := os.Stat(c.bucket.File("mirror")); err != nil {
		return nil
	}
	return files(c.t, c.bucket.File("mirror"))
}

// uploaded checks that all that the bucket shows is upstream's, and that the packages of
// a tree are there that upstream still has: what it has no more goes from both sooner or
// later.
func (c *crashSite) uploaded(tree map[string]string) {
	c.t.Helper()
	if c.bucket == nil {
		return
	}
	there := c.objects()
	for name, sum := range there {
		if !c.known[[2]string{name, sum}] {
			c.t.Errorf("%s is in the bucket with bytes that upstream never had", name)
		}
	}
	for name, sum := range tree {
		if strings.HasSuffix(name, ".rpm") && c.now[name] == sum && there[name] != sum {
			c.t.Errorf("%s is stored, and not in the bucket", name)
		}
	}
}

// unnoted are the packages of a tree that are not in the bucket and do not wait for it:
// those that were stored when their program was killed before it noted them. imsync
// stores two at a time where it downloads one.
func (c *crashSite) unnoted(tree map[string]string) map[string]string {
	c.t.Helper()
	if c.bucket == nil {
		return nil
	}
	there, waiting, lost := c.objects(), c.waiting(), map[string]string{}
	for name, sum := range tree {
		if strings.HasSuffix(name, ".rpm") && c.now[name] == sum && there[name] != sum && !waiting[name] {
			lost[name] = sum
		}
	}
	if len(lost) > 2 {
		c.t.Errorf("stored, not in the bucket, and not waiting for it: %v", lost)
	}
	return lost
}

// uploadedBut checks that a server has uploaded all packages that are stored by itself,
// but for those that only imsync finds. One may wait: where a crash had left all of its
// bytes, a client has got them before it is stored, and the server may have been stopped
// just then.
func (c *crashSite) uploadedBut(unnoted map[string]string) {
	c.t.Helper()
	tree, waiting := c.stock(), c.waiting()
	maps.DeleteFunc(tree, func(name, _ string) bool { return unnoted[name] != "" || waiting[name] })
	if len(waiting) > 1 {
		c.t.Errorf("the server has left these waiting: %v", waiting)
	}
	c.uploaded(tree)
}
