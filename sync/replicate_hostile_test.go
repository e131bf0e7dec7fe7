package sync

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/manifest"
	"intelligentmirror/internal/testrepo"
)

// hostile is an imserve whose author means no good, or that is broken: what it lists and
// sends is the test's.
type hostile struct {
	*httptest.Server
	mu     sync.Mutex
	lines  string            // of its manifest
	kept   string            // of its generations
	bodies map[string]string // by the path below the cache directory
	asked  []string          // of these
	answer func(w http.ResponseWriter, r *http.Request) (done bool)
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{bodies: map[string]string{}, answer: func(http.ResponseWriter, *http.Request) bool { return false }}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answer(w, r) {
		return
	}
	list, page := map[string]string{"/-/manifest": h.lines, "/-/generations": h.kept}, r.URL.Path
	if text, ok := list[page]; ok {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("ETag", `"`+sumOf(text)+`"`)
		fmt.Fprint(w, text)
		return
	}
	name := strings.TrimPrefix(page, "/-/stored/")
	h.asked = append(h.asked, name)
	body, ok := h.bodies[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// has lists a file, and has its bytes.
func (h *hostile) has(t *testing.T, path, body string) {
	t.Helper()
	h.bodies[path] = body
	h.lists(t, manifest.Line{Path: path, Size: int64(len(body)), SHA256: sumOf(body)})
}

// lists lists a file, whatever it has.
func (h *hostile) lists(t *testing.T, l manifest.Line) {
	t.Helper()
	var b bytes.Buffer
	if err := manifest.Write(&b, l); err != nil {
		t.Fatal(err)
	}
	h.lines += b.String()
}

// own is what is kept of caches that are copied and of what was refused, accounts and locks.
var own = regexp.MustCompile(`^\.im/(replica/|quarantine/|usage$|cache\.db)|\.lock$`)

// allBelow is the files below dir, by their names, but for those.
func allBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || !e.Type().IsRegular() || own.MatchString(name) {
			return err
		}
		b, err := os.ReadFile(path)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// goodFile is what each hostile imserve has beside the rest: it has to come.
const goodFile, goodBody = "t/good.txt", "what is in order"

// TestReplicateHostileLists: whatever an imserve lists, nothing comes to lie anywhere but
// where a file of that name can, nothing that is here is lost, and, where the list is one
// at all, the rest of it comes.
func TestReplicateHostileLists(t *testing.T) {
	stolen := "bytes for a place of their author's choice"
	line := func(path string) string {
		b, err := json.Marshal(manifest.Line{Path: path, Size: int64(len(stolen)), SHA256: sumOf(stolen)})
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	}
	raw := func(path string) string {
		return fmt.Sprintf(`{"path":"%s","size":%d,"sha256":"%s"}`, path, len(stolen), sumOf(stolen)) + "\n"
	}
	lie := func(size, sum string) string {
		return `{"path":"r/a/lie.txt","size":` + size + `,"sha256":"` + sum + `"}` + "\n"
	}
	for _, c := range []struct {
		name, lines string
		ended       string // what ended it, whole; "" where the rest comes
		failed      string // why one file failed; "" where none did
		stored      string // what is stored of it
	}{
		{name: "climbs", lines: line("../a/secret.txt")},
		{name: "climbs within", lines: line("r/../../a.txt")},
		{name: "climbs into what is ours", lines: line("r/../.im/gen/a.root")},
		{name: "climbs, escaped", lines: line("r/%2e%2e/%2e%2e/a.txt"), stored: "r/%2e%2e/%2e%2e/a.txt"},
		{name: "climbs by backslashes", lines: line(`r/..\..\a.txt`), stored: `r/..\..\a.txt`},
		{name: "climbs by what is no UTF-8", lines: raw("r/\xc0\xae\xc0\xae/a.txt"), stored: "r/\ufffd\ufffd\ufffd\ufffd/a.txt"},
		{name: "absolute", lines: line("/etc/passwd")},
		{name: "absolute within", lines: line("r//etc/passwd")},
		{name: "a file's URL", lines: line("file:///etc/passwd")},
		{name: "NUL", lines: line("r/a\x00b.txt")},
		{name: "an end of a line", lines: line("r/a\nb.txt")},
		{name: "a terminal's command", lines: line("r/a\x1b[2Jb.txt")},
		{name: "ours", lines: line(".im/cache.db")},
		{name: "a partial file", lines: line(".im/partial/" + sumOf("x"))},
		{name: "a generation", lines: line(".im/gen/" + sumOf("x") + "/catalog")},
		{name: "the server's own", lines: line("-/manifest")},
		{name: "a directory", lines: line("r/a/")},
		{name: "a long name", lines: line("r/" + strings.Repeat("n", 256))},
		{name: "a long path", lines: line("r/" + strings.Repeat(strings.Repeat("d", 200)+"/", 16) + "x.txt")},
		{name: "two cases of one name", lines: line("r/A.txt") + line("r/a.txt"), stored: "r/A.txt"},
		{name: "a file and what is below it", lines: line("r/a.txt") + line("r/a.txt/b.txt"), failed: "r/a.txt"},
		{name: "the same twice", lines: line("r/a.txt") + line("r/a.txt"), ended: "has no place here"},
		{name: "beside the repositories", lines: line("a.txt"), ended: "has no place here"},
		{name: "less than nothing", lines: lie("-1", sumOf(stolen)), ended: "has no place here"},
		{name: "more than a number", lines: lie("9223372036854775808", sumOf(stolen)), ended: "damaged"},
		{name: "as large as a number", lines: lie("9223372036854775807", sumOf(stolen)), failed: "cache_size allows"},
		{name: "larger than it is", lines: lie("1000", sumOf(stolen)), failed: "r/a/lie.txt"},
		{name: "smaller than it is", lines: lie("3", sumOf(stolen)), failed: "r/a/lie.txt"},
		{name: "nothing in it, and it has", lines: lie("0", sumOf(stolen)), failed: "r/a/lie.txt"},
		{name: "other bytes", lines: lie(fmt.Sprint(len(stolen)), sumOf("another")), failed: "r/a/lie.txt"},
		{name: "no digest", lines: lie(fmt.Sprint(len(stolen)), ""), failed: "its digest can't be computed there"},
		{name: "no digest, but a word", lines: lie(fmt.Sprint(len(stolen)), "../../x")},
		{name: "what it has not got", lines: line("r/a/none.txt"), failed: "lists it, and has not got it"},
		{name: "an endless line", lines: `{"path":"r/` + strings.Repeat("a", 200_000), ended: "too long"},
		{name: "a half line", lines: strings.TrimSuffix(line("r/a.txt"), "\"}\n"), ended: "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `packages = ["*"]`, nil, testrepo.Spec{Name: "a", Version: "1", Release: "1"})
			b.once()
			before := allBelow(t, b.dir)
			beside := allBelow(t, filepath.Dir(b.dir))
			h := newHostile(t)
			h.lines = c.lines
			h.has(t, goodFile, goodBody)
			h.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/-/stored/") || strings.HasSuffix(r.URL.Path, goodFile) || strings.HasSuffix(r.URL.Path, "none.txt") {
					return false
				}
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(stolen))
				return true
			}
			report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
			if c.ended != "" {
				if err == nil || !strings.Contains(err.Error(), c.ended) {
					t.Errorf("error %v, want one of %q", err, c.ended)
				}
			} else if err != nil {
				t.Errorf("it is broken off: %v", err)
			}
			if got := fmt.Sprint(report.Failed); (len(report.Failed) > 0) != (c.failed != "") || !strings.Contains(got, c.failed) || report.Failures != len(report.Failed) {
				t.Errorf("failed: %s, want %q", got, c.failed)
			}
			after := allBelow(t, b.dir)
			if _, ok := after[goodFile]; ok != (c.ended == "") {
				t.Errorf("the file that is in order is stored: %t", ok)
			}
			if c.stored != "" && after[c.stored] != stolen {
				t.Errorf("%q is not stored", c.stored)
			}
			for name, body := range before {
				if after[name] != body {
					t.Errorf("%q is lost, or another", name)
				}
			}
			for name, body := range after {
				if before[name] == "" && (!strings.HasPrefix(name, "r/") || body != stolen) && name != goodFile && !strings.HasPrefix(name, ".im/partial/") {
					t.Errorf("%q has come: %.60q", name, body)
				}
			}
			for name := range allBelow(t, filepath.Dir(b.dir)) {
				if _, was := beside[name]; !was && !strings.HasPrefix(name, "cache/") {
					t.Errorf("beside the cache there is %q", name)
				}
			}
			if c.failed != "" {
				if facts, err := b.site.Cache.Known(cache.Key{Repo: "r", Path: "a/lie.txt"}); err == nil {
					t.Errorf("a file that is not what is said of it is stored: %+v", facts)
				}
			}
		})
	}
}

