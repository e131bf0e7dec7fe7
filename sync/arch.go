package sync

import "slices"

// noarch is the architecture of packages that run anywhere.
const noarch = "noarch"

// family is the name under which the architectures that one machine's packages
// may have are one: i686 is of the family i386.
func family(arch string) string {
	switch arch {
	case "i386", "i486", "i586", "i686", "athlon", "geode", "pentium3", "pentium4":
		return "i386"
	case "x86_64", "amd64", "ia32e", "x86_64_v2", "x86_64_v3", "x86_64_v4":
		return "x86_64"
	case "armhfp", "armv7hl", "armv7hnl", "armv7l":
		return "armhfp"
	case "ppc64", "ppc64p7":
		return "ppc64"
	case "all":
		return noarch
	case "nosrc":
		return "src"
	}
	return arch
}

// wide is the family of 64 bits whose machines also run the family's packages,
// "" if there is none.
func wide(family string) string {
	switch family {
	case "i386":
		return "x86_64"
	case "ppc":
		return "ppc64"
	case "s390":
		return "s390x"
	}
	return ""
}

// native reports whether the machines of the group run packages of the family
// as their own. Where the roots name no architecture, those are all that are
// there, without the 32-bit ones of which the 64-bit ones are there too.
func (g *group) native(fam string) bool {
	switch {
	case fam == "src":
		return false
	case fam == noarch:
		return true
	case g.place.arch != "":
		return fam == family(g.place.arch)
	}
	return !slices.Contains(g.archs, wide(fam))
}

// How well a package serves one of another family, best first.
const (
	suits   = iota // the same, noarch, or a 64-bit one for a 32-bit one
	foreign        // a 32-bit one for a 64-bit one: only where there is nothing else
	useless        // another machine's
)

// fit says how well packages of the family have serve those of the family need.
func (g *group) fit(need, have string) int {
	switch {
	case have == "src":
		return useless
	case have == need, have == noarch, wide(need) == have:
		return suits
	case wide(have) == need:
		return foreign
	case need == noarch && g.native(have):
		return suits
	case need == noarch && slices.Contains(g.archs, wide(have)):
		return foreign
	}
	return useless
}
