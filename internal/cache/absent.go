package cache

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// AbsentError says that upstream did not have a file when it was asked last. It
// is fs.ErrNotExist.
type AbsentError struct {
	Key Key
	// Offline says that upstream can't be asked now, and that nothing has changed
	// in the file's repository since it was.
	Offline bool
	// Withdrawn is when the file was found to be gone for good: verified metadata does
	// not list it, and upstream has not got it. Zero where that isn't known.
	Withdrawn time.Time
}

func (e *AbsentError) Error() string {
	if !e.Withdrawn.IsZero() {
		return fmt.Sprintf("%s: upstream has withdrawn it", e.Key)
	}
	if e.Offline {
		return fmt.Sprintf("%s: it was not there when upstream could be asked", e.Key)
	}
	return fmt.Sprintf("%s: it was not there a moment ago", e.Key)
}

// Is implements the interface of errors.Is.
func (e *AbsentError) Is(target error) bool { return target == fs.ErrNotExist }

// absences are the files that upstream did not have when it was asked: requests
// for one that come in a row lead to one question, and while upstream is out of
// reach what it said holds for as long as the repository's metadata is the same.
// What a client needs nothing of (repomd.xml.asc, media.1/media) is remembered in
// an attribute of that metadata too: it is over with the file, survives a
// restart, and needs no clean-up. All else is in memory. It is safe for
// concurrent use.
type absences struct {
	mu sync.Mutex
	of map[Key]absence
}

// absence is what is known of one file.
type absence struct {
	at     time.Time
	anchor anchor
}

// maxAbsences is how many files are remembered.
const maxAbsences = 4096

// anchor is the metadata file of the repository that a file is in, by which it
// shows that something has changed there; the zero anchor where there is none.
type anchor struct {
	name string // below the cache directory
	info fs.FileInfo
}

// same reports whether a and b are one file with the same bytes.
func (a anchor) same(b anchor) bool {
	if a.name != b.name || (a.info == nil) != (b.info == nil) {
		return false
	}
	return a.info == nil || Unchanged(a.info, b.info)
}

// Unchanged reports whether two looks at a file have seen the same inode with the same
// time and size: one that was replaced may come again.
func Unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// anchorNames are where a repository's metadata is, below its root.
var anchorNames = [...]string{"repodata/repomd.xml", "InRelease", "Release"}

// maxClimb is how many directories above a file are looked at for its anchor;
// openSUSE's and Debian's deepest need five.
const maxClimb = 10

// anchor looks for the anchor of k.
func (t *tree) anchor(k Key) anchor {
	for dir, i := path.Dir(k.String()), 0; i < maxClimb && dir != "."; dir, i = path.Dir(dir), i+1 {
		for _, name := range anchorNames {
			name = path.Join(dir, name)
			if fi, err := t.root.Stat(name); err == nil && fi.Mode().IsRegular() && name != k.String() {
				return anchor{name, fi}
			}
		}
	}
	return anchor{}
}

// isOptional reports whether clients ask for the file k and go on without it.
func isOptional(k Key) bool {
	switch base := path.Base(k.Path); base {
	case "repomd.xml.asc", "repomd.xml.key", "InRelease", "Release.gpg", ".treeinfo", "treeinfo":
		return true
	case "media", "products":
		return strings.HasSuffix(path.Dir(k.Path), "media.1")
	}
	return false
}

// note remembers that upstream did not have k at that time, when its anchor was a.
func (s *absences) note(t *tree, k Key, at time.Time, a anchor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[Key]absence)
	}
	if len(s.of) >= maxAbsences {
		for other := range s.of { // any: a crawler's are as good as others
			delete(s.of, other)
			if len(s.of) < maxAbsences/2 {
				break
			}
		}
	}
	s.of[k] = absence{at, a}
	if isOptional(k) && a.info != nil {
		s.write(t, k, a)
	}
}

// forget forgets k, which has come.
func (s *absences) forget(k Key) {
	s.mu.Lock()
	delete(s.of, k)
	s.mu.Unlock()
}

// recent reports whether upstream has just said that it has not got k, whose
// anchor is a.
func (s *absences) recent(k Key, a anchor, now time.Time, p Policy) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.of[k]
	return ok && was.anchor.same(a) && StillAbsent(now.Sub(was.at), p)
}

// holds reports whether upstream did not have k when it was asked last, and its
// anchor, a, is still the same.
func (s *absences) holds(t *tree, k Key, a anchor) bool {
	if a.info == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.of[k]; ok {
		return was.anchor.same(a)
	}
	return isOptional(k) && slices.Contains(s.read(t, a), k.String())
}

// maxAbsentAttr bounds the attribute, in bytes: the facts need their place too.
const maxAbsentAttr = 1024

// write adds k to the attribute of its anchor. Where that can't be, memory has to do.
func (s *absences) write(t *tree, k Key, a anchor) {
	names := s.read(t, a)
	if slices.Contains(names, k.String()) {
		return
	}
	names = append(names, k.String())
	if len(strings.Join(names, `","`)) > maxAbsentAttr {
		return
	}
	_ = t.withAnchor(a, func(f *os.File) error { return writeAttr(f, absentAttr, names) })
}

// read is what the attribute of an anchor has.
func (s *absences) read(t *tree, a anchor) (names []string) {
	_ = t.withAnchor(a, func(f *os.File) error { return readAttr(f, absentAttr, &names) })
	return names
}

// withAnchor calls f with the file that a is, if it still is that.
func (t *tree) withAnchor(a anchor, f func(*os.File) error) error {
	file, err := t.root.Open(a.name)
	if err != nil {
		return err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return err
	}
	if !a.same(anchor{a.name, fi}) {
		return errAgain
	}
	return f(file)
}

// WasAbsent reports whether upstream did not have k when it was asked last, and
// its repository is the same since.
func (c *Cache) WasAbsent(k Key) bool { return c.absent.holds(c.tree, k, c.tree.anchor(k)) }
