package systest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// observer stands between a client and the server, and notes what is asked and
// how much is answered. It is safe for concurrent use.
type observer struct {
	url string

	mu     sync.Mutex
	ranges []string // the Range fields
	bytes  int64    // of the bodies, as their headers have it
}

func observe(t testing.TB, server *server) *observer {
	t.Helper()
	to, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		FlushInterval: -1,
		ModifyResponse: func(resp *http.Response) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.ranges = append(o.ranges, resp.Request.Header.Get("Range"))
			o.bytes += resp.ContentLength
			return nil
		},
	})
	t.Cleanup(front.Close)
	o.url = front.URL
	return o
}

// zck is the path in the repository of the metadata's file of zchunks.
func (s *site) zck() string {
	s.t.Helper()
	names, err := filepath.Glob(s.repo + "/repodata/*-primary.xml.zck")
	if err != nil || len(names) != 1 {
		s.t.Fatalf("want one primary.xml.zck, got %q, %v", names, err)
	}
	return "repodata/" + filepath.Base(names[0])
}

// TestZchunk holds that a zchunk client gets the new metadata with the old one's
// help: the parts that it lacks, many ranges in one request, of a file that is
// still coming from upstream and of one that is here.
func TestZchunk(t *testing.T) {
	s := newSite(t)
	publish := func(specs []testrepo.Spec) (path, want string) {
		t.Helper()
		s.publish(specs)
		s.createrepo("--zck")
		path = s.zck()
		return path, files(t, s.repo)[path]
	}
	before := testrepo.Small(testrepo.Campus(1))
	old, want := publish(before)
	server := s.serve()
	zckdl := func(dir, path string, args ...string) (*process, *observer) {
		t.Helper()
		o := observe(t, server)
		s.mkdir(s.dir + "/" + dir)
		args = append(append([]string{"--chdir=" + s.dir + "/" + dir, testrepo.Program(t, "zckdl"), "--fail-no-ranges"}, args...), o.url+"/"+rootName+"/"+path)
		return s.client("env", args...), o
	}
	holds := func(what, path, want string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(s.dir, what, filepath.Base(path)))
		if err != nil || digest(b) != want {
			t.Errorf("%s: %d bytes that are not upstream's, %v", what, len(b), err)
		}
	}
	// The first time there is nothing to go by.
	p, _ := zckdl("first", old)
	if code := p.wait(); code != 0 {
		t.Fatalf("zckdl ended with %d: %s", code, p.stderr.String())
	}
	holds("first", old, want)
	source := filepath.Join(s.dir, "first", filepath.Base(old))

	next, want := publish(testrepo.Overnight(before, 1))
	size := fileSize(t, filepath.Join(s.repo, next))
	// Its header comes, and the parts behind it do not yet.
	s.up.On(upstreamRoot+"/"+next, testrepo.Trickle(size/4).Times(1))
	for _, when := range []string{"arriving", "here"} {
		p, o := zckdl(when, next, "--source="+source)
		if when == "arriving" {
			s.awaitStalled()
			s.await("a request for parts that are not here", func() bool { return server.gauge("imserve_requests_in_progress") > 1 })
			s.up.Release()
		}
		if code := p.wait(); code != 0 {
			t.Errorf("%s: zckdl ended with %d: %s", when, code, p.stderr.String())
		}
		holds(when, next, want)
		o.mu.Lock()
		if o.bytes > size/2 || !slices.ContainsFunc(o.ranges, func(r string) bool { return strings.Count(r, ",") >= 5 }) {
			t.Errorf("%s: %d bytes of %d, by ranges %q", when, o.bytes, size, o.ranges)
		}
		o.mu.Unlock()
		s.awaitFile("/" + rootName + "/" + next)
	}
	for _, path := range []string{old, next} {
		if lines := s.up.Lines("", upstreamRoot+"/"+path); len(lines) != 1 {
			t.Errorf("upstream was asked %q", lines)
		}
	}
	server.stop()
	outcomes := map[string]int{}
	for _, l := range s.accessLog() {
		if strings.HasSuffix(l.path, ".zck") {
			outcomes[l.status+" "+l.outcome]++
		}
	}
	if outcomes["206 imserve; hit"] < 3 || outcomes["206 imserve; fwd=uri-miss; stored; collapsed"] == 0 {
		t.Errorf("the answers: %v", outcomes)
	}
	for answer := range outcomes {
		if !strings.HasPrefix(answer, "206 ") {
			t.Errorf("an answer that is no range: %s", answer)
		}
	}
}
