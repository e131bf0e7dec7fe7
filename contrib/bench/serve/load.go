package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"

	"intelligentmirror/contrib/bench/internal/origin"
)

// load is what clients ask for.
type load struct {
	name, what  string
	connections int
	files       []file
	sequence    []int // the files in the order in which they are asked for, again and again
}

type file struct {
	path string // below the packages' directory
	size int64  // bytes
}

// loads are the three: one small package, a mix as a site has it, one large package.
func loads(packages int) []load {
	return []load{
		{
			name: "small", what: "a package of 16 KiB", connections: 64,
			files: []file{{"/Packages/s/small-1.0-1.x86_64.rpm", 16 << 10}}, sequence: []int{0},
		},
		mix(packages),
		{
			name: "large", what: "a package of 32 MiB", connections: 16,
			files: []file{{"/Packages/l/large-1.0-1.x86_64.rpm", 32 << 20}}, sequence: []int{0},
		},
	}
}

// Of the mix: sizes are log-normal, about as those of Fedora's updates, and the n-th
// most popular package is asked for in proportion to 1/n (Zipf).
const (
	medianSize = 64 << 10
	sigma      = 1.6
	leastSize  = 6 << 10
	mostSize   = 64 << 20
	draws      = 20_000
)

// mix is a number of packages; the same ones in each run.
func mix(packages int) load {
	random := rand.New(rand.NewPCG(1, 2))
	l := load{name: "mix", connections: 32}
	weights := make([]float64, packages)
	var sum float64
	var bytes int64
	for i := range packages {
		size := min(max(int64(medianSize*math.Exp(sigma*random.NormFloat64())), leastSize), mostSize)
		l.files = append(l.files, file{fmt.Sprintf("/Packages/m/mix%d-1.0-1.x86_64.rpm", i), size})
		bytes += size
		sum += 1 / float64(i+1)
		weights[i] = sum
	}
	for range draws {
		at := random.Float64() * sum
		n := 0
		for n < packages-1 && weights[n] < at {
			n++
		}
		l.sequence = append(l.sequence, n)
	}
	l.what = fmt.Sprintf("%d packages of %d MiB in all", packages, bytes>>20)
	return l
}

// publish puts the packages upstream and, as files, into dir.
func publish(loads []load, up *origin.Origin, dir string) error {
	for _, l := range loads {
		for _, f := range l.files {
			up.Add("/pub"+f.path, f.size)
			name := filepath.Join(dir, "pub", f.path)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			to, err := os.Create(name)
			if err != nil {
				return err
			}
			if err := errors.Join(origin.Copy(to, f.size), to.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// gets is how often upstream was asked for the packages.
func gets(loads []load, up *origin.Origin) (n int) {
	for _, l := range loads {
		for _, f := range l.files {
			n += up.Seen("/pub" + f.path).GETs
		}
	}
	return n
}

// warm asks c for each package three times: the first fills the cache, and what was asked for
// twice may be kept elsewhere than what was asked for once. Each is compared with
// what upstream has.
func (c *contender) warm(ctx context.Context, loads []load) error {
	for range 3 {
		for _, l := range loads {
			for _, f := range l.files {
				if err := check(ctx, c.URL+c.prefix+f.path, f.size); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// check gets a package and compares it.
func check(ctx context.Context, url string, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	var off int64
	for in, buf := bufio.NewReader(resp.Body), make([]byte, 64<<10); ; {
		n, err := in.Read(buf)
		if !origin.Same(buf[:n], off) {
			return fmt.Errorf("%s: wrong bytes from %d on", url, off)
		}
		if off += int64(n); err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if off != size {
		return fmt.Errorf("%s: %d bytes in place of %d", url, off, size)
	}
	return nil
}
