package generation

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"intelligentmirror/internal/repodata"
)

// maxUnpacked bounds a metadata file, unpacked, in bytes: the largest, those of
// primary, have 230 MB. To unpack so much takes seconds, while a client waits.
const maxUnpacked = 1 << 30

// What a metadata file unpacks to at the most is so many times its size, or so many
// bytes: real ones unpack to 5 to 30 times their size. A bomb of some hundred
// kilobytes costs a moment, then, and not what its client waits for.
const (
	maxTimes  = 64
	fewEnough = 64 << 20
)

// mostUnpacked is what a metadata file of size bytes may unpack to.
func mostUnpacked(size int64) int64 {
	return min(maxUnpacked, max(fewEnough, min(size, maxUnpacked)*maxTimes))
}

// Packages calls fn for each package that primary lists. See repodata.ScanPrimary.
func (g *Generation) Packages(fn func(*repodata.Package) error) (repodata.Stats, error) {
	return g.primary(repodata.ScanPrimary, fn)
}

// packageFiles calls fn for each package that primary lists, of which it is told
// what it is as a file. See repodata.ScanFiles.
func (g *Generation) packageFiles(fn func(*repodata.Package) error) (repodata.Stats, error) {
	return g.primary(repodata.ScanFiles, fn)
}

func (g *Generation) primary(scan func(io.Reader, func(*repodata.Package) error) (repodata.Stats, error),
	fn func(*repodata.Package) error) (stats repodata.Stats, err error) {
	there, err := g.with("primary", func(r io.Reader) (err error) {
		stats, err = scan(r, fn)
		return err
	})
	if err == nil && !there {
		err = errors.New("repomd.xml lists no primary")
	}
	return stats, err
}

// Advisories calls fn for each advisory of updateinfo, which not every
// repository has. See repodata.ScanUpdateinfo.
func (g *Generation) Advisories(fn func(*repodata.Advisory) error) (stats repodata.Stats, err error) {
	_, err = g.with("updateinfo", func(r io.Reader) (err error) {
		stats, err = repodata.ScanUpdateinfo(r, fn)
		return err
	})
	return stats, err
}

// Groups calls fn for each group and environment of comps, which not every
// repository has. See repodata.ScanComps.
func (g *Generation) Groups(fn func(*repodata.Group) error) error {
	// The same list, packed in several ways.
	for _, typ := range [...]string{"group", "group_gz", "group_xz", "group_zst"} {
		there, err := g.with(typ, func(r io.Reader) error { return repodata.ScanComps(r, fn) })
		if there || err != nil {
			return err
		}
	}
	return nil
}

// Modules is what modules says; nil where the repository has none.
func (g *Generation) Modules() (m *repodata.Modules, err error) {
	_, err = g.with("modules", func(r io.Reader) (err error) {
		m, err = repodata.ReadModules(r)
		return err
	})
	return m, err
}

// with calls fn with the metadata of that type, unpacked; there says whether the
// generation has it.
func (g *Generation) with(typ string, fn func(io.Reader) error) (there bool, err error) {
	d, ok := g.Repomd.Find(typ)
	if !ok {
		return false, nil
	}
	f, err := os.Open(filepath.Join(g.dir, path.Base(d.Location)))
	if err != nil {
		return true, err
	}
	defer f.Close()
	most := mostUnpacked(d.Size)
	if d.OpenSize > 0 {
		most = min(most, d.OpenSize) // else it is not what repomd.xml describes
	}
	r, err := repodata.Decompress(f, most)
	if err != nil {
		return true, fmt.Errorf("%s: %w", d.Location, err)
	}
	defer r.Close()
	if err := fn(r); err != nil {
		return true, fmt.Errorf("%s: %w", d.Location, err)
	}
	return true, nil
}
