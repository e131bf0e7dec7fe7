package systest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// hostileBound is what imserve may have resident at the most, in bytes, whatever a
// mirror sends.
const hostileBound = 160 << 20

// besieged is a site whose first mirror is hostile, and whose second is honest.
type besieged struct {
	*site
	liar *testrepo.Server
	lies string // the repository's directory at the first
	sign func([]byte) ([]byte, error)
}

// newBesieged makes one, of which the hostile mirror has a copy of the other's. With
// keys, repomd.xml is signed.
func newBesieged(t *testing.T, specs []testrepo.Spec, keys bool) *besieged {
	t.Helper()
	s := newSite(t)
	b := &besieged{site: s}
	var o testrepo.BuildOptions
	var extra []string
	if keys {
		key := newKey(t)
		b.sign = key.Binary
		s.write(s.dir+"/key", string(key.Public))
		extra = append(extra, fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", s.dir+"/key"))
		o.Sign = func(testrepo.Spec) func([]byte) ([]byte, error) { return b.sign }
	}
	if err := testrepo.Build(s.repo, specs, o); err != nil {
		t.Fatal(err)
	}
	if keys {
		s.signs(b.sign, s.repo)
	}
	tree := filepath.Join(s.dir, "lies")
	if err := os.CopyFS(tree, os.DirFS(s.tree)); err != nil {
		t.Fatal(err)
	}
	b.lies = filepath.Join(tree, upstreamRoot)
	b.liar = testrepo.Start(t, tree)
	s.base, s.others = b.liar.URL, []string{s.up.URL}
	s.configure(extra...)
	return b
}

// signs puts the signature of the repomd.xml in the repository dir beside it.
func (s *site) signs(sign func([]byte) ([]byte, error), dir string) {
	s.t.Helper()
	name := filepath.Join(dir, "repodata/repomd.xml")
	doc, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	sig, err := sign(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name+".asc", string(sig))
}

var (
	hrefs      = regexp.MustCompile(`<location href="([^"]+)"`)
	primaryXML = regexp.MustCompile(`<location href="(repodata/[^"]*primary[^"]+)"`)
)

// install does what dnf does: it asks for repomd.xml, for the primary that this
// lists, and for the packages that this lists, each once. Each has to be what the
// honest mirror has.
func (b *besieged) install(server *server) {
	b.t.Helper()
	same := func(name string) []byte {
		b.t.Helper()
		want, err := os.ReadFile(filepath.Join(b.repo, name))
		if err != nil {
			b.t.Fatalf("a client was told of what the honest mirror does not have: %v", err)
		}
		got := server.get("/" + rootName + "/" + name)
		if !bytes.Equal(got, want) {
			b.t.Fatalf("%s: %d bytes that are not the honest mirror's", name, len(got))
		}
		return got
	}
	repomd := same("repodata/repomd.xml")
	m := primaryXML.FindSubmatch(repomd)
	if m == nil {
		b.t.Fatalf("no primary in:\n%s", repomd)
	}
	for _, m := range hrefs.FindAllSubmatch(gunzip(b.t, same(string(m[1]))), -1) {
		same(string(m[1]))
	}
}

// gunzip unpacks b, and gzipped packs a text.
func gunzip(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostile holds a client's requests against a first mirror that does its worst:
// each gets the second's bytes in the same request, the log says why the first's were
// refused, and the memory that it takes is bounded.
func TestHostile(t *testing.T) {
	specs := []testrepo.Spec{
		{Name: "good", Version: "1", Release: "1", Size: 20_000},
		{Name: "alike", Version: "1", Release: "1", Size: 20_000}, // as long as good, but for some bytes of its header
		{Name: "other", Version: "2", Release: "1", Size: 90_000},
	}
	const head = `<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common" packages="1">`
	const laughs = `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha ha ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>`
	packages := func(f testrepo.Fault) func(*besieged) {
		return func(b *besieged) { b.liar.On("*.rpm", f.Only(http.MethodGet)) }
	}
	repomd := func(f testrepo.Fault) func(*besieged) { return func(b *besieged) { b.liar.On("*/repomd.xml", f) } }
	rewrite := func(b *besieged, from, to string) {
		name := filepath.Join(b.lies, "repodata/repomd.xml")
		doc, err := os.ReadFile(name)
		if err != nil {
			b.t.Fatal(err)
		}
		b.write(name, strings.Replace(string(doc), from, to, 1))
	}
	forge := func(openSize int64, packed func() ([]byte, error)) func(*besieged) {
		return func(b *besieged) {
			p, err := packed()
			if err == nil {
				err = testrepo.Forge(b.lies, "primary", p, openSize)
			}
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
	bomb := func(c testrepo.Compression, unit string, size, openSize int64) func(*besieged) {
		return forge(openSize, func() ([]byte, error) { return testrepo.Bomb(c, head, unit, size) })
	}
	greedy := func(c testrepo.Compression, dictionary int64) func(*besieged) {
		return forge(0, func() ([]byte, error) { return testrepo.Greedy(c, head+strings.Repeat("<package>", 1<<20), dictionary) })
	}
	for _, tt := range []struct {
		name    string
		keys    bool
		lie     func(*besieged)
		reason  string // in the log
		samples int    // in the quarantine, at the least
	}{
		{"flipped bits", false, packages(testrepo.Corrupt(5000)), "as the metadata promises", 1},
		{"truncated", false, packages(testrepo.Truncate(1000)), "1000 bytes announced", 0},
		{"truncated, without a length", false, packages(testrepo.Chunked().With(testrepo.Truncate(1000))), "as the metadata promises", 1},
		{"cut", false, packages(testrepo.Cut(1000)), "unexpected EOF", 0},
		{"another package", false, func(b *besieged) {
			for _, p := range specs[:2] {
				b.liar.On("*/"+p.Filename(), testrepo.Redirect(b.liar.URL+upstreamRoot+"/"+specs[2].Location()))
			}
		}, "promised by the metadata", 0},
		{"a page", false, packages(testrepo.Portal()), "promised by the metadata", 0},
		{"encoded", false, packages(testrepo.Gzipped()), "which nobody asked for", 0},
		{"endless", false, packages(testrepo.Endless()), "more than the", 0},
		{"a terabyte", false, packages(testrepo.Overstate(1 << 40)), "promised by the metadata", 0},

		{"repomd.xml is a page", false, repomd(testrepo.Portal()), "not what upstream should send", 0},
		{"repomd.xml is endless", false, repomd(testrepo.Endless()), "more than 4 MiB", 0},
		{"a billion laughs", false, func(b *besieged) { b.write(b.lies+"/repodata/repomd.xml", laughs+"<repomd>&c;</repomd>") }, "document type declaration", 0},
		{"a location that climbs", false, func(b *besieged) { rewrite(b, `href="repodata/`, `href="../../../../etc/`) }, "`..`", 0},
		{"a location elsewhere", false, func(b *besieged) { rewrite(b, `href="repodata/`, `href="http://198.51.100.1/`) }, "a URL with a scheme", 0},
		{"metadata that is called repomd.xml", false, func(b *besieged) { rewrite(b, locationOf(b, "other"), "repodata/repomd.xml") }, "that repomd.xml does not list", 0},
		{"metadata that is called as what is ours", false, func(b *besieged) { rewrite(b, locationOf(b, "other"), "repodata/catalog") }, "that repomd.xml does not list", 0},
		{"two files of one name", false, func(b *besieged) {
			rewrite(b, locationOf(b, "other"), "repodata/twice.gz")
			rewrite(b, locationOf(b, "filelists"), "other/twice.gz")
		}, "two files have this name", 0},
		{"primary with flipped bits", false, func(b *besieged) { b.liar.On("*primary*", testrepo.Corrupt(100)) }, "as the metadata promises", 1},
		{"primary is endless", false, func(b *besieged) { b.liar.On("*primary*", testrepo.Endless()) }, "more than the", 0},
		{"a bomb", false, bomb(testrepo.Gzip, "<package/>", 256<<20, 1<<20), "unpacks to more than is allowed", 0},
		{"a bomb of xz", false, bomb(testrepo.XZ, "<package/>", 256<<20, 1<<20), "unpacks to more than is allowed", 0},
		{"a bomb of zstd", false, bomb(testrepo.Zstd, "<package/>", 256<<20, 1<<20), "unpacks to more than is allowed", 0},
		{"a bomb of comments", false, bomb(testrepo.Gzip, "<!-- a comment -->", 256<<20, 0), "unpacks to more than is allowed", 0},
		{"a bomb of zstd that is large to begin with", false, bomb(testrepo.Zstd, "<!-- "+strings.Repeat("a comment ", 2000)+" -->", 8<<30, 8<<30), "unpacks to more than is allowed", 0},
		{"a bomb of depth", false, bomb(testrepo.Gzip, "<package>", 256<<20, 0), "passed over", 0},
		{"a bomb of one text", false, bomb(testrepo.XZ, "all work and no play ", 256<<20, 0), "text of more than", 0},
		{"xz with a dictionary of 2 GiB", false, greedy(testrepo.XZ, 2<<30), "asks for a window", 0},
		{"zstd with a window of 2 GiB", false, greedy(testrepo.Zstd, 2<<30), "asks for a window", 0},
		{"xz with as much as is given", false, greedy(testrepo.XZ, 128<<20), "passed over", 0},
		{"zstd with as much as is given", false, greedy(testrepo.Zstd, 128<<20), "passed over", 0},
		{"a billion laughs in primary", false, func(b *besieged) {
			if err := testrepo.Forge(b.lies, "primary", []byte(laughs+"<metadata>&c;</metadata>"), 0); err != nil {
				b.t.Fatal(err)
			}
		}, "document type declaration", 0},

		{"a signature by a stranger", true, func(b *besieged) {
			rewrite(b, "<revision>", "<revision>9")
			b.signs(newKey(t).Binary, b.lies)
		}, "signed by a key that is not among", 1},
		{"other metadata under the signature", true, func(b *besieged) { rewrite(b, "<revision>", "<revision>9") }, "bad signature", 1},
		{"a signature is a bomb", true, func(b *besieged) {
			rewrite(b, "<revision>", "<revision>9")
			b.write(b.lies+"/repodata/repomd.xml.asc", string(compressedPacket(b.t, 64<<20)))
		}, "bad signature", 1},
		{"a signature is endless", true, func(b *besieged) { b.liar.On("*.asc", testrepo.Endless()) }, "more than the", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBesieged(t, specs, tt.keys)
			tt.lie(b)
			server := b.serve()
			b.install(server)
			if log := server.stderr.String(); !strings.Contains(log, tt.reason) {
				t.Errorf("the log does not say %q", tt.reason)
			}
			texts, err := filepath.Glob(b.dir + "/cache/.im/quarantine/*.txt")
			if err != nil || len(texts) < tt.samples {
				t.Errorf("%d samples in the quarantine, want %d: %v", len(texts), tt.samples, err)
			}
			server.bounded()
			server.insist()
		})
	}
}

// locationOf is where the hostile mirror's repomd.xml has the metadata of a type.
func locationOf(b *besieged, typ string) string {
	b.t.Helper()
	doc, err := os.ReadFile(filepath.Join(b.lies, "repodata/repomd.xml"))
	if err != nil {
		b.t.Fatal(err)
	}
	m := regexp.MustCompile(`href="([^"]*-` + typ + `\.xml[^"]*)"`).FindSubmatch(doc)
	if m == nil {
		b.t.Fatalf("no %s in:\n%s", typ, doc)
	}
	return string(m[1])
}

// TestHostileWithdrawn: metadata that is newer than ours and signed as it should be,
// and that the metalink no longer lists, is refused for that.
func TestHostileWithdrawn(t *testing.T) {
	spec := func(version string) []testrepo.Spec {
		return []testrepo.Spec{{Name: "good", Version: version, Release: "1", Size: 20_000}}
	}
	b := newBesieged(t, spec("1"), true)
	lists := testrepo.Start(t, t.TempDir())
	list := func() {
		t.Helper()
		current, err := os.ReadFile(filepath.Join(b.repo, "repodata/repomd.xml"))
		if err == nil {
			err = lists.Put("/list", testrepo.Metalink{Current: current, Time: today()}.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	list()
	issue := func(dir, version string, age int) {
		t.Helper()
		o := testrepo.BuildOptions{
			Time: today().AddDate(0, 0, -age),
			Sign: func(testrepo.Spec) func([]byte) ([]byte, error) { return b.sign },
		}
		if err := testrepo.Build(dir, spec(version), o); err != nil {
			t.Fatal(err)
		}
		b.signs(b.sign, dir)
	}
	issue(b.repo, "1", 3)
	list()
	b.liar.Stop()
	b.more = fmt.Sprintf("\nmetalink = %q", lists.URL+"/list")
	b.configure("[serve]\nmetadata_max_age = \"0s\"", fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", b.dir+"/key"))
	server := b.serve()
	b.install(server)

	// Version 2 was published, and taken back: the third has the first's time.
	issue(b.lies, "2", 1)
	issue(b.repo, "3", 3)
	list()
	if err := b.liar.Restart(); err != nil {
		t.Fatal(err)
	}
	b.await("the mirror that came back, refused", func() bool {
		b.install(server)
		return strings.Contains(server.stderr.String(), "lists another one")
	})
	server.insist()
}

// TestHostileLarge: of a package so large that its first bytes are a client's before
// its digest is known, a hostile mirror can break the answer off, and never make it
// look whole. The client's next try gets the honest mirror's bytes.
func TestHostileLarge(t *testing.T) {
	large := testrepo.Spec{Name: "large", Version: "1", Release: "1", Size: 6 << 20}
	b := newBesieged(t, []testrepo.Spec{large}, false)
	b.liar.On("*.rpm", testrepo.Corrupt(3<<20))
	server := b.serve()
	server.get("/" + rootName + "/repodata/repomd.xml")
	want, err := os.ReadFile(filepath.Join(b.repo, large.Location()))
	if err != nil {
		t.Fatal(err)
	}
	path := "/" + rootName + "/" + large.Location()
	a, err := server.fetch(path)
	if err != nil {
		t.Fatal(err)
	}
	if a.err == nil && !bytes.Equal(a.body, want) {
		t.Fatalf("%d wrong bytes look whole", len(a.body))
	}
	if got := server.get(path); !bytes.Equal(got, want) {
		t.Errorf("the next try: %d bytes, not the honest mirror's", len(got))
	}
	if log := server.stderr.String(); !strings.Contains(log, "as the metadata promises") {
		t.Error("the log does not say why")
	}
	server.insist()
}
