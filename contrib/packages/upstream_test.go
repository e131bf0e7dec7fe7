package packages_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// Where the public mirror has Fedora, and where on every mirror of it the updates are; where it has Debian.
const (
	fedoraBase = "/pub/fedora/linux"
	updates    = "updates/41/Everything/x86_64"
	debianBase = "/debian"
)

// published are the packages of the updates: some that people ask for, and some that imsync's own list has.
var published = []testrepo.Spec{
	{Name: "kstars", Version: "3.7.3", Release: "1.fc41", Size: 40_000, Requires: []string{"libnova"}},
	{Name: "libnova", Version: "0.16", Release: "2.fc41", Size: 9_000},
	{Name: "mplayer", Version: "1.5.1", Release: "1.fc41", Size: 30_000, Requires: []string{"libass"}},
	{Name: "libass", Version: "0.17.3", Release: "1.fc41", Size: 7_000},
}

// archived is the package of the Debian archive.
var archived = testrepo.Deb{Name: "hello", Version: "2.10-3", Arch: "all", Size: 20_000}

// public is a public mirror of two distributions, who sign all that they publish with one key.
type public struct {
	*testrepo.Server
	key []byte // the public one, armored
}

// newPublic is one that has published and archived.
func newPublic(t *testing.T) *public {
	t.Helper()
	key, err := testrepo.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()

	fedora := filepath.Join(tree, fedoraBase, updates)
	err = testrepo.Build(fedora, published, testrepo.BuildOptions{
		Seed: 1, Sign: func(testrepo.Spec) func([]byte) ([]byte, error) { return key.Binary },
	})
	if err != nil {
		t.Fatal(err)
	}
	repomd := filepath.Join(fedora, "repodata/repomd.xml")
	text, err := os.ReadFile(repomd)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Detached(text)
	if err := errors.Join(err, os.WriteFile(repomd+".asc", signature, 0o644)); err != nil {
		t.Fatal(err)
	}

	suite, err := testrepo.BuildSuite([]testrepo.Deb{archived}, testrepo.Suite{
		Name: "stable", Time: time.Now().Add(-time.Hour), ByHash: true,
		Inline: key.Inline,
	})
	if err != nil {
		t.Fatal(err)
	}
	up := &public{testrepo.Start(t, tree), key.Public}
	for name, body := range suite {
		if err := up.Put(debianBase+"/"+name, body); err != nil {
			t.Fatal(err)
		}
	}
	return up
}

// passed checks that clients have asked this mirror nothing but by way of another, and takes note of it no longer.
func (up *public) passed(t *testing.T) {
	t.Helper()
	for _, r := range up.Requests() {
		if r.Header.Get("Via") == "" {
			t.Errorf("a client has asked the public mirror itself: %v", r)
		}
	}
	up.Forget()
}

// repos is what an administrator writes to have this mirror's repositories, not those of the real ones.
func (up *public) repos() string {
	return fmt.Sprintf(`
[[repo]]
name = "fedora"
upstreams = [%q]

[[repo]]
name = "debian"
upstreams = [%q]
`, up.URL+fedoraBase, up.URL+debianBase)
}
