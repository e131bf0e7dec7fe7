package systest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// door is a way to the files of the site's repository: imserve is the mirror, or
// it is the proxy on the way to upstream.
type door struct {
	name string
	root string // the repository's URL
	curl []string
}

func (s *site) doors(server *server) []door {
	return []door{
		{"mirror", server.url + "/" + rootName, []string{"--noproxy", "*"}},
		{"proxy", s.base + upstreamRoot, []string{"--proxy", server.url, "--noproxy", ""}},
	}
}

// reply is what curl has got.
type reply struct {
	status string // as in the last answer's first line: "206"
	header http.Header
	body   []byte
	exit   int
}

// ask runs curl for a location in the repository; into is the file that the body
// goes to, "" one that nobody needs afterwards.
func (d door) ask(s *site, into, location string, args ...string) reply {
	s.t.Helper()
	dir := s.t.TempDir()
	if into == "" {
		into = dir + "/body"
	}
	args = append(append([]string{"--silent", "--show-error", "--max-time", "120", "--dump-header", dir + "/header", "--output", into}, d.curl...), args...)
	p := s.client("curl", append(args, d.root+"/"+location)...)
	r := reply{exit: p.wait()}
	header, err := os.ReadFile(dir + "/header")
	if err != nil {
		s.t.Fatalf("curl %q: %v\n%s", args, err, p.stderr.String())
	}
	// An answer before the answer (100 Continue, a tunnel's) has a header too.
	blocks := strings.Split(strings.TrimSuffix(string(header), "\r\n\r\n"), "\r\n\r\n")
	first, fields, _ := strings.Cut(blocks[len(blocks)-1], "\r\n")
	if f := strings.Fields(first); len(f) > 1 {
		r.status = f[1]
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(fields + "\r\n\r\n"))).ReadMIMEHeader()
	if err != nil {
		s.t.Fatalf("curl %q: the header %q: %v", args, header, err)
	}
	r.header = http.Header(h)
	if r.body, err = os.ReadFile(into); err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return r
}

// client starts a foreign program.
func (s *site) client(name string, args ...string) *process {
	s.t.Helper()
	cmd := exec.Command(testrepo.Program(s.t, name), args...)
	cmd.Dir = s.dir
	return launch(s.t, name, cmd)
}

// part is a range of a file, as an answer has it.
type part struct {
	contentRange string
	bytes        []byte
}

// parts takes a body of several ranges apart.
func (r reply) parts() ([]part, error) {
	kind, params, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		return nil, fmt.Errorf("no ranges: %q, %v", kind, err)
	}
	var parts []part
	for m := multipart.NewReader(bytes.NewReader(r.body), params["boundary"]); ; {
		p, err := m.NextRawPart()
		if err == io.EOF {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{p.Header.Get("Content-Range"), b})
	}
}

