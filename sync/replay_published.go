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
}

// ReadPublished reads a list of published packages: a line each, with an RFC 3339
// time, a path or URL as clients ask for it, the size in bytes and, if known, the
// source package's name, separated by tabs. Empty lines and those that begin with #
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
	if len(fields) < 3 || len(fields) > 4 {
		return p, fmt.Errorf("%d fields; expected time, path and size, and perhaps the source package's name, with tabs between them", len(fields))
	}
	if p.At, err = time.Parse(time.RFC3339, fields[0]); err != nil {
		return p, fmt.Errorf("%q is no time such as 2024-11-21T09:12:44Z", fields[0])
	}
	if p.Size, err = strconv.ParseInt(fields[2], 10, 64); err != nil || p.Size < 0 {
		return p, fmt.Errorf("%q is no size in bytes", fields[2])
	}
	p.Path = fields[1]
	if len(fields) == 4 {
		p.Source = fields[3]
	}
	return p, nil
}

// versions are the packages that were published so far, of each name the newest
// that there is no reason to look past.
type versions struct {
	roots map[string]bool // that the logs show
	all   map[versionOf]version
	odd   []version // whose names don't tell whether one replaces another
}

// versionOf is what a newer version replaces.
type versionOf struct{ root, name, arch string }

type version struct {
	root string
	pkg  *repodata.Package
}

func newVersions(roots []string) *versions {
	v := &versions{roots: map[string]bool{}, all: map[versionOf]version{}}
	for _, r := range roots {
		v.roots[r] = true
	}
	return v
}

// publish adds p. A file whose name is no package's is left out.
func (v *versions) publish(p Published) {
	dir, base := path.Split(p.Path)
	nevra, ok := repodata.ParseFilename(base)
	if !ok || strings.HasSuffix(base, ".drpm") {
		return
	}
	root := popularity.RootOf(strings.TrimSuffix(dir, "/"), v.roots)
	// The path is the identity: the digest has to be one, and nobody will see it.
	sum := sha256.Sum256([]byte(p.Path))
	one := version{root, &repodata.Package{
		Name: nevra.Name, Arch: nevra.Arch, EVR: nevra.EVR, Size: p.Size, BuildTime: p.At.Unix(),
		Location: escapeLocation(strings.TrimPrefix(p.Path, root+"/")), SourceRPM: p.Source,
		Checksum: repodata.Checksum{Type: "sha256", Hex: hex.EncodeToString(sum[:])},
	}}
	if strings.Contains(nevra.Release, ".module") {
		v.odd = append(v.odd, one)
		return
	}
	key := versionOf{root, nevra.Name, nevra.Arch}
	if old, ok := v.all[key]; !ok || nevra.EVR.Compare(old.pkg.EVR) >= 0 {
		v.all[key] = one
	}
}

// index is the Index of what was published.
func (v *versions) index() *Index {
	var b IndexBuilder
	for _, one := range v.all {
		b.Add(one.root, one.pkg)
	}
	for _, one := range v.odd {
		b.Add(one.root, one.pkg)
	}
	return b.Index()
}

// escapeLocation makes of a decoded path one as metadata has it.
func escapeLocation(p string) string { return strings.ReplaceAll(p, "%", "%25") }
