package cache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Finding is what reading a stored file back has shown.
type Finding struct {
	Key  Key
	Size int64 // bytes
	// Wrong is why the bytes are not those that were stored or that metadata
	// promises; nil where they are.
	Wrong error
	// Should is what the bytes should be, as far as that is known.
	Should Want
	// Unknown says that there is nothing to compare them with.
	Unknown bool

	file os.FileInfo
}

// Audit reads the stored files back, one after the other in the order of their
// paths, and calls each with what it has found; what lies at after and before it
// is passed over. A file's bytes are compared with the digest that they had when
// they were stored, or else with the one that current metadata promises. pause is
// called before n bytes are read, to slow it down. It ends with ctx, and with an
// error of pause or each.
func (c *Cache) Audit(ctx context.Context, after string, pause func(ctx context.Context, n int) error, each func(Finding) error) error {
	from := strings.Split(after, "/")
	return fs.WalkDir(c.tree.root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone meanwhile
		case err != nil:
			return err
		case p == ownDir:
			return fs.SkipDir
		case p == ".":
			return nil
		case !utf8.ValidString(p):
			// No stored file's: keys are text, and io/fs opens no such directory.
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if at := strings.Split(p, "/"); after != "" && slices.Compare(at, from) <= 0 {
			if e.IsDir() && slices.Compare(at, from[:min(len(at), len(from))]) < 0 {
				return fs.SkipDir
			}
			return nil
		}
		repo, below, ok := strings.Cut(p, "/")
		if !ok || !e.Type().IsRegular() {
			return nil
		}
		f, err := c.audit(ctx, Key{repo, below}, pause)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return each(f)
	})
}

// auditChunk is how many bytes are read at once.
const auditChunk = 256 << 10

// audit reads one file back.
func (c *Cache) audit(ctx context.Context, k Key, pause func(context.Context, int) error) (Finding, error) {
	found := Finding{Key: k}
	st, err := c.tree.open(k)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			found.Wrong, err = err, nil
		}
		return found, err
	}
	defer st.file.Close()
	if found.file, err = st.file.Stat(); err != nil {
		return found, err
	}
	found.Size = st.facts.Size
	// Also where somebody has changed the file since, so that facts are void.
	var noted Facts
	if readAttr(st.file, factsAttr, &noted) != nil {
		noted = Facts{}
	}
	should, size := noted.SHA256, noted.Size
	if should == "" {
		should = noted.Met
	}
	if should == "" {
		// Only then: imsync has the catalogs to read for it.
		want := c.Promised(k)
		should, size = want.Digest, want.Size
	}
	h := should.New()
	if h == nil {
		found.Unknown = true
		return found, nil
	}
	found.Should = Want{Digest: should, Size: size}
	if err := readPaced(ctx, st.file, h, pause); err != nil {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		found.Wrong = fmt.Errorf("it can't be read: %w", err)
		return found, nil
	}
	if is := sumOf(should.Type(), h); is != should {
		found.Wrong = fmt.Errorf("%s of %d bytes, it should be %s of %d: %w", is, found.Size, should, size, ErrWrongContent)
	}
	return found, nil
}

// readPaced reads the file into h.
func readPaced(ctx context.Context, file *os.File, h hash.Hash, pause func(context.Context, int) error) error {
	buf := make([]byte, auditChunk)
	for {
		if err := pause(ctx, len(buf)); err != nil {
			return err
		}
		n, err := file.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// PutAside moves a file whose bytes are wrong out of the way, to .im/wrong/ and
// its path there, so that it is a miss. That another has taken its place
// meanwhile is no error: that one stays.
func (c *Cache) PutAside(f Finding) error {
	if f.file == nil {
		return fmt.Errorf("%s: %w", f.Key, ErrNotAFile)
	}
	now, err := c.tree.root.Stat(f.Key.String())
	// A file system gives the number of a file that was deleted to the next one.
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!os.SameFile(now, f.file) || !now.ModTime().Equal(f.file.ModTime())) {
		return nil
	}
	if err != nil {
		return err
	}
	to := path.Join(ownDir, "wrong", f.Key.String())
	if err := c.tree.root.MkdirAll(path.Dir(to), 0o755); err != nil {
		return err
	}
	return c.tree.root.Rename(f.Key.String(), to)
}

// Bring is Prefetch for a file that is no guess: it takes the place of one that
// was put aside, or comes from a mirror's tree that is adopted.
func (c *Cache) Bring(ctx context.Context, k Key, w Want, s Source) (Outcome, error) {
	return c.ahead(ctx, k, w, order{source: s})
}
