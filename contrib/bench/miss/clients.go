package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"intelligentmirror/contrib/bench/internal/origin"
	"intelligentmirror/contrib/bench/internal/peer"
)

// bench measures one server after the other.
type bench struct {
	shape
	up    *origin.Origin
	files int // that were made so far: each measurement has a package of its own
}

// visit is what one client got.
type visit struct {
	asked, first, done time.Time // the zero time where it did not come to that
	err                error
}

// outcome is one measurement.
type outcome struct {
	gets           int
	first, slowest time.Duration // to a client's first byte, the median and the last
	worst          time.Duration // slowest of all rounds
	done           time.Duration // from the link's begin until all clients have all of it
	least          time.Duration // what done is where nothing but the link and the clients' own pace count
	cpu            time.Duration
	failures       int
	failed         error // of one of these
}

// measure lets the clients ask c for a package that it does not have, behind the
// slow one if slow is set.
func (b *bench) measure(ctx context.Context, c *contender, slow bool) error {
	b.files++
	name := fmt.Sprintf("/Packages/m/miss-1.%d-1.x86_64.rpm", b.files)
	b.up.Add("/pub"+name, b.size)
	url := c.URL + c.prefix + name
	before, err := c.CPU()
	if err != nil {
		return err
	}
	slowly, enough := context.WithCancel(ctx)
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	var dawdler, crowd sync.WaitGroup
	var late visit
	if slow {
		begun := make(chan struct{})
		dawdler.Go(func() { late.get(slowly, url, b.size, b.slow, func() { close(begun) }) })
		<-begun
	}
	all := make([]visit, b.clients)
	tick := time.NewTicker(max(b.apart, 1))
	defer tick.Stop()
	for i := range all {
		if i > 0 && b.apart > 0 {
			<-tick.C
		}
		crowd.Go(func() { all[i].get(ctx, url, b.size, 0, func() {}) })
	}
	crowd.Wait()
	cause := context.Cause(ctx) // before the slow client is sent away
	enough()
	dawdler.Wait()
	if errors.Is(cause, context.Canceled) {
		return cause
	}
	after, err := c.CPU()
	if err != nil {
		return errors.Join(err, c.Running())
	}
	o := b.outcome(all, b.up.Seen("/pub"+name))
	o.cpu = after - before
	// It is sent away before it has all, as a rule.
	if late.err != nil && !errors.Is(late.err, context.Canceled) {
		o.failures, o.failed = o.failures+1, fmt.Errorf("the slow client: %w", late.err)
	}
	if slow {
		c.beside = append(c.beside, o)
	} else {
		c.alone = append(c.alone, o)
	}
	return nil
}

// outcome sums up what the clients got of a file that was on the link as t says.
func (b *bench) outcome(all []visit, t origin.Transfer) outcome {
	o := outcome{gets: t.GETs}
	o.least = b.link()
	if t.First.IsZero() {
		t.First = all[0].asked // upstream was never asked
	}
	var firsts []time.Duration
	for _, v := range all {
		if v.err != nil {
			o.failures, o.failed = o.failures+1, v.err
			v.done = v.asked.Add(b.patience)
			if v.first.IsZero() {
				v.first = v.done
			}
		}
		firsts = append(firsts, v.first.Sub(later(v.asked, t.First)))
		o.slowest = max(o.slowest, firsts[len(firsts)-1])
		o.done = max(o.done, v.done.Sub(t.First))
		o.least = max(o.least, v.asked.Sub(t.First))
	}
	o.first = peer.Median(firsts)
	return o
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// slowWindow is the slow client's receive buffer in bytes, so that its pace shows
// to the server at once.
const slowWindow = 64 << 10

// get reads a package of that size and compares it with what upstream sends, at
// bytesPerSecond where that is not 0. begun is called when the first byte is
// there, or none will come.
func (v *visit) get(ctx context.Context, url string, size, bytesPerSecond int64, begun func()) {
	begun = sync.OnceFunc(begun)
	defer begun()
	read, piece := io.Reader.Read, 256<<10
	dialer := net.Dialer{}
	if bytesPerSecond > 0 {
		piece = 4 << 10
		pace := rate.NewLimiter(rate.Limit(bytesPerSecond), piece)
		read = func(r io.Reader, p []byte) (int, error) {
			n, err := r.Read(p)
			return n, errors.Join(err, pace.WaitN(ctx, n))
		}
	}
	transport := &http.Transport{
		DisableCompression: true, DisableKeepAlives: true, ReadBufferSize: piece,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if tcp, ok := conn.(*net.TCPConn); ok && bytesPerSecond > 0 {
				err = tcp.SetReadBuffer(slowWindow)
			}
			return conn, err
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		v.err = err
		return
	}
	v.asked = time.Now()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		v.err = err
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		v.err = fmt.Errorf("status %d", resp.StatusCode)
		return
	}
	buf := make([]byte, piece)
	var off int64
	for {
		n, err := read(resp.Body, buf)
		if n > 0 && off == 0 {
			v.first = time.Now()
			begun()
		}
		if !origin.Same(buf[:n], off) {
			v.err = fmt.Errorf("wrong bytes from %d on", off)
			return
		}
		off += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			v.err = fmt.Errorf("after %d of %d bytes: %w", off, size, err)
			return
		}
	}
	if off != size {
		v.err = fmt.Errorf("%d bytes in place of %d", off, size)
		return
	}
	v.done = time.Now()
}

// figures sums up the rounds: medians, but the most GETs, the worst first byte and
// all failures.
func figures(rounds []outcome) outcome {
	of := func(field func(outcome) time.Duration) time.Duration {
		var all []time.Duration
		for _, o := range rounds {
			all = append(all, field(o))
		}
		return peer.Median(all)
	}
	f := outcome{
		first:   of(func(o outcome) time.Duration { return o.first }),
		slowest: of(func(o outcome) time.Duration { return o.slowest }),
		done:    of(func(o outcome) time.Duration { return o.done }),
		least:   of(func(o outcome) time.Duration { return o.least }),
		cpu:     of(func(o outcome) time.Duration { return o.cpu }),
	}
	for _, o := range rounds {
		f.gets = max(f.gets, o.gets)
		f.worst = max(f.worst, o.slowest)
		f.failures += o.failures
		if o.failed != nil {
			f.failed = o.failed
		}
	}
	return f
}
