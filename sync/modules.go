package sync

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"intelligentmirror/internal/repodata"
)

// artifact is a package that a modules.yaml lists.
type artifact struct {
	root rootID
	name string
	evr  repodata.EVR
	arch string
}

// Modules takes what the modules.yaml of the repository at root says, before the
// packages of that root. Of those that it lists, the ones stay that are in the
// last build of a stream that is used; the others are left out by Add as if the
// repository had none of them. Of a module with no stream that is used, the
// default stream counts as used.
//
// A stream's packages are of one build: their versions are compared with those of
// no other stream.
func (b *IndexBuilder) Modules(root string, m *repodata.Modules, used func(module, stream string) bool) {
	b.init()
	in := b.root(root)
	inUse := map[string]bool{} // modules
	for i := range m.Builds {
		if x := &m.Builds[i]; used(x.Name, x.Stream) {
			inUse[x.Name] = true
		}
	}
	kept := func(x *repodata.ModuleBuild) bool {
		return used(x.Name, x.Stream) || !inUse[x.Name] && m.Defaults[x.Name] == x.Stream
	}
	type stream struct{ name, stream, arch string }
	last := map[stream]uint64{} // builds of several contexts can be the last
	for i := range m.Builds {
		x := &m.Builds[i]
		s := stream{x.Name, x.Stream, x.Arch}
		last[s] = max(last[s], x.Version)
	}
	for i := range m.Builds {
		x := &m.Builds[i]
		var id symbol
		if kept(x) && x.Version == last[stream{x.Name, x.Stream, x.Arch}] {
			id = b.syms.id(x.Name + ":" + x.Stream + ":" + x.Context)
		}
		for _, n := range x.Packages {
			a := artifact{in, n.Name, n.EVR, n.Arch}
			// A package can be in several builds; the first that stays keeps it.
			if b.modular[a] == 0 {
				b.modular[a] = id
			}
		}
	}
}

// ModuleStream names a stream of a module.
type ModuleStream struct{ Module, Stream string }

// streamsAsked lists the streams of m of which files were asked for: files has
// their base names.
func streamsAsked(m *repodata.Modules, files map[string]bool) []ModuleStream {
	of := map[string]ModuleStream{} // of the files that were asked for
	for i := range m.Builds {
		x := &m.Builds[i]
		s := ModuleStream{x.Name, x.Stream}
		for _, n := range x.Packages {
			file := n.Name + "-" + n.Version + "-" + n.Release + "." + n.Arch + ".rpm"
			if !files[file] {
				continue
			}
			if other, ok := of[file]; ok && other != s {
				of[file] = ModuleStream{} // what two streams share tells nothing of either
				continue
			}
			of[file] = s
		}
	}
	seen := map[ModuleStream]bool{}
	for _, s := range of {
		seen[s] = true
	}
	delete(seen, ModuleStream{})
	return slices.SortedFunc(maps.Keys(seen), func(a, b ModuleStream) int {
		return cmp.Or(strings.Compare(a.Module, b.Module), strings.Compare(a.Stream, b.Stream))
	})
}