// TestCurlForms holds that each form in which curl asks for a file is answered
// right: by the mirror and by the proxy, for a file that nobody has asked for
// before and for one that is here, and that upstream is asked once for each.
func TestCurlForms(t *testing.T) {
	// size is that of the payload; the package is larger.
	const size = 50_000
	whole := func(r reply, want []byte) error {
		if r.status != "200" || !bytes.Equal(r.body, want) || r.header.Get("Content-Encoding") != "" {
			return fmt.Errorf("want all of it")
		}
		return nil
	}
	// one is the answer with the bytes from from to before to.
	one := func(from, to func(n int) int) func(reply, []byte) error {
		return func(r reply, want []byte) error {
			a, b := from(len(want)), to(len(want))
			head := fmt.Sprintf("bytes %d-%d/%d", a, b-1, len(want))
			if r.status != "206" || r.header.Get("Content-Range") != head || !bytes.Equal(r.body, want[a:b]) {
				return fmt.Errorf("want %s", head)
			}
			return nil
		}
	}
	at := func(i int) func(int) int { return func(int) int { return i } }
	before := func(i int) func(int) int { return func(n int) int { return n - i } }
	for i, form := range []struct {
		name string
		args []string
		path func(location string) string // nil: as it is
		want func(reply, []byte) error
		gets int // how often upstream is asked for the file itself
	}{
		{"plain", nil, nil, whole, 1},
		{"head", []string{"--head"}, nil, func(r reply, want []byte) error {
			if r.status != "200" || r.header.Get("Content-Length") != fmt.Sprint(len(want)) || r.header.Get("Accept-Ranges") != "bytes" {
				return fmt.Errorf("want its length")
			}
			return nil
		}, 0},
		{"first bytes", []string{"--range", "0-99"}, nil, one(at(0), at(100)), 1},
		{"middle", []string{"--range", "1000-1999"}, nil, one(at(1000), at(2000)), 1},
		{"from a byte on", []string{"--range", "49000-"}, nil, one(at(49000), before(0)), 1},
		{"last bytes", []string{"--range", "-500"}, nil, one(before(500), before(0)), 1},
		{"longer than the file", []string{"--range", "100-999999999"}, nil, one(at(100), before(0)), 1},
		{"several ranges", []string{"--range", "0-0,1000-1099,-10"}, nil, func(r reply, want []byte) error {
			n := len(want)
			parts, err := r.parts()
			if err != nil || r.status != "206" || len(parts) != 3 || r.header.Get("Content-Length") != fmt.Sprint(len(r.body)) {
				return fmt.Errorf("want three parts: %v, %d came", err, len(parts))
			}
			for i, p := range []part{
				{fmt.Sprintf("bytes 0-0/%d", n), want[:1]},
				{fmt.Sprintf("bytes 1000-1099/%d", n), want[1000:1100]},
				{fmt.Sprintf("bytes %d-%d/%d", n-10, n-1, n), want[n-10:]},
			} {
				if parts[i].contentRange != p.contentRange || !bytes.Equal(parts[i].bytes, p.bytes) {
					return fmt.Errorf("part %d: %s", i, parts[i].contentRange)
				}
			}
			return nil
		}, 1},
		{"behind the end", []string{"--range", "900000-"}, nil, func(r reply, want []byte) error {
			if r.status != "416" || r.header.Get("Content-Range") != fmt.Sprintf("bytes */%d", len(want)) {
				return fmt.Errorf("want its length")
			}
			return nil
		}, 1},
		{"compressed", []string{"--compressed"}, nil, whole, 1},
		{"a metalink, if there is one", []string{"--header", "Accept: */*, application/metalink+xml, application/metalink4+xml"}, nil, whole, 1},
		{"transfer encoding", []string{"--tr-encoding"}, nil, whole, 1},
		{"HTTP/1.0", []string{"--http1.0"}, nil, whole, 1},
		{"HTTP/2 where there is", []string{"--http2"}, nil, whole, 1},
		{"a GET that waits for 100", []string{"--header", "Expect: 100-continue"}, nil, whole, 1},
		{"slashes and dots", []string{"--path-as-is"}, func(l string) string {
			return "nowhere/../" + strings.Replace(l, "/", "/./", 1)
		}, whole, 1},
		{"an anchor and escapes", nil, func(l string) string { return strings.Replace(l, "Packages", "%50ackages", 1) + "#top" }, whole, 1},
		{"a query", nil, func(l string) string { return l + "?anything" }, whole, 2}, // it may be another file
		{"an upload", []string{"--upload-file", "/dev/null"}, nil, func(r reply, want []byte) error {
			if r.status != "405" || r.header.Get("Allow") == "" {
				return fmt.Errorf("want a refusal")
			}
			return nil
		}, 0},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]")
			server := s.serve()
			for _, d := range s.doors(server) {
				spec := testrepo.Spec{Name: d.name, Version: fmt.Sprint(i), Release: "1", Size: size}
				s.publish([]testrepo.Spec{spec})
				want, err := os.ReadFile(filepath.Join(s.repo, spec.Location()))
				if err != nil {
					t.Fatal(err)
				}
				location := spec.Location()
				if form.path != nil {
					location = form.path(location)
				}
				for _, when := range []string{"cold", "warm"} {
					r := d.ask(s, "", location, form.args...)
					if err := form.want(r, want); err != nil || r.exit != 0 {
						t.Errorf("%s, %s: %v; curl ended with %d and has %s, %d bytes, %q", d.name, when, err, r.exit, r.status, len(r.body), r.header)
					}
					if form.gets == 1 {
						s.awaitFile("/" + rootName + "/" + spec.Location())
					}
				}
				if n := s.up.Count("GET", upstreamRoot+"/"+spec.Location()); n != form.gets {
					t.Errorf("%s: upstream was asked %d times, want %d", d.name, n, form.gets)
				}
			}
		})
	}
}