// TestReplicateKeepsWhatIsPromised: a list that nobody has signed replaces no file that
// metadata here promises, neither a package nor metadata, and says so.
func TestReplicateKeepsWhatIsPromised(t *testing.T) {
	b := newBench(t, `packages = ["*"]`, nil, testrepo.Spec{Name: "a", Version: "1", Release: "1", Size: 3000})
	b.once()
	before := allBelow(t, b.dir)
	h := newHostile(t)
	var listed []string
	for name := range before {
		if strings.HasPrefix(name, benchRoot+"/") && !strings.HasSuffix(name, "/repomd.xml") {
			listed = append(listed, name)
		}
	}
	slices.SortFunc(listed, manifest.Compare)
	if len(listed) < 3 {
		t.Fatalf("only %q is stored", listed)
	}
	for i, name := range listed {
		h.has(t, name, fmt.Sprintf("other bytes %d", i))
	}
	h.has(t, goodFile, goodBody)
	report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
	if err != nil || len(report.Failed) != len(listed) || !strings.Contains(report.Failed[0].Error, "promises other bytes") || !strings.Contains(report.Failed[0].Error, "imsync verify") {
		t.Errorf("%v, %+v", err, report)
	}
	after := allBelow(t, b.dir)
	for name, body := range before {
		if after[name] != body {
			t.Errorf("%q is lost, or another", name)
		}
	}
	if after[goodFile] != goodBody || len(h.asked) != 1 {
		t.Errorf("it was asked for %q", h.asked)
	}
}

