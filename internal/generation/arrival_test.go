package generation_test

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// kept is the status of an answer that is the metadata before.
const kept = "hit; detail=metadata-incomplete"

// heads counts the questions for packages that upstream was asked.
func heads(up *testrepo.Server) (n int) {
	for _, line := range up.Lines("HEAD", "*") {
		if strings.Contains(line, ".rpm") || strings.Contains(line, ".deb") {
			n++
		}
	}
	return n
}

func sha256Of(text string) cache.Digest {
	sum := sha256.Sum256([]byte(text))
	return cache.SHA256(sum[:])
}

// TestMissingPackages: while a mirror lacks packages that are new in its metadata,
// clients keep the metadata before, and the status, the log and the counts say why;
// once they are there it becomes current, at the cost of a few questions for each new
// generation and of none where nothing has changed.
func TestMissingPackages(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.publish(spec("a", "1"), spec("b", "1"))
	old := d.upstream()
	d.gets(old, "fwd=uri-miss; fwd-status=200; stored")
	if n := heads(d.up); n != 0 {
		t.Errorf("%d questions for packages where there was no metadata to keep", n)
	}
	d.publish(spec("a", "2"), spec("b", "1"))
	d.up.On("*a-2*", testrepo.Status(404))
	d.gets(old, kept)
	if p := d.fresh.Problems(); len(p) != 1 || !strings.Contains(p[0].Err.Error(), "a-2-1") || !strings.Contains(p[0].Err.Error(), "not there yet") {
		t.Errorf("problems: %v", p)
	}
	if n := d.refused.Count(cache.MissingPackages); n != 1 {
		t.Errorf("counted %d times", n)
	}
	if w, _ := d.store.Lookup(mustKey(t, d.root, spec("a", "2"))); w.Known() {
		t.Error("metadata that is not current promises a package")
	}
	d.pass(2 * time.Minute)
	if _, err := d.store.Stage(t.Context(), d.cache, d.root, d.mirrors.Grab()); cache.ReasonOf(err) != cache.MissingPackages {
		t.Errorf("the agent's: %v", err)
	}

	d.up.Heal()
	d.up.Forget()
	d.pass(2 * time.Minute)
	d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
	if n := heads(d.up); n != 1 {
		t.Errorf("%d questions for the one package that is new", n)
	}
	if p := d.fresh.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
	d.up.Forget()
	d.pass(2 * time.Minute)
	d.gets(d.upstream(), "fwd=stale; fwd-status=304")
	if n := heads(d.up); n != 0 {
		t.Errorf("%d questions for packages though nothing has changed", n)
	}
}

// TestMissingForGood: metadata whose packages never come becomes current after an
// hour, and is not kept back again where a mirror goes back to it.
func TestMissingForGood(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.publish(spec("a", "1"))
	old := d.upstream()
	d.gets(old, "fwd=uri-miss; fwd-status=200; stored")
	d.publish(spec("a", "2"))
	d.up.On("*.rpm", testrepo.Status(404))
	for range 2 {
		d.gets(old, kept)
		d.pass(29 * time.Minute)
	}
	d.gets(old, kept)
	d.pass(2 * time.Minute)
	d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
	if !strings.Contains(d.said.String(), "packages that no mirror has") {
		t.Errorf("the log does not say so:\n%s", d.said.String())
	}
}

// TestMissingAndWithdrawn: where the metalink no longer lists what is current, the new
// metadata is served though packages are missing.
func TestMissingAndWithdrawn(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.publish(spec("a", "1"))
	first := d.upstream()
	d.gets(first, "fwd=uri-miss; fwd-status=200; stored")
	d.publish(spec("a", "2"))
	d.up.On("*.rpm", testrepo.Status(404))
	d.withdrawn.Store(sha256Of(first))
	d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
}

// TestMissingOnSome: what counts is whether a client would get a package from any of
// the mirrors that are asked for it; what nobody can tell keeps nothing back.
func TestMissingOnSome(t *testing.T) {
	gone, wrong := testrepo.Status(404), testrepo.Truncate(100)
	for _, tt := range []struct {
		name          string
		first, second testrepo.Fault
		current       bool
	}{
		{"the first lacks it", gone, testrepo.Fault{}, true},
		{"both lack it", gone, gone, false},
		{"the second has other bytes", gone, wrong, false},
		{"nobody can tell", testrepo.Status(503), testrepo.Status(503), true},
		{"the first is without HEAD", testrepo.NoHead(), gone, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, time.Minute)
			d.publish(spec("a", "1"))
			old := d.upstream()
			d.gets(old, "fwd=uri-miss; fwd-status=200; stored")
			second := testrepo.Start(t, strings.TrimSuffix(d.files, "/updates/41"))
			d.mirrors = patient(t, upstream.Options{Now: d.now}).Repo(upstream.Repo{Name: "r", Upstreams: []string{d.up.URL, second.URL}, Vet: d.store})
			d.publish(spec("a", "2"))
			d.up.On("*.rpm", tt.first)
			second.On("*.rpm", tt.second)
			if tt.current {
				d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
			} else {
				d.gets(old, kept)
			}
		})
	}
}

// TestMissingOfSuite: the same holds for the packages of a Debian suite.
func TestMissingOfSuite(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, ByHash: true})
	entry := a.root + "/InRelease"
	a.issue(debs("1"))
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	a.wants(entry, "fwd=stale; fwd-status=304") // what clients want of it is known
	old := string(a.has[entry])
	a.settle()
	next := a.build(debs("2"))
	for name, b := range next {
		if !strings.HasSuffix(name, ".deb") {
			a.put(name, b)
		}
	}
	if body, how, err := a.get(entry, client); err != nil || body != old || how != kept {
		t.Errorf("the packages are missing: the old one: %v, %q, %v", body == old, how, err)
	}
	if err := a.update("another"); err != nil {
		t.Error(err)
	}
	a.settle()
	a.all(next)
	a.has = next
	a.pass(2 * time.Minute)
	a.wants(entry, "fwd=stale; fwd-status=200; stored")
	if err := a.update(client); err != nil {
		t.Error(err)
	}
}

// TestMissingTakesAnothers: where another mirror has metadata whose packages are all
// there, that is taken in the same request.
func TestMissingTakesAnothers(t *testing.T) {
	m := newMirrored(t, false)
	m.setNow(m.now().Add(time.Hour))
	m.have(0, 0, "3")
	m.have(1, time.Minute, "2")
	for _, up := range []*testrepo.Server{m.up, m.second} {
		up.On("*a-3*", testrepo.Status(404))
	}
	staged := m.mustStage()
	m.flip(staged)
	if got := staged.Digest; got != sha256Of(string(m.repomd(1))).Hex() {
		t.Errorf("not the second mirror's: %s", got)
	}
	if _, held := m.lookup(spec("a", "2")); !held {
		t.Error("its package is not listed")
	}
}
