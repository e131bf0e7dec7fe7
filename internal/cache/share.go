package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Files of one digest are stored once: a name that is to have bytes which another
// name has already becomes one more link to them. Both stay plain files.
//
//   - Where metadata promises the digest, nothing is downloaded (borrow). A file of
//     which it is known only when it has come is linked at its commit (commitTwin),
//     and what was stored before anybody could tell by the night (unite.go).
//   - The other names are asked of the catalogs (Options.Twins), which are in memory,
//     and the file itself says whether it has these bytes: no index can be wrong.
//   - A file is read before it gets another name, so that damage does not spread.
//   - Nothing writes into a file that has a name in the tree: a replacement is
//     another inode, which the rename gives to that name alone.
//   - What is known of one name alone is kept for that name: see Facts.

// mostTwins is how many files are read to find one that is not damaged.
const mostTwins = 3

// never is a Last-Modified that no file of upstream's can have: asked by it, upstream
// sends the bytes. What a name has borrowed no mirror of its own has vouched for.
const never = "Thu, 01 Jan 1970 00:00:00 GMT"

// shareable reports whether k may share a file: packages may. Metadata is changed
// by the flips of generations, which link what belongs together themselves.
func (c *Cache) shareable(k Key) bool {
	p := c.o.Policy(k)
	return !p.Metadata && !p.Anchor
}

// twins are the other names that metadata promises the digest d of.
func (c *Cache) twins(k Key, d Digest) (names []Key) {
	if c.o.Twins == nil || d == "" || !c.shareable(k) {
		return nil
	}
	for _, other := range c.o.Twins(d) {
		if other != k && c.shareable(other) {
			names = append(names, other)
		}
	}
	return names
}

// findTwin is the file of one of these names that has w's bytes, read just now and open;
// nil where none has.
func (c *Cache) findTwin(ctx context.Context, names []Key, w Want) *stored {
	read := 0
	for _, k := range names {
		st, err := c.tree.open(k)
		if err != nil {
			continue
		}
		if st.known && st.facts.Size == w.Size && st.facts.Keeps(w.Digest) {
			read++
			if err = st.reads(ctx, w.Digest, noPause); err == nil {
				return st
			}
			c.o.Log.Warn("a stored file is damaged, and shared with no other name", "file", k.String(), "error", err, "advice", "imsync verify --repair")
		}
		st.file.Close()
		if read == mostTwins || ctx.Err() != nil {
			break
		}
	}
	return nil
}

func noPause(ctx context.Context, _ int) error { return ctx.Err() }

// reads reads the file, and reports whether its bytes have the digest d.
func (s *stored) reads(ctx context.Context, d Digest, pause func(context.Context, int) error) error {
	h := d.New()
	if err := readPaced(ctx, s.file, h, pause); err != nil {
		return err
	}
	if is := sumOf(d.Type(), h); is != d {
		return fmt.Errorf("%s, it should be %s: %w", is, d, ErrWrongContent)
	}
	return nil
}

// borrow gives k a file that is stored under another name, where metadata promises
// that it has the same bytes. The caller holds the lock on the partial file of k.
func (c *Cache) borrow(ctx context.Context, k Key, w Want, check *Check, ahead bool) (f Facts, ok bool) {
	names := c.twins(k, w.Digest)
	if !w.Known() || len(names) == 0 {
		return f, false
	}
	st := c.findTwin(ctx, names, w)
	if st == nil {
		return f, false
	}
	defer st.file.Close()
	if check != nil {
		if check.Do(st.file, st.facts.Size) != nil {
			return f, false // upstream's are the same: it will be refused as those are
		}
		f.Checked = check.ID
	}
	f.SHA256, f.Met = st.facts.SHA256, w.Digest
	f.Size, f.ModTime, f.LastModified = st.facts.Size, st.facts.ModTime, never
	f.Validated = c.o.Now()
	if ahead {
		f.Prefetched = f.Validated
	}
	return f, c.share(st, k, f)
}

// commitTwin gives k, of which a complete file has come that f describes, the file of
// one of these names instead; false where none has its bytes, or it can't be. f is
// what is known of k then.
func (c *Cache) commitTwin(ctx context.Context, k Key, f *Facts, names []Key) bool {
	st := c.findTwin(ctx, names, Want{Digest: f.SHA256, Size: f.Size})
	if st == nil {
		return false
	}
	defer st.file.Close()
	own := f.at(st.facts.ModTime)
	if !c.share(st, k, own) {
		return false
	}
	*f = own
	return true
}

// at is f for a file with another time. By when it was modified upstream is asked
// as before.
func (f Facts) at(t time.Time) Facts {
	if f.LastModified == "" {
		f.LastModified = f.ModTime.UTC().Format(http.TimeFormat)
	}
	f.ModTime = t
	return f
}

// share gives the file of st the name k too, and accounts for it.
func (c *Cache) share(st *stored, k Key, f Facts) bool {
	freed, err := c.tree.lend(st, k, c.partials.path(k), f)
	if err != nil {
		// As with a file system that has no links, or a file with too many names.
		c.o.Log.Info("a file is stored once more, though it is here under another name", "file", k.String(), "twin", st.name, "error", err)
		return false
	}
	c.entries.forget(k)
	c.partials.account(-freed)
	return true
}

// lend gives the file of st the name k too, with f for that name alone, in place of
// what has the name. freed is how many bytes of the disk that took. The caller
// holds the lock on partial, k's partial file.
func (t *tree) lend(st *stored, k Key, partial string, f Facts) (freed int64, err error) {
	base := st.facts
	if st.base != nil {
		base = *st.base
	}
	was, err := st.file.Stat()
	if err == nil {
		err = writeAttr(st.file, ownAttr(k.String()), f.beside(base))
	}
	if err == nil {
		err = st.file.Sync()
	}
	if err != nil {
		return 0, err
	}
	is, err := st.file.Stat()
	if err != nil {
		return 0, err
	}
	freed = sizeOnDisk(was) - sizeOnDisk(is) // the attribute may have taken a block
	if now, err := t.root.Lstat(k.String()); err == nil && os.SameFile(now, is) {
		return freed, nil
	}
	// By its descriptor: it is this file that was read, whatever has its name now.
	link := path.Join(ownDir, "partial", filepath.Base(partial)+".link")
	if err := t.root.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	err = control(st.file, func(fd int) error {
		return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, filepath.Join(t.dir, link), unix.AT_SYMLINK_FOLLOW)
	})
	if err != nil {
		return 0, &os.LinkError{Op: "link", Old: st.name, New: link, Err: err}
	}
	freed += t.takes(k.String())
	if err := t.rename(link, k.String()); err != nil {
		return 0, errors.Join(err, t.root.Remove(link))
	}
	return freed, nil
}

// lockTwins lets one at a time, of all programs, store a file that metadata lists by
// several names: two that arrive at once would both find that the other is not
// there. That it can't be had only means that both are stored.
func (c *Cache) lockTwins(ctx context.Context) (unlock func()) {
	file, err := waitLock(ctx, filepath.Join(c.tree.dir, ownDir, "twins.lock"))
	if err != nil {
		return func() {}
	}
	return func() { file.Close() }
}
