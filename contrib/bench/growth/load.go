package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// target is where a site's files are to be had.
type target struct {
	base string // URL of the repository's root, with a slash at its end
	site *site
}

// visitor is a client with a connection of its own.
type visitor struct {
	target
	client *http.Client
	buf    bytes.Buffer
}

func (at target) visitor() *visitor {
	return &visitor{target: at, client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}}}
}

// get asks for the i-th file, compares it, and says how long all that it had to wait for
// took.
func (v *visitor) get(ctx context.Context, i int) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+v.site.files[i].path, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	resp, err := v.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	v.buf.Reset()
	if _, err := io.Copy(&v.buf, resp.Body); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if resp.StatusCode != http.StatusOK || !bytes.Equal(v.buf.Bytes(), v.site.body(i)) {
		return 0, fmt.Errorf("%s: %s, %d bytes", req.URL, resp.Status, v.buf.Len())
	}
	return took, nil
}

// all asks for each file once.
func (at target) all(ctx context.Context, clients int) error {
	var next atomic.Int64
	var crowd errgroup.Group
	for range clients {
		crowd.Go(func() error {
			v := at.visitor()
			defer v.client.CloseIdleConnections()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(at.site.files) {
					return nil
				}
				if _, err := v.get(ctx, i); err != nil {
					return err
				}
			}
		})
	}
	return crowd.Wait()
}

// latency lets clients ask for files at random, each with one request at a time, and notes
// how long half of the requests, and 99 in a hundred, took at the most, and how many were
// answered a second. The connections stay until the next measurement.
func (b *bench) latency(ctx context.Context, at target, clients int, to map[string]float64, half, most string) error {
	var left atomic.Int64
	left.Store(int64(b.requests))
	waits := make([][]time.Duration, clients)
	var crowd errgroup.Group
	began := time.Now()
	for c := range clients {
		crowd.Go(func() error {
			v := at.visitor()
			draw := rand.New(rand.NewPCG(1, uint64(c)))
			for left.Add(-1) >= 0 {
				took, err := v.get(ctx, draw.IntN(len(at.site.files)))
				if err != nil {
					return err
				}
				waits[c] = append(waits[c], took)
			}
			return nil
		})
	}
	if err := crowd.Wait(); err != nil {
		return err
	}
	all := slices.Sorted(slices.Values(slices.Concat(waits...)))
	to[half], to[most] = milliseconds(all[len(all)/2]), milliseconds(all[len(all)*99/100])
	if half == median {
		to[speed] = float64(len(all)) / time.Since(began).Seconds()
	}
	return nil
}
