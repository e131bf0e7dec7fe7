package generation

import (
	"cmp"
	"path"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// Kind is what a root's packages are, and so what its metadata looks like.
type Kind string

// The kinds.
const (
	RPM    Kind = ""
	Debian Kind = "debian"
)

// known reports whether k is one of them.
func (k Kind) known() bool { return k == RPM || k == Debian }

// layout is what the kinds differ in: which file is the entry, what it says, and
// which files in the tree and lines of a catalog are meant by that. All else, the
// way of a generation from the question to upstream to the flip, is one for all.
type layout interface {
	// entries are the files, below the root, by which everything else is found: the
	// first that there is. They are asked for in this order.
	entries() []string
	// siblings are the names, beside an entry file, of the files that belong to one
	// version of it and that it does not list, the signature last; needed says that
	// each client asks for them.
	siblings(entry string) (names []string, needed bool)
	// signature is the sibling that signs the entry file, "" where that carries its
	// signature itself.
	signature(entry string) string
	// parse reads an entry file.
	parse(body []byte) (*listing, error)
	// wanted reports which of l's files have to be there before l becomes current:
	// what each client needs, and what those of this root have asked for, which is
	// what the tree has.
	wanted(s *Store, r Root, l *listing) func(file) bool
	// packages calls fn for each package that the files of g list, with its path
	// below the root's top, decoded, and says which can't be used.
	packages(s *Store, g *Generation, fn func(location string, w cache.Want)) (repodata.Stats, error)
	// line is the path under which a catalog has the metadata file of that name below
	// the root, and lines those under which it may have the file at path, below the repo.
	line(name string) string
	lines(r Root, path string) []string
	// own is the name that the metadata file at path has in a generation's directory,
	// when that promises w of it; any name that is not there for all else.
	own(path string, w cache.Want) string
	// listable reports whether a generation of r lists files such as the one at path,
	// below the repo.
	listable(r Root, path string) bool
	// grows says that files which clients asked for later are read into the catalog
	// of a generation that is current.
	grows() bool
}

// layout is that of r's kind.
func (r Root) layout() layout {
	if r.Kind == Debian {
		return debian{}
	}
	return rpm{}
}

// compare sorts roots by their names.
func (r Root) compare(other Root) int {
	return cmp.Or(strings.Compare(r.String(), other.String()), strings.Compare(string(r.Kind), string(other.Kind)))
}

// listing is what an entry file says.
type listing struct {
	repomd  *repodata.Repomd  // of RPM packages
	release *repodata.Release // of Debian's
	files   []file
	fault   error     // why some of what it lists can't be used, so that it never becomes whole
	made    time.Time // zero where nobody can tell
	until   time.Time // when clients stop to believe it; zero is never
}

// strays is why l can't be what its author wrote, nil where nothing says so.
func (l *listing) strays() error {
	if l.repomd == nil {
		return nil
	}
	return l.repomd.Strays()
}

// file is a metadata file of a generation.
type file struct {
	name string     // in the generation's directory
	at   []string   // the names that it has in the tree, below the root
	want cache.Want // none for a sibling
	// from is the names under which upstream has it, in the order in which they are
	// asked for.
	from   []string
	always bool // no client can do without it
}

// sibling is the file that belongs to the entry file of g and that this does not list.
func (g *Generation) sibling(name string) file {
	at := path.Join(path.Dir(g.entry), name)
	return file{name: name, at: []string{at}, from: []string{at}}
}

// EntryFiles are the files, below a root of any kind, by which it is found.
func EntryFiles() []string { return append(rpm{}.entries(), debian{}.entries()...) }

// RootOf is the root that k is an entry file of.
func RootOf(k cache.Key) (Root, bool) {
	dir, base := path.Split(k.Path)
	at := path.Clean(dir)
	r := Root{Repo: k.Repo, Path: at}
	switch {
	case base == repomdName && path.Base(dir) == "repodata":
		r.Path = path.Dir(at)
	case base == inRelease, base == release && !isOfComponent(at):
		r.Kind = Debian
	default:
		return Root{}, false
	}
	if r.Path == "." {
		r.Path = ""
	}
	return r, true
}
