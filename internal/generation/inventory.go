package generation

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// Kept is a whole generation of a root that a store keeps, as another store that
// copies it has to know it.
type Kept struct {
	Root   string `json:"root"`
	Kind   Kind   `json:"kind,omitempty"`
	Digest string `json:"digest"` // of its entry file, hexadecimal
	// Current says that the tree has its entry file.
	Current bool `json:"current,omitempty"`
	// Replaced is when another became current; zero for the last that did.
	Replaced time.Time  `json:"replaced,omitzero"`
	Files    []KeptFile `json:"files"` // in its directory, by their names
}

// KeptFile is a metadata file of a generation.
type KeptFile struct {
	Name   string `json:"name"` // in the generation's directory
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// What a list of generations may have: who sends it need mean no good. A busy site
// keeps some thousand, each in some kilobytes.
const (
	mostKept    = 50_000
	longestKept = 4 << 20 // bytes of one of them
)

// ReadKept reads a list of generations as another store sends it, a JSON object a line.
func ReadKept(r io.Reader) (all []Kept, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestKept)
	for lines.Scan() {
		if len(all) == mostKept {
			return nil, fmt.Errorf("more than %d generations", mostKept)
		}
		var k Kept
		if err := json.Unmarshal(lines.Bytes(), &k); err != nil {
			return nil, fmt.Errorf("generation %d: %w", len(all)+1, err)
		}
		all = append(all, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("generation %d: %w", len(all)+1, err)
	}
	return all, nil
}

// At is the root that k is of.
func (k *Kept) At() (Root, error) {
	f := rootFile{Root: k.Root, Kind: k.Kind}
	return f.root()
}

// File is where a cache directory has a file of k.
func (k *Kept) File(name string) cache.Key {
	return cache.Key{Repo: ".im", Path: path.Join("gen", k.Digest, name)}
}

// IsFile reports whether name, a path below the cache directory, is that of a
// generation's metadata file: what Kept.File is of.
func IsFile(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) == 4 && parts[0] == ".im" && parts[1] == "gen" && isDigest(parts[2]) && isMetadata(parts[3])
}

// isDigest reports whether s is the name of a generation.
func isDigest(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// isMetadata reports whether a file of that name, in a generation's directory, is
// one that upstream made.
func isMetadata(name string) bool {
	return name != "" && name == path.Base(name) && name != catalogName && name != readName && name != missingName && !isNote(name) &&
		!strings.HasPrefix(name, ".")
}

// Inventory is the whole generations that are kept, by their roots and the current
// one of each first. It computes what digests of files nobody has computed yet.
func (s *Store) Inventory(ctx context.Context, c *cache.Cache) ([]Kept, error) {
	if err := s.reload(); err != nil {
		return nil, err
	}
	var all []Kept
	for _, r := range s.roots.Load().sorted {
		f, err := s.readRoot(s.rootPath(r.Root))
		if err != nil {
			return nil, err
		}
		now, err := s.inTree(r.Root)
		if err != nil {
			return nil, err
		}
		var of []Kept
		for _, k := range s.still(r.Root, f.Kept) {
			if r.kept[k.Digest] == nil {
				continue // not whole
			}
			g := Kept{Root: f.Root, Kind: f.Kind, Digest: k.Digest, Current: k.Digest == now, Replaced: k.Replaced}
			err := s.list(ctx, c, &g)
			if errors.Is(err, fs.ErrNotExist) {
				continue // its time was over meanwhile
			}
			if err != nil {
				return nil, err
			}
			of = append(of, g)
		}
		slices.SortStableFunc(of, func(a, b Kept) int { return cmp.Compare(order(a.Current), order(b.Current)) })
		all = append(all, of...)
	}
	return all, nil
}

// order has what is current first.
func order(current bool) int {
	if current {
		return 0
	}
	return 1
}

// list notes which files g has.
func (s *Store) list(ctx context.Context, c *cache.Cache, g *Kept) error {
	entries, err := os.ReadDir(s.path(g.Digest)) // by their names
	if err != nil {
		return err
	}
	g.Files = []KeptFile{}
	for _, e := range entries {
		if !e.Type().IsRegular() || !isMetadata(e.Name()) {
			continue
		}
		f, err := c.Sum(ctx, g.File(e.Name()).String())
		if err != nil {
			return err
		}
		g.Files = append(g.Files, KeptFile{e.Name(), f.Size, f.SHA256.Hex()})
	}
	return nil
}

// Inventory is Store.Inventory of the store that f refreshes.
func (f *Refresher) Inventory(ctx context.Context, c *cache.Cache) ([]Kept, error) {
	return f.o.Store.Inventory(ctx, c)
}
