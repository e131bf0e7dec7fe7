package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"intelligentmirror/contrib/bench/internal/origin"
	"intelligentmirror/contrib/bench/internal/peer"
)

// The files that upstream has.
const (
	large     = "/Packages/l/large-1-1.x86_64.rpm"
	small     = "/Packages/s/small-1-1.x86_64.rpm"
	smallSize = 16 << 10
)

// unlimited is the speed of a link that nobody waits for.
const unlimited = math.MaxInt64

const (
	sampleEvery = 200 * time.Millisecond
	dialing     = 64 // connections that are made at the same time
)

// kind is one thing that clients do while the server's memory is looked at.
type kind struct {
	name string
	// ready brings the server into the state in which it is measured; nil: it is.
	ready func(context.Context, shape, *origin.Origin, target) error
	// begin starts the clients, which go on until ctx ends.
	begin func(context.Context, shape, target) (*crowd, error)
}

// cases are what is measured, in this order.
var cases = []kind{
	{"as it arrives", func(_ context.Context, s shape, up *origin.Origin, _ target) error {
		up.SetRate(s.pace)
		return nil
	}, func(ctx context.Context, s shape, at target) (*crowd, error) { return download(ctx, s, at, 0) }},
	{"from the cache", func(ctx context.Context, s shape, _ *origin.Origin, at target) error {
		return at.fetch(ctx, large, s.size)
	}, func(ctx context.Context, s shape, at target) (*crowd, error) { return download(ctx, s, at, s.pace) }},
	{"idle", nil, idle},
}

// target is a server, and where upstream's files are on it.
type target struct {
	*peer.Peer
	prefix string
}

// taken is what one case took.
type taken struct {
	before, most peer.Memory
	served       int
	rate         int64 // bytes a second
	cpu          time.Duration
}

// measure starts a server and watches it while its clients do one thing.
func (s shape) measure(ctx context.Context, up *origin.Origin, m peer.Mirror, k kind) (t taken, err error) {
	up.SetRate(unlimited)
	p, err := m.Start(ctx)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	at := target{p, m.Prefix}
	if err := at.fetch(ctx, small, smallSize); err != nil {
		return t, err
	}
	if k.ready != nil {
		if err := k.ready(ctx, s, up, at); err != nil {
			return t, err
		}
	}
	if t.before, err = p.Memory(); err != nil {
		return t, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cpu, err := p.CPU()
	if err != nil {
		return t, err
	}
	all, err := k.begin(ctx, s, at)
	if err != nil {
		return t, err
	}
	begin, first := time.Now(), all.bytes.Load()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	end := time.After(s.during)
watching:
	for {
		now, err := p.Memory()
		if err != nil {
			return t, errors.Join(err, p.Running())
		}
		if now.PSS > t.most.PSS {
			t.most = now
		}
		select {
		case <-tick.C:
		case <-end:
			break watching
		case <-ctx.Done():
			return t, ctx.Err()
		}
	}
	t.rate = int64(float64(all.bytes.Load()-first) / time.Since(begin).Seconds())
	after, err := p.CPU()
	t.cpu = after - cpu
	if err != nil {
		return t, err
	}
	cancel()
	t.served = int(all.served.Load())
	return t, all.wait()
}

// crowd is the clients of one case. They count what they get.
type crowd struct {
	bytes, served atomic.Int64
	group         errgroup.Group
}

// wait waits for the clients' end. The error is of one that got what is wrong.
func (c *crowd) wait() error { return c.group.Wait() }

// download lets the clients ask for the large package at once, and read it at
// that pace, in bytes a second; 0 is as fast as it comes.
func download(ctx context.Context, s shape, at target, pace int64) (*crowd, error) {
	c := &crowd{}
	for range s.clients {
		c.group.Go(func() error { return c.read(ctx, at, pace) })
	}
	return c, nil
}

// read is one client. That it is sent away in the middle is no error.
func (c *crowd) read(ctx context.Context, at target, pace int64) error {
	resp, err := at.get(ctx, large)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buf := make([]byte, 32<<10)
	limit := rate.NewLimiter(rate.Inf, len(buf))
	if pace > 0 {
		limit.SetLimit(rate.Limit(pace))
	}
	served := sync.OnceFunc(func() { c.served.Add(1) })
	for off := int64(0); ; {
		n, err := resp.Body.Read(buf)
		if !origin.Same(buf[:n], off) {
			return fmt.Errorf("wrong bytes from %d on", off)
		}
		if n > 0 {
			served()
		}
		off += int64(n)
		c.bytes.Add(int64(n))
		switch {
		case ctx.Err() != nil || err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("after %d bytes: %w", off, err)
		}
		if limit.WaitN(ctx, n) != nil {
			return nil
		}
	}
}

// idle opens connections on which one request is answered each.
func idle(ctx context.Context, s shape, at target) (*crowd, error) {
	c := &crowd{}
	open := errgroup.Group{}
	open.SetLimit(dialing)
	for range s.idle {
		open.Go(func() error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.Addr)
			if err != nil {
				return err
			}
			if err := ask(conn, at.prefix+small); err != nil {
				return errors.Join(err, conn.Close())
			}
			c.served.Add(1)
			c.group.Go(func() error {
				<-ctx.Done()
				return conn.Close()
			})
			return nil
		})
	}
	return c, open.Wait()
}

// ask sends a request for the small package on a connection that stays open, and
// reads the answer.
func ask(conn net.Conn, path string) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: bench.test\r\n\r\n", path); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	return whole(resp, smallSize)
}

// get asks for a file; the answer's status is 200.
func (at target) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.URL+at.prefix+path, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s", path, resp.Status), resp.Body.Close())
	}
	return resp, nil
}

// fetch gets all of a file.
func (at target) fetch(ctx context.Context, path string, size int64) error {
	resp, err := at.get(ctx, path)
	if err != nil {
		return err
	}
	return whole(resp, size)
}

// whole reads an answer to its end and compares it with what upstream sends.
func whole(resp *http.Response, size int64) error {
	defer resp.Body.Close()
	buf := make([]byte, 32<<10)
	for off := int64(0); ; {
		n, err := resp.Body.Read(buf)
		if !origin.Same(buf[:n], off) {
			return fmt.Errorf("wrong bytes from %d on", off)
		}
		off += int64(n)
		if err == io.EOF && off == size {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s, after %d of %d bytes: %w", strings.TrimSpace(resp.Status), off, size, err)
		}
	}
}

// figures are the medians of the rounds.
func figures(rounds []taken) taken {
	of := func(field func(taken) int64) int64 {
		var all []int64
		for _, t := range rounds {
			all = append(all, field(t))
		}
		return peer.Median(all)
	}
	memory := func(which func(taken) peer.Memory) peer.Memory {
		return peer.Memory{
			RSS:       of(func(t taken) int64 { return which(t).RSS }),
			PSS:       of(func(t taken) int64 { return which(t).PSS }),
			Anonymous: of(func(t taken) int64 { return which(t).Anonymous }),
			Peak:      of(func(t taken) int64 { return which(t).Peak }),
		}
	}
	return taken{
		before: memory(func(t taken) peer.Memory { return t.before }),
		most:   memory(func(t taken) peer.Memory { return t.most }),
		served: int(of(func(t taken) int64 { return int64(t.served) })),
		rate:   of(func(t taken) int64 { return t.rate }),
		cpu:    time.Duration(of(func(t taken) int64 { return int64(t.cpu) })),
	}
}
