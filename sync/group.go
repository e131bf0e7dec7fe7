package sync

import (
	"cmp"
	"slices"
	"strings"
)

// place is what a root's path says of the machines that use it.
type place struct {
	arch    string // "x86_64", "src"; "" if the path names none
	release string // "41", "9", "15.6", "rawhide"; "" if the path names none
	line    string // "rocky": one of several builds of a release that no machine mixes; "" for a root beside all of them
	testing bool   // updates that most clients of the release do not take
}

// String tells the place from others, but for testing.
func (p place) String() string { return p.arch + " " + p.release + " " + p.line }

// group is a set of companion roots: those that one client uses together.
// Roots are companions if their paths name the same architecture and the same
// release, which may be none. Enterprise Linux counts its major number alone.
//
// Rocky, AlmaLinux and CentOS Stream 9 share a number and no client. Each line
// is a group of its own, and a root without a line (EPEL, RPM Fusion) belongs to
// the group of every line that there is, or, without any, to one of its own.
type group struct {
	place place
	archs []string // families of the packages that it has, sorted; without noarch and source
}

// locate reads the place out of a root such as
// "rpmfusion/free/fedora/updates/41/x86_64".
func locate(root string) place {
	var p place
	var bare string // a release that stands alone, which a clearer one overrides
	var minor bool  // the minor number makes another release
	parts := strings.Split(strings.ToLower(strings.Trim(root, "/")), "/")
	for _, part := range parts {
		arch, rest := cutArch(part)
		if p.arch == "" {
			p.arch = arch
		}
		if strings.Contains(rest, "leap") || strings.Contains(rest, "suse") {
			minor = true
		}
		if t := strings.TrimSuffix(rest, "-test"); t != rest || rest == "testing" || strings.HasSuffix(rest, "-testing") {
			p.testing, rest = true, t
		}
		if r := namedRelease(rest); p.release == "" {
			p.release = r
		}
		if bare == "" {
			bare = bareRelease(rest)
		}
	}
	if p.release == "" {
		p.release = bare
	}
	if !minor {
		p.release, _, _ = strings.Cut(p.release, ".")
	}
	switch parts[0] {
	case "almalinux", "centos", "centos-stream", "oraclelinux", "rhel", "rocky":
		p.line = parts[0]
	}
	return p
}

// companion reports whether a client of one place uses the other too.
func (p place) companion(q place) bool {
	return p.arch == q.arch && p.release == q.release && (p.line == q.line || p.line == "" || q.line == "")
}

// cutArch splits the architecture off a part of a path, which it may be alone
// ("x86_64") or the end of ("rhel-9-x86_64").
func cutArch(part string) (arch, rest string) {
	switch part {
	case "source", "src", "srpms":
		return "src", ""
	case "i486", "i586", "i686":
		return "i386", ""
	}
	for _, a := range [...]string{
		"x86_64", "x86_64_v2", "x86_64_v3", "x86_64_v4", "aarch64", "i386", "ppc64le", "ppc64", "ppc",
		"s390x", "s390", "armhfp", "armv6hl", "armv7hl", "riscv64", "loongarch64",
	} {
		rest, ok := strings.CutSuffix(part, a)
		if ok && rest == "" {
			return a, ""
		}
		if n := len(rest) - 1; ok && (rest[n] == '-' || rest[n] == '_' || rest[n] == '.') {
			return a, rest[:n]
		}
	}
	return "", part
}

// namedRelease is the release in a part that says whose it is: "el9",
// "openSUSE_Leap_15.6", "fedora-41", "rawhide".
func namedRelease(part string) string {
	for _, name := range [...]string{"rawhide", "tumbleweed", "slowroll", "eln"} {
		if rest, ok := strings.CutSuffix(part, name); ok && (rest == "" || strings.HasSuffix(rest, "_") || strings.HasSuffix(rest, "-")) {
			return name
		}
	}
	at := strings.IndexAny(part, "0123456789")
	if at <= 0 {
		return ""
	}
	switch strings.TrimRight(part[:at], "-_") {
	case "f", "fc", "fedora", "el", "epel", "rhel", "centos", "rocky", "almalinux", "alma", "ol", "opensuse_leap", "leap", "sle", "sles":
		return bareRelease(part[at:])
	}
	return ""
}

// bareRelease is the release that a part is: "41", "9.4", "9-stream",
// "10-kitten"; a year or a date is none.
func bareRelease(part string) string {
	v, suffix, _ := strings.Cut(part, "-")
	switch suffix {
	case "", "stream", "kitten", "beta":
	default:
		return ""
	}
	major, minor, dotted := strings.Cut(v, ".")
	if !number(major) || len(major) > 3 || dotted && !number(minor) {
		return ""
	}
	return v
}

func number(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// gather makes the groups of the places, sorted, and says for each place which
// of them it is in.
func gather(places []place) (groups []group, in [][]groupID) {
	for _, p := range places {
		p.testing = false
		lines := slices.ContainsFunc(places, func(q place) bool { return p.companion(q) && q.line != "" })
		if p.line != "" || !lines {
			groups = append(groups, group{place: p})
		}
	}
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.place.arch, b.place.arch), cmp.Compare(a.place.release, b.place.release), cmp.Compare(a.place.line, b.place.line))
	})
	groups = slices.CompactFunc(groups, func(a, b group) bool { return a.place == b.place })
	in = make([][]groupID, len(places))
	for i, p := range places {
		in[i] = members(groups, p)
	}
	return groups, in
}

// members lists the groups that a root at p is in.
func members(groups []group, p place) []groupID {
	var in []groupID
	for g := range groups {
		if groups[g].place.companion(p) {
			in = append(in, groupID(g))
		}
	}
	return in
}

// has notes that the group has packages of the family.
func (g *group) has(fam string) {
	if at, ok := slices.BinarySearch(g.archs, fam); !ok && fam != noarch && fam != "src" {
		g.archs = slices.Insert(g.archs, at, fam)
	}
}

// groupSets numbers sets of groups; the empty one is 0.
type groupSets struct {
	all [][]groupID
	ids map[string]setID
}

func newGroupSets() *groupSets {
	return &groupSets{all: [][]groupID{nil}, ids: map[string]setID{"": 0}}
}

func (s *groupSets) id(set []groupID) setID {
	key := make([]byte, 0, 16)
	for _, g := range set {
		key = append(key, byte(g), byte(g>>8))
	}
	if id, ok := s.ids[string(key)]; ok {
		return id
	}
	id := setID(len(s.all))
	s.all = append(s.all, set)
	s.ids[string(key)] = id
	return id
}
