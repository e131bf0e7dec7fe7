package packages_test

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

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
	c := &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048, DefaultHash: crypto.SHA256}
	signer, err := openpgp.NewEntity("A distribution", "", "keys@example.org", c)
	if err != nil {
		t.Fatal(err)
	}
	var key bytes.Buffer
	w, err := armor.Encode(&key, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(signer.Serialize(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()

	fedora := filepath.Join(tree, fedoraBase, updates)
	detached := func(sign func(*bytes.Buffer, *bytes.Reader) error) func([]byte) ([]byte, error) {
		return func(b []byte) ([]byte, error) {
			var signature bytes.Buffer
			err := sign(&signature, bytes.NewReader(b))
			return signature.Bytes(), err
		}
	}
	binary := detached(func(w *bytes.Buffer, r *bytes.Reader) error { return openpgp.DetachSign(w, signer, r, c) })
	armored := detached(func(w *bytes.Buffer, r *bytes.Reader) error { return openpgp.ArmoredDetachSign(w, signer, r, c) })
	err = testrepo.Build(fedora, published, testrepo.BuildOptions{
		Seed: 1, Sign: func(testrepo.Spec) func([]byte) ([]byte, error) { return binary },
	})
	if err != nil {
		t.Fatal(err)
	}
	repomd := filepath.Join(fedora, "repodata/repomd.xml")
	text, err := os.ReadFile(repomd)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := armored(text)
	if err := errors.Join(err, os.WriteFile(repomd+".asc", signature, 0o644)); err != nil {
		t.Fatal(err)
	}

	suite, err := testrepo.BuildSuite([]testrepo.Deb{archived}, testrepo.Suite{
		Name: "stable", Time: time.Now().Add(-time.Hour), ByHash: true,
		Inline: func(text []byte) ([]byte, error) {
			var b bytes.Buffer
			w, err := clearsign.Encode(&b, signer.PrivateKey, c)
			if err != nil {
				return nil, err
			}
			_, err = w.Write(text)
			err = errors.Join(err, w.Close())
			return append(b.Bytes(), '\n'), err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	up := &public{testrepo.Start(t, tree), append(key.Bytes(), '\n')}
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
