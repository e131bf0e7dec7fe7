package manifest

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// shelfHolds is how many manifests are remembered: those of some nights of some
// machines that copy this one. One that is forgotten costs its reader a whole list.
const shelfHolds = 16

// Shelf remembers, in a directory of its own, which lines the last manifests had,
// by some 20 bytes each. It may be used by any number of goroutines and processes.
type Shelf struct{ dir string }

// packedWindow is how far back a remembered manifest is packed, in bytes: its paths
// repeat those just before them.
const packedWindow = 64 << 10

// NewShelf is the shelf in dir, which need not be there yet.
func NewShelf(dir string) Shelf { return Shelf{dir} }

// Taking is a manifest that is being made. It belongs to one goroutine.
type Taking struct {
	shelf Shelf
	hash  hash.Hash
	last  string
	n     int

	index  *os.File // what will be remembered; nil if it can't be
	packed *zstd.Encoder
	broken error // why it can't

	before  *remembered // the manifest of the cursor; nil where it is not known
	changes *os.File
	out     *bufio.Writer
}

// Take begins a manifest. Where since is the tag of one that is remembered, what
// has changed since is noted; Changes has it in the end. Close releases the Taking.
func (s Shelf) Take(since string) *Taking {
	t := &Taking{shelf: s, hash: sha256.New()}
	if err := t.open(since); err != nil {
		t.forget(err)
	}
	return t
}

// open opens the files that a Taking writes to.
func (t *Taking) open(since string) error {
	if err := os.MkdirAll(t.shelf.dir, 0o755); err != nil {
		return err
	}
	var err error
	if t.index, err = os.CreateTemp(t.shelf.dir, ".new-*"); err != nil {
		return err
	}
	if t.packed, err = zstd.NewWriter(t.index, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(packedWindow), zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
		return err
	}
	if t.before = t.shelf.find(since); t.before == nil {
		return nil
	}
	if t.changes, err = os.CreateTemp(t.shelf.dir, ".new-*"); err != nil {
		return err
	}
	t.out = bufio.NewWriterSize(t.changes, 64<<10)
	return nil
}

// forget gives up what goes beyond the manifest itself: changes and memory are a
// service, which a full disk does not allow.
func (t *Taking) forget(err error) {
	t.broken = errors.Join(t.broken, err)
	if t.before != nil {
		t.before.close()
		t.before = nil
	}
	for _, f := range []*os.File{t.index, t.changes} {
		if f != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}
	t.index, t.changes, t.packed = nil, nil, nil
}

// Add takes in the next stored file, and is its line. The error is of files that do
// not come in their order.
func (t *Taking) Add(l Line) ([]byte, error) {
	if t.n++; t.n > 1 && Compare(t.last, l.Path) >= 0 {
		return nil, fmt.Errorf("%q comes behind %q: no order of a manifest", l.Path, t.last)
	}
	t.last = l.Path
	raw, err := encode(l)
	if err != nil {
		return nil, err
	}
	t.hash.Write(raw)
	if t.index != nil {
		if err := t.note(l.Path, raw); err != nil {
			t.forget(err)
		}
	}
	return raw, nil
}

// note writes down the line, and what it is to the manifest before.
func (t *Taking) note(path string, raw []byte) error {
	m := mark{path, sumOf(raw)}
	if err := m.write(t.packed); err != nil {
		return err
	}
	if t.before == nil {
		return nil
	}
	for t.before.ok && Compare(t.before.at.path, path) < 0 {
		if err := t.dropped(); err != nil {
			return err
		}
	}
	if t.before.ok && t.before.at.path == path {
		same := t.before.at.sum == m.sum
		if err := t.before.advance(); err != nil || same {
			return err
		}
	}
	_, err := t.out.Write(raw)
	return err
}

// dropped notes that the file which the manifest before is at is not there any more.
func (t *Taking) dropped() error {
	raw, err := encode(deletion{t.before.at.path, true})
	if err != nil {
		return err
	}
	if _, err := t.out.Write(raw); err != nil {
		return err
	}
	return t.before.advance()
}

// Finish ends the manifest, and is its tag. The error says why it is not remembered
// and its changes are not known: it may be used all the same.
func (t *Taking) Finish() (tag string, err error) {
	tag = hex.EncodeToString(t.hash.Sum(nil))
	if t.index != nil {
		if err := t.keep(tag); err != nil {
			t.forget(err)
		}
	}
	if t.broken != nil {
		return tag, fmt.Errorf("remember a manifest: %w", t.broken)
	}
	return tag, nil
}

