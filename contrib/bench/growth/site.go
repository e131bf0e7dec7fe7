package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"intelligentmirror/contrib/bench/internal/peer"
	"intelligentmirror/contrib/bench/internal/rpmrepo"
	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	openedsite "intelligentmirror/internal/site"
)

const (
	lead    = 96  // bytes that an RPM begins with
	storing = 16  // files at a time
	popular = 400 // packages that clients have asked for, if there are as many
)

// site is a cache with its files, and their upstream.
type site struct {
	dir, config, addr string
	files             []stored
	size              int // of each, in bytes
	up                *httptest.Server
}

// stored is a file, by its path below the repository's root.
type stored struct {
	path string
	sum  [sha256.Size]byte
}

// body is the i-th file: a lead of an RPM, and what no other file has.
func (s *site) body(i int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, s.size)
	copy(b, "\xed\xab\xee\xdb")
	binary.BigEndian.PutUint64(b[8:], uint64(i))
	return b
}

// newSite stores n files of that size.
func newSite(ctx context.Context, dir string, n, size int) (s *site, err error) {
	s = &site{dir: dir, config: dir + "/config.toml", size: size}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.addr, err = peer.FreeAddr(ctx); err != nil {
		return s, err
	}
	byPath := make(map[string]int, n)
	for i := range n {
		s.files = append(s.files, stored{fmt.Sprintf("Packages/%c/tool%d-1.0-1.fc41.x86_64.rpm", 'a'+i%26, i), sha256.Sum256(s.body(i))})
		byPath[s.files[i].path] = i
	}
	if _, err := rpmrepo.Write(dir+"/upstream", s.primary(), zstd.SpeedDefault); err != nil {
		return s, err
	}
	metadata := http.FileServer(http.Dir(dir + "/upstream"))
	s.up = httptest.NewServer(http.StripPrefix("/pub/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i, ok := byPath[r.URL.Path]; ok {
			w.Header().Set("Content-Type", "application/x-rpm")
			_, _ = w.Write(s.body(i)) // whoever asks may leave
			return
		}
		r.URL.Path = "/" + r.URL.Path
		metadata.ServeHTTP(w, r)
	})))
	if err := errors.Join(s.configure(0), s.writeLog(), s.store(ctx)); err != nil {
		return s, err
	}
	return s, nil
}

func (s *site) close() error {
	if s.up != nil {
		s.up.Close()
	}
	return os.RemoveAll(s.dir)
}

// configure writes the configuration; size is that of the cache in bytes, 0 for one that
// nothing fills.
func (s *site) configure(size int64) error {
	if size == 0 {
		size = 1 << 40
	}
	return os.WriteFile(s.config, fmt.Appendf(nil, `cache_dir = %q
state_dir = %q
cache_size = "%d"
min_free = "1MiB"
[[repo]]
name = "bench"
upstreams = ["%s/pub"]
[serve]
listen = %q
[sync]
packages = []
logs = [%q]
`, s.dir+"/cache", s.dir+"/state", size, s.up.URL, s.addr, s.dir+"/site.log"), 0o644)
}

// writeLog writes a log in which clients have asked for the popular packages.
func (s *site) writeLog() error {
	var log []byte
	for i := range min(popular, len(s.files)) {
		for client := range 3 {
			for _, path := range []string{"repodata/repomd.xml", s.files[i*len(s.files)/min(popular, len(s.files))].path} {
				log = fmt.Appendf(log, "10.0.0.%d - - [%s] \"GET /bench/%s HTTP/1.1\" 200 512 \"-\" \"libdnf\"\n",
					client+1, time.Now().Add(-time.Hour).Format("02/Jan/2006:15:04:05 -0700"), path)
			}
		}
	}
	return os.WriteFile(s.dir+"/site.log", log, 0o644)
}

// store stores all files as the agent would.
func (s *site) store(ctx context.Context) (err error) {
	cfg, err := config.Load(config.Options{Path: s.config})
	if err != nil {
		return err
	}
	opened, err := openedsite.Open(cfg, openedsite.Options{Program: "growth", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	var all errgroup.Group
	all.SetLimit(storing)
	for i, f := range s.files {
		all.Go(func() error {
			key, err := cache.NewKey("bench", f.path)
			if err == nil {
				_, err = opened.Cache.Prefetch(ctx, key, cache.Want{Digest: cache.SHA256(f.sum[:]), Size: int64(s.size)}, source{s.body(i)})
			}
			return err
		})
	}
	return all.Wait()
}

// source has one file.
type source struct{ body []byte }

// Fetch implements cache.Source.
func (s source) Fetch(_ context.Context, _ cache.Request, p *cache.Partial) error {
	if err := p.Begin(cache.Head{Length: int64(len(s.body)), LastModified: time.Unix(rpmrepo.Built, 0).UTC().Format(http.TimeFormat)}); err != nil {
		return err
	}
	if _, err := p.Write(s.body); err != nil {
		return err
	}
	return p.Complete()
}

// primary is the metadata that lists all files.
func (s *site) primary() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">
`, len(s.files))
	for i, f := range s.files {
		fmt.Fprintf(&b, `<package type="rpm">
  <name>tool%[1]d</name>
  <arch>x86_64</arch>
  <version epoch="0" ver="1.0" rel="1.fc41"/>
  <checksum type="sha256" pkgid="YES">%[2]x</checksum>
  <summary>A tool with the number %[1]d</summary>
  <description>A tool that a benchmark stores, and that nobody installs.</description>
  <time file="%[3]d" build="%[3]d"/>
  <size package="%[4]d" installed="%[4]d" archive="%[4]d"/>
  <location href="%[5]s"/>
  <format>
    <rpm:sourcerpm>tool%[1]d-1.0-1.fc41.src.rpm</rpm:sourcerpm>
    <rpm:provides>
      <rpm:entry name="tool%[1]d" flags="EQ" epoch="0" ver="1.0" rel="1.fc41"/>
    </rpm:provides>
    <rpm:requires>
      <rpm:entry name="rtld(GNU_HASH)"/>
    </rpm:requires>
    <file>/usr/bin/tool%[1]d</file>
  </format>
</package>
`, i, f.sum, rpmrepo.Built, s.size, f.path)
	}
	b.WriteString("</metadata>\n")
	return b.Bytes()
}

// taken is what the cache directory takes on its disk, in bytes.
func (s *site) taken() (total int64, err error) {
	err = filepath.WalkDir(s.dir+"/cache", func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(name, "-shm") {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				total += st.Blocks * 512
			}
		}
		return err
	})
	return total, err
}