// TestReplicateHostileGenerations: what an imserve says of metadata becomes nothing where
// it is none, whatever the root, the kind and the sizes, and the rest comes.
func TestReplicateHostileGenerations(t *testing.T) {
	repomd := `<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision></repomd>`
	release := "Origin: x\nDate: Sat, 21 Nov 2026 00:00:00 UTC\nSHA256:\n " + sumOf("x") + " 1 gen/" + sumOf("y") + "/catalog\n"
	for _, c := range []struct {
		name string
		kept generation.Kept
	}{
		{"what is ours", generation.Kept{Root: ".im", Kind: generation.Debian}},
		{"what is ours, as packages", generation.Kept{Root: ".im/gen"}},
		{"climbs into what is ours", generation.Kept{Root: "r/../.im"}},
		{"climbs", generation.Kept{Root: "../x"}},
		{"climbs within", generation.Kept{Root: "r/../../x"}},
		{"the server's own", generation.Kept{Root: "-"}},
		{"NUL", generation.Kept{Root: "r/a\x00"}},
		{"nothing", generation.Kept{}},
		{"another kind", generation.Kept{Root: "r/b", Kind: "../x"}},
		{"less than nothing", generation.Kept{Root: "r/b", Files: []generation.KeptFile{{Name: "repomd.xml", Size: -1}}}},
		{"more than the disk has", generation.Kept{Root: "r/b", Files: []generation.KeptFile{{Name: "repomd.xml", Size: 1 << 62}}}},
		{"files that climb", generation.Kept{Root: "r/b", Files: []generation.KeptFile{{Name: "../../../x", Size: 1, SHA256: sumOf("x")}}}},
		{"no list of packages", generation.Kept{Root: "r/b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "", nil)
			entry, body := "repomd.xml", repomd
			if c.kept.Kind == generation.Debian {
				entry, body = "InRelease", release
			}
			k := c.kept
			k.Digest, k.Current = sumOf(body), true
			if k.Files == nil {
				k.Files = []generation.KeptFile{{Name: entry, Size: int64(len(body)), SHA256: k.Digest}, {Name: "catalog", Size: 1, SHA256: sumOf("x")}}
			}
			before := allBelow(t, b.dir)
			h := newHostile(t)
			line, err := json.Marshal(k)
			if err != nil {
				t.Fatal(err)
			}
			h.kept = string(line) + "\n"
			at := k.Root + "/repodata/" + entry
			if k.Kind == generation.Debian {
				at = k.Root + "/" + entry
			}
			h.lists(t, manifest.Line{Path: at, Size: int64(len(body)), SHA256: k.Digest})
			h.has(t, goodFile, goodBody)
			h.bodies[".im/gen/"+k.Digest+"/"+entry] = body
			report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
			if err != nil || len(report.Failed) == 0 && c.name != "no list of packages" {
				t.Errorf("%v, %+v", err, report)
			}
			after := allBelow(t, b.dir)
			if after[goodFile] != goodBody {
				t.Error("the file that is in order is not stored")
			}
			for name, body := range after {
				beside := strings.HasPrefix(name, ".im/gen/"+k.Digest+"/") || strings.HasPrefix(name, ".im/partial/")
				if _, was := before[name]; !was && !beside && !strings.HasPrefix(name, "r/") && name != goodFile {
					t.Errorf("%q has come: %.60q", name, body)
				}
			}
			if got := b.site.Generations.Digest(generation.Root{Repo: "r", Path: "b"}); got != "" {
				t.Errorf("metadata %s became current", got)
			}
		})
	}
}

