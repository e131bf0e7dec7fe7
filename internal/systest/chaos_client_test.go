package systest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// complain remembers what is wrong.
func (c *chaos) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// versions are what upstream ever had at a path.
func (c *chaos) versions(path string) (all [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.history[path] {
		all = append(all, b)
	}
	return all
}

// client asks, as clients do, until all is over: for metadata and what that lists, for
// packages, whole or in part, slowly, in crowds, and not to the end.
func (c *chaos) client(draw *rand.Rand) {
	for {
		select {
		case <-c.over:
			return
		default:
		}
		c.mu.Lock()
		paths := make([]string, 0, len(c.history))
		for path := range c.history {
			paths = append(paths, path)
		}
		c.mu.Unlock()
		slices.Sort(paths)
		path := paths[draw.IntN(len(paths))]
		ctx, cancel := context.WithTimeout(context.Background(), hung)
		switch draw.IntN(6) {
		case 0: // leaves
			late := time.AfterFunc(time.Duration(draw.IntN(50))*time.Millisecond, cancel)
			c.ask(ctx, path, "", nil)
			late.Stop()
		case 1: // crawls
			c.ask(ctx, path, "", func() { time.Sleep(2 * time.Millisecond) })
		case 2: // floods
			var crowd sync.WaitGroup
			for range 15 {
				crowd.Go(func() { c.ask(ctx, path, "", nil) })
			}
			crowd.Wait()
		case 3: // a part
			from := draw.IntN(20_000)
			c.ask(ctx, path, fmt.Sprintf("bytes=%d-%d", from, from+draw.IntN(20_000)), nil)
		case 4: // metadata, and what that lists
			entry := c.ask(ctx, "/"+rootName+"/repodata/repomd.xml", "", nil)
			for _, m := range listed.FindAllSubmatch(entry, -1) {
				c.ask(ctx, "/"+rootName+"/"+string(m[1]), "", nil)
			}
		default:
			c.ask(ctx, path, "", nil)
		}
		cancel()
		time.Sleep(time.Duration(draw.IntN(20)) * time.Millisecond)
	}
}

// ask asks for a path, or a range of it, and judges the answer; the body is returned
// where it is all of it.
func (c *chaos) ask(ctx context.Context, path, part string, pause func()) []byte {
	base, _ := c.url.Load().(string)
	if base == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		c.complain("%v", err)
		return nil
	}
	if part != "" {
		req.Header.Set("Range", part)
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		c.count("no answer")
		if c.calm.Load() {
			c.complain("%s: %v, though nothing is amiss", path, err)
		}
		return nil
	}
	defer resp.Body.Close()
	var from io.Reader = resp.Body
	if pause != nil {
		from = paused{from, pause}
	}
	body, err := io.ReadAll(from)
	if err != nil {
		c.count("broken off")
		if c.calm.Load() {
			c.complain("%s: broken off: %v, though nothing is amiss", path, err)
		}
		return nil
	}
	c.count(fmt.Sprint(resp.StatusCode))
	if wrong := c.judge(path, resp, body); wrong != "" {
		c.complain("%s: status %d, %v: %s", path, resp.StatusCode, resp.Header, wrong)
	}
	if resp.StatusCode == http.StatusOK {
		return body
	}
	return nil
}

// paused is a reader that takes its time.
type paused struct {
	io.Reader
	pause func()
}

func (p paused) Read(b []byte) (int, error) {
	p.pause()
	return p.Reader.Read(b[:min(len(b), 4096)])
}

func (c *chaos) count(status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[status]++
}

