package systest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// betrayed is a site with a suite whose first mirror is hostile, and whose second is honest.
type betrayed struct {
	*suiteArchive
	liar *testrepo.Server
}

// lie makes files what the hostile mirror has of them.
func (b *betrayed) lie(files map[string][]byte) {
	b.t.Helper()
	for name, body := range files {
		if err := b.liar.Put(upstreamBase+"/"+name, body); err != nil {
			b.t.Fatal(err)
		}
	}
}

// index is where the suite has the index that the test's client asks for, in its
// first compression.
func (b *betrayed) index() string { return "dists/stable/" + b.indexName() }

func (b *betrayed) indexName() string {
	name := "main/binary-amd64/Packages."
	if len(b.suite.Packed) > 0 {
		return name + string(b.suite.Packed[0])
	}
	return name + "gz"
}

// entries are the entry files that clients of the suite ask for.
func (b *betrayed) entries() []string {
	if b.suite.Inline == nil {
		return []string{"dists/stable/Release", "dists/stable/Release.gpg"}
	}
	return []string{"dists/stable/InRelease"}
}

// forge is a publication with another index, whose digest its InRelease has; it is
// signed as the suite is.
func (b *betrayed) forge(packed []byte) map[string][]byte {
	b.t.Helper()
	files := b.build("3")
	index := b.index()
	old := files[index]
	text := strings.Replace(string(files["dists/stable/Release"]),
		fmt.Sprintf(" %s %d %s", digest(old), len(old), b.indexName()),
		fmt.Sprintf(" %s %d %s", digest(packed), len(packed), b.indexName()), 1)
	signed, err := b.suite.Inline([]byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	files[index], files["dists/stable/Release"], files["dists/stable/InRelease"] = packed, []byte(text), signed
	files[path.Join(path.Dir(index), "by-hash/SHA256", digest(packed))] = packed
	return files
}

// text is what the honest mirror's indices say, in whatever compression.
func (b *betrayed) text() []byte {
	b.t.Helper()
	return gunzip(b.t, b.has["dists/stable/main/binary-amd64/Packages.gz"])
}

var filenames = regexp.MustCompile(`(?m)^Filename: (.+)$`)

// updates does what apt does: InRelease, an index, and all packages that this lists,
// each once. Each has to be what the honest mirror has.
func (b *betrayed) updates(server *server) {
	b.t.Helper()
	same := func(name string) []byte {
		b.t.Helper()
		got := server.get("/fedora/" + name)
		if !bytes.Equal(got, b.has[name]) {
			b.t.Fatalf("%s: %d bytes that are not the honest mirror's", name, len(got))
		}
		return got
	}
	for _, name := range b.entries() {
		same(name)
	}
	same(b.index())
	for _, m := range filenames.FindAllSubmatch(b.text(), -1) {
		same(string(m[1]))
	}
}

// refusals is how often imserve has refused something for that reason.
func (s *server) refusals(reason string) int {
	s.t.Helper()
	return int(s.gauge(`imserve_refused_total{reason="` + reason + `"}`))
}

// TestHostileSuite holds the requests of clients of a Debian suite against a first
// mirror that does its worst: each gets the second's bytes in the same request, the
// log and the metrics say why the first's were refused, and the memory that it takes
// is bounded.
func TestHostileSuite(t *testing.T) {
	fault := func(pattern string, f testrepo.Fault) func(*betrayed) {
		return func(b *betrayed) {
			b.lie(b.has)
			b.liar.On(pattern, f.Only(http.MethodGet))
		}
	}
	// Both names of the index.
	indices := func(f testrepo.Fault) func(*betrayed) { return fault("*/binary-amd64/*", f) }
	entry := func(f testrepo.Fault) func(*betrayed) { return fault("*/InRelease", f) }
	packages := func(f testrepo.Fault) func(*betrayed) { return fault("*.deb", f) }
	stray := func(to string) func(*betrayed) {
		return func(b *betrayed) {
			text := string(b.text())
			at := filenames.FindStringSubmatchIndex(text)
			b.lie(b.forge(gzipped(b.t, text[:at[2]]+to+text[at[3]:])))
		}
	}
	for _, tt := range []struct {
		name   string
		keys   bool
		lie    func(*betrayed)
		reason string // in the log
		metric string
	}{
		{"InRelease with flipped bits", true, entry(testrepo.Corrupt(150)), "not what upstream should send", "metadata"},
		{"a letter of InRelease is another", true, func(b *betrayed) {
			b.lie(b.has)
			text := strings.Replace(string(b.has["dists/stable/InRelease"]), "Components: main", "Components: maim", 1)
			b.lie(map[string][]byte{"dists/stable/InRelease": []byte(text)})
		}, "bad signature", "signature"},
		{"InRelease signed by a stranger", true, func(b *betrayed) {
			ours := b.suite.Inline
			b.suite.Inline = newKey(t).Inline
			b.lie(b.build("2"))
			b.suite.Inline = ours
		}, "signed by a key that is not among", "signature"},
		{"another index under the signature", true, func(b *betrayed) {
			b.lie(b.has)
			text := strings.Replace(string(b.has["dists/stable/InRelease"]), digest(b.has[b.index()]), digest(nil), 1)
			b.lie(map[string][]byte{"dists/stable/InRelease": []byte(text)})
		}, "bad signature", "signature"},
		{"an older InRelease", true, func(b *betrayed) {
			now := b.suite.Time
			b.suite.Time = now.Add(-24 * time.Hour)
			b.lie(b.build("0"))
			b.suite.Time = now
		}, "the mirror lags", "lagging"},
		{"a signed InRelease that has expired", true, func(b *betrayed) {
			b.suite.Valid = time.Minute
			b.lie(b.build("3"))
		}, "no longer valid", "expired"},
		{"InRelease is a page", false, entry(testrepo.Portal()), "not what upstream should send", "metadata"},
		{"InRelease is endless", false, entry(testrepo.Endless()), "more than 4 MiB", "length"},
		{"an index of another size", false, indices(testrepo.Truncate(100)), "100 bytes announced", "length"},
		{"an index that is too short, without a length", false, indices(testrepo.Chunked().With(testrepo.Truncate(100))), "as the metadata promises", "digest"},
		{"an index with flipped bits", false, indices(testrepo.Corrupt(50)), "as the metadata promises", "digest"},
		{"an index is endless", false, indices(testrepo.Endless()), "more than the", "length"},
		{"an index that nobody has", false, func(b *betrayed) {
			b.lie(b.forge([]byte("none")))
			b.liar.On("*/binary-amd64/*", testrepo.Status(404))
		}, "promised by the metadata", "length"},
		{"a package that climbs", false, stray("../../../etc/passwd"), "`..`", "metadata"},
		{"a package that climbs, escaped", false, stray("pool/%2e%2e/%2e%2e/passwd"), "`..`", "metadata"},
		{"a package elsewhere", false, stray("http://198.51.100.1/hello.deb"), "a URL with a scheme", "metadata"},
		{"packages with flipped bits", false, packages(testrepo.Corrupt(90)), "as the metadata promises", "digest"},
		{"packages are endless", false, packages(testrepo.Endless()), "more than the", "length"},
		{"packages are pages", false, packages(testrepo.Portal()), "promised by the metadata", "length"},
	} {
		t.Run(tt.name, betrayal{keys: tt.keys, lie: tt.lie, reason: tt.reason, metric: tt.metric}.run)
	}
}

// betrayal is one thing that a hostile mirror of a suite does.
type betrayal struct {
	suite  testrepo.Suite // how the suite is made
	apart  bool           // it has a Release with Release.gpg
	keys   bool           // imserve has its key
	lie    func(*betrayed)
	reason string // in the log
	metric string
}

// run has clients update before and after the first mirror has become hostile.
func (x betrayal) run(t *testing.T) {
	key := newKey(t)
	x.suite.Name, x.suite.ByHash = "stable", true
	if x.apart {
		x.suite.Detached = key.Detached
	} else {
		x.suite.Inline = key.Inline
	}
	a := newSuiteArchive(t, x.suite, key)
	tree := t.TempDir()
	b := &betrayed{suiteArchive: a, liar: testrepo.Start(t, tree)}
	a.base, a.others = b.liar.URL, []string{a.up.URL}
	extra := []string{"[serve]\nmetadata_max_age = \"0s\""}
	if x.keys {
		extra = append(extra, fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", a.key))
	}
	a.configure(extra...)
	a.issue(a.build("1"))
	b.lie(a.has)
	server := a.serve()
	for range 2 { // what clients want of it is known from then on
		b.updates(server)
	}
	a.issue(a.build("2"))
	if err := errors.Join(os.RemoveAll(filepath.Join(tree, upstreamBase)), os.MkdirAll(tree, 0o755)); err != nil {
		t.Fatal(err)
	}
	x.lie(b)
	b.updates(server)
	if log := server.stderr.String(); !strings.Contains(log, x.reason) {
		t.Errorf("the log does not say %q", x.reason)
	}
	if n := server.refusals(x.metric); n == 0 {
		t.Errorf("the metrics do not tell of %q", x.metric)
	}
	server.bounded()
	server.insist()
}

// bounded checks that the process has not had more memory than it may.
func (p *process) bounded() {
	p.t.Helper()
	n, err := p.memory("VmHWM")
	if err != nil {
		p.t.Fatal(err)
	}
	if measured() && n > hostileBound {
		p.t.Errorf("%d MiB were resident, more than %d", n>>20, hostileBound>>20)
	} else {
		p.t.Logf("%d MiB were resident at the most", n>>20)
	}
}
