package upstream

import (
	"strings"
	"sync"
)

// maxLists bounds the roots of a repository whose lists are kept in memory:
// roots come from requests, and are anyone's.
const maxLists = 512

// listsAtOnce is how many lists are fetched at a time, of all repositories.
const listsAtOnce = 4

// lists are the lists of one repository's roots. They are safe for concurrent use.
type lists struct {
	m *Mirrors

	mu     sync.Mutex
	byRoot map[string]*list
}

// newLists returns the lists of m's repository that are on the disk.
func newLists(m *Mirrors) *lists {
	ls := &lists{m: m, byRoot: map[string]*list{}}
	for _, s := range m.c.savedOf(m.repo.Name) {
		root, address, metalink, ok := ls.find(s.Root + "/repodata/repomd.xml")
		// The configuration may have another list for the root by now, or none.
		if !ok || root != s.Root || address != s.URL || len(ls.byRoot) == maxLists {
			continue
		}
		l := &list{lists: ls, root: root, address: address, metalink: metalink}
		l.install(s)
		ls.byRoot[root] = l
	}
	return ls
}

// find is the root of the file at path, and where the root's list is.
func (ls *lists) find(path string) (root, address string, metalink, ok bool) {
	r := ls.m.repo
	if r.Metalink != nil {
		if root, address, ok := r.Metalink(path); ok {
			return root, address, true, true
		}
	}
	if r.Mirrorlist != nil {
		if root, address, ok := r.Mirrorlist(path); ok {
			return root, address, false, true
		}
	}
	return "", "", false, false
}

// of is the list of the root that the file at path is of, and begins to fetch it
// where it is missing or old; nil where none is known.
func (ls *lists) of(path string) *list {
	root, address, metalink, ok := ls.find(path)
	l := ls.get(path, root, address, metalink, ok)
	if l != nil {
		l.touch()
	}
	return l
}

func (ls *lists) get(path, root, address string, metalink, ok bool) *list {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ok {
		l := ls.byRoot[root]
		if l == nil && ls.room() {
			l = &list{lists: ls, root: root, address: address, metalink: metalink}
			ls.byRoot[root] = l
		}
		return l
	}
	// By the name alone it could be below any directory: a root that is known tells.
	for dir := path; dir != ""; {
		dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)]
		if l := ls.byRoot[dir]; l != nil && l.now.Load() != nil {
			return l
		}
	}
	return nil
}

// room makes room for one more list, at the cost of one that is of no use.
func (ls *lists) room() bool {
	if len(ls.byRoot) < maxLists {
		return true
	}
	for root, l := range ls.byRoot {
		if l.now.Load() == nil && !l.busy() {
			delete(ls.byRoot, root)
			return true
		}
	}
	return false
}

// bases calls fn for each address that the lists name, with its root.
func (ls *lists) bases(fn func(root, base string)) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for root, l := range ls.byRoot {
		if s := l.now.Load(); s != nil {
			for _, b := range s.Bases {
				fn(root, b)
			}
		}
	}
}
