package systest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// The promise over bad mirrors: so many clients make so many requests in all,
// for so many packages, and this share of them at the least end whole and right.
const (
	badClients  = 20
	badRequests = 500
	badPackages = 134
	badShare    = 0.99

	badAnswers = 0.1 // the share of a mirror's answers that are 503
	// The draws, one after the other, by which a body ends at once, soon and later:
	// in all between a fifth and a quarter, since some are too short for the later ones.
	badAtOnce, badSoon, badLater = 0.06, 0.11, 0.12
)

// TestBadMirrors: two mirrors of which each breaks off a fifth to a quarter of
// its bodies and answers a tenth of its requests with 503. No answer
// looks whole and is wrong.
func TestBadMirrors(t *testing.T) {
	var all []testrepo.Request
	for _, tt := range []struct {
		name     string
		metadata bool // whose digests are known
		seed     uint64
	}{
		{"nothing is promised", false, 1}, {"nothing is promised, other draws", false, 2},
		{"nothing is promised, more draws", false, 3},
		{"the metadata promises", true, 4}, {"the metadata promises, other draws", true, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			specs := testrepo.Small(testrepo.Campus(1))[:badPackages]
			s.publish(specs)
			second := testrepo.Start(t, s.tree)
			s.others = []string{second.URL}
			s.configure("[sync]\nbudget = \"0B\"\nroots = [\"" + rootName + "\"]\npackages = []")
			if tt.metadata {
				s.once()
			}
			for i, up := range []*testrepo.Server{s.up, second} {
				seed := 100*tt.seed + uint64(10*i)
				up.On("*.rpm",
					testrepo.Status(http.StatusServiceUnavailable).Share(badAnswers, seed),
					testrepo.Cut(700).Share(badSoon, seed+1),
					testrepo.Cut(2500).Share(badLater, seed+2),
					testrepo.Cut(0).Share(badAtOnce, seed+3))
			}
			server := s.serve()
			right, wrong := badly(t, server, s.repo, specs, tt.seed)
			if wrong > 0 {
				t.Errorf("%d answers looked whole and were wrong", wrong)
			}
			if float64(right) < badShare*badRequests {
				t.Errorf("%d of %d requests ended whole and right", right, badRequests)
			}
			t.Logf("%d of %d right; the mirrors were asked %d and %d times", right, badRequests, s.up.Count("GET", "*.rpm"), second.Count("GET", "*.rpm"))
			server.insist()
			all = append(append(all, s.up.Requests()...), second.Requests()...)
		})
	}
	// That the mirrors were as bad as that, taken over all of them, so that no draw decides.
	var answers, refused, bodies, cut float64
	for _, r := range all {
		if !strings.HasSuffix(r.Path, ".rpm") {
			continue
		}
		answers++
		if r.Status == http.StatusServiceUnavailable {
			refused++
			continue
		}
		bodies++
		if !r.Whole {
			cut++
		}
	}
	if refused/answers < 0.05 || refused/answers > 0.16 || cut/bodies < 0.17 || cut/bodies > 0.29 {
		t.Errorf("%.3f of %.0f answers were 503, %.3f of %.0f bodies were cut: too few or too many for this test", refused/answers, answers, cut/bodies, bodies)
	}
	t.Logf("%.3f of %.0f answers were 503, %.3f of %.0f bodies were cut", refused/answers, answers, cut/bodies, bodies)
}

// badly makes the requests, and counts the answers that were whole and right,
// and those that looked whole and were not right.
func badly(t *testing.T, server *server, tree string, specs []testrepo.Spec, seed uint64) (right, wrong int) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	for i := range badClients {
		draw := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() {
			for range badRequests / badClients {
				location := specs[draw.IntN(len(specs))].Location()
				want, err := os.ReadFile(filepath.Join(tree, location))
				if err != nil {
					t.Error(err)
					return
				}
				a, err := server.fetch("/" + rootName + "/" + location)
				mu.Lock()
				switch {
				case err != nil || a.err != nil || a.status != http.StatusOK:
					t.Logf("%s: status %d, %v, %v", location, a.status, err, a.err)
				case bytes.Equal(a.body, want):
					right++
				default:
					wrong++
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return right, wrong
}

// TestMetalink: imserve and imsync take mirrors and the digests of repomd.xml
// from a metalink, know it after a restart, and ask for none before a root of its
// repository is asked for.
func TestMetalink(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))[:4]
	s.publish(specs)
	mirror := testrepo.Start(t, filepath.Join(s.tree, upstreamRoot)) // which has the root at its top
	lists := testrepo.Start(t, t.TempDir())
	path := "/metalink/updates/41/Everything/x86_64"
	list := func() {
		current, err := os.ReadFile(filepath.Join(s.repo, "repodata/repomd.xml"))
		if err != nil {
			t.Fatal(err)
		}
		m := testrepo.Metalink{Current: current, Mirrors: []string{"rsync://" + mirror.Addr, mirror.URL}, Time: today()}
		if err := lists.Put(path, m.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	list()
	s.more = fmt.Sprintf("metalink = %q", lists.URL+"/metalink/{root}")
	s.configure("[serve]\nmetadata_max_age = \"0s\"", "[sync]\nbudget = \"0B\"\nroots = [\""+rootName+"\"]\npackages = []")

	server := s.serve()
	server.get("/-/healthz")
	if n := lists.Count("", "*"); n != 0 {
		t.Fatalf("the list was asked for %d times before any root was", n)
	}
	// The only configured upstream is away: the list is waited for.
	s.up.Stop()
	first := specs[0].Location()
	server.get("/" + rootName + "/" + first)
	if n := mirror.Count("GET", "/"+first); n != 1 {
		t.Errorf("the mirror of the list was asked %d times", n)
	}
	server.insist()

	// A restart while the list's server is away.
	lists.Stop()
	server = s.serve()
	second := specs[1].Location()
	server.get("/" + rootName + "/" + second)

	// A new generation, which the upstream has and the metalink lists by now. The
	// agent reads the list again, since ours does not list what it finds.
	if err := s.up.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := lists.Restart(); err != nil {
		t.Fatal(err)
	}
	old := server.get("/" + rootName + "/repodata/repomd.xml")
	s.publish(append(specs, testrepo.Spec{Name: "new", Version: "1", Release: "1", BuildTime: today()}))
	list()
	lists.Forget()
	s.once()
	if now := server.get("/" + rootName + "/repodata/repomd.xml"); bytes.Equal(now, old) {
		t.Error("the new repomd.xml was not taken")
	}
	if lists.Count("GET", path) == 0 {
		t.Error("the metalink was not read again")
	}

	// An upstream that lies: other metadata, newer, which no metalink lists.
	liar := t.TempDir()
	if err := testrepo.Build(filepath.Join(liar, upstreamRoot), specs[:1], testrepo.BuildOptions{Time: today().AddDate(0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	bad := testrepo.Start(t, liar)
	s.base = bad.URL
	s.configure("[serve]\nmetadata_max_age = \"0s\"")
	server.insist()
	server = s.serve()
	right, err := os.ReadFile(filepath.Join(s.repo, "repodata/repomd.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := server.get("/" + rootName + "/repodata/repomd.xml"); !bytes.Equal(got, right) {
		t.Error("what a lying mirror has was handed out")
	}
	if bad.Count("GET", "*/repomd.xml") == 0 {
		t.Error("the lying mirror was not asked")
	}
	server.insist()
}
