package generation

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unique"

	"intelligentmirror/internal/cache"
)

// catalogMagic is a catalog's first line.
const catalogMagic = "im-catalog 1\n"

// catalog says of the files of a generation what their digests are. It is the
// file itself, in memory: lines of path, size and digest, sorted by path, below
// the root (layout.lines has the exception).
//
// A generation differs from the one before in some hundred lines, and a busy suite
// has dozens that are kept: the text is in pieces, of which those that are the same in
// several catalogs are in memory once.
type catalog struct {
	path    string
	file    os.FileInfo                    // as it was found
	text    func() []unique.Handle[string] // the pieces, in order, none of them empty; read when they are first asked for
	names   index                          // the lines by the base names of their paths
	digests index                          // the lines by their digests
}

const (
	// pieceLines is how many lines a piece has, on the average: with more of them more
	// is kept again for each line that has changed, with less more pieces are kept.
	pieceLines = 8
	// mostLines is how many it has at the most.
	mostLines = 1 << lineBits
	lineBits  = 6
)

// begins reports whether a piece begins with the line of this path. That is the
// path's to say alone, so that a line that has come or gone moves no other's piece.
func begins(path []byte) bool { return crc32.ChecksumIEEE(path)%pieceLines == 0 }

// item is a line of a catalog.
type item struct {
	path string
	want cache.Want
}

// writeCatalog writes dir's catalog, which marks the generation as whole.
func writeCatalog(dir string, items []item) error {
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.path, b.path) })
	size := len(catalogMagic)
	for i := range items {
		size += len(items[i].path) + len(items[i].want.Digest) + longestSize + len("\t\t\n")
	}
	b := append(make([]byte, 0, size), catalogMagic...)
	last := ""
	for _, it := range items {
		// The same path twice: the first is as good as the second.
		if it.path == last || strings.ContainsAny(it.path, "\t\n") {
			continue
		}
		last = it.path
		b = append(append(b, it.path...), '\t')
		b = append(strconv.AppendInt(b, it.want.Size, 10), '\t')
		b = append(append(b, it.want.Digest...), '\n')
	}
	return writeFile(filepath.Join(dir, catalogName), b)
}

// longestSize is how many digits the size of a file has at the most.
const longestSize = 19

const catalogName = "catalog"

// openCatalog finds dir's catalog. It is read when it is first asked for something;
// one that can't be read then has nothing, and failed is told why.
func openCatalog(dir string, failed func(error)) (*catalog, error) {
	c := &catalog{path: filepath.Join(dir, catalogName)}
	var err error
	if c.file, err = os.Stat(c.path); err != nil {
		return nil, err
	}
	c.text = sync.OnceValue(func() []unique.Handle[string] {
		pieces, err := readPieces(c.path)
		if err != nil {
			failed(err)
		}
		return pieces
	})
	return c, nil
}

// errNoCatalog is why a file of that name is none: only something other than a crash leaves it.
var errNoCatalog = errors.New("it is no catalog, or a part of one")

// checkCatalog looks at both ends of dir's catalog.
func checkCatalog(dir string) error {
	path := filepath.Join(dir, catalogName)
	if fi, err := os.Lstat(path); err != nil {
		return err
	} else if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", path, errNoCatalog)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	head, tail := make([]byte, len(catalogMagic)), make([]byte, 1)
	if fi.Size() >= int64(len(head)) {
		if _, err := f.ReadAt(head, 0); err != nil {
			return err
		}
		if _, err := f.ReadAt(tail, fi.Size()-1); err != nil {
			return err
		}
	}
	if string(head) != catalogMagic || tail[0] != '\n' {
		return fmt.Errorf("%s: %w", path, errNoCatalog)
	}
	return nil
}

// readCatalog reads dir's catalog.
func readCatalog(dir string) (*catalog, error) {
	var failed error
	c, err := openCatalog(dir, func(err error) { failed = err })
	if err != nil {
		return nil, err
	}
	if c.text(); failed != nil {
		return nil, failed
	}
	return c, nil
}

// readPieces reads the catalog at path.
func readPieces(path string) (pieces []unique.Handle[string], err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(text, []byte(catalogMagic)) || text[len(text)-1] != '\n' || len(text) > 1<<31 {
		return nil, fmt.Errorf("%s: %w", path, errNoCatalog)
	}
	rest := text[len(catalogMagic):]
	for size, lines := 0, 0; size < len(rest); lines++ {
		name, _, _ := bytes.Cut(rest[size:], []byte{'\t'})
		if lines == mostLines || lines > 0 && begins(name) {
			pieces = append(pieces, unique.Make(string(rest[:size])))
			rest, size, lines = rest[size:], 0, 0
		}
		size += bytes.IndexByte(rest[size:], '\n') + 1
		if size == len(rest) {
			pieces = append(pieces, unique.Make(string(rest)))
			break
		}
	}
	return slices.Clip(pieces), nil
}

// isOf reports whether dir still has the catalog that c was read from: of a suite
// it grows.
func (c *catalog) isOf(dir string) bool {
	fi, err := os.Stat(filepath.Join(dir, catalogName))
	return err == nil && cache.Unchanged(fi, c.file)
}

// find is what the catalog says of path.
func (c *catalog) find(path string) (cache.Want, bool) {
	// The last piece that does not begin behind it.
	pieces := c.text()
	i, found := slices.BinarySearchFunc(pieces, path, func(p unique.Handle[string], path string) int {
		name, _, _ := strings.Cut(p.Value(), "\t")
		return strings.Compare(name, path)
	})
	if !found {
		i--
	}
	if i < 0 {
		return cache.Want{}, false
	}
	for line := range strings.Lines(pieces[i].Value()) {
		if rest, ok := strings.CutPrefix(line, path); ok && rest[0] == '\t' {
			it, ok := parseItem(line)
			return it.want, ok
		}
	}
	return cache.Want{}, false
}

// place is where a line is: its piece, and its number in that.
type place uint32

// each calls fn with each line.
func (c *catalog) each(fn func(place, string)) {
	for i, p := range c.text() {
		n := 0
		for line := range strings.Lines(p.Value()) {
			fn(place(i<<lineBits|n), line)
			n++
		}
	}
}

// item is the line at a place.
func (c *catalog) item(at place) (item, bool) {
	n := int(at & (mostLines - 1))
	for line := range strings.Lines(c.text()[at>>lineBits].Value()) {
		if n == 0 {
			return parseItem(line)
		}
		n--
	}
	return item{}, false
}

// parseItem reads a line.
func parseItem(line string) (item, bool) {
	f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
	if len(f) != 3 {
		return item{}, false
	}
	size, err := strconv.ParseInt(f[1], 10, 64)
	return item{f[0], cache.Want{Digest: cache.Digest(f[2]), Size: size}}, err == nil
}
