package generation

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"intelligentmirror/internal/cache"
)

// catalogMagic is a catalog's first line.
const catalogMagic = "im-catalog 1\n"

// catalog says of the files of a generation what their digests are. It is the
// file itself, in memory: lines of path, size and digest, sorted by path, below
// the root (layout.lines has the exception).
type catalog struct {
	file  os.FileInfo // that it was read from
	text  []byte
	lines []uint32 // where each line begins
	names names    // the lines by the base names of their paths
}

// item is a line of a catalog.
type item struct {
	path string
	want cache.Want
}

// writeCatalog writes dir's catalog, which marks the generation as whole.
func writeCatalog(dir string, items []item) error {
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.path, b.path) })
	var b bytes.Buffer
	b.WriteString(catalogMagic)
	last := ""
	for _, it := range items {
		// The same path twice: the first is as good as the second.
		if it.path == last || strings.ContainsAny(it.path, "\t\n") {
			continue
		}
		last = it.path
		fmt.Fprintf(&b, "%s\t%d\t%s\n", it.path, it.want.Size, it.want.Digest)
	}
	return writeFile(filepath.Join(dir, catalogName), b.Bytes())
}

const catalogName = "catalog"

// readCatalog reads dir's catalog.
func readCatalog(dir string) (*catalog, error) {
	path := filepath.Join(dir, catalogName)
	file, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(text, []byte(catalogMagic)) || text[len(text)-1] != '\n' || len(text) > 1<<31 {
		return nil, fmt.Errorf("%s is no catalog", path)
	}
	c := &catalog{file: file, text: text}
	for at := len(catalogMagic); at < len(text); {
		c.lines = append(c.lines, uint32(at))
		at += bytes.IndexByte(text[at:], '\n') + 1
	}
	return c, nil
}

// isOf reports whether dir still has the catalog that c was read from: of a suite
// it grows.
func (c *catalog) isOf(dir string) bool {
	fi, err := os.Stat(filepath.Join(dir, catalogName))
	return err == nil && os.SameFile(fi, c.file)
}

// find is what the catalog says of path.
func (c *catalog) find(path string) (cache.Want, bool) {
	i, ok := slices.BinarySearchFunc(c.lines, path, func(at uint32, path string) int {
		p, _, _ := bytes.Cut(c.text[at:], []byte{'\t'})
		return strings.Compare(string(p), path)
	})
	if !ok {
		return cache.Want{}, false
	}
	it, ok := c.item(i)
	return it.want, ok
}

// item is the line i.
func (c *catalog) item(i int) (item, bool) {
	line, _, _ := bytes.Cut(c.text[c.lines[i]:], []byte{'\n'})
	f := strings.Split(string(line), "\t")
	if len(f) != 3 {
		return item{}, false
	}
	size, err := strconv.ParseInt(f[1], 10, 64)
	return item{f[0], cache.Want{Digest: cache.Digest(f[2]), Size: size}}, err == nil
}