// keep puts the manifest on the shelf.
func (t *Taking) keep(tag string) error {
	for t.before != nil && t.before.ok {
		if err := t.dropped(); err != nil {
			return err
		}
	}
	if t.out != nil {
		if err := t.out.Flush(); err != nil {
			return err
		}
	}
	if err := t.packed.Close(); err != nil {
		return err
	}
	if err := t.index.Close(); err != nil {
		return err
	}
	if err := os.Rename(t.index.Name(), t.shelf.path(tag)); err != nil {
		return err
	}
	t.index = nil
	return t.shelf.tidy()
}

// Changes is, after Finish, what has changed since the cursor, from its first line
// on; ok is false where nobody knows. It holds until Close.
func (t *Taking) Changes() (r io.Reader, ok bool) {
	if t.changes == nil {
		return nil, false
	}
	if _, err := t.changes.Seek(0, io.SeekStart); err != nil {
		return nil, false
	}
	return t.changes, true
}

// Close releases what the Taking holds.
func (t *Taking) Close() { t.forget(nil) }

// mark is what is remembered of a line.
type mark struct {
	path string
	sum  [8]byte
}

// sumOf tells two lines of one path apart; the manifest's tag proves that it did.
func sumOf(raw []byte) (s [8]byte) {
	sum := sha256.Sum256(raw)
	copy(s[:], sum[:])
	return s
}

func (m mark) write(w io.Writer) error {
	b := binary.AppendUvarint(make([]byte, 0, len(m.path)+12), uint64(len(m.path)))
	b = append(append(b, m.path...), m.sum[:]...)
	_, err := w.Write(b)
	return err
}

// remembered reads a manifest on the shelf, mark by mark.
type remembered struct {
	file   *os.File
	packed *zstd.Decoder
	r      *bufio.Reader
	at     mark
	ok     bool // at is one; it is behind the last otherwise
}

// tagLen is the length of a tag, in hexadecimal.
const tagLen = 2 * sha256.Size

func (s Shelf) path(tag string) string { return filepath.Join(s.dir, tag) }

// find opens the manifest with that tag, nil where it is not remembered.
func (s Shelf) find(tag string) *remembered {
	if len(tag) != tagLen || strings.Trim(tag, "0123456789abcdef") != "" {
		return nil
	}
	file, err := os.Open(s.path(tag))
	if err != nil {
		return nil
	}
	packed, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		file.Close()
		return nil
	}
	m := &remembered{file: file, packed: packed, r: bufio.NewReader(packed)}
	if err := m.advance(); err != nil {
		m.close()
		return nil
	}
	// Who uses it may come again.
	now := time.Now()
	_ = os.Chtimes(s.path(tag), now, now)
	return m
}

// advance goes on to the next mark.
func (m *remembered) advance() error {
	n, err := binary.ReadUvarint(m.r)
	if err == io.EOF {
		m.at, m.ok = mark{}, false
		return nil
	}
	if err == nil && n > maxLine {
		err = ErrDamaged
	}
	if err != nil {
		return err
	}
	path := make([]byte, n)
	if _, err := io.ReadFull(m.r, path); err != nil {
		return err
	}
	m.at.path, m.ok = string(path), true
	_, err = io.ReadFull(m.r, m.at.sum[:])
	return err
}

func (m *remembered) close() {
	m.packed.Close()
	m.file.Close()
}

// leftFor is after how long a file that was not finished is nobody's any more.
const leftFor = 24 * time.Hour

// tidy removes what is more than the shelf holds, what was used least lately first,
// and what a crash has left.
func (s Shelf) tidy() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	type book struct {
		name string
		used time.Time
	}
	var books []book
	var errs []error
	remove := func(name string) {
		// Another taking may tidy at the same time.
		if err := os.Remove(s.path(name)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		if strings.HasPrefix(e.Name(), ".") {
			if time.Since(fi.ModTime()) > leftFor {
				remove(e.Name())
			}
			continue
		}
		books = append(books, book{e.Name(), fi.ModTime()})
	}
	slices.SortFunc(books, func(a, b book) int { return cmp.Or(b.used.Compare(a.used), strings.Compare(a.name, b.name)) })
	for _, b := range books[min(len(books), shelfHolds):] {
		remove(b.name)
	}
	return errors.Join(errs...)
}
