package generation

import (
	"time"
)

// State is how a root's metadata is.
type State struct {
	Root Root
	// Published is when the entry file (repomd.xml, InRelease) that is served was
	// last changed upstream; zero where none is stored.
	Published time.Time
	Kept      int  // generations that clients may still hold
	Held      bool // the root stays as it is until it is released
}

// States is how the metadata of all known roots is, sorted.
func (s *Store) States() []State {
	s.refresh()
	var list []State
	for _, r := range s.roots.Load().sorted {
		st := State{Root: r.Root, Kept: len(r.kept), Held: len(r.held) > 0}
		if k, ok := s.entry(r.Root); ok {
			if fi, err := s.tree.stat(k); err == nil {
				st.Published = fi.ModTime()
			}
		}
		list = append(list, st)
	}
	return list
}

// States is Store.States of the store that f refreshes.
func (f *Refresher) States() []State { return f.o.Store.States() }
