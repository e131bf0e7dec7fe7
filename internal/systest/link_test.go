package systest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// link is the way to a server, which counts what passes and, where it is told to,
// spoils bodies on it: one in so many has another byte somewhere, or ends too early.
// It is slower than who reads from it, so that little waits on the way.
type link struct {
	url  string
	pace *rate.Limiter // bytes

	mu              sync.Mutex
	corrupt, cut    int // one body in so many; 0 is none
	bodies          int
	files, lists    int64 // bytes of bodies that have passed
	requests        []string
	corrupted, cuts int
}

// How many bytes a second pass a link, and how many at once.
const (
	linkRate  = 16 << 20
	linkPiece = 16 << 10
)

// newLink is a way to the server at target. It says nothing of the client: what comes
// by a proxy is not answered.
func newLink(t testing.TB, target string) *link {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{pace: rate.NewLimiter(linkRate, linkPiece)}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to) },
		FlushInterval:  -1,
		ModifyResponse: l.pass,
		ErrorLog:       log.New(io.Discard, "", 0), // it only speaks of what is broken on purpose
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	l.url = s.URL
	return l
}

// pass notes an answer and decides what happens to its body.
func (l *link) pass(resp *http.Response) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &passing{ReadCloser: resp.Body, r: resp.Request, l: l, spoilt: -1, ends: -1, list: !strings.HasPrefix(resp.Request.URL.Path, "/-/stored/")}
	l.requests = append(l.requests, resp.Request.URL.Path+" "+resp.Status[:3])
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent {
		l.bodies++
		half := max(resp.ContentLength, 0) / 2
		switch {
		case l.corrupt > 0 && l.bodies%l.corrupt == 0:
			b.spoilt = half
			l.corrupted++
		case l.cut > 0 && l.bodies%l.cut == 0:
			b.ends = half
			l.cuts++
		}
	}
	resp.Body = b
	return nil
}

// passing is a body on its way.
type passing struct {
	io.ReadCloser
	r            *http.Request
	l            *link
	list         bool
	at           int64
	spoilt, ends int64 // the byte that is another, and where the body ends; -1 for none
}

func (b *passing) Read(p []byte) (int, error) {
	if b.ends >= 0 && b.at >= b.ends {
		return 0, io.ErrUnexpectedEOF
	}
	if b.ends >= 0 {
		p = p[:min(int64(len(p)), b.ends-b.at)]
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), linkPiece)])
	if werr := b.l.pace.WaitN(b.r.Context(), n); werr != nil {
		return 0, werr // the client has left
	}
	if b.spoilt >= b.at && b.spoilt < b.at+int64(n) {
		p[b.spoilt-b.at] ^= 1
	}
	b.at += int64(n)
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	if b.list {
		b.l.lists += int64(n)
	} else {
		b.l.files += int64(n)
	}
	return n, err
}

// spoil has one body in so many corrupted or cut, of those to come; 0 is none.
func (l *link) spoil(corrupt, cut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.corrupt, l.cut = corrupt, cut
}

// passed is how many bytes of files and of lists have passed.
func (l *link) passed() (files, lists int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files, l.lists
}

// since is the requests after the first n, and how many there are by now.
func (l *link) since(n int) ([]string, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.requests[n:]...), len(l.requests)
}

// await waits until n bytes of files have passed, or the process has ended.
func (l *link) await(p *process, n int64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if files, _ := l.passed(); files >= n {
			return
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return
		}
	}
}