// TestCurlConditions holds that curl is not sent what it has: by time, by tag,
// and that it gets what has changed.
func TestCurlConditions(t *testing.T) {
	s := newSite(t, "[serve]\npackage_max_age = \"0s\"\nproxy_allow = [\"127.0.0.1\"]")
	spec := testrepo.Spec{Name: "a", Version: "1", Release: "1", Size: 20_000}
	s.publish([]testrepo.Spec{spec})
	server := s.serve()
	path := upstreamRoot + "/" + spec.Location()
	for _, d := range s.doors(server) {
		have, tag := s.dir+"/"+d.name+".rpm", s.dir+"/"+d.name+".etag"
		first := d.ask(s, have, spec.Location(), "--remote-time")
		s.awaitFile("/" + rootName + "/" + spec.Location())
		d.ask(s, "", spec.Location(), "--etag-save", tag)
		upstream, err := os.Stat(filepath.Join(s.repo, spec.Location()))
		if err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(have); err != nil || !fi.ModTime().Equal(upstream.ModTime()) {
			t.Errorf("%s: curl's file is of %v, upstream's of %s", d.name, fi, upstream.ModTime())
		}
		unchanged := func(r reply) bool { return r.exit == 0 && r.status == "304" && len(r.body) == 0 }
		changed := func(r reply) bool { return r.exit == 0 && r.status == "200" && len(r.body) > 20_000 }
		check := func(what string, want func(reply) bool, args ...string) {
			t.Helper()
			if r := d.ask(s, "", spec.Location(), args...); !want(r) {
				t.Errorf("%s: %s: curl ended with %d and has %s, %d bytes, %q", d.name, what, r.exit, r.status, len(r.body), r.header)
			}
		}
		check("newer than the file that is here", unchanged, "--time-cond", have)
		check("newer than today", unchanged, "--time-cond", time.Now().UTC().Format(http.TimeFormat))
		check("newer than long ago", changed, "--time-cond", "Mon, 01 Jan 2001 00:00:00 GMT")
		check("older than long ago", func(r reply) bool { return r.status == "412" }, "--time-cond", "-Mon, 01 Jan 2001 00:00:00 GMT")
		check("not the tag that is here", unchanged, "--etag-compare", tag)
		check("not another tag", changed, "--header", `If-None-Match: "another"`)

		next := append(bytes.Clone(first.body), "the next version"...)
		if err := s.up.Put(path, next); err != nil {
			t.Fatal(err)
		}
		check("the next version, by time", changed, "--time-cond", have)
		check("the next version, by tag", changed, "--etag-compare", tag)
		// It takes the place of the one before when curl has all of it.
		s.await("the next version in the cache", func() bool { return s.awaitFile("/"+rootName+"/"+spec.Location()) == digest(next) })
	}
}

