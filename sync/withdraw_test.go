package sync

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// publisher is an agent whose upstream withdraws packages.
type publisher struct {
	*bench
	all []testrepo.Spec
}

const day = 24 * time.Hour

// newPublisher has n packages upstream, all of them stored and listed.
func newPublisher(t *testing.T, n int) *publisher {
	t.Helper()
	var all []testrepo.Spec
	for i := range n {
		all = append(all, testrepo.Spec{Name: fmt.Sprintf("p%02d", i), Version: "1", Release: "1", Size: 2000})
	}
	p := &publisher{confined(t, "1GiB", `packages = ["*"]`, all...), all}
	if r := p.once(); r.Fetched != n || r.Failures != 0 {
		t.Fatalf("fetched %d of %d, %d failures", r.Fetched, n, r.Failures)
	}
	return p
}

// lose removes the first n packages from upstream, and from its metadata.
func (p *publisher) lose(n int) {
	p.Helper()
	p.publish(p.all[n:]...)
}

// keep gives a package back to upstream, which does not list it.
func (p *publisher) keep(s testrepo.Spec) {
	p.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, benchRoot, s.Location()))
	if err == nil {
		err = p.up.Put("updates/41/"+s.Location(), b)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// allThere checks that no package is deleted, whether upstream has it or not.
func (p *publisher) allThere() {
	p.Helper()
	for _, s := range p.all {
		if _, err := os.Stat(filepath.Join(p.dir, benchRoot, s.Location())); err != nil {
			p.Error(err)
		}
	}
}

// packages is those of the files that are packages: superseded metadata goes too.
func packages(all []Removed) []Removed {
	return slices.DeleteFunc(slices.Clone(all), func(r Removed) bool { return !strings.HasSuffix(r.Path, ".rpm") })
}

// pass lets days pass, with a run at the end of each.
func (p *publisher) pass(days int) (last *Report) {
	p.Helper()
	for range days {
		p.set(p.now().Add(day))
		last = p.once()
	}
	return last
}

func (p *publisher) prune(o PruneOptions) *Pruned {
	p.Helper()
	got, err := p.agent.Prune(p.Context(), o)
	if err != nil {
		p.Fatal(err)
	}
	for _, f := range got.Failed {
		p.Errorf("%s: %s", f.Path, f.Error)
	}
	return got
}

// buried is how many packages have a tombstone that binds.
func (p *publisher) buried() (n int) {
	for _, s := range p.all {
		if p.site.Cache.IsWithdrawn(packageKey(s)) {
			n++
		}
	}
	return n
}

// TestWithdrawal: the life of a package that upstream withdraws, day by day.
func TestWithdrawal(t *testing.T) {
	p := newPublisher(t, 10)
	p.lose(1)
	if r := p.pass(6); len(r.Withdrawn)+len(r.Deleted) != 0 || p.buried() != 0 {
		t.Errorf("while metadata that lists it is kept: %+v, %+v", r.Withdrawn, r.Deleted)
	}
	r := p.pass(2)
	if p.buried() != 1 {
		t.Fatalf("its metadata's time is over, and it has no tombstone: %+v", r)
	}
	p.stored(p.all[1], true)
	at := filepath.Join(p.dir, benchRoot, p.all[0].Location())
	if _, err := os.Stat(at); err != nil {
		t.Error("it was deleted at once")
	}
	if r := p.pass(4); len(r.Withdrawn)+len(r.Deleted) != 0 {
		t.Errorf("again: %+v, %+v", r.Withdrawn, r.Deleted)
	}
	// The program that deletes it is not the one that has found it withdrawn.
	p.agent = p.newAgent(nil)
	var gone []Removed
	for range 4 {
		r := p.pass(1)
		gone = append(gone, packages(r.Deleted)...)
		if len(r.Deleted) > 0 {
			last, err := p.agent.history.last()
			if err != nil || len(last.Deleted) != len(r.Deleted) {
				t.Errorf("what is remembered of it: %+v, %v", last, err)
			}
		}
	}
	if len(gone) != 1 || gone[0].Path != benchRoot+"/"+p.all[0].Location() || gone[0].Rule != RuleWithdrawn || gone[0].Bytes < 2000 {
		t.Errorf("deleted: %+v", gone)
	}
	if _, err := os.Stat(at); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if p.buried() != 1 {
		t.Error("nothing keeps a lagging mirror from bringing it back")
	}
	p.set(p.now().Add(tombstonesKept))
	if p.once(); p.buried() != 0 {
		t.Error("its tombstone is kept for ever")
	}
	for _, s := range p.all[1:] {
		p.stored(s, true)
	}
}

// TestWithdrawalOverJumps: a clock that goes back, by an hour or to 1970, deletes nothing
// that is withdrawn and lets nothing of it back; one that was a year ahead when files were
// withdrawn keeps nothing from being withdrawn now.
func TestWithdrawalOverJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"an hour back": -time.Hour, "a day back": -day, "to 1970": -20000 * day} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t, 10)
			p.lose(1)
			p.pass(8)
			if p.buried() != 1 {
				t.Fatalf("%d tombstones", p.buried())
			}
			right := p.now()
			p.set(right.Add(jump))
			if got := p.prune(PruneOptions{}); len(packages(got.Removed)) != 0 || p.buried() != 1 {
				t.Errorf("after the jump: %+v, %d tombstones", got.Removed, p.buried())
			}
			p.set(right)
			if got := p.prune(PruneOptions{}); len(packages(got.Removed)) != 0 || p.buried() != 1 {
				t.Errorf("with the right clock: %+v, %d tombstones", got.Removed, p.buried())
			}
			p.allThere()
		})
	}
	t.Run("a year ahead, and back", func(t *testing.T) {
		const lost = 30
		p := newPublisher(t, 60)
		p.lose(lost)
		p.pass(7)
		right := p.now()
		p.set(right.Add(365 * day))
		for _, s := range p.all[:lost-1] {
			if ok, err := p.site.Cache.Withdraw(packageKey(s), "a client asked for it", false); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		p.set(right)
		if r := p.pass(2); len(r.Guarded) != 0 || p.buried() != lost {
			t.Errorf("guarded %+v, %d tombstones", r.Guarded, p.buried())
		}
		p.allThere()
	})
}

