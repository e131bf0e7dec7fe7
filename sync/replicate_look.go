package sync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/manifest"
)

// What is kept of another cache, in a directory of its own below .im, since it
// belongs to the files that were copied: its last manifest, its generations, and
// known, which is what it ever had and has not been deleted here.
const (
	manifestName    = "manifest"
	knownName       = "known"
	generationsName = "generations"
)

// replicaDir is that directory.
func replicaDir(c *cache.Cache, from string) string {
	sum := sha256.Sum256([]byte(from))
	return c.Own(filepath.Join("replica", hex.EncodeToString(sum[:8])))
}

func (r *replication) path(name string) string { return filepath.Join(r.dir, name) }

// A list that does not come, or comes damaged, is asked for again, after a wait that
// doubles; from some try on without the cursor, in case what we have is damaged.
const (
	listTries = 5
	listAnew  = 3
	listPause = 200 * time.Millisecond
)

// look asks the other for what it has, and reports whether that has changed. Its
// lists are proved by their tags before they take the place of those before.
func (r *replication) look(ctx context.Context) (changed bool, err error) {
	for _, list := range []func(context.Context, int) (bool, error){r.manifest, r.generations} {
		for try := 1; ; try++ {
			var one bool
			one, err = list(ctx, try)
			if err == nil {
				changed = changed || one
				break
			}
			passing := errors.Is(err, manifest.ErrDamaged) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(*cache.UnreachableError))
			if ctx.Err() != nil || !passing || try == listTries {
				return false, err
			}
			r.log.Info("a list has not come as it should", "from", r.how.From, "error", err)
			wait := time.NewTimer(listPause << (try - 1))
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
				return false, ctx.Err()
			}
		}
	}
	return changed, nil
}

// manifest brings the other's manifest or, since the last one, what has changed.
func (r *replication) manifest(ctx context.Context, try int) (changed bool, err error) {
	have := ""
	if try < listAnew {
		if have, err = tagOf(r.path(manifestName)); err != nil {
			return false, err
		}
	}
	page, header := "/-/manifest?digests", http.Header{}
	if have != "" {
		page += "&since=" + url.QueryEscape(have)
		header.Set("If-None-Match", `"`+have+`"`)
	}
	resp, err := r.page(ctx, page, header)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		r.report.Cursor = have
		return false, nil
	}
	body := &counting{Reader: resp.Body}
	tag := ""
	err = r.replace(manifestName, func(w io.Writer) (err error) {
		w = &atMost{w, r.mostOfManifest()}
		if have != "" && resp.Header.Get(manifest.Since) == have {
			tag, err = r.withOpen(manifestName, func(before io.Reader) (string, error) { return manifest.Apply(w, before, body) })
		} else {
			tag, err = manifest.Copy(w, body)
		}
		r.report.ManifestBytes += body.n
		if err != nil {
			return err
		}
		if want := tagField(resp); want != tag {
			return fmt.Errorf("the manifest's tag is %q, that of what came %q: %w", want, tag, manifest.ErrDamaged)
		}
		return nil
	}, r.remember)
	if err == nil {
		r.report.Cursor = tag
	}
	return tag != have, err
}