// TestReplicateHostileAnswers: what an imserve answers in the place of what was asked for
// ends the copy, or a file's, by an error that says what to do, and leads nowhere else.
func TestReplicateHostileAnswers(t *testing.T) {
	elsewhere := newHostile(t)
	elsewhere.has(t, goodFile, goodBody)
	local := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)
	listing := func(f func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/-/manifest" {
				return false
			}
			f(w)
			return true
		}
	}
	to := func(url string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Location", url+r.URL.Path)
			w.WriteHeader(http.StatusFound)
			return true
		}
	}
	stored := func(f func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/-/stored/") && f(w, r)
		}
	}
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request) bool
		says   string
	}{
		{"a login page", listing(func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html>Log in")
		}), "login page"},
		{"a login page that says it is none", listing(func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			fmt.Fprint(w, "<html>Log in")
		}), "damaged"},
		{"packed, and cut", listing(func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Content-Encoding", "gzip")
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			fmt.Fprint(z, strings.Repeat("x", 1000))
			if err := z.Close(); err != nil {
				panic(err)
			}
			w.Write(b.Bytes()[:b.Len()/2])
		}), "which nobody asked for"},
		{"not modified, when nothing was there", listing(func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotModified) }), "is it an imserve?"},
		{"an error", listing(func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }), "500"},
		{"a part", listing(func(w http.ResponseWriter) { w.WriteHeader(http.StatusPartialContent) }), "206"},
		{"cut", listing(func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
		}), "EOF"},
		{"no tag", listing(func(w http.ResponseWriter) { w.Header().Set("Content-Type", "application/x-ndjson") }), "tag"},
		{"to another host", to(local), "name that one instead"},
		{"to metadata of a cloud", to("http://169.254.169.254"), "name that one instead"},
		{"to a file", to("file:///etc/passwd?"), "name that one instead"},
		{"in a circle", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
			return true
		}, "redirects"},
		{"a file to another host", stored(to(local)), "name that one instead"},
		{"a file to a file", stored(to("file:///etc/passwd?")), "name that one instead"},
		{"files that are errors", stored(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}), "500"},
		{"a file's login page", stored(func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "<html>Log in"); return true }), "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "", nil)
			h := newHostile(t)
			h.has(t, goodFile, goodBody)
			h.answer = c.answer
			report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
			if got := fmt.Sprint(err, report.Failed); err == nil && report.Failures == 0 || !strings.Contains(got, c.says) {
				t.Errorf("%s, want %q", got, c.says)
			}
			if _, err := os.Lstat(filepath.Join(b.dir, goodFile)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a file is stored that never came as it is: %v", err)
			}
			h.answer = func(http.ResponseWriter, *http.Request) bool { return false }
			if report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL}); err != nil || report.Failures != 0 || report.Fetched != 1 {
				t.Errorf("when it is well again: %v, %+v", err, report)
			}
		})
	}
	t.Cleanup(func() {
		if len(elsewhere.asked) > 0 {
			t.Errorf("another host was asked for %q", elsewhere.asked)
		}
	})
}