// judge says what is wrong with an answer that came to its end.
func (c *chaos) judge(path string, resp *http.Response, body []byte) string {
	versions := c.versions(path)
	switch resp.StatusCode {
	case http.StatusOK:
		if !slices.ContainsFunc(versions, func(v []byte) bool { return bytes.Equal(v, body) }) {
			return fmt.Sprintf("%d bytes that upstream never had", len(body))
		}
	case http.StatusPartialContent:
		var first, last, size int
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil {
			return fmt.Sprintf("a part of what: %v", err)
		}
		if !slices.ContainsFunc(versions, func(v []byte) bool {
			return len(v) == size && last < size && bytes.Equal(v[first:last+1], body)
		}) {
			return fmt.Sprintf("%d bytes that are no such part of what upstream had", len(body))
		}
	case http.StatusRequestedRangeNotSatisfiable:
	case http.StatusNotFound:
		// Everything but what never changes was withdrawn, or replaced, at some time.
		if strings.HasSuffix(path, "/repomd.xml") || strings.HasSuffix(path, c.specs[0].Location()) {
			return "it was never gone: " + string(body)
		}
		fallthrough
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if len(bytes.TrimSpace(body)) == 0 {
			return "it does not say why"
		}
		if c.calm.Load() && resp.StatusCode != http.StatusNotFound {
			return "nothing is amiss, and it says: " + string(body)
		}
	default:
		return "no honest answer: " + string(body)
	}
	return ""
}

// tolerant is the files that are stored, with their digests, while others change them.
func (c *chaos) tolerant() map[string]string {
	all := map[string]string{}
	cache := c.dir + "/cache"
	err := filepath.WalkDir(cache, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == ".im" {
			return fs.SkipDir
		}
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(name)
		if err == nil {
			all[strings.TrimPrefix(name, cache)] = digest(b)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		c.t.Errorf("look at what is stored: %v", err)
	}
	return all
}

// still checks what is stored: all of it is upstream's, and what was there before, and
// has not been withdrawn, is.
func (c *chaos) still(before map[string]string) {
	now := c.tolerant()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, sum := range now {
		if c.history[name][sum] == nil {
			c.wrong = append(c.wrong, fmt.Sprintf("%s is stored with bytes that upstream never had", name))
		}
	}
	for name := range before {
		_, err := os.Stat(filepath.Join(c.repo, strings.TrimPrefix(name, "/"+rootName)))
		if now[name] == "" && err == nil && !c.withdrawn[name] {
			c.wrong = append(c.wrong, fmt.Sprintf("%s was stored, upstream has it, and it is lost", name))
		}
	}
}

// recovered checks that, once nothing is amiss any more, both programs are well by
// themselves: the one that runs serves all that upstream has, a run does all that it
// should, and what is stored is upstream's.
func (c *chaos) recovered() {
	c.t.Helper()
	if c.sync != nil {
		c.sync.wait()
	}
	for _, m := range c.mirrors {
		m.SetRate(0)
	}
	if !c.serving.running() {
		c.start("")
	}
	// A mirror that was out of reach is asked again some time after it is back.
	c.await("a run in which nothing fails", func() bool {
		var did report
		r := c.imsync("once", "--json")
		if err := json.Unmarshal([]byte(r.stdout), &did); err != nil {
			return false
		}
		if len(did.Guarded) > 0 {
			// What upstream replaced meanwhile is more than goes without a person's word.
			c.imsync("prune", "--confirm", did.Guarded[0].Root)
		}
		return r.code == 0 && did.Failures == 0
	})
	want := files(c.t, c.repo)
	base, _ := c.url.Load().(string)
	own := &server{c.serving, base}
	for name, sum := range want {
		path := "/" + rootName + "/" + name
		c.await("a right "+path, func() bool {
			a, err := own.fetch(path)
			return err == nil && a.err == nil && a.status == http.StatusOK && digest(a.body) == sum
		})
	}
	c.calm.Store(true)
	for name := range want {
		c.ask(context.Background(), "/"+rootName+"/"+name, "", nil)
	}
	for name, sum := range c.tolerant() {
		if c.history[name][sum] == nil {
			c.complain("in the end %s is stored with bytes that upstream never had", name)
		}
	}
	if r := c.imsync("verify", "--json"); r.code != 0 {
		c.complain("in the end verify finds: %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := c.imsync("status"); r.code != 0 {
		c.complain("in the end status says: %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if code := c.serving.stop(); code != 0 {
		c.complain("in the end imserve stops with %d", code)
	}
}
