package sync

import "intelligentmirror/internal/repodata"

// advised is a version of a package, in a root.
type advised struct {
	root       rootID
	name, arch symbol
	evr        evrID
}

// Advise takes an advisory of the repository at root, behind the packages of that
// root. What is no security advisory says nothing that a plan has a use for.
//
// A package answers the advisory if it is of the version that this names: a later
// one brings the remedy too, but also what nobody waits for, and of a repository
// that keeps its advisories for ten years each package would be urgent.
func (b *IndexBuilder) Advise(root string, a *repodata.Advisory) {
	if !a.Security() {
		return
	}
	b.init()
	in := b.root(root)
	for i := range a.Packages {
		n := &a.Packages[i]
		name, ok := b.syms.find(n.Name)
		if !ok {
			continue
		}
		arch, ok := b.syms.find(n.Arch)
		if !ok {
			continue
		}
		if evr, ok := b.evrIDs[n.EVR]; ok {
			if k := (advised{in, name, arch, evr}); b.advised[k] == 0 {
				b.advised[k] = b.syms.id(a.ID)
			}
		}
	}
}