// TestCurlResumes holds that curl, killed in the middle of a download, goes on
// where it was if the file is the same, and does not if it is another.
func TestCurlResumes(t *testing.T) {
	const size, half = 1 << 20, 1 << 19
	for _, after := range []struct {
		name    string
		changed bool
	}{{"the same file", false}, {"another file", true}} {
		t.Run(after.name, func(t *testing.T) {
			s := newSite(t, "[serve]\npackage_max_age = \"0s\"\nproxy_allow = [\"127.0.0.1\"]")
			server := s.serve()
			for _, d := range s.doors(server) {
				spec := testrepo.Spec{Name: d.name, Version: "1", Release: "1", Size: size}
				s.publish([]testrepo.Spec{spec})
				path, name := upstreamRoot+"/"+spec.Location(), filepath.Join(s.repo, spec.Location())
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				s.up.On(path, testrepo.Trickle(half).Times(1))
				have := s.dir + "/" + d.name + ".rpm"
				p := s.client("curl", append([]string{"--silent", "--no-buffer", "--remote-time", "--output", have, d.root + "/" + spec.Location()}, d.curl...)...)
				s.await("the first half", func() bool {
					fi, err := os.Stat(have)
					return err == nil && fi.Size() >= half
				})
				p.kill()
				s.awaitStalled()
				s.up.Release()
				s.awaitFile("/" + rootName + "/" + spec.Location())
				// curl itself does not say of which version its half is; a script does by the time or the tag.
				version := d.ask(s, "", spec.Location(), "--head").header
				if after.changed {
					next := bytes.Clone(want)
					for i := 100; i < len(next); i++ {
						next[i] ^= 1
					}
					if err := s.up.Put(path, next); err != nil {
						t.Fatal(err)
					}
				}
				for _, field := range []string{"ETag", "Last-Modified"} {
					part := s.dir + "/part"
					s.write(part, string(want[:half]))
					r := d.ask(s, part, spec.Location(), "--continue-at", "-", "--header", "If-Range: "+version.Get(field))
					if after.changed {
						// 33: the server answers with all of it, and curl will not put that behind its half.
						if r.status != "200" || r.exit != 33 || !bytes.Equal(r.body, want[:half]) {
							t.Errorf("%s, %s: curl ended with %d, %s, and has %d bytes", d.name, field, r.exit, r.status, len(r.body))
						}
						continue
					}
					if r.status != "206" || r.exit != 0 || !bytes.Equal(r.body, want) {
						t.Errorf("%s, %s: curl ended with %d, %s, and has %d bytes", d.name, field, r.exit, r.status, len(r.body))
					}
				}
				if !after.changed {
					if r := d.ask(s, have, spec.Location(), "--continue-at", "-"); r.status != "206" || !bytes.Equal(r.body, want) {
						t.Errorf("%s: what was killed went on to %s and %d bytes", d.name, r.status, len(r.body))
					}
				}
			}
		})
	}
}

// TestCurlNames holds that a name is one file however its characters are
// written, and that upstream is asked once for it.
func TestCurlNames(t *testing.T) {
	s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]")
	server := s.serve()
	for _, d := range s.doors(server) {
		for i, name := range []struct{ file, bare, escaped string }{
			{"libstdc++.rpm", "libstdc++.rpm", "libstdc%2B%2b.rpm"},
			{"1.0~rc1.rpm", "1.0~rc1.rpm", "1.0%7Erc1.rpm"},
			{"1.0^git.rpm", "1.0^git.rpm", "1.0%5Egit.rpm"},
			{"100%.rpm", "100%25.rpm", "%31%30%30%25.rpm"},
			{"a%2Bb.rpm", "a%252Bb.rpm", "a%25%32Bb.rpm"}, // no plus
			{"a b.rpm", "a%20b.rpm", "%61%20%62.rpm"},
			{"é:@!$&'()*,;=[].rpm", "%C3%A9:@!$&'()*,;=[].rpm", "%c3%a9%3A%40%21%24%26%27%28%29%2a%2c%3b%3d%5B%5D.rpm"},
		} {
			file := fmt.Sprintf("%s-%d-%s", d.name, i, name.file)
			put(s, strings.TrimPrefix(rootName, "fedora/")+"/"+file, 2000+i)
			for _, written := range []string{name.bare, name.escaped} {
				r := d.ask(s, "", fmt.Sprintf("%s-%d-%s", d.name, i, written), "--globoff")
				if r.status != "200" || len(r.body) != 2000+i {
					t.Errorf("%s: %s: %s, %d bytes", d.name, written, r.status, len(r.body))
				}
				s.awaitFile("/" + rootName + "/" + file)
			}
			if n := s.up.Count("GET", upstreamRoot+"/"+file); n != 1 {
				t.Errorf("%s: upstream was asked %d times", file, n)
			}
		}
	}
	if n := len(files(t, s.cached())); n != 14 {
		t.Errorf("%d files are stored, want 14", n)
	}
}
