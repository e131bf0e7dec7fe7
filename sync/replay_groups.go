package sync

import (
	"io"

	"intelligentmirror/internal/repodata"
)

// mostComps bounds a comps.xml, unpacked, in bytes. ScanComps refuses less.
const mostComps = 64 << 20

// ReadGroups reads the groups and environments of a comps.xml, plain or packed as
// repositories have it.
func ReadGroups(r io.Reader) ([]*repodata.Group, error) {
	plain, err := repodata.Decompress(r, mostComps)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	var all []*repodata.Group
	err = repodata.ScanComps(plain, func(g *repodata.Group) error {
		all = append(all, g)
		return nil
	})
	return all, err
}