// TestWithdrawalOverSummerTime: a tombstone's days are so many hours, whatever the clocks
// on the wall say at their beginning and end.
func TestWithdrawalOverSummerTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, buried := range map[string]time.Time{
		"a week that is an hour short": time.Date(2027, 3, 25, 3, 0, 0, 0, berlin),
		"a week that is an hour long":  time.Date(2027, 10, 28, 3, 0, 0, 0, berlin),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t, 10)
			p.set(buried.Add(-9 * day))
			p.once()
			p.lose(1)
			p.once()
			p.set(buried) // the metadata that listed it is over
			if p.once(); p.buried() != 1 {
				t.Fatalf("%d tombstones", p.buried())
			}
			over := buried.Add(time.Duration(p.site.Config.GenerationKeep))
			if over.Hour() == buried.Hour() {
				t.Fatalf("no change of the clocks between %v and %v", buried, over)
			}
			p.set(over.Add(-time.Minute).In(berlin))
			if r := p.once(); len(packages(r.Deleted)) != 0 {
				t.Errorf("a minute before its time: %+v", r.Deleted)
			}
			p.set(over.Add(time.Minute).In(berlin))
			if r := p.once(); len(packages(r.Deleted)) != 1 {
				t.Errorf("a minute after its time: %+v, %+v", r.Deleted, r.Guarded)
			}
		})
	}
}

// TestWithdrawnComesBack: what upstream lists again before its time is over is kept.
func TestWithdrawnComesBack(t *testing.T) {
	p := newPublisher(t, 10)
	p.lose(2)
	p.pass(8)
	if p.buried() != 2 {
		t.Fatalf("%d tombstones", p.buried())
	}
	p.publish(p.all...)
	r := p.pass(20)
	if p.buried() != 0 || len(r.Withdrawn) != 0 {
		t.Errorf("%d tombstones", p.buried())
	}
	for _, s := range p.all {
		p.stored(s, true)
	}
}

