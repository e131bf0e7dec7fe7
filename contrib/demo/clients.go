package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/testrepo"
)

// machines is how many clients the site has by day.
const machines = 20

// group is one kind of request, and what became of them.
type group struct {
	what             string
	requests, hits   int
	collapsed        int             // that followed another one's download
	served, upstream int64           // bytes
	waits            []time.Duration // of each request for the first byte
}

// median is the wait that half of the requests did not exceed.
func (g group) median() time.Duration {
	if len(g.waits) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(g.waits))[len(g.waits)/2]
}

// ask is one request: who asks for what.
type ask struct {
	machine int
	path    string // below the root
}

// day lets the clients ask, one group after the other, and checks every byte.
func (s *stage) day(ctx context.Context, srv *server) ([]group, error) {
	var all []group
	for _, g := range []struct {
		what   string
		asks   []ask
		atOnce int // machines
	}{
		{fmt.Sprintf("%d machines look for updates: metadata", machines), s.metadata(), few},
		{fmt.Sprintf("%d machines update what is popular", machines), s.popular(), few},
		{"a fresh machine: mplayer, vlc, gstreamer", s.fresh(), few},
		{"packages that nobody asked for before", s.never(8), few},
		{fmt.Sprintf("%d machines at once: a large new one", machines), s.large(), machines},
	} {
		s.up.Forget()
		done, err := s.send(ctx, srv, g.asks, g.atOnce)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.what, err)
		}
		done.what, done.upstream = g.what, s.up.Sent("*")
		all = append(all, done)
	}
	return all, nil
}

// few is how many machines ask at once where nothing else is said: they compare
// what they get on the same processors that serve it.
const few = 2

// send lets each machine ask for what it wants, one thing after the other.
func (s *stage) send(ctx context.Context, srv *server, asks []ask, atOnce int) (group, error) {
	var total group
	var mu sync.Mutex
	var wait errgroup.Group
	wait.SetLimit(atOnce)
	for m := range machines {
		wait.Go(func() error {
			for _, a := range asks {
				if a.machine != m {
					continue
				}
				got, err := s.fetch(ctx, srv, a)
				if err != nil {
					return fmt.Errorf("%s: %w", a.path, err)
				}
				mu.Lock()
				total.requests++
				total.hits += got.hits
				total.collapsed += got.collapsed
				total.served += got.served
				total.waits = append(total.waits, got.waits...)
				s.used[a.path] = true
				mu.Unlock()
			}
			return nil
		})
	}
	return total, wait.Wait()
}

// fetch asks for a file as a client of the site does, and compares it with upstream's.
func (s *stage) fetch(ctx context.Context, srv *server, a ask) (got group, err error) {
	began := time.Now()
	resp, err := srv.get(ctx, a)
	if err != nil {
		return got, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return got, errors.New(resp.Status)
	}
	status := resp.Header.Get("Cache-Status")
	switch {
	case strings.Contains(status, "; hit"):
		got.hits = 1
	case strings.Contains(status, "; collapsed"):
		got.collapsed = 1
	}
	body := bufio.NewReader(resp.Body)
	if _, err := body.Peek(1); err != nil {
		return got, err
	}
	got.waits = []time.Duration{time.Since(began)}
	h := sha256.New()
	if got.served, err = io.Copy(h, body); err != nil {
		return got, err
	}
	if [32]byte(h.Sum(nil)) != s.sums[a.path] {
		return got, errors.New("the bytes are not upstream's")
	}
	return got, nil
}

// get asks for a file in the name of one of the machines: the server trusts its
// own host to say who the client is.
func (srv *server) get(ctx context.Context, a ask) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.url+"/"+rootName+"/"+a.path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.20.1.%d", a.machine+1))
	req.Header.Set("User-Agent", "libdnf (Fedora Linux 41; workstation; Linux.x86_64)")
	return http.DefaultClient.Do(req)
}

// missing asks for a package that is not in the cache, with upstream gone, and
// returns its name with the status, and the first line of the answer.
func (s *stage) missing(ctx context.Context, srv *server) (string, error) {
	for _, p := range s.specs {
		if s.fetched[p.Location()] || s.used[p.Location()] {
			continue
		}
		resp, err := srv.get(ctx, ask{0, p.Location()})
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", err
		}
		return p.Filename() + ": " + resp.Status + "\n" + strings.TrimSpace(line), nil
	}
	return "", errors.New("everything is in the cache")
}

// metadata is what dnf asks for first.
func (s *stage) metadata() []ask {
	var all []ask
	for m := range machines {
		all = append(all, ask{m, "repodata/repomd.xml"})
		for name := range s.sums {
			if strings.HasSuffix(name, "-primary.xml.zst") {
				all = append(all, ask{m, name})
			}
		}
	}
	return all
}

// popular is what each machine updates in the morning.
func (s *stage) popular() []ask {
	var all []ask
	for m := range machines {
		for _, name := range []string{"kernel", "kernel-core", "kernel-modules", "firefox", "systemd", "NetworkManager", "glibc"} {
			all = append(all, ask{m, s.spec(name).Location()})
		}
	}
	return all
}

// fresh is what a machine fetches that was set up today: the seed list, part of
// what it needs.
func (s *stage) fresh() []ask {
	var all []ask
	for _, p := range s.specs {
		switch {
		case p.Name == "mplayer", p.Name == "vlc", strings.HasPrefix(p.Name, "gstreamer1-plugin") && !strings.HasSuffix(p.Name, "-devel"),
			p.Name == "ffmpeg-libs", p.Name == "x264-libs", p.Name == "numactl-libs", p.Name == "vlc-libs":
			all = append(all, ask{0, p.Location()})
		}
	}
	return all
}

// never is the first n packages that the log doesn't have and no night fetched.
func (s *stage) never(n int) []ask {
	var all []ask
	for _, p := range s.specs {
		if len(all) < n && !s.wanted[p.Name] && !s.fetched[p.Location()] {
			all = append(all, ask{len(all), p.Location()})
		}
	}
	return all
}

// large is the largest package that no night fetched, for every machine.
func (s *stage) large() []ask {
	var most testrepo.Spec
	for _, p := range s.specs {
		if s.wanted[p.Name] && !s.fetched[p.Location()] && p.Size > most.Size {
			most = p
		}
	}
	var all []ask
	for m := range machines {
		all = append(all, ask{m, most.Location()})
	}
	return all
}
