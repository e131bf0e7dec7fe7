package generation

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

const repomdName = "repomd.xml"

// repomdPath is a root's entry file, below the root.
const repomdPath = "repodata/" + repomdName

// needed is the kinds of metadata that a client can't do without, or that every
// dnf, yum or zypper asks for by itself.
var needed = map[string]bool{
	"primary": true, "filelists": true, "updateinfo": true, "modules": true,
	"group": true, "group_gz": true, "group_xz": true, "group_zst": true,
}

// rpm is the layout of a repository of RPM packages.
type rpm struct{}

func (rpm) entries() []string { return []string{repomdPath} }

// siblings are the key for repomd.xml's signature, and that.
func (rpm) siblings(string) ([]string, bool) {
	return []string{repomdName + ".key", repomdName + ".asc"}, false
}

func (rpm) signature(string) string { return repomdName + ".asc" }

// parse implements layout. A repomd.xml's revision is no clock: it is as old as
// the newest of its files.
func (rpm) parse(body []byte) (*listing, error) {
	m, err := repodata.ParseRepomd(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	l := &listing{repomd: m}
	var newest int64
	digests := map[string]cache.Digest{} // by the names in the generation's directory
	for _, d := range m.Data {
		newest = max(newest, d.Timestamp)
		w, err := want(d.Checksum, d.Size)
		if err == nil {
			err = nameFault(digests, path.Base(d.Location), w.Digest)
		}
		if err != nil {
			l.fault = errors.Join(l.fault, fmt.Errorf("%s: %w", d.Location, err))
			continue
		}
		f := file{name: path.Base(d.Location), want: w, at: []string{d.Location}, from: []string{d.Location}, always: needed[d.Type]}
		l.files = append(l.files, f)
	}
	if newest != 0 {
		l.made = time.Unix(newest, 0).UTC()
	}
	return l, nil
}

// nameFault is why a metadata file can't have its name in a generation's directory: it is
// another file's, that of repomd.xml, or of what is kept beside it.
func nameFault(digests map[string]cache.Digest, name string, d cache.Digest) error {
	beside, _ := rpm{}.siblings(repomdPath)
	if name == repomdName || slices.Contains(beside, name) || !isMetadata(name) {
		return errors.New("it has the name of a file that repomd.xml does not list")
	}
	if was, ok := digests[name]; ok && was != d {
		return errors.New("two files have this name")
	}
	digests[name] = d
	return nil
}

// wanted implements layout. What clients have asked for is of a kind of metadata:
// the names have digests in them.
func (rpm) wanted(s *Store, r Root, _ *listing) func(file) bool {
	asked := map[string]bool{}
	for _, name := range s.tree.names(path.Dir(r.key(repomdPath).String())) {
		asked[kindOf(name)] = true
	}
	return func(f file) bool {
		if path.Dir(f.at[0]) != path.Dir(repomdPath) {
			s.log.Warn("metadata outside repodata/ is left to be fetched on demand", "root", r.String(), "location", f.at[0])
			return false
		}
		return f.always || asked[kindOf(f.name)]
	}
}

// kindOf is a metadata file's name without the digest before it:
// "5f1c...-other.xml.gz" is "other.xml.gz".
func kindOf(name string) string {
	if sum, rest, ok := strings.Cut(name, "-"); ok && len(sum) >= 32 && strings.Trim(sum, "0123456789abcdef") == "" {
		return rest
	}
	return name
}

// packages implements layout: primary lists them.
func (rpm) packages(_ *Store, g *Generation, fn func(string, cache.Want)) (repodata.Stats, error) {
	var unusable repodata.Stats
	stats, err := g.packageFiles(func(p *repodata.Package) error {
		w, err := want(p.Checksum, p.Size)
		var k cache.Key
		if err == nil {
			k, err = g.Root.Key(p.Location)
		}
		if err != nil {
			unusable.Skip("package", p.Name, err)
			return nil
		}
		if location, ok := below(g.Root.Path, k.Path); ok {
			fn(location, w)
		}
		return nil
	})
	stats.Add(unusable)
	return stats, err
}

func (rpm) line(name string) string { return name }

func (rpm) lines(r Root, path string) []string {
	rest, _ := below(r.Path, path)
	return []string{rest}
}

func (rpm) own(p string, _ cache.Want) string {
	if path.Base(path.Dir(p)) != path.Dir(repomdPath) {
		return "-"
	}
	return path.Base(p)
}

func (rpm) grows() bool { return false }
