package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	machines = 40  // that the clients say they are
	crowd    = 30  // that ask at once
	install  = 25  // packages of a fresh installation
	pause    = 400 // milliseconds between one client and the next, at the most
	patience = 90 * time.Second
)

var listed = regexp.MustCompile(`<location href="([^"]+)"`)

// visitor is a client while it asks, with connections of its own.
type visitor struct {
	s       *site
	draw    *rand.Rand
	direct  *http.Client
	proxied *http.Client
}

// client is one after the other of a site's machines, until ctx ends.
func (s *site) client(ctx context.Context, draw *rand.Rand) {
	proxy, err := url.Parse(s.url)
	if err != nil {
		s.complain("%v", err)
		return
	}
	v := &visitor{s: s, draw: draw}
	kinds := []func(context.Context){
		v.updates, v.updates, v.updates, v.installs, v.crowds, v.leaves, v.leaves, v.resumes, v.looks, v.proxies, v.tunnels,
	}
	for ctx.Err() == nil {
		// Whoever comes next has connections of his own.
		direct := &http.Transport{DisableCompression: true}
		through := &http.Transport{DisableCompression: true, Proxy: http.ProxyURL(proxy)}
		v.direct, v.proxied = &http.Client{Transport: direct, Timeout: patience}, &http.Client{Transport: through, Timeout: patience}
		kinds[draw.IntN(len(kinds))](ctx)
		direct.CloseIdleConnections()
		through.CloseIdleConnections()
		select {
		case <-time.After(time.Duration(draw.IntN(pause)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// updates looks for metadata, and takes some packages by Zipf's law.
func (v *visitor) updates(ctx context.Context) {
	v.metadata(ctx)
	paths := v.packages()
	often := rand.NewZipf(v.draw, 1.3, 4, uint64(len(paths)-1))
	for range v.draw.IntN(8) {
		v.get(ctx, paths[often.Uint64()], nil)
	}
}

// installs takes many packages, several at a time.
func (v *visitor) installs(ctx context.Context) {
	v.metadata(ctx)
	paths := v.packages()
	v.draw.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	v.together(4, install, func(i int, w *visitor) { w.get(ctx, paths[i%len(paths)], nil) })
}

// crowds asks for one package with many at once.
func (v *visitor) crowds(ctx context.Context) {
	paths := v.packages()
	path := paths[v.draw.IntN(len(paths))]
	v.together(crowd, crowd, func(_ int, w *visitor) { w.get(ctx, path, nil) })
}

// together does n things, so many at a time, each with a visitor of its own draws.
func (v *visitor) together(atOnce, n int, do func(i int, w *visitor)) {
	next := make(chan int)
	var all sync.WaitGroup
	for range atOnce {
		w := *v
		w.draw = rand.New(rand.NewPCG(v.draw.Uint64(), 0))
		all.Go(func() {
			for i := range next {
				do(i, &w)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// leaves goes in the middle of a download.
func (v *visitor) leaves(ctx context.Context) {
	paths := v.packages()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(time.Duration(v.draw.IntN(30))*time.Millisecond, cancel)
	defer late.Stop()
	v.get(ctx, paths[v.draw.IntN(len(paths))], nil)
}

// resumes asks for parts.
func (v *visitor) resumes(ctx context.Context) {
	paths := v.packages()
	path := paths[v.draw.IntN(len(paths))]
	for range 3 {
		from := v.draw.IntN(20_000)
		v.get(ctx, path, http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", from, from+v.draw.IntN(20_000))}})
	}
	v.get(ctx, path, http.Header{"Range": {"bytes=-500"}})
}

// looks asks for headers, and whether something has changed.
func (v *visitor) looks(ctx context.Context) {
	paths := v.packages()
	path := paths[v.draw.IntN(len(paths))]
	if resp, _ := v.ask(ctx, v.direct, http.MethodHead, v.s.url+"/fedora/"+rootPath+"/"+path, nil); resp != nil && resp.StatusCode == http.StatusOK {
		size := resp.ContentLength
		// Of what no metadata lists any more nobody can tell a length that its mirror does not say.
		if size >= 0 && !v.s.up.had(path, func(b []byte) bool { return int64(len(b)) == size }) {
			v.s.complain("HEAD %s: %d bytes, which upstream never had", path, size)
		}
		v.get(ctx, path, http.Header{"If-None-Match": {resp.Header.Get("ETag")}})
	}
	v.get(ctx, "Packages/n/no-such-package-1-1.x86_64.rpm", nil)
}

// metadata asks for repomd.xml and for what that lists.
func (v *visitor) metadata(ctx context.Context) {
	for _, m := range listed.FindAllSubmatch(v.get(ctx, repomd, nil), -1) {
		v.get(ctx, string(m[1]), nil)
	}
}

// packages are those that upstream has, or had a day ago, in the order of their names.
func (v *visitor) packages() (all []string) {
	for _, path := range v.s.up.paths(v.draw.IntN(5) == 0) {
		if strings.HasSuffix(path, ".rpm") {
			all = append(all, path)
		}
	}
	return all
}

// proxies asks for what the repository has by upstream's own URL, and for what is
// elsewhere.
func (v *visitor) proxies(ctx context.Context) {
	paths := v.packages()
	path := paths[v.draw.IntN(len(paths))]
	resp, body := v.ask(ctx, v.proxied, http.MethodGet, v.s.up.mirrors[0].URL+upstreamBase+"/"+rootPath+"/"+path, nil)
	v.judge(path, resp, body)
	for range 3 {
		i := v.draw.IntN(otherFiles)
		v.other(ctx, v.proxied, fmt.Sprintf(otherPath, i), otherBody(i))
	}
	v.other(ctx, v.proxied, otherPage, []byte(otherText))
}

// other asks for something elsewhere, whose upstream never fails.
func (v *visitor) other(ctx context.Context, by *http.Client, path string, want []byte) {
	resp, body := v.ask(ctx, by, http.MethodGet, v.s.up.elsewhere.URL+path, nil)
	if resp != nil && (resp.StatusCode != http.StatusOK || !bytes.Equal(body, want)) {
		v.s.complain("%s elsewhere: %s, %d bytes that are not its", path, resp.Status, len(body))
	}
}

// tunnels asks for something elsewhere in a tunnel, and leaves it open for a moment.
func (v *visitor) tunnels(ctx context.Context) {
	elsewhere := strings.TrimPrefix(v.s.up.elsewhere.URL, "http://")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(v.s.url, "http://"))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", elsewhere)
		// Nobody speaks in a tunnel before he is spoken to: no byte of it is lost here.
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open a tunnel: %w", err), conn.Close())
		}
		return conn, nil
	}
	inside := &http.Transport{DisableCompression: true, DialContext: dial}
	defer inside.CloseIdleConnections()
	v.other(ctx, &http.Client{Transport: inside, Timeout: patience}, otherPage, []byte(otherText))
}

// get asks for a file of the repository, judges the answer, and returns a body that is
// all of it.
func (v *visitor) get(ctx context.Context, path string, header http.Header) []byte {
	resp, body := v.ask(ctx, v.direct, http.MethodGet, v.s.url+"/fedora/"+rootPath+"/"+path, header)
	v.judge(path, resp, body)
	if resp == nil || resp.StatusCode != http.StatusOK {
		return nil
	}
	return body
}

// ask sends a request in the name of one of the machines, and counts what comes of it:
// no answer where there was none, or it was broken off.
func (v *visitor) ask(ctx context.Context, by *http.Client, method, target string, header http.Header) (*http.Response, []byte) {
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		v.s.complain("%v", err)
		return nil, nil
	}
	if header != nil {
		req.Header = header.Clone()
	}
	req.Header.Set("User-Agent", "libdnf (Fedora Linux 41; workstation; Linux.x86_64)")
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.20.1.%d", 1+v.draw.IntN(machines)))
	resp, err := by.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var body []byte
		if body, err = io.ReadAll(resp.Body); err == nil {
			v.s.answered(fmt.Sprint(resp.StatusCode))
			return resp, body
		}
	}
	switch {
	case ctx.Err() != nil:
		v.s.answered("left")
	case resp != nil:
		v.s.answered("broken off")
	default:
		v.s.answered("no answer")
		v.s.complain("%s: no answer: %v", target, err)
	}
	return nil, nil
}

// judge complains of an answer that is wrong.
func (v *visitor) judge(path string, resp *http.Response, body []byte) {
	if resp == nil {
		return
	}
	if wrong := v.s.up.wrong(path, resp, body); wrong != "" {
		v.s.complain("%s: %s, %v: %s", path, resp.Status, resp.Header, wrong)
	}
}

// wrong says what is wrong with an answer that came to its end; "" where nothing is.
func (u *upstream) wrong(path string, resp *http.Response, body []byte) string {
	switch resp.StatusCode {
	case http.StatusOK:
		if !u.had(path, func(b []byte) bool { return bytes.Equal(b, body) }) {
			return fmt.Sprintf("%d bytes that upstream never had", len(body))
		}
	case http.StatusPartialContent:
		var first, last, size int
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil {
			return fmt.Sprintf("a part of what: %v", err)
		}
		if !u.had(path, func(b []byte) bool { return len(b) == size && last < size && bytes.Equal(b[first:last+1], body) }) {
			return fmt.Sprintf("%d bytes that are no such part of what upstream had", len(body))
		}
	case http.StatusNotFound:
		if path == repomd || u.lasting(path) {
			return "it was never gone: " + string(body)
		}
	case http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable:
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if len(bytes.TrimSpace(body)) == 0 {
			return "it does not say why"
		}
	default:
		return "no honest answer: " + string(body)
	}
	return ""
}
