package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

const (
	startTime = 2 * time.Minute  // for imserve to be ready
	stopTime  = 30 * time.Second // for it to end
	settling  = 2 * time.Second  // in which it walks over what is stored
	askEvery  = 2 * time.Millisecond
)

// server is imserve under way with a site's cache.
type server struct {
	url   string
	cmd   *exec.Cmd
	said  strings.Builder
	ended chan struct{}
	ready time.Duration // that it took
}

// serve starts imserve and waits until it says that it is ready.
func (b *bench) serve(ctx context.Context, s *site) (*server, error) {
	p := &server{url: "http://" + s.addr, ended: make(chan struct{})}
	p.cmd = exec.Command(b.imserve, "--config", s.config) // its end is stop's
	p.cmd.Stderr = &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // that it ended is what counts
		close(p.ended)
	}()
	for {
		resp, err := http.Get(p.url + "/-/readyz")
		if err == nil {
			err = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.ready = time.Since(began)
				return p, err
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), p.stop())
		case <-p.ended:
			return nil, fmt.Errorf("imserve has ended: %s", p.said.String())
		}
		if time.Since(began) > startTime {
			return nil, errors.Join(fmt.Errorf("imserve is not ready: %w", err), p.stop())
		}
	}
}

// stop ends it.
func (p *server) stop() error {
	http.DefaultClient.CloseIdleConnections()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended gets none
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTime):
		return errors.Join(errors.New("imserve does not end when it is asked to"), p.cmd.Process.Kill())
	}
}

// measure measures all that grows with the files. Evictions come last: they leave less.
func (b *bench) measure(ctx context.Context, s *site, nginx bool) (result, error) {
	r := result{len(s.files), map[string]float64{}}
	if err := b.nights(ctx, s, r.figures); err != nil {
		return r, err
	}
	var ready, cpu []float64
	for range b.rounds {
		p, err := b.serve(ctx, s)
		if err != nil {
			return r, err
		}
		select {
		case <-time.After(settling):
		case <-ctx.Done():
			return r, errors.Join(ctx.Err(), p.stop())
		}
		took, err := peer.CPUOf(p.cmd.Process.Pid)
		if err := errors.Join(err, p.stop()); err != nil {
			return r, err
		}
		ready, cpu = append(ready, p.ready.Seconds()), append(cpu, took.Seconds())
	}
	r.figures[startup], r.figures[startCPU] = peer.Median(ready), peer.Median(cpu)
	if err := b.hits(ctx, s, r.figures); err != nil {
		return r, err
	}
	if nginx {
		if err := b.peerHits(ctx, s, r.figures); err != nil {
			return r, err
		}
	}
	return r, b.evictions(ctx, s, r.figures)
}

// hits measures the hits of a server that has answered for each file once, what it has in
// memory then, and its status page.
func (b *bench) hits(ctx context.Context, s *site, to map[string]float64) (err error) {
	p, err := b.serve(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	at := target{p.url + "/bench/", s}
	if err := at.all(ctx, b.clients); err != nil {
		return err
	}
	if err := b.latency(ctx, at, b.clients, to, median, slow); err != nil {
		return err
	}
	m, err := peer.MemoryOf(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	to[memory] = float64(m.PSS) / (1 << 20)
	to[page], err = b.medianOf(func() (float64, error) {
		began := time.Now()
		resp, err := http.Get(p.url + "/-/")
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return milliseconds(time.Since(began)), errors.Join(err, resp.Body.Close())
	})
	return err
}

// peerHits measures the same hits of nginx's proxy_cache.
func (b *bench) peerHits(ctx context.Context, s *site, to map[string]float64) (err error) {
	nginx := peer.Mirrors(b.imserve, s.up.URL)[1]
	config := nginx.Config
	nginx.Config = func(p peer.Place) string {
		// Its table of keys takes 8,000 a MiB, and lets go what is more.
		return strings.Replace(config(p), "keys_zone=packages:10m", "keys_zone=packages:64m", 1)
	}
	p, err := nginx.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	at := target{p.URL + nginx.Prefix + "/", s}
	if err := at.all(ctx, b.clients); err != nil {
		return err
	}
	return b.latency(ctx, at, b.clients, to, nginxMedian, nginxSlow)
}

// crowds measures what grows with the clients that ask at a time.
func (b *bench) crowds(ctx context.Context, s *site, sizes []int) (all []result, err error) {
	for _, n := range sizes {
		p, err := b.serve(ctx, s)
		if err != nil {
			return nil, err
		}
		r := result{n, map[string]float64{}}
		at := target{p.url + "/bench/", s}
		err = at.all(ctx, b.clients)
		if err == nil {
			err = b.latency(ctx, at, n, r.figures, median, slow)
		}
		m, failed := peer.MemoryOf(p.cmd.Process.Pid)
		r.figures[crowdMemory] = float64(m.PSS) / (1 << 20)
		if err := errors.Join(err, failed, p.stop()); err != nil {
			return nil, fmt.Errorf("%d clients: %w", n, err)
		}
		all = append(all, r)
	}
	return all, nil
}
