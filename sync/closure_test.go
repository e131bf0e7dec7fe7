package sync

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/popularity"
)

// TestClosure plans the seed `app` and looks at what comes with it.
func TestClosure(t *testing.T) {
	for _, tc := range []struct {
		name     string
		packages string // lines of one root
		seeds    string // "app" if empty
		ranks    []popularity.Rank
		want     []string // what comes besides the seeds: names, with the architecture where it is not x86_64
		unmet    []string
	}{{
		name: "versions",
		packages: `
    app-1-1.x86_64 | requires lib >= 2, lib < 3, other = 1:4-2
    lib-1-1.x86_64 | provides lib = 1
    lib2-2.5-1.x86_64 | provides lib = 2.5
    lib9-9-1.x86_64 | provides lib = 9
    other-1:4-2.x86_64`,
		// Each bound is a requirement of its own, as rpm has it: a provider of the
		// right version for one alone would do, but one that is chosen already is best.
		want: []string{"lib2-2.5-1", "other-1:4-2"},
	}, {
		name: "rpm's own capabilities are no packages",
		packages: `
    app-1-1.x86_64 | requires rpmlib(CompressedFileNames) <= 3.0.4-1, rpmlib(PayloadIsZstd)`,
	}, {
		name: "what it provides itself",
		packages: `
    app-1-1.x86_64 | requires config(app) = 1-1, libapp.so.1, /usr/bin/app | provides config(app) = 1-1, libapp.so.1 | files /usr/bin/app
    a-1-1.x86_64 | provides libapp.so.1, config(app) = 1-1 | files /usr/bin/app`,
	}, {
		name: "config of another package, and one that is not there",
		packages: `
    app-1-1.x86_64 | requires config(lib) = 1-1, config(gone) = 1-1
    lib-1-1.x86_64 | provides config(lib) = 1-1`,
		want:  []string{"lib"},
		unmet: []string{"config(gone) = 1-1 by app"},
	}, {
		name: "a file that primary lists, and one that it does not",
		packages: `
    app-1-1.x86_64 | requires /usr/bin/tool, /usr/share/deep
    tool-1-1.x86_64 | files /etc/tool /usr/bin/tool`,
		want:  []string{"tool"},
		unmet: []string{"/usr/share/deep by app"},
	}, {
		name: "a file that is provided by name",
		packages: `
    app-1-1.x86_64 | requires /bin/sh
    bash-1-1.x86_64 | provides /bin/sh`,
		want: []string{"bash"},
	}, {
		name: "circles, and a package that requires itself",
		packages: `
    app-1-1.x86_64 | requires a, app
    a-1-1.x86_64 | requires b
    b-1-1.x86_64 | requires c, a
    c-1-1.x86_64 | requires app, a`,
		want: []string{"a", "b", "c"},
	}, {
		name: "of several providers the shortest name, then the first",
		packages: `
    app-1-1.x86_64 | requires mta
    courier-1-1.x86_64 | provides mta
    exim-1-1.x86_64 | provides mta
    sendmail-1-1.x86_64 | provides mta
    mail-1-1.x86_64 | provides mta`,
		want: []string{"exim"},
	}, {
		name: "the popular one before the shorter name",
		packages: `
    app-1-1.x86_64 | requires mta
    exim-1-1.x86_64 | provides mta
    postfix-1-1.x86_64 | provides mta
    sendmail-1-1.x86_64 | provides mta`,
		ranks: asked("sendmail.x86_64", "postfix.x86_64"),
		want:  []string{"sendmail"},
	}, {
		name: "one that is there already before the popular one",
		packages: `
    app-1-1.x86_64 | requires exim, mta
    exim-1-1.x86_64 | provides mta
    sendmail-1-1.x86_64 | provides mta`,
		ranks: asked("sendmail.x86_64"),
		want:  []string{"exim"},
	}, {
		name:  "one among the seeds before the popular one",
		seeds: "app zmta",
		packages: `
    app-1-1.x86_64 | requires mta
    exim-1-1.x86_64 | provides mta
    zmta-1-1.x86_64 | provides mta`,
		ranks: asked("exim.x86_64"),
	}, {
		name: "its own architecture before the shorter name, noarch being everybody's",
		packages: `
    app-1-1.x86_64 | requires lib, doc
    lib-1-1.i686
    liblong-1-1.x86_64 | provides lib
    d-1-1.noarch | provides doc
    doc-1-1.x86_64`,
		want: []string{"d.noarch", "liblong"},
	}, {
		name: "32 bits only where there is nothing else, popular or not",
		packages: `
    app-1-1.x86_64 | requires lib, old
    lib-1-1.x86_64
    lib-1-1.i686
    old-1-1.i686 | requires old-data
    old-data-1-1.noarch | requires lib`,
		ranks: asked("lib.i686"),
		want:  []string{"lib", "old-data.noarch", "old.i686"},
	}, {
		name: "a 32-bit package takes its own, or what serves both",
		packages: `
    app-1-1.noarch | requires wine(x86-32)
    wine-1-1.i686 | provides wine(x86-32) | requires libz.so.1, lib, /bin/sh, gl
    gl-1-1.x86_64
    mesa-gl-1-1.i686 | provides gl
    wine-1-1.x86_64
    zlib-1-1.i686 | provides libz.so.1
    zlib-1-1.x86_64 | provides libz.so.1()(64bit)
    lib-1-1.i686
    lib-1-1.x86_64
    bash-1-1.x86_64 | files /bin/sh`,
		want: []string{"bash", "lib.i686", "mesa-gl.i686", "wine.i686", "zlib.i686"},
	}, {
		name: "what serves a 32-bit package does not serve a 64-bit one",
		packages: `
    app-1-1.noarch | requires small(x86-32), large
    small-1-1.i686 | provides small(x86-32) | requires lib
    large-1-1.x86_64 | requires lib
    lib-1-1.i686
    lib-1-1.x86_64`,
		want: []string{"large", "lib", "lib.i686", "small.i686"},
	}, {
		name: "another machine's package is none",
		packages: `
    app-1-1.x86_64 | requires lib
    lib-1-1.s390x
    lib-1-1.src`,
		unmet: []string{"lib by app"},
	}, {
		name: "what is unmet is told once, with how many want it",
		packages: `
    app-1-1.x86_64 | requires a, b, gone >= 2
    a-1-1.x86_64 | requires gone >= 2
    b-1-1.noarch | requires gone >= 2, (gone or lost)`,
		want:  []string{"a", "b.noarch"},
		unmet: []string{"gone >= 2 by app +2", "(gone or lost) by b"},
	}, {
		name: "rich: and",
		packages: `
    app-1-1.x86_64 | requires (a and b >= 2 and (c))
    a-1-1.x86_64
    b-1-1.x86_64 | provides b = 2
    c-1-1.x86_64`,
		want: []string{"a", "b", "c"},
	}, {
		name: "rich: and, of which one is not there",
		packages: `
    app-1-1.x86_64 | requires (a and b)
    a-1-1.x86_64`,
		want:  []string{"a"},
		unmet: []string{"(a and b) by app"},
	}, {
		name: "rich: or takes the first",
		packages: `
    app-1-1.x86_64 | requires (gone or zz or a)
    a-1-1.x86_64
    zz-1-1.x86_64`,
		want: []string{"zz"},
	}, {
		name: "rich: or takes the most popular",
		packages: `
    app-1-1.x86_64 | requires (zz or (y and w) or b or a)
    a-1-1.x86_64
    b-1-1.x86_64
    w-1-1.x86_64
    y-1-1.x86_64
    zz-1-1.x86_64`,
		ranks: asked("w.x86_64", "a.x86_64", "b.x86_64"),
		want:  []string{"a"},
	}, {
		name: "rich: or takes what is there",
		packages: `
    app-1-1.x86_64 | requires zz, (b or a or zz)
    a-1-1.x86_64
    b-1-1.x86_64
    zz-1-1.x86_64`,
		ranks: asked("a.x86_64"),
		want:  []string{"zz"},
	}, {
		name: "rich: with asks one package for both",
		packages: `
    app-1-1.x86_64 | requires (lib >= 2 with lib < 3)
    a-1-1.x86_64 | provides lib = 1
    b-1-1.x86_64 | provides lib = 5
    liblong-1-1.x86_64 | provides lib = 2.5`,
		want: []string{"liblong"},
	}, {
		name: "rich: with, that no one satisfies",
		packages: `
    app-1-1.x86_64 | requires (lib >= 2 with lib < 3)
    a-1-1.x86_64 | provides lib = 1
    b-1-1.x86_64 | provides lib = 5`,
		unmet: []string{"(lib >= 2 with lib < 3) by app"},
	}, {
		name: "rich: without takes one away",
		packages: `
    app-1-1.x86_64 | requires (lib without bad), ((x or lib) without (bad or c))
    a-1-1.x86_64 | provides lib, bad
    b-1-1.x86_64 | provides lib
    c-1-1.x86_64 | provides lib`,
		want: []string{"b"},
	}, {
		name: "rich: if, where the condition does not hold",
		packages: `
    app-1-1.x86_64 | requires (plugin if desktop)
    plugin-1-1.x86_64
    desktop-1-1.x86_64`,
	}, {
		name:  "rich: if, where it holds before",
		seeds: "app desktop",
		packages: `
    app-1-1.x86_64 | requires (plugin if desktop >= 1)
    plugin-1-1.x86_64
    desktop-1-1.x86_64`,
		want: []string{"plugin"},
	}, {
		name: "rich: if, where it holds later, through others",
		packages: `
    app-1-1.x86_64 | requires (plugin if (desktop and theme)), (gone if theme), a
    a-1-1.x86_64 | requires b
    b-1-1.x86_64 | requires desktop, theme
    plugin-1-1.x86_64 | requires (more if plugin)
    more-1-1.x86_64
    theme-1-1.x86_64
    desktop-1-1.x86_64`,
		want:  []string{"a", "b", "desktop", "more", "plugin", "theme"},
		unmet: []string{"(gone if theme) by app"},
	}, {
		name: "rich: if, with else",
		packages: `
    app-1-1.x86_64 | requires (plugin if desktop else console)
    plugin-1-1.x86_64
    console-1-1.x86_64
    desktop-1-1.x86_64`,
		want: []string{"console"},
	}, {
		name:  "rich: unless",
		seeds: "app desktop",
		packages: `
    app-1-1.x86_64 | requires (a unless desktop), (b unless gone), (c unless desktop else d)
    a-1-1.x86_64
    b-1-1.x86_64
    c-1-1.x86_64
    d-1-1.x86_64
    desktop-1-1.x86_64`,
		want: []string{"b", "d"},
	}, {
		name: "rich: if, of whose conditions one never holds",
		packages: `
    app-1-1.x86_64 | requires a, (plugin if (a and desktop))
    a-1-1.x86_64
    plugin-1-1.x86_64
    desktop-1-1.x86_64`,
		want: []string{"a"},
	}, {
		name: "rich: conditions inside of or hold as they are",
		packages: `
    app-1-1.x86_64 | requires ((a if gone) or b), ((a unless app) or b), ((gone and b) or c)
    a-1-1.x86_64
    b-1-1.x86_64
    c-1-1.x86_64`,
		want: []string{"c"},
	}, {
		name: "rich: one that cannot be read",
		packages: `
    app-1-1.x86_64 | requires (a and`,
		unmet: []string{"(a and by app"},
	}, {
		name: "a module's package for a module's",
		packages: `
    app-1-1.x86_64 | requires mod
    mod-1-1.module_el9+1.x86_64 | requires lib
    lib-2-1.module_el9+1.x86_64
    lib-1-1.x86_64`,
		want: []string{"lib-2-1.module_el9+1", "mod-1-1.module_el9+1"},
	}, {
		name: "the plain package for a plain one",
		packages: `
    app-1-1.x86_64 | requires lib
    lib-2-1.module_el9+1.x86_64
    lib-1-1.x86_64`,
		want: []string{"lib"},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.seeds == "" {
				tc.seeds = "app"
			}
			idx := buildIndex(parseRepos(t, updates+tc.packages))
			res := Plan(tc.ranks, idx, nothingStored, Budget{Bytes: -1, Seeds: named(strings.Fields(tc.seeds)...)})
			got := make(map[string]bool)
			for _, i := range res.Items {
				if i.Reason == ReasonSeed {
					continue
				}
				name := i.Name
				if i.EVR != "1-1" {
					name += "-" + i.EVR
				}
				if i.Arch != "x86_64" {
					name += "." + i.Arch
				}
				got[name] = true
			}
			want := make(map[string]bool)
			for _, name := range tc.want {
				want[name] = true
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("closure (-want +got):\n%s", d)
			}
			var unmet []string
			for _, u := range res.Unmet {
				s := u.Requires + " by " + u.By
				if u.Others > 0 {
					s += fmt.Sprint(" +", u.Others)
				}
				unmet = append(unmet, s)
			}
			if d := cmp.Diff(tc.unmet, unmet); d != "" {
				t.Errorf("unmet (-want +got):\n%s", d)
			}
		})
	}
}

// TestClosureIsDeep follows a chain that no recursion would survive unnoticed.
func TestClosureIsDeep(t *testing.T) {
	const depth = 20000
	var repo strings.Builder
	fmt.Fprintln(&repo, updates)
	for i := range depth {
		fmt.Fprintf(&repo, "    p%d-1-1.x86_64 | requires p%d\n", i, (i+1)%depth)
	}
	res := Plan(nil, buildIndex(parseRepos(t, repo.String())), nothingStored, Budget{Bytes: -1, Seeds: named("p0")})
	if len(res.Items) != depth || len(res.Unmet) != 0 {
		t.Fatalf("%d items, %d unmet", len(res.Items), len(res.Unmet))
	}
	for i, want := range map[int]string{
		1: "p0", 2: "p0 -> p1", 4: "p0 -> p1 -> p2 -> p3", 5: "p0 -> ... -> p2 -> p3 -> p4",
		depth - 1: "p0 -> ... -> p19996 -> p19997 -> p19998",
	} {
		if got := res.Items[i].Because; got != want {
			t.Errorf("item %d: because %q, want %q", i, got, want)
		}
	}
}
