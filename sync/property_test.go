package sync

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

// TestPlanHolds plans for repositories of chance, and looks whether what a plan
// promises holds, with a judgement of its own on what satisfies what.
func TestPlanHolds(t *testing.T) {
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			all := randomRepos(t, rnd)
			there := make(map[string]bool)
			var ranks []popularity.Rank
			for i, p := range all {
				if rnd.IntN(4) == 0 {
					there[p.root+"/"+p.Location] = true
				}
				if rnd.IntN(5) == 0 {
					ranks = append(ranks, popularity.Rank{Rank: i + 1, Name: p.Name, Arch: p.Arch, Root: p.root})
				}
			}
			stored := func(k cache.Key, _ cache.Want) bool { return there[k.String()] }
			budget := Budget{Bytes: rnd.Int64N(200) - 20, Top: rnd.IntN(12) - 1, Seeds: named("p1*", "p5")}
			res := Plan(ranks, buildIndex(all), stored, budget)
			check(t, all, there, ranks, budget, res)

			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			if d := cmp.Diff(res, Plan(ranks, buildIndex(all), stored, budget)); d != "" {
				t.Errorf("added in another order (-before +after):\n%s", d)
			}
		})
	}
}

// randomRepos makes two companion roots with some twenty packages each, whose
// versions are single digits.
func randomRepos(t *testing.T, rnd *rand.Rand) []listed {
	var repos strings.Builder
	relation := func() string {
		name := fmt.Sprintf("%c%d", "ppc"[rnd.IntN(3)], rnd.IntN(14))
		switch rnd.IntN(4) {
		case 0:
			return fmt.Sprintf("%s %s %d", name, []string{"<", "<=", "=", ">=", ">"}[rnd.IntN(5)], rnd.IntN(5))
		case 1:
			return "/bin/" + name
		}
		return name
	}
	// rpm allows no `if` within `or` and no `unless` within `and`.
	var boolean func(depth int, ops ...string) string
	arg := func(depth int, ops ...string) string {
		if depth > 0 && rnd.IntN(3) == 0 {
			return boolean(depth-1, ops...)
		}
		return relation()
	}
	boolean = func(depth int, ops ...string) string {
		switch op := ops[rnd.IntN(len(ops))]; op {
		case "and":
			return fmt.Sprintf("(%s and %s)", arg(depth, "and", "or", "if"), arg(depth, "and", "or", "if", "with"))
		case "or":
			return fmt.Sprintf("(%s or %s or %s)", arg(depth, "or", "unless"), arg(depth, "or", "unless", "without"), relation())
		case "if", "unless":
			return fmt.Sprintf("(%s %s %s)", relation(), op, arg(depth, "or"))
		default:
			return fmt.Sprintf("(%s %s %s)", relation(), op, relation())
		}
	}
	for _, root := range []string{releases, updates} {
		fmt.Fprintln(&repos, root)
		for range 20 {
			fmt.Fprintf(&repos, "    p%d-%d-1.%s size %d", rnd.IntN(14), rnd.IntN(5), []string{"x86_64", "x86_64", "noarch", "i686"}[rnd.IntN(4)], 1+rnd.IntN(20))
			var reqs []string
			for range rnd.IntN(4) {
				reqs = append(reqs, relation())
			}
			if rnd.IntN(3) == 0 {
				reqs = append(reqs, boolean(2, "and", "or", "if", "unless", "with", "without"))
			}
			if len(reqs) > 0 {
				fmt.Fprintf(&repos, " | requires %s", strings.Join(reqs, ", "))
			}
			fmt.Fprintf(&repos, " | provides c%d = %d | files /bin/p%d", rnd.IntN(14), rnd.IntN(5), rnd.IntN(14))
			fmt.Fprintf(&repos, " | rebuilt %d\n", rnd.IntN(2))
		}
	}
	all := parseRepos(t, repos.String())
	for i, p := range all {
		// One file of a name in a directory, as it is in the real world.
		p.Location = fmt.Sprintf("%d/%s", i, p.Location)
	}
	return all
}

