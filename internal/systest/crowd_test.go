package systest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
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
	first, last time.Time
	digest      string
	err         error
}

// crowd lets n clients ask for a URL at the same moment.
func crowd(n int, url string) []member {
	all := make([]member, n)
	begin := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := range all {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			all[i] = ask(url)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	return all
}

// ask reads a URL to its end.
func ask(url string) (m member) {
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return member{err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return member{err: fmt.Errorf("status %d", resp.StatusCode)}
	}
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 && m.first.IsZero() {
			m.first = time.Now()
		}
		h.Write(buf[:n])
		if err != nil {
			if err != io.EOF {
				m.err = err
			}
			break
		}
	}
	m.last, m.digest = time.Now(), fmt.Sprintf("%x", h.Sum(nil))
	return m
}

// delays is how long after start each of the crowd had its first byte, sorted.
func delays(all []member, start time.Time) []time.Duration {
	var d []time.Duration
	for _, m := range all {
		d = append(d, m.first.Sub(start))
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
			s := newSite(t)
			up := s.watch(extra)
			big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: crowdSize}
			s.publish([]testrepo.Spec{big})
			if c.known {
				s.once()
			}
			server := s.serve()
			up.SetRate(crowdRate)
			all := crowd(crowdClients, server.url+"/"+rootName+"/"+big.Location())

			want := files(t, s.repo)[big.Location()]
			for i, m := range all {
				if m.err != nil || m.digest != want {
					t.Errorf("client %d: %v, digest %s, want %s", i, m.err, m.digest, want)
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

// What a crowd waits for, behind imserve and behind nginx, which holds all but
// the first back until it has the whole file.
func BenchmarkCrowd(b *testing.B) {
	for _, c := range []struct {
		name  string
		start func(*site) (url string)
	}{
		{"imserve", func(s *site) string { return s.serve().url + "/fedora" }},
		{"nginx", (*site).nginx},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newSite(b)
			up := s.watch()
			big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: crowdSize}
			s.publish([]testrepo.Spec{big})
			url := c.start(s)
			up.SetRate(crowdRate)
			var medians, lasts []time.Duration
			gets := 0
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				name := fmt.Sprintf("big-%d-1.x86_64.rpm", i+2)
				location := path.Join(path.Dir(big.Location()), name)
				if err := os.Link(filepath.Join(s.repo, big.Location()), filepath.Join(s.repo, location)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				all := crowd(crowdClients, url+strings.TrimPrefix(upstreamRoot, upstreamBase)+"/"+location)
				b.StopTimer()
				for _, m := range all {
					if m.err != nil || m.digest != all[0].digest {
						b.Fatalf("a client: %v, digest %s", m.err, m.digest)
					}
				}
				d := delays(all, up.at(upstreamRoot+"/"+location))
				medians, lasts = append(medians, d[len(d)/2]), append(lasts, d[len(d)-1])
				gets += up.Count("", upstreamRoot+"/"+location)
				b.StartTimer()
			}
			b.SetBytes(crowdClients * crowdSize)
			slices.Sort(medians)
			b.ReportMetric(float64(medians[len(medians)/2].Microseconds())/1000, "ms-first-byte-median")
			b.ReportMetric(float64(slices.Max(lasts).Microseconds())/1000, "ms-first-byte-last")
			b.ReportMetric(float64(gets)/float64(b.N), "upstream-requests/op")
		})
	}
}
