package generation

import (
	"path"
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
)

// Knows reports whether metadata that was verified would list the file k if it had
// not been withdrawn: a root of which generations are kept lists files of its kind.
// What strangers have is theirs.
func (s *Store) Knows(k cache.Key) bool {
	return k.Repo != cache.Strangers && slices.ContainsFunc(s.find(k), func(r *root) bool {
		return len(r.kept) > 0 && r.layout().listable(r.Root, k.Path)
	})
}

// Owners are the roots whose metadata would list the file k, sorted, and the
// repository that they make up: a root of RPM packages, or the archive of Debian's
// suites. None where Knows says no.
func (s *Store) Owners(k cache.Key) (name string, owners []Owner) {
	s.refresh()
	for _, r := range s.find(k) {
		if !s.Knows(k) {
			break
		}
		name = Root{Repo: r.Repo, Path: r.top()}.String()
		owners = append(owners, Owner{Root: r.Root, Held: len(r.held) > 0, Current: r.kept[r.now(s.tree)] != nil})
	}
	slices.SortFunc(owners, func(a, b Owner) int { return a.compare(b.Root) })
	return name, owners
}

// Owner is a root whose metadata would list a file.
type Owner struct {
	Root
	Held bool // it stays at its generation
	// Current says that the entry file in the tree is of a generation that is whole:
	// what that does not list is not listed now.
	Current bool
}

// Entry is the entry file that the root has in the tree.
func (s *Store) Entry(r Root) cache.Key {
	k, _ := s.entry(r)
	return k
}

// listable implements layout: packages, and the metadata but for repomd.xml and what
// belongs to that. Delta packages are listed by no primary.
func (rpm) listable(r Root, p string) bool {
	rest, _ := below(r.Path, p)
	return strings.HasSuffix(rest, ".rpm") ||
		path.Dir(rest) == path.Dir(repomdPath) && !strings.HasPrefix(path.Base(rest), repomdName)
}

// listable implements layout: packages. An index goes with its suite's Release.
func (debian) listable(_ Root, p string) bool {
	return cache.FormatOf(p) == cache.Deb
}
