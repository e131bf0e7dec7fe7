package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What the quarantine keeps at the most: there is one sample of a file, and a
// mirror that is broken or hostile has many.
const (
	maxSamples     = 64
	maxSampleBytes = 256 << 20
)

// quarantine is a directory of bytes that upstream sent and that were refused,
// for the administrator to look at: of each file the last that came, with a text
// of the same name beside it. Nothing is ever served from there. It is safe for
// concurrent use, by several processes.
type quarantine struct {
	dir     string
	samples int
	bytes   int64
	now     func() time.Time

	mu sync.Mutex
}

func newQuarantine(dir string, now func() time.Time) *quarantine {
	return &quarantine{dir: dir, samples: maxSamples, bytes: maxSampleBytes, now: now}
}

const textSuffix = ".txt"

// keep keeps the bytes at path, which are on the same file system, as the sample
// of k, and why they were refused. They are not copied. Of what is larger than
// the quarantine only the text is kept.
func (q *quarantine) keep(k Key, path string, size int64, e *WrongContentError) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return err
	}
	name := filepath.Base(path)
	sample := filepath.Join(q.dir, name)
	if err := remove(sample); err != nil {
		return err
	}
	kept := "the file beside this one"
	if size > q.bytes {
		kept = "none, it would be too large"
	} else if err := os.Link(path, sample); err != nil {
		return err
	}
	text := fmt.Sprintf("file:     %s\nfrom:     %s\nwhen:     %s\nexpected: %s\ncame:     %s\nsample:   %s\n",
		k, e.URL, q.now().UTC().Format(time.RFC3339), e.Expected, e.Came, kept)
	if err := os.WriteFile(sample+textSuffix, []byte(text), 0o600); err != nil {
		return err
	}
	return q.trim(name)
}

// trim removes the oldest samples while there are too many, but not the one
// called name.
func (q *quarantine) trim(name string) error {
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return err
	}
	type sample struct {
		name  string
		at    time.Time
		bytes int64
	}
	byName := map[string]*sample{}
	var bytes int64
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		base := strings.TrimSuffix(e.Name(), textSuffix)
		s := byName[base]
		if s == nil {
			s = &sample{name: base}
			byName[base] = s
		}
		if fi.ModTime().After(s.at) {
			s.at = fi.ModTime()
		}
		s.bytes += fi.Size()
		bytes += fi.Size()
	}
	left := len(byName)
	delete(byName, name)
	for _, s := range slices.SortedFunc(maps.Values(byName), func(a, b *sample) int { return a.at.Compare(b.at) }) {
		if left <= q.samples && bytes <= q.bytes {
			break
		}
		for _, f := range []string{s.name, s.name + textSuffix} {
			if err := remove(filepath.Join(q.dir, f)); err != nil {
				return err
			}
		}
		left--
		bytes -= s.bytes
	}
	return nil
}

// remove removes a file; that it isn't there is no error.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// keepSample keeps the bytes of p, which e refuses, for the administrator.
func (c *Cache) keepSample(k Key, p *Partial, e *WrongContentError) {
	if err := c.quarantine.keep(k, p.path, p.size, e); err != nil {
		c.o.Log.Warn("a sample of wrong bytes can't be kept", "file", k.String(), "error", err)
	}
}