// page asks for one of the other's lists. What a login page or a proxy answers in its
// place is seen before it is read.
func (r *replication) page(ctx context.Context, page string, header http.Header) (*http.Response, error) {
	resp, err := r.origin.Page(ctx, page, header)
	if err != nil {
		return nil, err
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode == http.StatusOK && kind != "application/x-ndjson" {
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s%s: it is %q, which no list of an imserve is: is there a login page, or another server, in its place?", r.how.From, page, kind)
	}
	return resp, nil
}

// mostOfManifest is how long a manifest may be, in bytes. A line is some 200, so that
// this is more than there would be if each file of a full cache had 16 KiB.
func (r *replication) mostOfManifest() int64 { return max(64<<20, int64(r.site.Config.CacheSize)/64) }

// atMost is a writer that takes so many bytes and no more.
type atMost struct {
	io.Writer
	left int64
}

func (w *atMost) Write(b []byte) (int, error) {
	if w.left -= int64(len(b)); w.left < 0 {
		return 0, fmt.Errorf("its list of files is longer than it can be for a cache of cache_size: %w", ErrTooSmall)
	}
	return w.Writer.Write(b)
}

// tagField is the tag that an answer names, before its body or behind it.
func tagField(resp *http.Response) string {
	tag := resp.Header.Get("ETag")
	if tag == "" {
		tag = resp.Trailer.Get("ETag")
	}
	return strings.Trim(tag, `"`)
}

// remember adds what the manifest in the file next has to what the other ever had,
// before it becomes the manifest: who is killed in between knows too much, not too little.
// What is not here, or is another file by now, is forgotten, so that one whose every list
// is another does not fill the disk.
func (r *replication) remember(next string) error {
	in, err := os.Open(next)
	if err != nil {
		return err
	}
	defer in.Close()
	var here todo
	defer here.close()
	if err := here.open(r.dir); err != nil {
		return err
	}
	_, err = r.withOpen(knownName, func(known io.Reader) (string, error) {
		return "", manifest.Missing(known, in, func(l manifest.Line) error {
			if k, w, ok := keyOf(l); !ok || r.stays(k, w) == notOurs {
				return nil
			}
			return manifest.Write(here.out[0], l)
		})
	})
	if err == nil {
		err = here.ready()
	}
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	return r.replace(knownName, func(w io.Writer) error { return manifest.Union(w, here.lists[0], in) }, nil)
}

// withOpen calls f with what a file of the replication's has; one that is not there
// has nothing.
func (r *replication) withOpen(name string, f func(io.Reader) (string, error)) (string, error) {
	in, err := os.Open(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return f(strings.NewReader(""))
	}
	if err != nil {
		return "", err
	}
	defer in.Close()
	return f(in)
}

// newPrefix is what names of the replication's files begin with that are being written.
const newPrefix = ".new-"

// replace is replaceFile of a file of the replication's.
func (r *replication) replace(name string, write func(io.Writer) error, before func(next string) error) error {
	return replaceFile(r.path(name), newPrefix, write, before)
}

// tagOf is the tag of the list at path, "" where there is none.
func tagOf(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// counting counts the bytes that are read.
type counting struct {
	io.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

// mostOfGenerations bounds the list of the other's generations, in bytes.
const mostOfGenerations = 64 << 20

// generations brings the list of the generations that the other keeps.
func (r *replication) generations(ctx context.Context, try int) (changed bool, err error) {
	header := http.Header{}
	if try < listAnew {
		have, err := tagOf(r.path(generationsName))
		if err != nil {
			return false, err
		}
		if have != "" {
			header.Set("If-None-Match", `"`+have+`"`)
		}
	}
	resp, err := r.page(ctx, "/-/generations", header)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return false, nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostOfGenerations+1))
	r.report.ManifestBytes += int64(len(b))
	if err != nil {
		return false, err
	}
	if len(b) > mostOfGenerations {
		return false, fmt.Errorf("its list of generations is longer than %d bytes, and that of no imserve", mostOfGenerations)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != tagField(resp) {
		return false, fmt.Errorf("the list of generations is not that of its tag: %w", manifest.ErrDamaged)
	}
	if _, err := generation.ReadKept(bytes.NewReader(b)); err != nil {
		return false, fmt.Errorf("%w: %w", err, manifest.ErrDamaged)
	}
	return true, r.replace(generationsName, func(w io.Writer) error { _, err := w.Write(b); return err }, nil)
}

// inventory reads that list.
func (r *replication) inventory() (all []generation.Kept, err error) {
	f, err := os.Open(r.path(generationsName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if all, err = generation.ReadKept(f); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return all, nil
}

// each calls visit with each file that the other has.
func (r *replication) each(visit func(manifest.Line) error) error {
	_, err := r.withOpen(manifestName, func(in io.Reader) (string, error) { return "", manifest.Each(in, visit) })
	return err
}
