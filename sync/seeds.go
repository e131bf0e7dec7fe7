package sync

import (
	"cmp"
	"slices"
	"strings"

	"intelligentmirror/internal/config"
)

// Seed is an entry of the seed list.
type Seed struct {
	Pattern string // a name, a glob, or "@" and the id of a comps group
	// BuiltIn is set for the list that the program brings along. It has the
	// spellings of several distributions, of which a site uses a few.
	BuiltIn bool
}

// SeedMiss is a seed that stands for no package.
type SeedMiss struct {
	Seed
	Reason string // for a person
}

// Note reports whether that is to be expected, and no failure.
func (m SeedMiss) Note() bool { return m.BuiltIn }

// sown is a package that a seed stands for.
type sown struct {
	node
	pattern string
	builtIn bool
}

// sow finds what the seeds stand for, in every group, in the order of the list
// and by name for each:
//
//   - Packages of the group's own architecture and noarch ones, of the tracks that
//     all clients have. 32-bit ones beside 64-bit ones, source packages and those
//     of testing roots are fetched only where they are popular, on their own account.
//   - exclude takes away from what globs match, never from what is named.
//   - "@id" is the mandatory and the default packages of a comps group, or of the
//     groups that an environment is made of; exclude takes none of them away.
//   - "*" is all of a repository: every architecture but source, and no exclude.
func sow(x *Index, seeds []Seed, exclude []config.Pattern) (all []sown, misses []SeedMiss) {
	for _, s := range seeds {
		before := len(all)
		take := func(g groupID, name symbol) {
			for _, p := range x.newest(g, name, "", func(p pkgID) bool { return s.takes(x, g, p) }) {
				all = append(all, sown{node{g, p}, s.Pattern, s.BuiltIn})
			}
		}
		id, comps := strings.CutPrefix(s.Pattern, "@")
		var names []symbol
		var excluded bool
		if comps {
			for g := range x.groups {
				for _, name := range x.ofComps(id, groupID(g)) {
					take(groupID(g), name)
				}
			}
		} else {
			names, excluded = matching(x, s.Pattern, exclude)
			for _, name := range names {
				for g := range x.groups {
					take(groupID(g), name)
				}
			}
		}
		if len(all) > before {
			continue
		}
		why := "no repository has a package of this name"
		switch {
		case comps && x.comps[id] == nil:
			why = "no repository has a comps group of this id"
		case comps:
			why = "no repository has a package that this group names"
		case len(names) > 0:
			why = "only packages of other architectures, source packages or packages in testing match"
		case excluded:
			why = "exclude takes away all that match"
		}
		misses = append(misses, SeedMiss{s, why})
	}
	return all, misses
}

// everything is the seed that is all of a repository.
const everything = "*"

// takes reports whether the seed stands for p in g, its name matching.
func (s Seed) takes(x *Index, g groupID, p pkgID) bool {
	k := &x.pkgs[p]
	fam := x.syms.text(k.family)
	if s.Pattern == everything {
		return fam != "src"
	}
	return k.track&inTesting == 0 && x.groups[g].native(fam)
}

// matching lists the names of packages that the pattern matches, sorted, without
// those that exclude takes away, and whether there were such.
func matching(x *Index, pattern string, exclude []config.Pattern) (names []symbol, excluded bool) {
	if !strings.ContainsAny(pattern, "*[") {
		name, ok := x.syms.find(pattern)
		if from, to := x.named(name); ok && from < to {
			names = append(names, name)
		}
		return names, false
	}
	match := config.Pattern(pattern).Match
	for p := 0; p < len(x.pkgs); p++ {
		name := x.pkgs[p].name
		if p > 0 && name == x.pkgs[p-1].name || !match(x.syms.text(name)) {
			continue
		}
		if pattern != everything && slices.ContainsFunc(exclude, func(e config.Pattern) bool { return e.Match(x.syms.text(name)) }) {
			excluded = true
			continue
		}
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b symbol) int { return cmp.Compare(x.syms.text(a), x.syms.text(b)) })
	return names, excluded
}