// TestReplicateHostileWithoutEnd: lists without end, and without order in what they have,
// take a bounded part of the disk, which is free again, and of the memory.
func TestReplicateHostileWithoutEnd(t *testing.T) {
	deep := strings.Repeat(strings.Repeat("d", 250)+"/", 12)
	for _, c := range []struct {
		name, page, says string
		part             func(i int) string
	}{
		{"files", "/-/manifest", "longer than it can be", func(i int) string {
			return fmt.Sprintf(`{"path":"r/%s%09d","size":1,"sha256":"%s"}`, deep, i, sumOf("x")) + "\n"
		}},
		{"a line", "/-/manifest", "too long", func(int) string { return strings.Repeat("a", 1<<16) }},
		{"generations", "/-/generations", "longer than", func(int) string { return strings.Repeat("{}\n", 1<<14) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "", nil)
			b.site.Config.CacheSize = 1 << 30 // so that a list may have 64 MiB
			h := newHostile(t)
			var sent int
			h.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != c.page {
					return false
				}
				w.Header().Set("Content-Type", "application/x-ndjson")
				for i := 0; r.Context().Err() == nil; i++ {
					n, err := w.Write([]byte(c.part(i)))
					if sent += n; err != nil {
						break
					}
				}
				return true
			}
			_, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			h.mu.Lock() // its answers are over
			defer h.mu.Unlock()
			if sent > 5*(90<<20) {
				t.Errorf("%d bytes were read", sent)
			}
			r := newReplication(b.agent, mustReplica(b, h.URL), nil, nil)
			left, err := os.ReadDir(r.dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if fi, err := e.Info(); err != nil || fi.Size() > 1<<20 {
					t.Errorf("%s stays: %v", e.Name(), err)
				}
			}
		})
	}
	t.Run("failures", func(t *testing.T) {
		b := newBench(t, "", nil)
		h := newHostile(t)
		const n = 3 * mostFailures
		for i := range n {
			h.lists(t, manifest.Line{Path: fmt.Sprintf("r/%06d", i), Size: 1})
		}
		h.has(t, goodFile, goodBody)
		report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
		if err != nil || len(report.Failed) != mostFailures || report.Failures != n {
			t.Errorf("%v: %d failures, of which %d are listed", err, report.Failures, len(report.Failed))
		}
		if _, err := os.Stat(filepath.Join(b.dir, goodFile)); err != nil {
			t.Error(err)
		}
	})
	t.Run("sums", func(t *testing.T) {
		b := newBench(t, "", nil)
		h := newHostile(t)
		b.site.Config.CacheSize = 1 << 62
		for i := range 3 {
			h.lists(t, manifest.Line{Path: fmt.Sprintf("r/%d", i), Size: 1 << 62, SHA256: sumOf("x")})
		}
		h.lists(t, manifest.Line{Path: "r/b", Size: 1<<63 - 1, SHA256: sumOf("x")})
		report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
		if !errors.Is(err, ErrTooSmall) || report.FilesBytes != 1<<63-1 || report.Failures != 1 || len(h.asked) > 0 {
			t.Errorf("%v, %d bytes, %d failures", err, report.FilesBytes, report.Failures)
		}
	})
	t.Run("another list each time", func(t *testing.T) {
		b := newBench(t, "", nil)
		h := newHostile(t)
		h.has(t, goodFile, goodBody)
		var first int64
		for round := range 3 {
			h.lines = ""
			for i := range 40 {
				h.lists(t, manifest.Line{Path: fmt.Sprintf("r/%d/%06d", round, i), Size: 1, SHA256: sumOf("x")})
			}
			h.has(t, goodFile, goodBody)
			if _, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL}); err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(newReplication(b.agent, mustReplica(b, h.URL), nil, nil).path(knownName))
			if err != nil {
				t.Fatal(err)
			}
			if first = cmp.Or(first, fi.Size()); fi.Size() > first*11/10 {
				t.Errorf("round %d: what is remembered grows to %d bytes", round, fi.Size())
			}
		}
	})
}

// TestReplicateChangesBetweenPages: a list that is another each time it is looked at ends
// the copy after some rounds, with what could be had.
func TestReplicateChangesBetweenPages(t *testing.T) {
	b := newBench(t, "", nil)
	h := newHostile(t)
	looks := 0
	h.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/-/manifest" {
			looks++
			h.lines = ""
			h.lists(t, manifest.Line{Path: fmt.Sprintf("r/%d.txt", looks), Size: 1, SHA256: sumOf("x")})
			h.has(t, goodFile, goodBody)
		}
		return false
	}
	report, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: h.URL})
	if err != nil || report.Failures == 0 || looks != replicaRounds {
		t.Errorf("%v, %d looks, %+v", err, looks, report)
	}
	if _, err := os.Stat(filepath.Join(b.dir, goodFile)); err != nil {
		t.Error(err)
	}
}

// mustReplica is how the imserve at url is copied.
func mustReplica(b *bench, url string) (how config.Replica) {
	b.Helper()
	how, err := b.site.Config.Replica(url)
	if err != nil {
		b.Fatal(err)
	}
	return how
}
