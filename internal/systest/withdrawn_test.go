package systest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// keepNothing makes the site's metadata, and what upstream has withdrawn, go as soon
// as it may.
func (s *site) keepNothing() {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(s.config, "generation_keep = \"0s\"\n"+string(text))
}

// pruned is what `imsync prune --json` prints.
type pruned struct {
	Removed, Withdrawn []struct{ Path, Rule, Why string }
	Guarded            []struct {
		Root      string
		Files, Of int
	}
}

// has reports whether a list of files has one of that path.
func has(list []struct{ Path, Rule, Why string }, path string) bool {
	for _, f := range list {
		if f.Path == path && f.Rule == "withdrawn" && f.Why != "" {
			return true
		}
	}
	return false
}

// A package that upstream withdraws: no client gets it any more, a restart later
// neither; prune deletes it; a mirror that lags does not bring it back, and new
// metadata does.
func TestWithdrawn(t *testing.T) {
	specs := []testrepo.Spec{
		{Name: "mplayer", Version: "1.5", Release: "1", Size: 5000},
		{Name: "bash", Version: "5.2", Release: "1", Size: 4000},
		{Name: "vlc", Version: "3.0", Release: "1", Size: 4000},
	}
	s := newSite(t)
	s.publish(specs)
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(s.tree)); err != nil {
		t.Fatal(err)
	}
	second, lagging := testrepo.Start(t, s.tree), testrepo.Start(t, old)
	s.others = []string{second.URL, lagging.URL}
	s.configure("[serve]\nmetadata_max_age = \"0s\"\npackage_max_age = \"0s\"", "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
	s.keepNothing()
	s.once()
	server := s.serve()
	name := location(t, specs, "mplayer")
	url, path, disk := "/"+rootName+"/"+name, rootName+"/"+name, filepath.Join(s.cached(), name)
	want := server.get(url)

	s.publish(specs[1:])
	r := s.imsync("once", "--json")
	var ran pruned
	s.decode(r, &ran)
	if !has(ran.Withdrawn, path) {
		t.Fatalf("the run does not say that it is withdrawn: %s", r.stdout)
	}
	ask := func() answer {
		a, err := server.fetch(url)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	isWithdrawn := func(a answer) bool {
		return a.status == http.StatusNotFound && strings.HasPrefix(string(a.body), "Not found: upstream has withdrawn ")
	}
	code := func() int {
		a := ask()
		if a.status == http.StatusNotFound && !isWithdrawn(a) {
			t.Errorf("the client is told %q", a.body)
		}
		return a.status
	}
	// Until the server has seen what the run has found, it finds out for itself.
	s.await("a 404 of what is withdrawn", func() bool { return isWithdrawn(ask()) })
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, want) {
		t.Errorf("it was deleted at once: %v", err)
	}
	server.stop()
	server = s.serve()
	if got := code(); got != http.StatusNotFound {
		t.Errorf("after a restart: %d", got)
	}

	var rehearsed, did pruned
	s.decode(s.imsync("prune", "--dry-run", "--json"), &rehearsed)
	if _, err := os.Stat(disk); err != nil || !has(rehearsed.Removed, path) {
		t.Errorf("the rehearsal: %v, %+v", err, rehearsed)
	}
	s.decode(s.imsync("prune", "--json"), &did)
	if _, err := os.Stat(disk); !errors.Is(err, fs.ErrNotExist) || !has(did.Removed, path) {
		t.Errorf("it was not deleted: %v, %+v", err, did)
	}

	s.up.Stop()
	second.Stop()
	if got := code(); got != http.StatusNotFound {
		t.Errorf("with the mirror that lags alone: %d", got)
	}
	head, err := http.Head(server.url + url)
	if err != nil {
		t.Fatal(err)
	}
	head.Body.Close()
	if head.StatusCode != http.StatusNotFound {
		t.Errorf("HEAD, with the mirror that lags alone: %d", head.StatusCode)
	}
	if _, err := os.Stat(disk); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a mirror that lags brings it back: %v", err)
	}

	for _, up := range []*testrepo.Server{s.up, second} {
		if err := up.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	s.publish(specs)
	s.once()
	s.await("what is listed again", func() bool { return code() == http.StatusOK })
	if got := server.get(url); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	for _, spec := range specs[1:] {
		server.get("/" + rootName + "/" + spec.Location())
	}
}

// A mirror that loses half its tree by accident, metadata and all, takes nothing of
// the cache with it: the run says so and what to do, and once the mirror is repaired
// all is as it was.
func TestMirrorLosesHalf(t *testing.T) {
	var specs []testrepo.Spec
	for i := range 60 {
		specs = append(specs, testrepo.Spec{Name: fmt.Sprintf("p%02d", i), Version: "1", Release: "1", Size: 1000})
	}
	s := newSite(t, "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
	s.keepNothing()
	s.publish(specs)
	s.once()
	before := files(t, filepath.Join(s.cached(), "Packages"))

	s.publish(specs[:30])
	advice := "imsync prune --confirm " + rootName
	if r := s.imsync("once"); r.code != 1 || !strings.Contains(r.stdout, advice) {
		t.Errorf("the run: %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := s.imsync("status"); r.code != 0 || !strings.Contains(r.stdout, advice) {
		t.Errorf("the status: %d, %s%s", r.code, r.stdout, r.stderr)
	}
	r := s.imsync("prune")
	if r.code != 1 || !strings.Contains(r.stderr, advice) {
		t.Errorf("prune: %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if d := difference(before, files(t, filepath.Join(s.cached(), "Packages"))); d != "" {
		t.Errorf("the accident took packages: %s", d)
	}

	s.publish(specs)
	if r := s.imsync("once"); r.code != 0 {
		t.Errorf("after the repair: %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if d := difference(before, files(t, filepath.Join(s.cached(), "Packages"))); d != "" {
		t.Errorf("after the repair: %s", d)
	}
}
