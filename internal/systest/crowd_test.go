package systest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// The crowd of the promise: so many clients ask at once for a package of that
// size, over an upstream of that many bytes a second.
const (
	crowdClients = 50
	crowdSize    = 32 << 20
	crowdRate    = 20 << 20
)

// stopwatch is an upstream that notes when the first byte of each file left it.
type stopwatch struct {
	*testrepo.Server
	mu    sync.Mutex
	first map[string]time.Time // by path
}

// watch puts a stopwatch in front of the site's upstream, and lets the
// configuration name it.
func (s *site) watch(extra ...string) *stopwatch {
	s.t.Helper()
	w := &stopwatch{Server: s.up, first: map[string]time.Time{}}
	front := httptest.NewServer(w)
	s.t.Cleanup(front.Close)
	s.base = front.URL
	s.configure(extra...)
	return w
}

func (w *stopwatch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.Server.ServeHTTP(&watched{rw, w, r.URL.Path}, r)
}

// at is when the first byte of a path left upstream.
func (w *stopwatch) at(path string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first[path]
}

// watched is a ResponseWriter of the stopwatch.
type watched struct {
	http.ResponseWriter
	w    *stopwatch
	path string
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) Write(b []byte) (int, error) {
	w.w.mu.Lock()
	if _, ok := w.w.first[w.path]; !ok {
		w.w.first[w.path] = time.Now()
	}
	w.w.mu.Unlock()
	return w.ResponseWriter.Write(b)
}

// member is what one client of a crowd got.
type member struct {
	asked, first time.Time // its request was sent, its first byte came
	bytes        int64
	err          error
}

// crowd lets a client for each sink ask for a URL at the same moment, and write
// what it gets there. None reads on before all have their first byte: the clients
// have the server's processors, and what the first of them read would be what the
// last of them wait for.
func crowd(url string, sinks []hash.Hash) []member {
	all := make([]member, len(sinks))
	begin := make(chan struct{})
	var ready, first, done sync.WaitGroup
	first.Add(len(sinks))
	for i, sink := range sinks {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			all[i].ask(url, sink, &first)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	return all
}

// ask reads a URL to its end, behind its first byte when first is done.
func (m *member) ask(url string, sink io.Writer, first *sync.WaitGroup) {
	begun := sync.OnceFunc(first.Done)
	defer begun()
	sent := httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { m.asked = time.Now() }}
	var req *http.Request
	req, m.err = http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), &sent), http.MethodGet, url, nil)
	if m.err != nil {
		return
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		m.err = err
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		m.err = fmt.Errorf("status %d", resp.StatusCode)
		return
	}
	body := bufio.NewReaderSize(resp.Body, 256<<10)
	if _, m.err = body.Peek(1); m.err != nil {
		return
	}
	m.first = time.Now()
	begun()
	first.Wait()
	m.bytes, m.err = io.Copy(sink, body)
}

// delays is how long each of the crowd waited for its first byte after it had
// asked and upstream had sent it, sorted.
func delays(all []member, there time.Time) []time.Duration {
	var d []time.Duration
	for _, m := range all {
		from := m.asked
		if there.After(from) {
			from = there
		}
		d = append(d, m.first.Sub(from))
	}
	slices.Sort(d)
	return d
}

// Many clients that ask at once for a package that is not there cause one
// download, and each gets all of it as it arrives.
func TestCrowd(t *testing.T) {
	for _, c := range []struct {
		name  string
		known bool // metadata lists the package, with its digest
	}{{"listed", true}, {"not listed", false}} {
		t.Run(c.name, func(t *testing.T) {
			extra := "[sync]\nroots = [\"" + rootName + "\"]\npackages = []"
			s := newSite(t).underRace()
			up := s.watch(extra)
			big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: crowdSize}
			if raceDetector {
				big.Size /= 4 // the clients, who hash all that they get, are slower than the server
			}
			s.publish([]testrepo.Spec{big})
			if c.known {
				s.once()
			}
			server := s.serve()
			up.SetRate(crowdRate)
			sums := make([]hash.Hash, crowdClients)
			for i := range sums {
				sums[i] = sha256.New()
			}
			all := crowd(server.url+"/"+rootName+"/"+big.Location(), sums)

			want := files(t, s.repo)[big.Location()]
			for i, m := range all {
				if got := fmt.Sprintf("%x", sums[i].Sum(nil)); m.err != nil || got != want {
					t.Errorf("client %d: %v, %d bytes with digest %s, want %s", i, m.err, m.bytes, got, want)
				}
			}
			path := upstreamRoot + "/" + big.Location()
			if lines := up.Lines("", path); len(lines) != 1 {
				t.Errorf("upstream was asked %d times:\n%s", len(lines), strings.Join(lines, "\n"))
			}
			d := delays(all, up.at(path))
			t.Logf("first byte after upstream's: median %v, last %v", d[len(d)/2], d[len(d)-1])
		})
	}
}
