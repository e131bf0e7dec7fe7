package sync

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

// Published is a package file that a repository has had from some time on.
type Published struct {
	At     time.Time
	Path   string // a repository's name and the path in it: "fedora/updates/41/..."
	Size   int64  // bytes
	Source string // the name of the source package; "" where it is not known
	// Obsoletes are the names that it takes the place of, which the repository has no
	// longer.
	Obsoletes []string
}

// ReadPublished reads a list of published packages: a line each, with an RFC 3339
// time, a path or URL as clients ask for it, the size in bytes and, if known, the
// source package's name and the names that it obsoletes, with commas between them,
// separated by tabs. Empty lines and those that begin with #
// count for nothing. An error names the line. What no repository of cfg claims is an
// error, too: it would be missed silently.
func ReadPublished(r io.Reader, cfg *config.Config) ([]Published, error) {
	var all []Published
	counting := countingOptions(cfg)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(text) == "" || text[0] == '#' {
			continue
		}
		p, err := parsePublished(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		target := p.Path
		if !strings.Contains(target, "://") {
			target = "/" + strings.TrimLeft(target, "/")
		}
		located, ok := popularity.Locate(counting, target)
		if !ok {
			return nil, fmt.Errorf("line %d: %q is no file of any repo of the configuration (imserve check lists them)", n, p.Path)
		}
		p.Path = located
		all = append(all, p)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b Published) int { return a.At.Compare(b.At) })
	return all, nil
}

func parsePublished(text string) (p Published, err error) {
	fields := strings.Split(text, "\t")
	if len(fields) < 3 || len(fields) > 5 {
		return p, fmt.Errorf("%d fields; expected time, path and size, and perhaps the source package's name and the names that it obsoletes, with tabs between them", len(fields))
	}
	if p.At, err = time.Parse(time.RFC3339, fields[0]); err != nil {
		return p, fmt.Errorf("%q is no time such as 2024-11-21T09:12:44Z", fields[0])
	}
	if p.Size, err = strconv.ParseInt(fields[2], 10, 64); err != nil || p.Size < 0 {
		return p, fmt.Errorf("%q is no size in bytes", fields[2])
	}
	p.Path = fields[1]
	if len(fields) > 3 {
		p.Source = fields[3]
	}
	if len(fields) > 4 {
		p.Obsoletes = strings.FieldsFunc(fields[4], func(r rune) bool { return r == ',' || r == ' ' })
	}
	return p, nil
}

// versions are the packages that were published so far, of each name the newest
// that there is no reason to look past.
type versions struct {
	roots map[string]bool // that the logs show
	all   map[versionOf]version
	odd   []version // of modules, whose names don't tell whether one replaces another
	// asked is when a client last asked for a build of a module of that name: of
	// streams that nobody uses nothing is fetched.
	asked map[versionOf]time.Time
	// groups are those of every root.
	groups []*repodata.Group
}

// versionOf is what a newer version replaces.
type versionOf struct{ root, name, arch string }

type version struct {
	root string
	at   time.Time
	pkg  *repodata.Package
}

// takenBack is how much later a version has to be published than another for it to
// replace that though it seems older: its epoch has gone up, which the names of files
// leave out. What comes together has come in no order.
const takenBack = 24 * time.Hour

func newVersions(roots []string, groups []*repodata.Group) *versions {
	v := &versions{roots: map[string]bool{}, all: map[versionOf]version{}, asked: map[versionOf]time.Time{}, groups: groups}
	for _, r := range roots {
		v.roots[r] = true
	}
	return v
}

// publish adds p. A file whose name is no package's is left out.
func (v *versions) publish(p Published) {
	nevra, root, ok := v.parse(p.Path)
	if !ok {
		return
	}
	// The path is the identity: the digest has to be one, and nobody will see it.
	sum := sha256.Sum256([]byte(p.Path))
	one := version{root, p.At, &repodata.Package{
		Name: nevra.Name, Arch: nevra.Arch, EVR: nevra.EVR, Size: p.Size, BuildTime: p.At.Unix(),
		Location: escapeLocation(strings.TrimPrefix(p.Path, root+"/")), SourceRPM: p.Source,
		Checksum: repodata.Checksum{Type: "sha256", Hex: hex.EncodeToString(sum[:])},
	}}
	if modular(nevra) {
		v.odd = append(v.odd, one)
		return
	}
	for _, name := range p.Obsoletes {
		one.pkg.Obsoletes = append(one.pkg.Obsoletes, repodata.Dep{Name: name})
		for key := range v.all {
			if key.root == root && key.name == name {
				delete(v.all, key)
			}
		}
	}
	key := versionOf{root, nevra.Name, nevra.Arch}
	if old, ok := v.all[key]; !ok || nevra.EVR.Compare(old.pkg.EVR) >= 0 || p.At.Sub(old.at) > takenBack {
		v.all[key] = one
	}
}

// parse is what the path of a package says, and the root that it is in.
func (v *versions) parse(file string) (n repodata.NEVRA, root string, ok bool) {
	dir, base := path.Split(file)
	n, ok = repodata.ParseFilename(base)
	if !ok || strings.HasSuffix(base, ".drpm") {
		return n, "", false
	}
	return n, popularity.RootOf(strings.TrimSuffix(dir, "/"), v.roots), true
}

// modular reports whether n was built for a module, as the build system writes it
// into the release.
func modular(n repodata.NEVRA) bool { return strings.Contains(n.Release, ".module") }

// ask notes that a client asked for a file.
func (v *versions) ask(file string, at time.Time) {
	if !strings.Contains(file, ".module") {
		return
	}
	if n, root, ok := v.parse(file); ok && modular(n) {
		v.asked[versionOf{root, n.Name, n.Arch}] = at
	}
}

// index is the Index of what was published, as a run at that time makes it.
func (v *versions) index(at time.Time) *Index {
	var b IndexBuilder
	grouped := map[string]bool{}
	for _, one := range v.all {
		b.Add(one.root, one.pkg)
		if grouped[one.root] {
			continue
		}
		grouped[one.root] = true
		for _, g := range v.groups {
			b.Group(one.root, g)
		}
	}
	for _, one := range v.odd {
		if asked, ok := v.asked[versionOf{one.root, one.pkg.Name, one.pkg.Arch}]; ok && at.Sub(asked) < streamKept {
			b.Add(one.root, one.pkg)
		}
	}
	return b.Index()
}

// escapeLocation makes of a decoded path one as metadata has it.
func escapeLocation(p string) string { return strings.ReplaceAll(p, "%", "%25") }
