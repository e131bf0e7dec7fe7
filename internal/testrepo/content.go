package testrepo

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// file is the name of a path's file.
func (u *Upstream) file(urlPath string) (string, error) {
	rel, err := filepath.Localize(strings.TrimPrefix(path.Clean("/"+urlPath), "/"))
	if err != nil {
		return "", fmt.Errorf("path %q: %w", urlPath, err)
	}
	return filepath.Join(u.dir, rel), nil
}

// serveFile answers with the file of the request's path, or 404.
func (u *Upstream) serveFile(b *response, r *http.Request, p *plan) {
	f, err := os.OpenInRoot(u.dir, strings.TrimPrefix(path.Clean(r.URL.Path), "/"))
	if err != nil {
		http.NotFound(b, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(b, r)
		return
	}
	etag, err := u.etags.of(f, info)
	if err != nil {
		http.Error(b, err.Error(), http.StatusInternalServerError)
		return
	}
	b.Header().Set("ETag", etag)
	b.Header().Set("Content-Type", contentType(r.URL.Path))
	var data io.ReaderAt = f
	for _, e := range p.edits {
		data = e(data, func(body []byte) error { return u.Put(r.URL.Path, body) })
	}
	content := io.NewSectionReader(data, 0, info.Size())
	if p.gzip {
		serveGzip(b, content)
		return
	}
	if p.dropRange {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(b, r, "", info.ModTime(), content)
	if p.endless && b.sent > 0 {
		goOn(b)
	}
}

// goOn sends blanks until the client leaves, or has had MaxEndless bytes.
func goOn(b *response) {
	blanks := bytes.Repeat([]byte{' '}, 64<<10)
	for b.sent < MaxEndless {
		if _, err := b.Write(blanks); err != nil {
			return // the client has left
		}
	}
}

// serveGzip sends the content encoded, as a whole, whatever was asked for.
func serveGzip(b *response, content io.Reader) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := io.Copy(w, content)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		http.Error(b, err.Error(), http.StatusInternalServerError)
		return
	}
	b.Header().Set("Content-Encoding", "gzip")
	b.Header().Set("Content-Length", fmt.Sprint(packed.Len()))
	b.writeString(packed.String())
}

// contentType is what mirrors say of such a file.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".rpm":
		return "application/x-rpm"
	case ".xml":
		return "text/xml"
	case ".gz":
		return "application/x-gzip"
	}
	return "application/octet-stream"
}

// etags are strong validators, made of the content, and remembered for as long
// as the file looks the same.
type etags struct {
	mu   sync.Mutex
	seen map[string]tagged
}

type tagged struct {
	inode        uint64
	size         int64
	mtime, ctime time.Time
	etag         string
}

func (e *etags) of(f *os.File, info os.FileInfo) (string, error) {
	now := tagged{size: info.Size(), mtime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		now.inode, now.ctime = st.Ino, time.Unix(st.Ctim.Unix())
	}
	e.mu.Lock()
	was, ok := e.seen[f.Name()]
	e.mu.Unlock()
	now.etag = was.etag
	if ok && was == now {
		return now.etag, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return "", err
	}
	now.etag = fmt.Sprintf("%q", fmt.Sprintf("%x", h.Sum(nil)[:12]))
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen == nil {
		e.seen = make(map[string]tagged)
	}
	e.seen[f.Name()] = now
	return now.etag, nil
}

// flipped is a file with one byte turned over.
type flipped struct {
	io.ReaderAt
	at int64
}

func (f flipped) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, off)
	if i := f.at - off; i >= 0 && i < int64(n) {
		p[i] ^= 0xff
	}
	return n, err
}

// spliced is a file up to an offset, and another one from there on. Coming to
// that offset makes the other one the file.
type spliced struct {
	old  io.ReaderAt
	next []byte
	at   int64
	put  func([]byte) error
	done bool
}

func (s *spliced) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < s.at {
		var err error
		n, err = s.old.ReadAt(p[:min(int64(len(p)), s.at-off)], off)
		if err != nil || n == len(p) {
			return n, err
		}
	}
	if !s.done {
		s.done = true
		if err := s.put(s.next); err != nil {
			return n, err
		}
	}
	m, err := bytes.NewReader(s.next).ReadAt(p[n:], off+int64(n))
	return n + m, err
}
