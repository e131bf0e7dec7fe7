package systest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// suiteArchive is a site whose repository is a Debian archive with one suite, stable.
type suiteArchive struct {
	*site
	suite testrepo.Suite
	has   map[string][]byte // what upstream has, by path below the archive
	key   string            // the file of the suite's public key
}

// newArchive makes one that is signed by key, with this configuration.
func newSuiteArchive(t *testing.T, suite testrepo.Suite, key *testrepo.Key, extra ...string) *suiteArchive {
	s := newSite(t, extra...)
	a := &suiteArchive{site: s, suite: suite, key: s.dir + "/suite.asc"}
	s.write(a.key, string(key.Public))
	return a
}

// build is a publication of one version of its packages, signed a minute after the
// one before.
func (a *suiteArchive) build(version string) map[string][]byte {
	a.t.Helper()
	if a.suite.Time.IsZero() {
		a.suite.Time = time.Now().Add(-time.Hour)
	}
	a.suite.Time = a.suite.Time.Add(time.Minute)
	list := []testrepo.Deb{{Name: "hello", Version: version, Size: 20_000}, {Name: "world", Version: version, Arch: "all", Size: 100}}
	files, err := testrepo.BuildSuite(list, a.suite)
	if err != nil {
		a.t.Fatal(err)
	}
	return files
}

func (a *suiteArchive) put(name string, b []byte) {
	a.t.Helper()
	if err := a.up.Put(upstreamBase+"/"+name, b); err != nil {
		a.t.Fatal(err)
	}
}

func (a *suiteArchive) drop(name string) {
	a.t.Helper()
	if err := os.Remove(filepath.Join(a.tree, upstreamBase, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.t.Fatal(err)
	}
}

// issue makes a publication all that upstream has.
func (a *suiteArchive) issue(files map[string][]byte) {
	a.t.Helper()
	for name := range a.has {
		if files[name] == nil {
			a.drop(name)
		}
	}
	for name, b := range files {
		a.put(name, b)
	}
	a.has = files
}

// machine makes one that has the archive from the mirror at this address.
func (a *suiteArchive) machine(mirror string) debianMachine {
	a.t.Helper()
	// apt takes no name of a key that has a comma, as a test's directory may.
	dir, err := os.MkdirTemp("", "machine-")
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	key := dir + "/suite.asc"
	a.write(key, string(b))
	return a.debianMachine(dir, fmt.Sprintf("deb [signed-by=%s] %s/fedora stable main", key, mirror), "")
}

// line is the mirror's address for a machine that has an address of its own.
func (s *site) line(server *server, from string) string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			mirror, err := dialer.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
			if err != nil {
				client.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{client, mirror}, {mirror, client}} {
				go func() {
					// However it ends, both ends learn of it, and the client tells.
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				}()
			}
		}
	}()
	return "http://" + l.Addr().String()
}

// TestAptArchive: a Debian archive from the mirror, with its key and without,
// signed in both ways: apt verifies it, a second machine costs upstream nothing, and
// out of reach all of it is there.
func TestAptArchive(t *testing.T) {
	key := newKey(t)
	for _, tt := range []struct {
		name  string
		suite testrepo.Suite
		keyed bool
	}{
		{"by hash", testrepo.Suite{Name: "stable", ByHash: true, Inline: key.Inline, Detached: key.Detached}, false},
		{"by name", testrepo.Suite{Name: "stable", Inline: key.Inline}, false},
		{"with keys", testrepo.Suite{Name: "stable", ByHash: true, Inline: key.Inline}, true},
		{"with keys and Release.gpg", testrepo.Suite{Name: "stable", Detached: key.Detached}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newSuiteArchive(t, tt.suite, key)
			if tt.keyed {
				a.configure(fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", a.key))
			}
			a.issue(a.build("1"))
			server := a.serve()
			const deb = "pool/main/h/hello/hello_1_amd64.deb"
			for i := range 2 {
				m := a.machine(server.url)
				for _, args := range [][]string{{"update"}, {"--download-only", "--yes", "install", "hello", "world"}} {
					if _, err := m.run(args...); err != nil {
						t.Fatal(err)
					}
				}
				if got := files(t, m.dir+"/cache/archives")["hello_1_amd64.deb"]; got != digest(a.has[deb]) {
					t.Errorf("apt has %q", got)
				}
				if i > 0 {
					for _, line := range a.up.Lines("", "*") {
						if !strings.Contains(line, "Release") {
							t.Errorf("the second machine had upstream asked: %s", line)
						}
					}
				}
				a.up.Forget()
			}
			a.up.Stop()
			m := a.machine(server.url)
			for _, args := range [][]string{{"update"}, {"--download-only", "--yes", "install", "hello"}} {
				if _, err := m.run(args...); err != nil {
					t.Errorf("upstream is out of reach: %v", err)
				}
			}
		})
	}
}

