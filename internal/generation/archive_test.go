package generation_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// archive is a desk in front of an upstream with one suite of Debian packages, or a
// flat repository. Nothing is signed but by a first line.
type archive struct {
	*desk
	suite testrepo.Suite
	root  string            // the directory of the suite's metadata
	has   map[string][]byte // what upstream has, by path
}

// newArchive makes one; more mirrors of it may be added.
func newArchive(t *testing.T, suite testrepo.Suite, others ...*testrepo.Server) *archive {
	a := &archive{desk: newDesk(t, time.Minute), suite: suite, root: "debian/dists/" + suite.Name, has: map[string][]byte{}}
	if suite.Name == "" {
		a.root = "debian"
	}
	r := upstream.Repo{Name: "r", Upstreams: []string{a.up.URL}, Vet: a.store}
	for _, s := range others {
		r.Upstreams = append(r.Upstreams, s.URL)
	}
	a.mirrors = patient(t, upstream.Options{Now: a.now}).Repo(r)
	return a
}

// inRelease is a stand-in for a signature that each program can read: the text of a
// Release is its own InRelease.
func inRelease(text []byte) ([]byte, error) { return text, nil }

// detached is a stand-in for the signature beside a Release.
func detached(text []byte) ([]byte, error) {
	return fmt.Appendf(nil, "signed %x", sha256.Sum256(text)), nil
}

func debs(versions ...string) (list []testrepo.Deb) {
	for _, v := range versions {
		list = append(list, testrepo.Deb{Name: "vlc", Version: v, Size: 2000}, testrepo.Deb{Name: "i", Arch: "i386", Version: v, Size: 10})
	}
	return list
}

// build is a publication of these packages, some minutes after the one before.
func (a *archive) build(list []testrepo.Deb) map[string][]byte {
	a.Helper()
	a.pass(2 * time.Minute)
	a.suite.Time = a.now()
	files, err := testrepo.BuildSuite(list, a.suite)
	if err != nil {
		a.Fatal(err)
	}
	next := map[string][]byte{}
	for name, b := range files {
		next["debian/"+name] = b
	}
	return next
}

// put makes a file upstream's.
func (a *archive) put(name string, b []byte) {
	a.Helper()
	if err := a.up.Put("/"+name, b); err != nil {
		a.Fatal(err)
	}
}

// drop takes a file from upstream.
func (a *archive) drop(name string) {
	a.Helper()
	if err := os.Remove(filepath.Join(filepath.Dir(filepath.Dir(a.files)), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.Fatal(err)
	}
}

// issue makes a publication of these packages all that upstream has.
func (a *archive) issue(list []testrepo.Deb) {
	a.Helper()
	a.settle()
	next := a.build(list)
	for name := range a.has {
		if next[name] == nil {
			a.drop(name)
		}
	}
	for name, b := range next {
		a.put(name, b)
	}
	a.has = next
}

// open is what a client is given for a path, as the server asks for it.
func (a *archive) open(name, client string) (*cache.Object, error) {
	k, err := cache.NewKey("r", name)
	if err != nil {
		return nil, err
	}
	if _, ok := generation.RootOf(k); ok {
		return a.fresh.Get(a.Context(), k, client)
	}
	if strings.HasSuffix(name, ".deb") {
		a.fresh.Learn(a.Context(), k)
	} else if !strings.Contains(name, "by-hash") {
		if o, err := a.fresh.Begun(a.Context(), k, client); o != nil || err != nil {
			return o, err
		}
	}
	return a.cache.Get(a.Context(), k)
}

// get is all of that.
func (a *archive) get(name, client string) (body, status string, err error) {
	o, err := a.open(name, client)
	if err != nil {
		return "", "", err
	}
	status = strings.TrimPrefix(o.Status.String(), "imserve; ")
	body, err = read(o)
	if err == nil && strings.HasPrefix(status, "fwd=uri-miss") && (!a.suite.ByHash || strings.Contains(name, "by-hash")) {
		a.stored(name)
	}
	return body, status, err
}

// stored waits until a file is in the tree: who has its last byte may be a moment early.
func (a *archive) stored(name string) {
	for {
		if _, err := os.Stat(filepath.Join(a.dir, "r", name)); err == nil || a.Context().Err() != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// wants checks that a client gets upstream's file of that name, and how.
func (a *archive) wants(name, status string) {
	a.Helper()
	body, how, err := a.get(name, client)
	if err != nil || body != string(a.has[name]) || how != status {
		a.Errorf("%s: %d bytes (upstream's: %v), %q, %v; want %q", name, len(body), body == string(a.has[name]), how, err, status)
	}
}

// errMismatch is what apt calls a hash-sum mismatch.
var errMismatch = errors.New("hash sum mismatch")

// update does what apt-get update does, and then fetches all packages: what any
// metadata lists is as it lists it.
func (a *archive) update(client string) error {
	body, _, err := a.get(a.root+"/InRelease", client)
	if errors.Is(err, fs.ErrNotExist) {
		body, _, err = a.get(a.root+"/Release", client)
	}
	if err != nil {
		return err
	}
	r, err := repodata.ParseRelease([]byte(body))
	if err != nil {
		return err
	}
	for _, x := range r.Files {
		if !strings.HasSuffix(x.Path, ".xz") {
			continue
		}
		name := path.Join(a.root, x.Path)
		if r.ByHash {
			name = path.Join(path.Dir(name), "by-hash/SHA256", x.SHA256.Hex)
		}
		index, how, err := a.get(name, client)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if fmt.Sprintf("%x", sha256.Sum256([]byte(index))) != x.SHA256.Hex {
			return fmt.Errorf("%s: %w (%s)", name, errMismatch, how)
		}
	}
	return nil
}

// promised is what is promised of a package.
func (a *archive) promised(d testrepo.Deb) (cache.Want, bool) {
	return a.store.Lookup(cache.Key{Repo: "r", Path: "debian/" + d.Filename(a.suite.Name == "")})
}

// all makes files upstream's, beside what it has.
func (a *archive) all(files map[string][]byte) {
	a.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		a.put(name, files[name])
	}
}