// TestStillUpstream: what metadata does not list but upstream has stays, whether it
// had a tombstone or not.
func TestStillUpstream(t *testing.T) {
	p := newPublisher(t, 10)
	p.publish(p.all[2:]...)
	p.keep(p.all[0])
	p.keep(p.all[1])
	p.pass(8)
	if p.buried() != 0 {
		t.Error("what upstream still has was withdrawn")
	}
	k := packageKey(p.all[0])
	if ok, err := p.site.Cache.Withdraw(k, "a test", false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if r := p.pass(9); len(packages(r.Deleted)) != 0 {
		t.Errorf("deleted though upstream has it again: %+v", r.Deleted)
	}
	p.stored(p.all[0], true)
	p.stored(p.all[1], true)
}

// TestRootLost: where what was kept of a repository is lost, file and spare, what upstream
// has dropped since still belongs to the metadata before: nothing of it is withdrawn
// before its time, and so never so much that a person has to say that it was meant.
func TestRootLost(t *testing.T) {
	p := newPublisher(t, 60)
	p.lose(30)
	p.pass(1)
	for _, pattern := range []string{"*.root", "*.spare"} {
		names, err := filepath.Glob(filepath.Join(p.dir, ".im/gen", pattern))
		if err != nil || len(names) != 1 {
			t.Fatalf("%s: %q, %v", pattern, names, err)
		}
		if err := os.Remove(names[0]); err != nil {
			t.Fatal(err)
		}
	}
	p.agent = p.newAgent(nil)
	if r := p.pass(5); len(r.Withdrawn)+len(r.Deleted)+len(r.Guarded) != 0 || p.buried() != 0 {
		t.Errorf("while metadata that lists them is kept: %d withdrawn, %d deleted, guarded %+v", len(r.Withdrawn), len(r.Deleted), r.Guarded)
	}
	p.allThere()
}

// TestMassGuard: a mirror that loses most of its tree takes nothing with it until
// somebody says so.
func TestMassGuard(t *testing.T) {
	const lost = 40
	guarded := func(t *testing.T) *publisher {
		p := newPublisher(t, 60)
		p.lose(lost)
		r := p.pass(8)
		if len(r.Guarded) != 1 || r.Failures != 1 || len(r.Withdrawn) != 0 || p.buried() != 0 {
			t.Fatalf("guarded %+v, %d failures, %d withdrawn", r.Guarded, r.Failures, p.buried())
		}
		g := r.Guarded[0]
		if g.Root != benchRoot || g.Files < lost || g.Of < 60 || g.Delete || !strings.Contains(g.Advice(), "imsync prune --confirm "+benchRoot) {
			t.Errorf("%+v: %s", g, g.Advice())
		}
		return p
	}
	t.Run("it is repaired", func(t *testing.T) {
		p := guarded(t)
		p.publish(p.all...)
		if r := p.pass(9); len(r.Guarded) != 0 || p.buried() != 0 {
			t.Errorf("guarded %+v, %d withdrawn", r.Guarded, p.buried())
		}
		for _, s := range p.all {
			p.stored(s, true)
		}
	})
	t.Run("it was meant", func(t *testing.T) {
		p := guarded(t)
		said := p.prune(PruneOptions{DryRun: true, Confirm: []string{benchRoot}})
		if len(said.Withdrawn) < lost || p.buried() != 0 {
			t.Errorf("a rehearsal: %d withdrawn, %d in fact", len(said.Withdrawn), p.buried())
		}
		did := p.prune(PruneOptions{Confirm: []string{benchRoot}})
		if len(did.Withdrawn) != len(said.Withdrawn) || len(did.Guarded) != 0 || p.buried() != lost {
			t.Errorf("%d withdrawn, %d said; %d packages", len(did.Withdrawn), len(said.Withdrawn), p.buried())
		}
		p.set(p.now().Add(7 * day))
		if r := p.once(); len(r.Deleted) != len(did.Withdrawn) || len(r.Guarded) != 0 {
			t.Errorf("%d deleted, guarded %+v", len(r.Deleted), r.Guarded)
		}
	})
	t.Run("clients have asked for all of it", func(t *testing.T) {
		p := newPublisher(t, 60)
		p.lose(lost)
		p.pass(1)
		p.set(p.now().Add(8 * day))
		for _, s := range p.all[:lost] {
			if ok, err := p.site.Cache.Withdraw(packageKey(s), "a client asked for it", false); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		p.set(p.now().Add(8 * day))
		r := p.once()
		if len(r.Guarded) != 1 || !r.Guarded[0].Delete || len(r.Deleted) != 0 {
			t.Errorf("guarded %+v, %d deleted", r.Guarded, len(r.Deleted))
		}
		if n := len(p.prune(PruneOptions{Confirm: []string{benchRoot}}).Removed); n < lost {
			t.Errorf("%d removed, confirmed", n)
		}
	})
	t.Run("of a repository that is not there", func(t *testing.T) {
		p := newPublisher(t, 1)
		got, err := p.agent.Prune(t.Context(), PruneOptions{Confirm: []string{"r/nowhere"}})
		if err != nil || len(got.Failed) != 1 || got.Failed[0].Path != "r/nowhere" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestLeftAlone: when nothing of a repository is withdrawn or deleted.
func TestLeftAlone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*publisher)
		why    string
	}{
		{"its sync has failed", func(p *publisher) {
			p.up.On("*/repomd.xml", testrepo.Status(404))
			if r := p.once(); r.Failures != 1 || len(r.Withdrawn) != 0 {
				p.Errorf("%d failures, %d withdrawn", r.Failures, len(r.Withdrawn))
			}
		}, "could not be had"},
		{"it is held", func(p *publisher) {
			root, err := generation.ParseRoot(benchRoot)
			if err == nil {
				err = p.agent.Hold(p.Context(), root)
			}
			if err != nil {
				p.Fatal(err)
			}
		}, "imsync release " + benchRoot},
		{"upstream was not asked lately", func(p *publisher) { p.set(p.now().Add(2 * day)) }, "lately"},
		{"upstream can't be asked", func(p *publisher) { p.up.On("*", testrepo.Status(503)) }, "can't be asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPublisher(t, 12)
			p.lose(7)
			p.pass(7)
			p.set(p.now().Add(25 * time.Hour))
			tt.change(p)
			got := p.prune(PruneOptions{})
			if len(got.Withdrawn) != 0 || len(got.Left) != 1 || got.Left[0].Root != benchRoot || !strings.Contains(got.Left[0].Why, tt.why) {
				t.Errorf("withdrawn %d, left %+v; want one that says %q", len(got.Withdrawn), got.Left, tt.why)
			}
		})
	}
}

func TestTooMuch(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    mass
		want bool
	}{
		{"nothing", mass{of: 100, ofBytes: 100}, false},
		{"all of a small one", mass{files: 20, of: 20, bytes: 20, ofBytes: 20}, false},
		{"all of one that is not so small", mass{files: 21, of: 21, bytes: 21, ofBytes: 21}, true},
		{"a fifth", mass{files: 200, of: 1000, bytes: 200, ofBytes: 1000}, false},
		{"more than a fifth of the files", mass{files: 201, of: 1000, bytes: 1, ofBytes: 1000}, true},
		{"more than a fifth of the bytes", mass{files: 21, of: 1000, bytes: 201, ofBytes: 1000}, true},
		{"few files with most of the bytes", mass{files: 20, of: 1000, bytes: 900, ofBytes: 1000}, false},
		{"half of what was asked for", mass{files: 50, of: 1000, bytes: 50, ofBytes: 1000}.estimate(100, 1000), true},
		{"all was asked for", mass{files: 50, of: 1000, bytes: 50, ofBytes: 1000}.estimate(100, 100), false},
		{"none was", mass{files: 0, of: 1000, ofBytes: 1000}.estimate(0, 100), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.m.tooMuch(); got != tt.want {
				t.Errorf("%+v: %v", tt.m, got)
			}
		})
	}
}
