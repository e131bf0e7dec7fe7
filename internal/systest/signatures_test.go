package systest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// newKey is a key to sign with.
func newKey(t testing.TB) *testrepo.Key {
	t.Helper()
	k, err := testrepo.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// With keys, packages that none of them has signed are neither handed out nor
// stored nor prefetched, whichever program is asked, and neither are those that
// were stored before there were keys.
func TestSignatures(t *testing.T) {
	ours, strangers := newKey(t), newKey(t)
	specs := []testrepo.Spec{
		{Name: "good", Version: "1", Release: "1", Size: 20_000},
		{Name: "large", Version: "1", Release: "1", Size: 3 << 20},
		{Name: "unsigned", Version: "1", Release: "1", Size: 20_000},
		{Name: "unsigned-large", Version: "1", Release: "1", Size: 3 << 20},
		{Name: "stranger", Version: "1", Release: "1", Size: 20_000},
		{Name: "bad", Version: "1", Release: "1", Size: 20_000},
	}
	reasons := map[string]string{
		"unsigned": "no signature", "unsigned-large": "no signature", "stranger": "signed by a key that is not among", "bad": "bad signature",
	}
	s := newSite(t)
	err := testrepo.Build(s.repo, specs, testrepo.BuildOptions{Sign: func(p testrepo.Spec) func([]byte) ([]byte, error) {
		switch p.Name {
		case "good", "large":
			return ours.Binary
		case "stranger":
			return strangers.Binary
		case "bad":
			return func(b []byte) ([]byte, error) { return ours.Binary(b[1:]) }
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(s.dir, "key")
	if err := os.WriteFile(key, ours.Public, 0o644); err != nil {
		t.Fatal(err)
	}
	keys := fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", key)
	path := func(p testrepo.Spec) string { return "/" + rootName + "/" + p.Location() }
	stored := func(s *site, p testrepo.Spec) bool {
		_, err := os.Stat(s.dir + "/cache" + path(p))
		return err == nil
	}
	// refused asks for each, and looks at what comes and what is stored.
	refused := func(t *testing.T, s *site, m *server, before bool) {
		t.Helper()
		for _, p := range specs {
			a, err := m.fetch(path(p))
			if err != nil {
				t.Fatal(err)
			}
			why := reasons[p.Name]
			switch {
			case why == "":
				if a.status != 200 || a.err != nil {
					t.Errorf("%s: status %d, %v", p.Name, a.status, a.err)
				}
				s.awaitFile(path(p)) // a client has it before it is stored
			case a.err != nil:
				// A large one breaks off before its last byte.
				if full, err := os.Stat(filepath.Join(s.repo, p.Location())); err != nil || int64(len(a.body)) >= full.Size() || p.Size < 1<<20 {
					t.Errorf("%s: %d bytes, %v", p.Name, len(a.body), err)
				}
			case a.status != 502 || !strings.Contains(string(a.body), "\nExpected: a package signed by one of the keys in gpg_keys of fedora\nCame: "+why):
				t.Errorf("%s: status %d, %s", p.Name, a.status, a.body)
			}
			if why != "" && stored(s, p) != before {
				t.Errorf("%s: stored %v, want %v", p.Name, stored(s, p), before)
			}
		}
		samples, err := filepath.Glob(s.dir + "/cache/.im/quarantine/*.txt")
		if err != nil || len(samples) != len(reasons) {
			t.Errorf("%d samples in the quarantine, want %d", len(samples), len(reasons))
		}
	}
	t.Run("asked for", func(t *testing.T) {
		s := s.another(t, keys)
		refused(t, s, s.serve(), false)
	})
	t.Run("stored before", func(t *testing.T) {
		s := s.another(t)
		m := s.serve()
		for _, p := range specs {
			m.get(path(p))
			s.awaitFile(path(p))
		}
		m.stop()
		s.configure(keys)
		refused(t, s, s.serve(), true)
	})
	t.Run("fetched ahead", func(t *testing.T) {
		s := s.another(t, keys, "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
		r := s.imsync("once", "--json")
		if r.code != 1 {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
		var got report
		s.decode(result{stdout: r.stdout}, &got)
		if got.Fetched != 2 || got.Failures != len(reasons) {
			t.Errorf("the report: %+v", got)
		}
		for _, f := range got.Roots[0].Failed {
			name, _, _ := strings.Cut(filepath.Base(f.Path), "-1-1.")
			if why := reasons[name]; why == "" || !strings.Contains(f.Error, why) {
				t.Errorf("%s failed: %s", name, f.Error)
			}
		}
		for _, p := range specs {
			if stored(s, p) != (reasons[p.Name] == "") {
				t.Errorf("%s: stored %v", p.Name, stored(s, p))
			}
		}
	})
	t.Run("no keys", func(t *testing.T) {
		s := s.another(t, "[[repo]]\ngpg_keys = [\"/nonexistent/key\"]")
		if r := s.imsync("plan"); r.code != 2 || !strings.Contains(r.stderr, "repo fedora: gpg_keys: open /nonexistent/key") {
			t.Errorf("imsync: exit code %d: %s", r.code, r.stderr)
		}
		p := start(t, "imserve", "--config", s.config)
		if code := p.wait(); code != 2 {
			t.Errorf("imserve: exit code %d: %s", code, p.stderr.String())
		}
	})
}
