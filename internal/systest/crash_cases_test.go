package systest

import (
	"fmt"
	"os"
	"strings"

	"intelligentmirror/internal/testrepo"
)

// crashCase is one way into the cache, in which a program is killed.
type crashCase struct {
	name    string
	prepare func(*crashSite)
	// command is imsync's, words being able to stand for the site's files; without one
	// imserve is killed under clients.
	command []string
	// goes says what it may take from a tree that is now so; nil: nothing.
	goes   func(c *crashSite, tree map[string]string, path string) bool
	counts bool // it changes what is counted
	once   bool // where it has done all, it says the next time that there is nothing to do
}

// words are the case's command.
func (c *crashSite) words(x crashCase) (words []string) {
	all := strings.NewReplacer("UPSTREAM", c.tree+upstreamBase, "COUNTS", c.dir+"/counts")
	for _, word := range x.command {
		words = append(words, all.Replace(word))
	}
	return words
}

var crashCases = []crashCase{
	{
		name:    "the first run",
		prepare: func(c *crashSite) { c.edition(1); c.log(c.specs) },
		command: []string{"once"},
		counts:  true,
	},
	{
		name: "a run that updates, withdraws and unites",
		prepare: func(c *crashSite) {
			c.edition(1)
			c.once()
			c.asked()
			c.separate()
			c.edition(2)
		},
		command: []string{"once"},
	},
	{
		name: "prune",
		prepare: func(c *crashSite) {
			c.edition(1)
			c.once()
			c.edition(2)
			c.once()
			c.aged()
		},
		command: []string{"prune"},
		goes:    replaced,
	},
	{
		name:    "hold",
		prepare: func(c *crashSite) { c.edition(1); c.once(); c.edition(2); c.stays() },
		command: []string{"hold", rootName},
	},
	{
		name: "release",
		prepare: func(c *crashSite) {
			c.edition(1)
			c.once()
			if r := c.imsync("hold", rootName); r.code != 0 {
				c.t.Fatalf("hold: %d, %s", r.code, r.stderr)
			}
			c.edition(2)
		},
		command: []string{"release", rootName},
	},
	{
		name: "repair",
		prepare: func(c *crashSite) {
			c.edition(1)
			c.once()
			c.spoil(location(c.t, c.specs, "vlc"))
		},
		command: []string{"verify", "--repair"},
	},
	{name: "clients of a mirror with nothing", prepare: func(c *crashSite) { c.edition(2) }},
	{
		name: "clients of a mirror that is behind",
		prepare: func(c *crashSite) {
			c.edition(1)
			c.once()
			c.edition(2)
		},
	},
	{
		name:    "purge",
		prepare: func(c *crashSite) { c.edition(1); c.once() },
		command: []string{"purge", rootName + "/Packages", second + "/Packages"},
		goes:    func(_ *crashSite, _ map[string]string, path string) bool { return strings.Contains(path, "/Packages/") },
		once:    true,
	},
	{
		name:    "import",
		prepare: func(c *crashSite) { c.edition(1) },
		command: []string{"import", "UPSTREAM", "--repo", "fedora"},
	},
	{
		name: "replicate",
		prepare: func(c *crashSite) {
			from := c.copied()
			c.edition(1)
			from.once()
			if r := c.imsync("replicate"); r.code != 0 {
				c.t.Fatalf("replicate: %d, %s", r.code, r.stderr)
			}
			c.edition(2)
			from.once()
		},
		command: []string{"replicate"},
		goes:    replaced,
	},
	{name: "clients of a suite that is behind", prepare: func(c *crashSite) { c.suiteBehind("7d") }},
	{
		name:    "clients of a suite of which nothing is kept",
		prepare: func(c *crashSite) { c.suiteBehind("0s") },
		goes:    replaced,
	},
	{
		name:    "a run over a suite",
		prepare: func(c *crashSite) { c.suiteBehind("7d") },
		command: []string{"once"},
		goes:    replaced,
	},
	{name: "a run that uploads", prepare: func(c *crashSite) { c.shared(); c.edition(1) }, command: []string{"once"}},
	{
		name: "clients of a mirror with a bucket",
		prepare: func(c *crashSite) {
			c.shared()
			c.edition(1)
			c.once()
			if r := c.imsync("purge", rootName+"/Packages"); r.code != 0 {
				c.t.Fatalf("purge: %d, %s", r.code, r.stderr)
			}
			c.edition(2)
		},
	},
	{
		name:    "import-counts",
		prepare: func(c *crashSite) { c.edition(1); c.fromTheGroup() },
		command: []string{"import-counts", "COUNTS"},
		counts:  true,
	},
}

// copied makes the site a copy of another one, whose imserve runs.
func (c *crashSite) copied() *site {
	c.t.Helper()
	from := c.another(c.t, "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\", \""+second+"\"]")
	from.keepNothing()
	c.from = &node{at: from, addr: freeAddress(c.t, "127.0.0.41")}
	c.from.start()
	c.more = fmt.Sprintf("\n[[replicate]]\nfrom = %q\n", c.from.run.url)
	c.settings("roots = [\"" + rootName + "\", \"" + second + "\"]")
	return from
}

// suiteBehind makes the site one of a Debian suite, whose clients have had all of its first
// publication, while upstream has the second; keep is its generation_keep.
func (c *crashSite) suiteBehind(keep string) {
	c.t.Helper()
	c.settings("roots = [\"" + suiteName + "\"]")
	text, err := os.ReadFile(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(c.config, strings.Replace(string(text), "generation_keep = \"0s\"", fmt.Sprintf("generation_keep = %q", keep), 1))
	a := &suiteArchive{site: c.site, suite: testrepo.Suite{Name: "stable", ByHash: true, Inline: newKey(c.t).Inline}}
	a.issue(a.build("1"))
	c.published()
	c.asked()
	a.issue(a.build("2"))
	c.published()
}

// fromTheGroup lets the site be one of a group, and another of it have counted.
func (c *crashSite) fromTheGroup() {
	c.t.Helper()
	key := groupSecret(c.t)
	c.settings(key)
	from := c.another(c.t, "[sync]\n"+key)
	from.log(c.specs)
	out := from.imsync("export-counts")
	if out.code != 0 {
		c.t.Fatalf("export-counts: %d, %s", out.code, out.stderr)
	}
	c.write(c.dir+"/counts", out.stdout)
}

// replaced reports whether a path is of what upstream has no more, in a tree of which what
// lists it is not current any more: what clients are given lists nothing that may go.
func replaced(c *crashSite, tree map[string]string, path string) bool {
	entry := suiteName + "/InRelease"
	for _, root := range []string{rootName, second} {
		if strings.HasPrefix(path, root+"/") {
			entry = root + "/repodata/repomd.xml"
		}
	}
	return c.now[path] == "" && tree[entry] == c.now[entry]
}
