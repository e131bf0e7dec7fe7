package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// drip is a body of which a byte comes at each of some times after its Read
// begins, and then nothing until its request ends.
type drip struct {
	ctx    context.Context
	waits  []time.Duration
	closed bool
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.waits) == 0 {
		<-d.ctx.Done()
		return 0, d.ctx.Err()
	}
	select {
	case <-time.After(d.waits[0]):
		d.waits = d.waits[1:]
		return copy(p, "x"), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d *drip) Close() error { d.closed = true; return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (f roundTrip) CloseIdleConnections() {}

func TestWatchdog(t *testing.T) {
	const idle = 10 * time.Second
	for _, tt := range []struct {
		name   string
		waits  []time.Duration
		reader time.Duration // between two reads
		bytes  int
		after  time.Duration
	}{
		{"silent from the first", nil, 0, 0, idle},
		{"slow, but never silent for too long", []time.Duration{idle - 1, idle - 1, idle - 1, idle - 1}, 0, 4, 5*idle - 4},
		{"silent for too long", []time.Duration{1, idle + 1, 1}, 0, 1, idle + 1},
		{"a slow reader is not the mirror's fault", []time.Duration{1, 1, 1}, time.Hour, 3, 4*time.Hour + 3 + idle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var body *drip
				w := &watchdog{idle: idle, next: roundTrip(func(r *http.Request) (*http.Response, error) {
					body = &drip{ctx: r.Context(), waits: tt.waits}
					return &http.Response{Body: body}, nil
				})}
				start := time.Now()
				resp, err := w.RoundTrip(new(http.Request).WithContext(t.Context()))
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for err == nil {
					time.Sleep(tt.reader)
					var k int
					k, err = resp.Body.Read(make([]byte, 10))
					n += k
				}
				if !errors.Is(err, errStalled) || !timedOut(err) || n != tt.bytes || time.Since(start) != tt.after {
					t.Errorf("%d bytes, %v after %s; want %d after %s", n, err, time.Since(start), tt.bytes, tt.after)
				}
				resp.Body.Close()
				resp.Body.Close()
				if !body.closed || body.ctx.Err() == nil {
					t.Error("the request goes on")
				}
			})
		})
	}
}

// TestWatchdogLetsGo: the end of a body, and an error of its own, are what they are.
func TestWatchdogLetsGo(t *testing.T) {
	w := &watchdog{idle: time.Hour, next: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == "FAIL" {
			return nil, io.ErrClosedPipe
		}
		return &http.Response{Body: http.NoBody}, nil
	})}
	resp, err := w.RoundTrip(new(http.Request))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := w.RoundTrip(&http.Request{Method: "FAIL"}); err != io.ErrClosedPipe {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.next = roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{Body: &drip{ctx: r.Context()}}, nil
	})
	if resp, err = w.RoundTrip(new(http.Request).WithContext(ctx)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) || timedOut(err) {
		t.Errorf("a request that was called off: %v", err)
	}
	resp.Body.Close()
}
