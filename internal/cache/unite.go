package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// United is what Unite has done.
type United struct {
	Files int   `json:"files"` // names that were given a file which was here already
	Bytes int64 `json:"bytes"` // of the disk that this has freed
}

// mostUnited is how many names are given another file in one go: what an adopted tree
// has twice is united over some nights.
const mostUnited = 20000

// Unite stores the files once that have one digest and are stored several times: what
// came before anybody could tell, or what no metadata lists. Of each digest one file
// is read, and the other names become links to it; who reads the others reads on.
// pause is called before n bytes are read, to slow it down. It ends with ctx, or with
// an error of pause.
func (c *Cache) Unite(ctx context.Context, pause func(ctx context.Context, n int) error) (United, error) {
	var done United
	one := map[Digest]Key{}          // the first file of each digest
	others := map[Digest][]Key{}     // those that are not the same file
	inodes := map[Digest][2]uint64{} // of the first
	err := c.eachStored(ctx, func(k Key, st *stored) error {
		d := st.facts.SHA256
		if d == "" || st.facts.Size == 0 || !c.shareable(k) {
			return nil
		}
		id := [2]uint64{st.inode.dev, st.inode.ino}
		if _, seen := one[d]; !seen {
			one[d], inodes[d] = k, id
		} else if id != inodes[d] {
			others[d] = append(others[d], k)
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	for d, names := range others {
		if done.Files >= mostUnited {
			break
		}
		if err := c.unite(ctx, d, one[d], names, pause, &done); err != nil {
			return done, fmt.Errorf("store %s once: %w", one[d], err)
		}
	}
	return done, nil
}

// unite makes names links to the file of one, which has the digest d.
func (c *Cache) unite(ctx context.Context, d Digest, one Key, names []Key, pause func(context.Context, int) error, done *United) error {
	st, err := c.tree.open(one)
	if err != nil || !st.known || st.facts.SHA256 != d {
		if err == nil {
			st.file.Close()
		}
		return nil // gone meanwhile, or another
	}
	defer st.file.Close()
	err = st.reads(ctx, d, pause)
	var disk *fs.PathError
	if err != nil {
		if !errors.As(err, &disk) && !errors.Is(err, ErrWrongContent) {
			return err
		}
		c.o.Log.Warn("a stored file is damaged, and shared with no other name", "file", one.String(), "error", err, "advice", "imsync verify --repair")
		return nil
	}
	for _, k := range names {
		var freed int64
		shared, err := c.holding(k, func(was *stored) (bool, error) {
			if !was.known || was.facts.SHA256 != d || was.facts.Size != st.facts.Size {
				return false, nil
			}
			freed = c.tree.takes(k.String())
			return c.share(st, k, was.facts.at(st.facts.ModTime)), nil
		})
		if err != nil {
			return err
		}
		if shared {
			done.Files++
			done.Bytes += freed
		}
	}
	return nil
}
