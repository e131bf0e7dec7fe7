package site

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// load is the configuration that text is.
func load(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	cfg, err := config.Load(config.Options{
		Getenv:     func(string) string { return "" },
		Interfaces: func() ([]net.Addr, error) { return nil, nil },
		ReadFile: func(name string) ([]byte, error) {
			if name == config.SystemFile {
				return fmt.Appendf(nil, "cache_dir = %q\nstate_dir = %q\n%s", dir+"/cache", dir+"/state", text), nil
			}
			return nil, fs.ErrNotExist
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// keyFile writes the file of a new key.
func keyFile(t *testing.T, name string) string {
	t.Helper()
	k, err := testrepo.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, name, k.Public)
}

func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

const keyed = "[[repo]]\nname = \"keyed\"\nupstreams = [\"http://127.0.0.1:1\"]\ngpg_keys = [%q, %q]\n"

// TestKeyringsSayWhatIsWrong: each repo and file that is wrong is named.
func TestKeyringsSayWhatIsWrong(t *testing.T) {
	good, empty := keyFile(t, "good"), file(t, "empty", nil)
	cfg := load(t, fmt.Sprintf(keyed, good, empty)+"[[repo]]\nname = \"other\"\nupstreams = [\"http://127.0.0.1:1\"]\ngpg_keys = ['/nonexistent/key']\n")
	_, err := Open(cfg, Options{Program: "test", Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, ErrKeys) {
		t.Fatalf("err = %v", err)
	}
	for _, part := range []string{"repo keyed: gpg_keys: " + empty + ": no public key", "repo other: gpg_keys: open /nonexistent/key: no such file", "put the repository's public key there"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %v", part, err)
		}
	}
	if strings.Contains(err.Error(), good) {
		t.Errorf("the good file is named in %v", err)
	}
	if _, err := os.Stat(cfg.CacheDir); err == nil {
		t.Error("the cache was made all the same")
	}
}

// TestWhatIsChecked: packages of a repo with keys, and nothing else; with other
// keys it is another check.
func TestWhatIsChecked(t *testing.T) {
	one, two := keyFile(t, "one"), keyFile(t, "two")
	open := func(a, b string) *Site {
		s, err := Open(load(t, fmt.Sprintf(keyed, a, b)), Options{Program: "test", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := open(one, two)
	for _, tt := range []struct {
		repo, path string
		want       bool
	}{
		{"keyed", "x/Packages/a-1-1.noarch.rpm", true},
		{"keyed", "x/a-1-1.noarch.RPM", true},
		{"keyed", "x/drpms/a-1_2-1.noarch.drpm", true},
		{"keyed", "x/repodata/repomd.xml", false},
		{"keyed", "pool/a_1_all.deb", true},
		{"keyed", "pool/a_1_all.dsc", false},
		{"fedora", "pool/a_1_all.deb", false},
		{"keyed", "x/a.rpm.asc", false},
		{"fedora", "x/Packages/a-1-1.noarch.rpm", false},
	} {
		if got := s.policy(cache.Key{Repo: tt.repo, Path: tt.path}).Check; (got != nil) != tt.want {
			t.Errorf("%s/%s: checked %v, want %v", tt.repo, tt.path, got != nil, tt.want)
		}
	}
	k := cache.Key{Repo: "keyed", Path: "a.rpm"}
	id := s.policy(k).Check.ID
	if again := open(two, one).policy(k).Check.ID; again != id {
		t.Errorf("the same keys are another check: %q, %q", id, again)
	}
	if other := open(one, one).policy(k).Check.ID; other == id {
		t.Errorf("other keys are the same check: %q", id)
	}
}

// TestHowMetadataIsSigned: as repo_gpgcheck says, where there are keys.
func TestHowMetadataIsSigned(t *testing.T) {
	key := keyFile(t, "key")
	for check, want := range map[string]*bool{"auto": ptr(false), "always": ptr(true), "never": nil} {
		s, err := Open(load(t, fmt.Sprintf(keyed, key, key)+"repo_gpgcheck = \""+check+"\"\n"), Options{Program: "test", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		how := s.signing(generation.Root{Repo: "keyed", Path: "x"})
		if (how == nil) != (want == nil) || how != nil && how.Required != *want {
			t.Errorf("%s: %+v", check, how)
		}
		if how != nil && how.Check([]byte("signed"), []byte("no signature")) == nil {
			t.Errorf("%s: anything is a signature", check)
		}
		suite := s.signing(generation.Root{Repo: "keyed", Path: "dists/x", Kind: generation.Debian})
		if (suite == nil) != (want == nil) || suite != nil && !suite.Required {
			t.Errorf("%s: a suite: %+v", check, suite)
		}
		if suite != nil && suite.Inline([]byte("no signature")) == nil {
			t.Errorf("%s: anything is an InRelease", check)
		}
		if p := s.policy(cache.Key{Repo: "keyed", Path: "pool/a_1_all.deb"}); (p.Check == nil) != (want == nil) {
			t.Errorf("%s: a Debian package is checked: %v", check, p.Check != nil)
		}
		if other := s.signing(generation.Root{Repo: "fedora", Path: "x"}); other != nil {
			t.Errorf("%s: a repo without keys: %+v", check, other)
		}
	}
	_, err := Keyrings(load(t, "[[repo]]\nname = \"bare\"\nupstreams = [\"http://127.0.0.1:1\"]\nrepo_gpgcheck = \"always\"\n"))
	if !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), "repo bare: repo_gpgcheck") {
		t.Errorf("no keys to check with: %v", err)
	}
}

func ptr[T any](v T) *T { return &v }