// check is what a plan promises.
func check(t *testing.T, all []listed, there map[string]bool, ranks []popularity.Rank, budget Budget, res Result) {
	byPath := make(map[string]listed)
	for _, p := range all {
		byPath[p.root+"/"+p.Location] = p
	}
	var bytes int64
	var planned []listed
	last := 0
	for _, i := range res.Items {
		p, ok := byPath[i.Path]
		if !ok || there[i.Path] || i.Name != p.Name || i.SHA256 != p.Checksum.Hex || i.Size != p.Size {
			t.Errorf("%+v: of %+v", i, p)
		}
		if slices.ContainsFunc(planned, func(q listed) bool { return q.root == p.root && q.Location == p.Location }) {
			t.Errorf("%s is planned twice", i.Path)
		}
		if i.Reason == ReasonPopular {
			if i.Rank < last {
				t.Errorf("%s, rank %d, comes behind rank %d", i.Path, i.Rank, last)
			}
			last = i.Rank
		}
		planned = append(planned, p)
		bytes += i.Size
	}
	if bytes != res.Bytes || budget.Bytes >= 0 && bytes > budget.Bytes {
		t.Errorf("%d bytes of items, %d said, %d allowed", bytes, res.Bytes, budget.Bytes)
	}
	sure := slices.Clone(planned)
	for _, i := range res.Cut {
		if budget.Bytes < 0 {
			t.Errorf("%s is cut without a limit", i.Path)
		}
		sure = append(sure, byPath[i.Path])
	}
	// What is stored need not be wanted: it meets requirements, but no condition
	// has to hold for it.
	have := slices.Clone(sure)
	for path := range there {
		have = append(have, byPath[path])
	}
	reported := make(map[string]bool)
	for _, u := range res.Unmet {
		reported[u.Requires] = true
	}
	for _, p := range planned {
		for _, q := range all {
			if q.Name == p.Name && (q.Arch == p.Arch || q.Arch == noarch || p.Arch == noarch && q.Arch == "x86_64") && q.EVR.Version > p.EVR.Version {
				t.Errorf("%s-%s.%s is planned, and there is %s.%s", p.Name, p.EVR, p.Arch, q.EVR, q.Arch)
			}
		}
		for _, d := range p.Requires {
			text := required(d)
			if !reported[text] && !met(t, d, have, sure) {
				t.Errorf("%s-%s.%s requires %s: neither planned, stored, cut nor reported", p.Name, p.EVR, p.Arch, text)
			}
		}
	}
	for _, g := range res.Gone {
		if !slices.ContainsFunc(all, func(q listed) bool {
			return q.Name == g.Name && q.Arch != g.Arch && q.EVR.Version > newestOf(all, g.Name, g.Arch)
		}) {
			t.Errorf("%s.%s is gone, and nothing has replaced it", g.Name, g.Arch)
		}
	}
}

// required is a requirement as a report has it.
func required(d repodata.Dep) string {
	if d.Flags == "" {
		return d.Name
	}
	return d.Name + map[string]string{"EQ": " = ", "LT": " < ", "LE": " <= ", "GE": " >= ", "GT": " > "}[d.Flags] + d.EVR.String()
}

func newestOf(all []listed, name, arch string) (version string) {
	for _, p := range all {
		if p.Name == name && p.Arch == arch {
			version = max(version, p.EVR.Version)
		}
	}
	return version
}

// met is a plain judgement on a requirement: whether what is there meets it, its
// conditions being those that what is sure to be wanted brings about.
func met(t *testing.T, d repodata.Dep, have, sure []listed) bool {
	if !strings.HasPrefix(d.Name, "(") {
		return slices.ContainsFunc(have, func(p listed) bool { return provides(p, d) })
	}
	r, err := repodata.ParseRich(d.Name)
	if err != nil {
		t.Fatal(err)
	}
	return metRich(r, have, sure)
}

func metRich(r repodata.Rich, have, sure []listed) bool {
	is := func(o repodata.Rich) bool { return metRich(o, have, sure) }
	o := r.Operands
	switch r.Op {
	case repodata.OpNone:
		return slices.ContainsFunc(have, func(p listed) bool { return provides(p, r.Dep) })
	case repodata.OpAnd:
		return is(o[0]) && is(o[1])
	case repodata.OpOr:
		return slices.ContainsFunc(o, is)
	case repodata.OpIf:
		return !metRich(o[1], sure, sure) || is(o[0])
	case repodata.OpUnless:
		return is(o[1]) || is(o[0])
	case repodata.OpWith:
		return slices.ContainsFunc(have, func(p listed) bool { return provides(p, o[0].Dep) && provides(p, o[1].Dep) })
	}
	return slices.ContainsFunc(have, func(p listed) bool { return provides(p, o[0].Dep) && !provides(p, o[1].Dep) })
}

// provides judges on versions of one digit.
func provides(p listed, d repodata.Dep) bool {
	if slices.Contains(p.Files, d.Name) {
		return true
	}
	return slices.ContainsFunc(p.Provides, func(q repodata.Dep) bool {
		if q.Name != d.Name {
			return false
		}
		switch has, want := q.EVR.Version, d.EVR.Version; d.Flags {
		case "LT":
			return has < want
		case "LE":
			return has <= want
		case "EQ":
			return has == want
		case "GE":
			return has >= want
		case "GT":
			return has > want
		}
		return true
	})
}