// TestAptKeys: with keys, a suite that none of them has signed is not handed out,
// and neither is a package that no signed suite lists, now or before.
func TestAptKeys(t *testing.T) {
	ours, strangers := newKey(t), newKey(t)
	a := newSuiteArchive(t, testrepo.Suite{Name: "stable", Inline: strangers.Inline}, ours, "[serve]\nmetadata_max_age = \"0s\"")
	keyed := fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", a.key)
	a.configure("[serve]\nmetadata_max_age = \"0s\"", keyed)
	a.issue(a.build("1"))
	server := a.serve()
	const root, deb = "/fedora/dists/stable/InRelease", "/fedora/pool/main/h/hello/hello_1_amd64.deb"
	if got, err := server.fetch(root); err != nil || got.status != 502 || !strings.Contains(string(got.body), "signed by a key that is not among") {
		t.Errorf("a stranger's suite: status %d, %s, %v", got.status, got.body, err)
	}
	if got, err := server.fetch(deb); err != nil || got.status != 502 || !strings.Contains(string(got.body), "no Packages file") || !strings.Contains(string(got.body), "repo_gpgcheck") {
		t.Errorf("a package that nobody lists: status %d, %s, %v", got.status, got.body, err)
	}
	a.suite.Inline = ours.Inline
	a.issue(a.build("1"))
	m := a.machine(server.url)
	for _, args := range [][]string{{"update"}, {"--download-only", "--yes", "install", "hello"}} {
		if _, err := m.run(args...); err != nil {
			t.Error(err)
		}
	}
	server.stop()
	// What is in the cache is handed out with no question, and asked for no more.
	a.up.Forget()
	server = a.serve()
	if got := server.get(deb); digest(got) != digest(a.has[strings.TrimPrefix(deb, "/fedora/")]) {
		t.Errorf("%d bytes", len(got))
	}
	if n := a.up.Count("", "*.deb"); n != 0 {
		t.Errorf("upstream was asked %d times for a package that is listed", n)
	}

	// A machine goes by what the suite listed before, and the mirror has it still.
	const world = "pool/main/w/world/world_1_all.deb"
	before := a.has[world]
	a.issue(a.build("2"))
	if _, err := a.machine(server.url).run("update"); err != nil {
		t.Error(err)
	}
	a.put(world, before)
	if got := server.get("/fedora/" + world); !bytes.Equal(got, before) {
		t.Errorf("what was listed before: %d bytes", len(got))
	}
	if r := a.imsync("purge", strings.TrimPrefix(deb, "/")); r.code != 0 {
		t.Fatalf("purge: %d, %s", r.code, r.stderr)
	}
	a.put(strings.TrimPrefix(deb, "/fedora/"), before)
	if got, err := server.fetch(deb); err != nil || got.status != 502 || !strings.Contains(string(got.body), "not the bytes that are listed") {
		t.Errorf("other bytes than were listed: status %d, %.300s, %v", got.status, got.body, err)
	}
}

// TestAptOnSyncingMirror: machines update again and again while their mirror's
// upstream goes from one publication to the next in the worst orders, deletes what
// was at once, and goes back. No update fails: no hash-sum mismatch, ever.
func TestAptOnSyncingMirror(t *testing.T) {
	key := newKey(t)
	for _, tt := range []struct {
		name   string
		byHash bool
		order  func(a, b string) int // of names
	}{
		{"InRelease first, by name", false, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) }},
		{"indices first, by hash", true, func(a, b string) int { return strings.Compare(path.Base(b), path.Base(a)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newSuiteArchive(t, testrepo.Suite{Name: "stable", ByHash: tt.byHash, Inline: key.Inline}, key, "[serve]\nmetadata_max_age = \"0s\"")
			a.issue(a.build("0"))
			server := a.serve()
			first := a.machine(server.url)
			for range 2 { // what is asked for is known from then on
				if _, err := first.run("update"); err != nil {
					t.Fatal(err)
				}
			}
			before := a.has
			a.updating(server, func(step func()) {
				a.publish(a.build("1"), tt.order, step)
				a.publish(before, tt.order, step) // a mirror that lags behind itself
			})
			got := string(server.get("/fedora/dists/stable/InRelease"))
			if newest := a.suite.Time.UTC().Format("15:04:05 UTC"); !strings.Contains(got, newest) {
				t.Errorf("in the end it is not the newest that was there, of %s:\n%s", newest, got)
			}
		})
	}
}

// publish puts the metadata of a publication upstream file by file, in an order,
// once that of the one before is gone, but for the names that both have.
func (a *suiteArchive) publish(next map[string][]byte, order func(a, b string) int, step func()) {
	a.t.Helper()
	for name := range a.has {
		if next[name] == nil {
			a.drop(name)
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(next), order) {
		a.put(name, next[name])
		if strings.HasSuffix(name, "/InRelease") || strings.HasSuffix(name, "/Packages.xz") {
			step()
		}
	}
	a.has = next
	step()
}

// updating has machines update while work goes on; step waits until each may have
// seen what there is now. Some of them know nothing each time.
func (a *suiteArchive) updating(server *server, work func(step func())) {
	a.t.Helper()
	// One at a time would not meet the middle of a publication.
	const machines = 2
	over := make(chan struct{})
	var updates, failed atomic.Int64
	var wg sync.WaitGroup
	for i := range machines {
		m := a.machine(a.line(server, fmt.Sprintf("127.0.0.%d", 2+i)))
		wg.Go(func() {
			for {
				if i%2 == 0 {
					if err := m.forget(); err != nil {
						a.t.Error(err)
					}
				}
				if _, err := m.run("update"); err != nil {
					failed.Add(1)
					a.t.Error(err)
				}
				updates.Add(1)
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	work(func() {
		for until := updates.Load() + machines; updates.Load() < until && failed.Load() == 0; {
			time.Sleep(time.Millisecond)
		}
	})
	close(over)
	wg.Wait()
}
