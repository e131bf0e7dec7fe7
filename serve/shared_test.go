package serve

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
)

// TestSharedFromAnyHost holds when a file of a strange host is the one that our
// metadata lists: then it comes from the repository's upstreams.
func TestSharedFromAnyHost(t *testing.T) {
	const (
		location = "Packages/v/vlc-3.0-1.x86_64.rpm"
		named    = "repodata/0123456789abcdef0123456789abcdef-primary.xml.gz"
	)
	ours, theirs := rpm(3000, 1), rpm(3000, 2)
	newer := append([]byte("\x1f\x8b"), ours...)
	kept, other := []byte("<repomd>kept</repomd>"), []byte("<repomd>other</repomd>")
	listed := func(path string) (generation.Listed, bool) {
		for _, where := range []string{location, "flat-1-1.noarch.rpm", named, "repodata/primary.xml.gz"} {
			if above, ok := strings.CutSuffix(path, "/"+where); ok {
				return generation.Listed{Entry: "repodata/repomd.xml",
					Key: cache.Key{Repo: "r", Path: "os/" + where}, Location: where, Above: above,
					Generations: []string{promise([]byte("another")).Digest.Hex(), promise(kept).Digest.Hex()},
				}, true
			}
		}
		return generation.Listed{}, false
	}
	for _, tt := range []struct {
		name, path string
		repomd     []byte // what the host has in place of a repository's, nil is nothing
		fields     []string
		shared     bool
	}{
		{"a mirror of what we keep", "/m/" + location, kept, nil, true},
		{"at the top of the host", "/" + location, kept, nil, true},
		{"another repository's file of that name", "/m/" + location, other, nil, false},
		{"a host without metadata", "/m/" + location, nil, nil, true},
		{"a mere name, on a mirror", "/m/flat-1-1.noarch.rpm", kept, nil, true},
		{"a mere name, elsewhere", "/m/flat-1-1.noarch.rpm", nil, nil, false},
		{"metadata that is named by its digest", "/m/" + named, other, nil, true},
		{"metadata that any repository has", "/m/repodata/primary.xml.gz", kept, nil, false},
		{"another name", "/m/Packages/v/other-1-1.noarch.rpm", kept, nil, false},
		{"with a query", "/m/" + location + "?token=1", kept, nil, false},
		{"with credentials", "/m/" + location, kept, []string{"Authorization", "Basic eDp5"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{config: loopback, listed: listed})
			for _, where := range []string{location, "flat-1-1.noarch.rpm"} {
				m.put("os/"+where, ours)
			}
			m.put("os/"+named, newer)
			path, _, _ := strings.Cut(tt.path, "?")
			body := theirs
			if strings.HasSuffix(path, ".gz") {
				body = append([]byte("\x1f\x8b"), theirs...)
			}
			s := m.aside(map[string][]byte{path: body})
			if tt.repomd != nil {
				above := ""
				if strings.HasPrefix(path, "/m/") {
					above = "/m"
				}
				if err := s.Put(above+"/repodata/repomd.xml", tt.repomd); err != nil {
					t.Fatal(err)
				}
			}
			r := m.ask("GET", "http://"+s.Addr+tt.path, tt.fields...)
			if r.StatusCode != 200 {
				t.Fatalf("%s %q", r.Status, r.body)
			}
			if shared := bytes.Equal(r.body, ours) || bytes.Equal(r.body, newer); shared != tt.shared || !shared && !bytes.Equal(r.body, body) {
				t.Errorf("shared: %v, %d bytes", shared, len(r.body))
			}
			if n := s.Count("", path); (n == 0) != tt.shared {
				t.Errorf("the host was asked for the file %d times", n)
			}
		})
	}
}

// TestSharedIsRemembered holds that a strange host is not asked for its metadata
// for each package, and that it may change its mind.
func TestSharedIsRemembered(t *testing.T) {
	kept := []byte("<repomd>kept</repomd>")
	m := newMirror(t, setup{config: loopback, listed: func(path string) (generation.Listed, bool) {
		location := strings.TrimPrefix(path, "/m/")
		return generation.Listed{Entry: "repodata/repomd.xml",
			Key: cache.Key{Repo: "r", Path: location}, Location: location, Above: "/m", Generations: []string{promise(kept).Digest.Hex()},
		}, strings.HasPrefix(path, "/m/P/")
	}})
	theirs := map[string][]byte{}
	for _, name := range []string{"a", "b", "c", "d"} {
		m.put("P/"+name+".rpm", rpm(1000, 1))
		theirs["/m/P/"+name+".rpm"] = rpm(1000, 2)
	}
	s := m.aside(theirs)
	const anchor = "/m/repodata/repomd.xml"
	get := func(name string) bool {
		return bytes.Equal(m.ask("GET", "http://"+s.Addr+"/m/P/"+name+".rpm").body, rpm(1000, 1))
	}
	if !get("a") || !get("b") || s.Count("", anchor) != 1 {
		t.Errorf("without metadata: asked %d times for it", s.Count("", anchor))
	}
	if err := s.Put(anchor, []byte("<repomd>other</repomd>")); err != nil {
		t.Fatal(err)
	}
	m.pass(entryFor)
	if get("c") || get("d") || s.Count("", anchor) != 2 {
		t.Errorf("with other metadata: shared, or asked %d times", s.Count("", anchor))
	}
	if err := s.Put(anchor, kept); err != nil {
		t.Fatal(err)
	}
	m.pass(2 * time.Minute)
	if !get("c") {
		t.Error("with the metadata that is kept: not shared")
	}
}
