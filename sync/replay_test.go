package sync

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// The first day of the logs below; the schedule has a run at 2 o'clock of each.
var replayedFrom = time.Date(2024, 11, 1, 0, 0, 0, 0, time.UTC)

// replayed runs a Replay with a budget on a log and a list of what was published.
// Both are lines that begin with a day and an hour, such as "3 9": then a client and a
// package for the log, a package and its size for the list.
func replayed(t *testing.T, log, published string, warmupDays int, more string, variants ...Variant) (*Replayed, error) {
	t.Helper()
	o := replayOptions(t, log, published, warmupDays, more, variants...)
	r, err := Replay(t.Context(), o)
	if left, _ := filepath.Glob(filepath.Join(o.Dir, "imsync-replay-*")); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
	return r, err
}

// replayOptions are those of such a Replay.
func replayOptions(t *testing.T, log, published string, warmupDays int, more string, variants ...Variant) ReplayOptions {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[sync]\nschedule = \"CRON_TZ=UTC 0 2 * * *\"\npackages = []\n%s\n", dir, dir, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{Path: file, UID: 1})
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour string) time.Time {
		var d, h int
		if _, err := fmt.Sscan(day, &d); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(hour, &h); err != nil {
			t.Fatal(err)
		}
		return replayedFrom.AddDate(0, 0, d-1).Add(time.Duration(h) * time.Hour)
	}
	location := func(nevra string) string { return updates + "/Packages/" + nevra[:1] + "/" + nevra + ".rpm" }
	var lines strings.Builder
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); len(f) == 5 {
			fmt.Fprintf(&lines, "10.0.0.%s - - [%s] \"GET /%s HTTP/1.1\" 200 %s \"-\" \"dnf\"\n",
				f[2], at(f[0], f[1]).Format("02/Jan/2006:15:04:05 -0700"), location(f[3]), f[4])
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	o := ReplayOptions{
		Config: cfg, Logs: []string{filepath.Join(dir, "log")}, Warmup: time.Duration(warmupDays) * 24 * time.Hour,
		Variants: variants, Dir: dir, Log: slog.New(slog.DiscardHandler),
	}
	if published != "" {
		var list strings.Builder
		for line := range strings.Lines(published) {
			if f := strings.Fields(line); len(f) >= 4 {
				fmt.Fprintf(&list, "%s\t/%s\t%s\n", at(f[0], f[1]).Format(time.RFC3339), location(f[2]), strings.Join(f[3:], "\t"))
			}
		}
		if o.Published, err = ReadPublished(strings.NewReader(list.String()), cfg); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func TestReplay(t *testing.T) {
	const unlimited = 1 << 40
	for _, tc := range []struct {
		name      string
		log       string
		published string
		warmup    int
		budget    ReplayBudget
		config    string
		want      Counts
	}{{
		name: "a version that was there before the night is a hit for its first client, and what nobody asks for is wasted",
		log: `
1 9 1 vlc-1-1.x86_64 100
1 9 1 bash-1-1.x86_64 40
3 9 1 vlc-2-1.x86_64 110
3 9 2 vlc-2-1.x86_64 110
`,
		published: `
2 8 vlc-2-1.x86_64 110
2 8 bash-2-1.x86_64 50
2 8 stranger-2-1.x86_64 5
`,
		warmup: 1,
		budget: ReplayBudget{Bytes: unlimited},
		want: Counts{Requests: 2, Bytes: 220, FirstRequests: 1, FirstRequestBytes: 110, FirstHits: 1, FirstHitBytes: 110,
			PrefetchedBytes: 160, UsedBytes: 110, WastedBytes: 50},
	}, {
		name: "one that appears after the night's run waits for upstream",
		log: `
1 9 1 vlc-1-1.x86_64 100
3 9 1 vlc-2-1.x86_64 110
`,
		published: "3 3 vlc-2-1.x86_64 110\n",
		warmup:    1,
		budget:    ReplayBudget{Bytes: unlimited},
		want:      Counts{Requests: 1, Bytes: 110, FirstRequests: 1, FirstRequestBytes: 110},
	}, {
		name: "nothing is fetched, and nothing counts, before the warm-up's end",
		log: `
1 9 1 vlc-1-1.x86_64 100
3 9 1 vlc-2-1.x86_64 110
6 9 2 vlc-2-1.x86_64 110
6 9 2 vlc-1-1.x86_64 100
`,
		published: "2 8 vlc-2-1.x86_64 110\n",
		warmup:    5,
		budget:    ReplayBudget{Bytes: unlimited},
		want:      Counts{Requests: 2, Bytes: 210},
	}, {
		name: "a share is of what was published since the run before",
		log: `
1 9 1 vlc-1-1.x86_64 100
1 9 1 bash-1-1.x86_64 40
4 9 1 vlc-2-1.x86_64 110
4 9 1 bash-2-1.x86_64 50
`,
		// The second night has a budget of a half of 100, the third of a half of 160.
		published: `
1 8 other-1-1.x86_64 100
2 8 vlc-2-1.x86_64 110
2 8 bash-2-1.x86_64 50
`,
		warmup: 1,
		budget: ReplayBudget{Share: 0.5},
		want: Counts{Requests: 2, Bytes: 160, FirstRequests: 2, FirstRequestBytes: 160, FirstHits: 1, FirstHitBytes: 50,
			PrefetchedBytes: 50, UsedBytes: 50},
	}, {
		name: "without a list each version was published for the run before its first request",
		log: `
1 9 1 vlc-1-1.x86_64 100
3 1 1 vlc-2-1.x86_64 110
4 9 1 vlc-3-1.x86_64 120
4 9 1 new-1-1.x86_64 7
`,
		warmup: 1,
		budget: ReplayBudget{Bytes: unlimited},
		want: Counts{Requests: 3, Bytes: 237, FirstRequests: 3, FirstRequestBytes: 237, FirstHits: 2, FirstHitBytes: 230,
			PrefetchedBytes: 230, UsedBytes: 230},
	}, {
		name: "a client's ranges of a file are one request, the largest part counts",
		log: `
1 9 1 vlc-1-1.x86_64 100
3 9 1 vlc-2-1.x86_64 60
3 9 1 vlc-2-1.x86_64 50
`,
		published: "2 8 vlc-2-1.x86_64 110\n",
		warmup:    1,
		budget:    ReplayBudget{Bytes: unlimited},
		want: Counts{Requests: 1, Bytes: 60, FirstRequests: 1, FirstRequestBytes: 60, FirstHits: 1, FirstHitBytes: 60,
			PrefetchedBytes: 110, UsedBytes: 110},
	}, {
		name: "a name whose last three versions nobody came for rests",
		log: `
1 9 1 vlc-1-1.x86_64 100
9 9 1 bash-1-1.x86_64 1
`,
		published: `
2 8 vlc-2-1.x86_64 10
3 8 vlc-3-1.x86_64 10
4 8 vlc-4-1.x86_64 10
5 8 vlc-5-1.x86_64 10
`,
		warmup: 1,
		budget: ReplayBudget{Bytes: unlimited},
		want:   Counts{Requests: 1, Bytes: 1, FirstRequests: 1, FirstRequestBytes: 1, PrefetchedBytes: 30, WastedBytes: 30},
	}, {
		name: "the configuration's limits hold",
		log: `
1 9 1 vlc-1-1.x86_64 100
1 9 2 vlc-1-1.x86_64 100
1 9 1 bash-1-1.x86_64 40
3 9 1 bash-2-1.x86_64 50
`,
		published: "2 8 vlc-2-1.x86_64 110\n2 8 bash-2-1.x86_64 50\n",
		warmup:    1,
		budget:    ReplayBudget{Bytes: unlimited},
		config:    "top = 1",
		want:      Counts{Requests: 1, Bytes: 50, FirstRequests: 1, FirstRequestBytes: 50, PrefetchedBytes: 110, WastedBytes: 110},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := replayed(t, tc.log, tc.published, tc.warmup, tc.config, Variant{Budget: tc.budget})
			if err != nil {
				t.Fatal(err)
			}
			o := r.Outcomes[0]
			if diff := cmp.Diff(tc.want, o.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			var sum Counts
			for _, d := range o.ByDay {
				sum.add(d.Counts)
			}
			if sum != o.Counts || len(o.ByDay) != o.Days {
				t.Errorf("the %d days add up to %+v", o.Days, sum)
			}
			// Rotated logs come in any order.
			lines := slices.Collect(strings.Lines(tc.log))
			slices.Reverse(lines)
			r, err = replayed(t, strings.Join(lines, ""), tc.published, tc.warmup, tc.config, Variant{Budget: tc.budget})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(o, r.Outcomes[0]); diff != "" {
				t.Errorf("with the lines in another order (-want +got):\n%s", diff)
			}
		})
	}
}

// Variants have caches of their own, and a planner that is handed in sees what runs
// see.
func TestReplayVariants(t *testing.T) {
	nights := 0
	nothing := Variant{Plan: func(n *Night, stored func(cache.Key, cache.Want) bool, b Budget) Result {
		nights++
		if key := (cache.Key{Repo: "fedora", Path: strings.TrimPrefix(updates, "fedora/") + "/Packages/v/vlc-1-1.x86_64.rpm"}); !stored(key, cache.Want{}) {
			t.Errorf("%s is not stored, though it was asked for", key)
		}
		if len(n.Ranks) != 1 || n.Ranks[0].Name != "vlc" {
			t.Errorf("ranks: %v", n.Ranks)
		}
		return Result{}
	}}
	r, err := replayed(t, "1 9 1 vlc-1-1.x86_64 100\n3 9 1 vlc-2-1.x86_64 110\n", "2 8 vlc-2-1.x86_64 110\n", 1, "",
		nothing, Variant{Budget: ReplayBudget{Bytes: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := r.Outcomes[0], r.Outcomes[1]; a.FirstHits != 0 || a.PrefetchedBytes != 0 || b.FirstHits != 1 || a.FirstRequests != b.FirstRequests {
		t.Errorf("%+v and %+v", a.Counts, b.Counts)
	}
	if nights != 2 {
		t.Errorf("%d nights were planned, want those of the 2nd and the 3rd", nights)
	}
}

func TestNothingToReplay(t *testing.T) {
	for name, log := range map[string]string{"no request": "", "shorter than the warm-up": "1 9 1 vlc-1-1.x86_64 100\n"} {
		t.Run(name, func(t *testing.T) {
			if _, err := replayed(t, log, "", 30, ""); !errors.Is(err, ErrNothingToReplay) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestParseReplayBudget(t *testing.T) {
	for text, want := range map[string]ReplayBudget{
		"10%": {Share: 0.1}, "12.5 %": {Share: 0.125}, "1GiB": {Bytes: 1 << 30}, "0": {},
	} {
		got, err := ParseReplayBudget(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := ParseReplayBudget(got.String()); err != nil || again != want {
			t.Errorf("%q is written as %q, which is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "%", "-1%", "0%", "ten", "NaN%", "1e99%"} {
		if got, err := ParseReplayBudget(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

func TestReadPublishedRefuses(t *testing.T) {
	cfg, err := config.Load(config.Options{UID: 0, Path: "none", ReadFile: func(string) ([]byte, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	const good = "2024-11-21T09:12:44Z\t/fedora/updates/41/Everything/x86_64/Packages/v/vlc-1-1.x86_64.rpm\t7\tvlc\n"
	for name, tc := range map[string]struct{ line, want string }{
		"fields": {"2024-11-21T09:12:44Z /fedora/a.rpm 7", "1 fields"},
		"time":   {"yesterday\t/fedora/a.rpm\t7", "no time"},
		"size":   {"2024-11-21T09:12:44Z\t/fedora/a.rpm\tmany", "no size"},
		"repo":   {"2024-11-21T09:12:44Z\t/nobodys/a.rpm\t7", "no file of any repo"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadPublished(strings.NewReader("# a heading\n"+good+tc.line+"\n"), cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "line 3") {
				t.Errorf("%v, want %q of line 3", err, tc.want)
			}
		})
	}
	all, err := ReadPublished(strings.NewReader(good+strings.Replace(good, "/fedora/", "http://dl.fedoraproject.org/pub/fedora/linux/", 1)), cfg)
	if err != nil || len(all) != 2 || !cmp.Equal(all[0], all[1]) || all[0].Source != "vlc" || all[0].Size != 7 {
		t.Errorf("a path and a URL: %+v, %v", all, err)
	}
}

// TestReplayForeseesNames: new names of a popular source and names that take the place
// of others are foreseen where the list tells of them; builds of a module are fetched
// while clients use some; a version that seems older and came later is the newest.
func TestReplayForeseesNames(t *testing.T) {
	var popular, logLines strings.Builder
	for client := range 9 {
		fmt.Fprintf(&popular, "2 9 %d vim-1-1.x86_64 10\n", client+1)
	}
	logLines.WriteString("1 9 1 start-1-1.x86_64 1\n" + popular.String())
	for _, tc := range []struct {
		name, log, published string
		config               string
		want                 []SourceWorth
	}{{
		name: "a new name is guessed by its source",
		log:  "5 9 1 vim-split-2-1.x86_64 7\n",
		published: `
1 8 vim-1-1.x86_64 10 vim
1 8 vim-old-1-1.x86_64 3 vim
4 8 vim-2-1.x86_64 10 vim
4 8 vim-split-2-1.x86_64 7 vim
4 8 stranger-2-1.x86_64 7 stranger
`,
		want: []SourceWorth{{Source: ReasonNewcomer, Used: 1, UsedBytes: 7}, {Source: ReasonPopular, Wasted: 1, WastedBytes: 10},
			{Source: ReasonSibling, Wasted: 1, WastedBytes: 3}},
	}, {
		name: "not where that is switched off",
		log:  "5 9 1 vim-split-2-1.x86_64 7\n",
		published: `
1 8 vim-1-1.x86_64 10 vim
4 8 vim-2-1.x86_64 10 vim
4 8 vim-split-2-1.x86_64 7 vim
`,
		config: `candidates = ["rename"]`,
		want:   []SourceWorth{{Source: ReasonPopular, Wasted: 1, WastedBytes: 10}},
	}, {
		name: "a name hands its rank on to the one that obsoletes it",
		log:  "5 9 1 neovim-2-1.x86_64 7\n",
		published: `
1 8 vim-1-1.x86_64 10 vim
4 8 neovim-2-1.x86_64 7 neovim other,vim
`,
		want: []SourceWorth{{Source: ReasonRename, Used: 1, UsedBytes: 7}},
	}, {
		name: "of a module that nobody uses nothing is fetched, and of one that is used the newest build",
		log:  "3 9 1 perl-5-1.module_f41+1.x86_64 5\n",
		published: `
1 8 vim-1-1.x86_64 10 vim
4 8 vim-2-1.module_f41+1.x86_64 10 vim
4 8 perl-6-1.module_f41+2.x86_64 5 perl
`,
		want: []SourceWorth{{Source: ReasonPopular, Wasted: 1, WastedBytes: 5}},
	}, {
		name: "what comes later and seems older has another epoch",
		log:  "5 9 1 vim-0.9-1.x86_64 11\n",
		published: `
1 8 vim-1-1.x86_64 10 vim
4 8 vim-0.9-1.x86_64 11 vim
`,
		want: []SourceWorth{{Source: ReasonPopular, Used: 1, UsedBytes: 11}},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := replayed(t, logLines.String()+tc.log+"9 9 1 end-1-1.x86_64 1\n", tc.published, 2, tc.config, Variant{Budget: ReplayBudget{Bytes: 1 << 40}})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, r.Outcomes[0].Sources); d != "" {
				t.Errorf("sources (-want +got):\n%s", d)
			}
		})
	}
}

// TestReplayGroups: what is missing of a group that is in use is guessed, and a group
// on the seed list is what it has; neither without the groups.
func TestReplayGroups(t *testing.T) {
	log, published := "1 9 1 start-1-1.x86_64 1\n5 9 1 rest-1-1.x86_64 7\n9 9 1 end-1-1.x86_64 1\n", "1 8 rest-1-1.x86_64 7\n1 8 stranger-1-1.x86_64 3\n"
	names := []string{"rest", "nowhere"}
	for i := range 4 {
		name := fmt.Sprintf("tool%d", i)
		names = append(names, name)
		published += "1 8 " + name + "-1-1.x86_64 1\n"
		for client := range 9 {
			log += fmt.Sprintf("2 9 %d %s-1-1.x86_64 1\n", client+1, name)
		}
	}
	comps := "<comps><group><id>tools</id><packagelist>"
	for _, name := range names {
		comps += `<packagereq type="default">` + name + "</packagereq>"
	}
	groups, err := ReadGroups(strings.NewReader(comps + "</packagelist></group></comps>"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name       string
		candidates string
		seeds      []config.Pattern
		without    bool
		want       []SourceWorth
	}{
		{name: "guessed", candidates: `["group"]`, want: []SourceWorth{{Source: ReasonGroup, Used: 1, UsedBytes: 7}}},
		{name: "switched off", candidates: `[]`, want: []SourceWorth{}},
		{name: "without groups", candidates: `["group"]`, without: true, want: []SourceWorth{}},
		{name: "a seed", candidates: `[]`, seeds: []config.Pattern{"@tools"}, want: []SourceWorth{{Source: ReasonSeed, Used: 1, UsedBytes: 7}}},
		{name: "a seed without groups", candidates: `[]`, seeds: []config.Pattern{"@tools"}, without: true, want: []SourceWorth{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := replayOptions(t, log, published, 2, "candidates = "+tc.candidates, Variant{Budget: ReplayBudget{Bytes: 1 << 40}})
			o.Config.Sync.Packages = tc.seeds
			if !tc.without {
				o.Groups = groups
			}
			r, err := Replay(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, r.Outcomes[0].Sources); d != "" {
				t.Errorf("sources (-want +got):\n%s", d)
			}
		})
	}
}
