package sync

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// brings has n versions of a name published, and fetched, one a day. Upstream keeps
// the old ones, and lists the newest alone.
func brings(t *testing.T, n int, settings string) (p *publisher, versions []testrepo.Spec) {
	t.Helper()
	p = &publisher{bench: confined(t, "1GiB", "packages = [\"p\"]\n"+settings)}
	for i := range n {
		versions = append(versions, testrepo.Spec{Name: "p", Version: fmt.Sprint(i + 1), Release: "1", Size: 2000})
		p.publish(versions[i])
		for _, old := range versions[:i] {
			p.keep(old)
		}
		if r := p.pass(1); r.Fetched != 1 || r.Failures != 0 || len(packages(r.Deleted)) != 0 {
			t.Fatalf("version %d: %d fetched, %d failures, deleted: %+v", i+1, r.Fetched, r.Failures, r.Deleted)
		}
	}
	return p, versions
}

func packageKey(s testrepo.Spec) cache.Key {
	return cache.Key{Repo: "r", Path: strings.TrimPrefix(benchRoot, "r/") + "/" + s.Location()}
}

// TestKeep: of the versions that runs have brought of a name, the last ones stay, and
// those that a client or metadata may still want.
func TestKeep(t *testing.T) {
	for _, tc := range []struct {
		name     string
		settings string
		before   func(t *testing.T, p *publisher, versions []testrepo.Spec)
		later    func(t *testing.T, p *publisher, versions []testrepo.Spec) // after four days
		left     []string                                                   // versions
	}{
		{name: "two by default", left: []string{"3", "4"}},
		{name: "one", settings: "keep = 1", left: []string{"4"}},
		{name: "more than there are", settings: "keep = 5", left: []string{"1", "2", "3", "4"}},
		{name: "what a client has fetched lately stays, as the accounting says", settings: "keep = 1", left: []string{"2", "4"},
			later: func(t *testing.T, p *publisher, versions []testrepo.Spec) {
				p.site.Ledger.Served(packageKey(versions[1]), 2000, true)
			}},
		{name: "what a client has fetched lately stays, as the logs say", settings: "keep = 1", left: []string{"1", "4"},
			later: func(t *testing.T, p *publisher, versions []testrepo.Spec) {
				if err := p.agent.history.use(map[string]time.Time{packageKey(versions[0]).String(): p.now().UTC().Truncate(day)}); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "what a client fetched long ago does not", settings: "keep = 1", left: []string{"4"},
			before: func(t *testing.T, p *publisher, versions []testrepo.Spec) {
				p.site.Ledger.Served(packageKey(versions[1]), 2000, true)
			}},
		{name: "what is not stored any more is none of them", left: []string{"2", "4"},
			before: func(t *testing.T, p *publisher, versions []testrepo.Spec) {
				if _, _, err := p.site.Cache.Purge(packageKey(versions[2]).String()); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "what did not come ahead of a client stays", settings: "keep = 1", left: []string{"1", "4"},
			before: func(t *testing.T, p *publisher, versions []testrepo.Spec) {
				// Somebody has put the file there himself: its facts are gone.
				file := filepath.Join(p.dir, packageKey(versions[0]).String())
				body, err := os.ReadFile(file)
				if err == nil {
					err = os.Remove(file)
				}
				if err == nil {
					err = os.WriteFile(file, body, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}},
		{name: "nothing goes of a root that is held", settings: "keep = 1", left: []string{"1", "2", "3", "4"},
			before: func(t *testing.T, p *publisher, versions []testrepo.Spec) {
				root, err := generation.ParseRoot(benchRoot)
				if err == nil {
					err = p.agent.Hold(t.Context(), root)
				}
				if err != nil {
					t.Fatal(err)
				}
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, versions := brings(t, 4, tc.settings)
			if tc.before != nil {
				tc.before(t, p, versions)
			}
			var gone []string
			for i := range 8 {
				if i == 4 && tc.later != nil {
					tc.later(t, p, versions)
				}
				rehearsed := packages(p.prune(PruneOptions{DryRun: true}).Removed)
				was := len(gone)
				for _, r := range packages(p.pass(1).Deleted) {
					gone = append(gone, r.Path)
					if r.Rule != RuleKeep || r.Bytes < 2000 {
						t.Errorf("deleted: %+v", r)
					}
				}
				if len(rehearsed) > 0 && len(gone) == was {
					t.Errorf("the rehearsal would have removed %+v, the run removed nothing", rehearsed)
				}
			}
			var left []string
			for _, v := range versions {
				if p.site.Cache.Has(packageKey(v)) {
					left = append(left, v.Version)
					if slices.Contains(gone, packageKey(v).String()) {
						t.Errorf("version %s is reported as deleted", v.Version)
					}
				}
			}
			if !slices.Equal(left, tc.left) {
				t.Errorf("versions %q are left, want %q; deleted: %q", left, tc.left, gone)
			}
		})
	}
}

// TestKeepGoesBySteps: of many versions that are too many no more goes in a run than
// upstream may withdraw of a repository at once.
func TestKeepGoesBySteps(t *testing.T) {
	var first, second []testrepo.Spec
	for i := range 40 {
		s := testrepo.Spec{Name: fmt.Sprintf("p%02d", i), Version: "1", Release: "1", Size: 500}
		first = append(first, s)
		s.Version = "2"
		second = append(second, s)
	}
	p := &publisher{confined(t, "1GiB", "packages = [\"*\"]\nkeep = 1", first...), nil}
	p.once()
	p.publish(second...)
	for _, s := range first {
		p.keep(s)
	}
	p.pass(1)
	var steps []int
	for range 10 {
		if n := len(packages(p.pass(1).Deleted)); n > 0 {
			steps = append(steps, n)
		}
	}
	total := 0
	for _, n := range steps {
		total += n
	}
	if len(steps) != 2 || steps[0] != massFew || total != len(first) {
		t.Errorf("deleted in steps of %v, want two that begin with %d and come to %d", steps, massFew, len(first))
	}
}
