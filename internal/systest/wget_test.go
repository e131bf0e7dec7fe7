package systest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// wget starts wget in a directory, by way of a proxy where there is one.
func (s *site) wget(dir, proxy string, args ...string) *process {
	s.t.Helper()
	s.mkdir(dir)
	program := testrepo.Program(s.t, "wget")
	return s.client("env", append([]string{"http_proxy=" + proxy, program, "--no-config", "--no-hsts", "--no-verbose", "--directory-prefix=" + dir}, args...)...)
}

// TestWget holds the ways in which scripts use wget: a file, once more if it is
// newer, the rest of one, whether it is there, by the mirror and by the proxy
// that the environment names.
func TestWget(t *testing.T) {
	const size, half = 1 << 20, 1 << 19
	s := newSite(t, "[serve]\npackage_max_age = \"0s\"\nproxy_allow = [\"127.0.0.1\"]")
	server := s.serve()
	for _, d := range s.doors(server) {
		t.Run(d.name, func(t *testing.T) {
			proxy := ""
			if d.name == "proxy" {
				proxy = server.url
			}
			spec := testrepo.Spec{Name: d.name, Version: "1", Release: "1", Size: size}
			s.publish([]testrepo.Spec{spec})
			path, url := upstreamRoot+"/"+spec.Location(), d.root+"/"+spec.Location()
			upstream := filepath.Join(s.repo, spec.Location())
			want, err := os.ReadFile(upstream)
			if err != nil {
				t.Fatal(err)
			}
			dir := s.dir + "/wget-" + d.name
			have := filepath.Join(dir, spec.Filename())
			run := func(code int, args ...string) string {
				t.Helper()
				p := s.wget(dir, proxy, append(args, url)...)
				if got := p.wait(); got != code {
					t.Errorf("wget %q ended with %d, want %d: %s", args, got, code, p.stderr.String())
				}
				return p.stderr.String()
			}
			holds := func(what string, want []byte) {
				t.Helper()
				got, err := os.ReadFile(have)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: wget has %d bytes that are not upstream's, %v", what, len(got), err)
				}
				if err := os.Remove(have); err != nil {
					t.Fatal(err)
				}
			}

			for _, form := range [][]string{{"--spider"}, {"--method=HEAD"}} {
				if said := run(0, append(form, "--server-response")...); !strings.Contains(said, fmt.Sprintf("Content-Length: %d\n", len(want))) {
					t.Errorf("%s does not learn its length: %s", form, said)
				}
			}
			if n := s.up.Count("GET", path); n != 0 {
				t.Errorf("a question whether it is there downloads it: %d requests", n)
			}

			// Killed in the middle; the download belongs to no client.
			s.up.On(path, testrepo.Trickle(half).Times(1))
			p := s.wget(dir, proxy, url)
			s.await("the first half", func() bool {
				fi, err := os.Stat(have)
				return err == nil && fi.Size() >= half
			})
			p.kill()
			s.awaitStalled()
			s.up.Release()
			if said := run(0, "--continue", "--server-response"); !strings.Contains(said, "206 Partial Content") {
				t.Errorf("it begins anew: %s", said)
			}
			s.awaitFile("/" + rootName + "/" + spec.Location())
			if said := run(0, "--continue", "--server-response"); !strings.Contains(said, "416 ") {
				t.Errorf("there is a rest of a whole file: %s", said)
			}
			holds("what was killed, with its rest", want)
			if n := s.up.Sent(path); n != int64(len(want)) {
				t.Errorf("upstream sent %d bytes of a file of %d", n, len(want))
			}

			// Only what is newer: by condition, and by HEAD as old ones ask.
			for _, how := range []string{"--if-modified-since", "--no-if-modified-since"} {
				run(0, "--timestamping", how)
				before, err := os.Stat(have)
				if err != nil {
					t.Fatal(err)
				}
				if at, err := os.Stat(upstream); err != nil || !at.ModTime().Equal(before.ModTime()) {
					t.Errorf("wget's file is of %s, upstream's of %v", before.ModTime(), at)
				}
				run(0, "--timestamping", how)
				if after, err := os.Stat(have); err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
					t.Errorf("%s: what has not changed was fetched again, %v", how, err)
				}
				next := bytes.Clone(want)
				next[len(next)/2] ^= 1
				if err := s.up.Put(path, next); err != nil {
					t.Fatal(err)
				}
				run(0, "--timestamping", how)
				holds("newer, by "+how, next)
			}
			run(0)
			url = d.root + "/none.rpm"
			if said := run(8); !strings.Contains(said, "ERROR 404") {
				t.Errorf("a file that is not there: %s", said)
			}
		})
	}
}

// TestWgetRecursive holds that what is stored can be had by its listings, with
// names that have to be written as escapes, and that a crawler that heeds
// robots.txt leaves the mirror alone.
func TestWgetRecursive(t *testing.T) {
	s := newSite(t)
	for _, dir := range []string{"a/b", "a/c"} {
		s.mkdir(filepath.Join(s.tree, upstreamBase, dir))
	}
	put(s, "a/b/one+two~three^4.rpm", 3000)
	put(s, "a/b/50% of #1?.rpm", 4000)
	put(s, "a/c/colon:.rpm", 5000)
	put(s, "outside.rpm", 6000)
	server := s.serve()
	want := map[string]string{}
	for name, path := range map[string]string{
		"a/b/one+two~three^4.rpm": "/fedora/a/b/one+two~three%5E4.rpm", "a/b/50% of #1?.rpm": "/fedora/a/b/50%25%20of%20%231%3F.rpm",
		"a/c/colon:.rpm": "/fedora/a/c/colon:.rpm", "outside.rpm": "/fedora/outside.rpm",
	} {
		sum := digest(server.get(path))
		if name != "outside.rpm" {
			want[name] = sum
		}
		s.awaitFile("/fedora/" + name)
	}
	crawl := func(dir string, args ...string) map[string]string {
		t.Helper()
		p := s.wget(dir, "", append(args, "--recursive", "--level=inf", "--no-parent", "--no-host-directories", "--cut-dirs=1",
			"--header=Accept: text/html", "--reject-regex=[?]upstream", "--reject=index.html*", server.url+"/fedora/a/")...)
		if code := p.wait(); code != 0 {
			t.Errorf("wget ended with %d: %s", code, p.stderr.String())
		}
		return files(t, dir)
	}
	if diff := difference(want, crawl(s.dir+"/copy", "--execute=robots=off")); diff != "" {
		t.Errorf("the copy:\n%s", diff)
	}
	for name := range crawl(s.dir + "/robot") {
		if strings.HasSuffix(name, ".rpm") {
			t.Errorf("a robot has fetched %s", name)
		}
	}
}
