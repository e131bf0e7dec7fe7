package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// state is a cell's column in the design's table: what is stored, against what
// upstream has.
type state string

const (
	notStored state = "not stored"
	nowhere   state = "not stored, not upstream"
	fresh     state = "stored, fresh" // upstream has another one by now
	same      state = "stored, same as upstream"
	older     state = "stored, older than upstream"
	gone      state = "stored, gone upstream"
)

// kind is what is known of a file.
type kind string

const (
	promised kind = "promised" // a package whose digest metadata lists
	blind    kind = "blind"    // a package that no metadata lists
	metadata kind = "metadata"
)

// cell is a request in one state, of one file, in one form, to an upstream that
// behaves in one way.
type cell struct {
	state
	kind
	form
	large bool // some more than 1 MiB, below which a file is verified first, in place of 5,000 bytes
	manner
}

// String is the cell but for what all of its stage have in common.
func (c cell) String() string {
	size := "small"
	if c.large {
		size = "large"
	}
	return fmt.Sprintf("%s/%s/%s", c.state, c.kind, size)
}

// makes reports whether there is such a case.
func (c cell) makes() bool {
	needs := c.state == notStored || c.state == older
	honest := c.manner.name == "honest"
	switch {
	case c.form == byProxy && (c.kind == promised || c.manner.next):
		return false // no metadata of ours promises a strange host's files, and it is one host
	case c.digest && c.kind != promised:
		return false
	case c.state == fresh:
		return honest || c.down // nobody is asked
	case c.large && c.form == byAlias:
		return false // as small ones
	case c.large, c.silent && c.effect == perhaps:
		return needs || honest // where there is a body to come
	}
	return true
}

// size is how many bytes the file has, and where an upstream fails in its middle.
func (c cell) size() (n, half int) {
	if c.large {
		return 1<<20 + 100_000, 1 << 19
	}
	return 5000, 2500
}

// path is the file's, in its repository, where n tells it from other cells'. The
// small metadata file is one that a request never deletes.
func (c cell) path(n int) string {
	path := pkg
	switch {
	case c.anchors():
		path = repomd
	case c.kind == metadata:
		path = "os/repodata/primary.xml"
	}
	return fmt.Sprintf("%d/%s", n, path)
}

// anchors reports whether everything else is found by the file.
func (c cell) anchors() bool { return c.kind == metadata && !c.large }

// content is which bytes a cell's file has.
type content struct {
	large, metadata bool
	seed            byte
}

// contents has the bytes of all contents. They are made once: under the race detector that
// took as long as all that is done with them.
var contents = sync.OnceValue(func() map[content][]byte {
	all := map[content][]byte{}
	for _, large := range []bool{false, true} {
		n, _ := cell{large: large}.size()
		for seed := byte(1); seed <= 3; seed++ {
			all[content{large, false, seed}] = rpm(n, seed)
			all[content{large, true, seed}] = fmt.Appendf(nil, "<?xml version=\"1.0\"?>\n<root>%s</root>\n", strings.Repeat(string('a'+rune(seed)), n))
		}
	}
	return all
})

// version is the file's bytes: the old ones, the new ones, or those after them.
func (c cell) version(seed byte) []byte {
	return contents()[content{c.large, c.kind == metadata, seed}]
}

// effect is what an upstream's manner comes to for who needs the file's body.
type effect int

const (
	comes      effect = iota // it comes, in the end, whole and right
	outOfReach               // upstream is as if it were not there
	foreign                  // something else comes than the file
	breaks                   // what has come is not whole, or not right
	perhaps                  // it may come or break, as time has it
)

// manner is how an upstream behaves.
type manner struct {
	name   string
	faults func(half int64, next []byte) []testrepo.Fault
	down   bool // it is not there at all
	next   bool // a second mirror is honest
	effect
	always  bool // it says so whatever is asked, and where it has no file too
	silent  bool // it says nothing for too long
	changes bool // the file is another one afterwards
	digest  bool // without a digest nobody can tell
}

// faulty is a list of faults that know no size.
func faulty(f ...testrepo.Fault) func(int64, []byte) []testrepo.Fault {
	return func(int64, []byte) []testrepo.Fault { return f }
}

// midway is a list of faults in the middle of a body.
func midway(f func(half int64) []testrepo.Fault) func(int64, []byte) []testrepo.Fault {
	return func(half int64, _ []byte) []testrepo.Fault { return f(half) }
}

// manners are how an upstream can behave.
func manners() []manner {
	type list = []testrepo.Fault
	unavailable := testrepo.Status(http.StatusServiceUnavailable)
	return []manner{
		{name: "honest"},
		{name: "refuses connections", down: true, effect: outOfReach, always: true},
		{name: "closes connections", faults: faulty(testrepo.Refuse()), effect: outOfReach, always: true},
		{name: "is silent", faults: faulty(testrepo.Hang()), effect: outOfReach, always: true, silent: true},
		{name: "answers 503", faults: faulty(unavailable), effect: outOfReach, always: true},
		{name: "sends a portal's page", faults: faulty(testrepo.Portal()), effect: foreign, always: true},
		{name: "redirects to a page", faults: faulty(testrepo.Redirect("/page")), effect: foreign, always: true},
		{name: "redirects for ever", faults: faulty(testrepo.Redirect("/")), effect: outOfReach, always: true},
		{name: "encodes", faults: faulty(testrepo.Gzipped()), effect: foreign},
		{name: "resets once", faults: midway(func(n int64) list { return list{testrepo.Reset(n).Times(1)} }), effect: comes},
		{name: "cuts once", faults: midway(func(n int64) list { return list{testrepo.Cut(n).Times(1)} }), effect: comes},
		{name: "cuts once, in chunks", faults: midway(func(n int64) list { return list{testrepo.Chunked().With(testrepo.Cut(n)).Times(1)} }), effect: comes},
		{name: "cuts, then answers 503", faults: midway(func(n int64) list { return list{testrepo.Cut(n).Times(1), unavailable} }), effect: breaks},
		{name: "cuts, then answers 404", faults: midway(func(n int64) list { return list{testrepo.Cut(n).Times(1), testrepo.Status(404)} }), effect: breaks},
		{name: "cuts, then sends all to a range", faults: midway(func(n int64) list { return list{testrepo.Cut(n).Times(1), testrepo.IgnoreRange()} }), effect: perhaps},
		{name: "cuts, then sends another range", faults: midway(func(n int64) list { return list{testrepo.Cut(n).Times(1), testrepo.WrongRange().Times(1)} }), effect: perhaps},
		{name: "stalls once", faults: midway(func(n int64) list { return list{testrepo.Stall(n).Times(1)} }), effect: perhaps, silent: true},
		{name: "says too much", faults: faulty(testrepo.Overstate(1000)), effect: breaks},
		{name: "changes the file in a break", effect: perhaps, changes: true, faults: func(n int64, next []byte) []testrepo.Fault {
			return list{testrepo.Replace(n, next).With(testrepo.Cut(n)).Times(1)}
		}},
		{name: "answers 404, the next has it", faults: faulty(testrepo.Status(404)), next: true},
		{name: "answers 503, the next has it", faults: faulty(unavailable), next: true, effect: outOfReach},
		{name: "sends a page, the next has it", faults: faulty(testrepo.Portal()), next: true, effect: foreign},
		{name: "refuses connections, the next has it", down: true, next: true, effect: outOfReach},
		{name: "says too little", faults: midway(func(n int64) list { return list{testrepo.Truncate(n)} }), effect: foreign, digest: true},
		{name: "sends a wrong byte", faults: midway(func(n int64) list { return list{testrepo.Corrupt(n)} }), effect: breaks, digest: true},
		{name: "changes the file under the download", effect: breaks, changes: true, digest: true, faults: func(n int64, next []byte) []testrepo.Fault {
			return list{testrepo.Replace(n, next)}
		}},
	}
}

// result is what a cell may come to: the first list has what a client may get,
// and status its Cache-Status where only one answer is possible.
type result struct {
	gets   []string // "new", "old", "other", "404", "error"
	status string
	kept   []string // "new", "old", "other", "nothing"
	asked  []string // of an honest upstream; nil is not looked at
}

// expect is the design's table, and what the manner makes of it. It knows nothing
// of how the server does it.
func (c cell) expect() result {
	none := []string{}
	stored := c.state != notStored && c.state != nowhere
	needs := c.state == notStored || c.state == older // a body has to come
	conditional := []string{"GET if 304"}
	if c.state == older && c.kind != promised {
		conditional[0] = "GET if 200"
	}
	switch {
	case c.state == fresh, c.kind == promised && (c.state == same || c.state == gone):
		return result{[]string{"old"}, "imserve; hit", []string{"old"}, none}
	case c.manner.next && (c.state != gone && c.state != nowhere || c.effect == outOfReach && !stored):
		// The next mirror's word is upstream's. That a file is gone takes two.
	case c.effect == outOfReach && stored:
		return result{[]string{"old"}, "imserve; hit; detail=upstream-unreachable", []string{"old"}, nil}
	case c.effect == outOfReach && c.silent:
		return result{[]string{"error"}, "imserve; fwd=uri-miss; detail=upstream-timeout", []string{"nothing"}, nil}
	case c.effect == outOfReach:
		return result{[]string{"error"}, "imserve; fwd=uri-miss; detail=upstream-unreachable", []string{"nothing"}, nil}
	case c.effect == foreign && stored && (c.always || c.manner.next || c.state != gone):
		return result{[]string{"old"}, "imserve; hit; detail=upstream-failed", []string{"old"}, nil}
	case c.effect == foreign && (c.always || c.manner.next || c.state == notStored):
		return result{[]string{"error"}, "imserve; fwd=uri-miss; detail=wrong-content", []string{"nothing"}, nil}
	case c.effect == breaks && needs && stored:
		return result{[]string{"old", "error"}, "", []string{"old"}, nil}
	case c.effect == breaks && needs:
		return result{[]string{"error"}, "", []string{"nothing"}, nil}
	case c.effect == perhaps && needs && stored:
		return result{[]string{"new", "old", "other", "error"}, "", []string{"new", "old", "other"}, nil}
	case c.effect == perhaps && needs:
		return result{[]string{"new", "other", "error"}, "", []string{"new", "nothing", "other"}, nil}
	}
	// From here on upstream is as good as an honest one.
	var o result
	switch {
	case c.state == notStored:
		o = result{[]string{"new"}, "imserve; fwd=uri-miss; stored", []string{"new"}, []string{"GET 200"}}
	case c.state == older && c.kind == promised:
		o = result{[]string{"new"}, "imserve; fwd=stale; fwd-status=200; stored", []string{"new"}, []string{"GET 200"}}
	case c.state == older:
		o = result{[]string{"new"}, "imserve; fwd=stale; fwd-status=200; stored", []string{"new"}, conditional}
	case c.state == same:
		o = result{[]string{"old"}, "imserve; fwd=stale; fwd-status=304", []string{"old"}, conditional}
	case c.state == nowhere:
		o = result{[]string{"404"}, "imserve; fwd=uri-miss; fwd-status=404", []string{"nothing"}, []string{"GET 404"}}
	case c.anchors():
		o = result{[]string{"old"}, "imserve; hit; detail=gone-upstream", []string{"old"}, []string{"GET if 404"}}
	default:
		o = result{[]string{"404"}, "imserve; fwd=uri-miss; fwd-status=404", []string{"nothing"}, []string{"GET if 404"}}
	}
	if c.manner.name != "honest" {
		o.asked = nil
	}
	return o
}

// stage is where the cells of one form are played, with an upstream of one manner.
type stage struct {
	*mirror
	up     *testrepo.Server   // that misbehaves
	all    []*testrepo.Server // that have the files
	lists  *promises
	played int
}

// promises is a catalog of one file at a time.
type promises struct {
	mu   sync.Mutex
	path string
	want cache.Want
}

// Lookup implements cache.Catalog.
func (p *promises) Lookup(k cache.Key) (cache.Want, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.Path != p.path {
		return cache.Want{}, false
	}
	return p.want, true
}

// list promises body of path, and nothing else; "" promises nothing.
func (p *promises) list(path string, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.path, p.want = path, promise(body)
}

func newStage(t *testing.T, f form, m manner) *stage {
	s := &stage{lists: &promises{}}
	o := setup{config: loopback, repo: "aliases = [\"http://alias.test/pub/r\"]\n", catalog: s.lists}
	if m.silent {
		o.header, o.idle = 50*time.Millisecond, 50*time.Millisecond
	}
	if m.next {
		second := testrepo.Start(t, t.TempDir())
		o.bases = []string{second.URL + "/r"}
		s.all = append(s.all, second)
	}
	s.mirror = newMirror(t, o)
	s.up = s.mirror.up
	if f == byProxy {
		s.up = s.aside(nil)
	}
	s.all = append(s.all, s.up)
	return s
}

// scene is a cell that is played.
type scene struct {
	*stage
	cell
	rest           string // the file's path in its repository
	at             string // and on the upstream
	name           string // and of the stored file
	old, new, next []byte
}

// play makes the cell's request, compares, and then asks once more of an upstream
// that is honest again.
func (st *stage) play(t *testing.T, c cell) {
	st.played++
	s := &scene{stage: st, cell: c, rest: c.path(st.played), old: c.version(1), new: c.version(2), next: c.version(3)}
	s.at, s.name = "/r/"+s.rest, "r/"+s.rest
	if c.form == byProxy {
		s.name = "proxy/" + s.up.Addr + s.at
	}
	s.set(t)
	want := c.expect()
	r := s.request()
	s.quiet()
	got := s.told(r)
	if !slices.Contains(want.gets, got) {
		t.Errorf("the client got %s (%s, %d bytes, %v), want %q", got, r.Status, len(r.body), r.err, want.gets)
	}
	if want.status != "" && r.status() != want.status {
		t.Errorf("Cache-Status %q, want %q", r.status(), want.status)
	}
	if kept := s.kept(); !slices.Contains(want.kept, kept) {
		t.Errorf("%s is stored, want %q", kept, want.kept)
	}
	var asked []string
	for _, l := range s.up.Lines("", s.at) {
		asked = append(asked, strings.Replace(l, " "+s.at, "", 1))
	}
	if want.asked != nil && !slices.Equal(asked, want.asked) {
		t.Errorf("upstream was asked %q, want %q", asked, want.asked)
	}
	if len(asked) > mostAsked {
		t.Errorf("upstream was asked %d times", len(asked))
	}
	s.recover(t)
}

// mostAsked is how often a mirror is asked for one file, by a request that begins
// anew some times, at most: redirects count too.
const mostAsked = 40

// set stores what is to be stored, and has upstream behave as it is to.
func (s *scene) set(t *testing.T) {
	switch {
	case s.kind != promised:
		s.lists.list("", nil)
	case s.state == fresh, s.state == same, s.state == gone:
		s.lists.list(s.rest, s.old)
	default:
		s.lists.list(s.rest, s.new)
	}
	put := func(body []byte) {
		for _, up := range s.all {
			if err := up.Put(s.at, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	switch s.state {
	case notStored:
		put(s.new)
	case fresh:
		put(s.old)
		if r := s.request(); r.StatusCode != http.StatusOK || r.err != nil {
			t.Fatalf("%s, %v", r.Status, r.err)
		}
		s.quiet()
		put(s.new)
	case same:
		put(s.old)
		s.adopt(t, time.Now().Add(time.Second))
	case older:
		put(s.new)
		s.adopt(t, time.Date(2020, 11, 20, 12, 0, 0, 0, time.UTC))
	case gone:
		s.adopt(t, time.Now())
	}
	s.up.Forget()
	if s.faults != nil {
		_, half := s.size()
		s.up.On("/page", testrepo.Portal())
		s.up.On(s.at, s.faults(int64(half), s.next)...)
	}
	if s.down {
		s.up.Stop()
	}
}

// adopt stores the old version as an existing mirror's file: without any facts.
func (s *scene) adopt(t *testing.T, modified time.Time) {
	name := filepath.Join(s.dir, s.name)
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, s.old, 0o644)
	}
	if err == nil {
		err = os.Chtimes(name, modified, modified)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// request asks for the file in the cell's form.
func (s *scene) request() reply {
	req := s.mirror.request(http.MethodGet, s.rest)
	switch s.form {
	case byAlias:
		req.URL.Host, req.URL.Path, req.Host = "alias.test", "/pub/r/"+s.rest, ""
		s.proxied(req)
	case byProxy:
		req.URL.Host, req.URL.Path, req.Host = s.up.Addr, s.at, ""
		s.proxied(req)
	}
	return s.try(req)
}

// which says which version body is.
func (s *scene) which(body []byte) string {
	switch {
	case bytes.Equal(body, s.old):
		return "old"
	case bytes.Equal(body, s.new):
		return "new"
	case s.changes && bytes.Equal(body, s.next):
		return "other"
	}
	return "wrong bytes"
}

// told is what an answer comes to for its client.
func (s *scene) told(r reply) string {
	switch {
	case r.err != nil:
		return "error"
	case r.StatusCode == http.StatusOK:
		return s.which(r.body)
	case r.StatusCode == http.StatusNotFound && strings.HasPrefix(string(r.body), "Not found"):
		return "404"
	case (r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusGatewayTimeout && s.silent) && bytes.Count(r.body, []byte("\n")) >= 2:
		return "error"
	}
	return r.Status
}

// kept is what is stored of the file.
func (s *scene) kept() string {
	body, err := os.ReadFile(filepath.Join(s.dir, s.name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "nothing"
	case err != nil:
		return err.Error()
	}
	return s.which(body)
}

// recover asks again later, of an upstream that is well: nothing bad has stayed.
func (s *scene) recover(t *testing.T) {
	if s.down {
		if err := s.up.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	s.up.Heal()
	s.pass(2 * time.Hour)
	if s.silent {
		return // whose patience is too short for a busy machine's honest answer
	}
	want := []string{"new"}
	switch {
	case s.state == nowhere, s.state == gone && s.kind != promised && !s.anchors():
		want = []string{"404"}
	case s.state == same, s.state == gone, s.state == fresh && s.kind == promised:
		want = []string{"old"}
	case s.changes && s.kind == promised:
		want = []string{"old", "error"} // what was promised is nowhere any more
	case s.changes:
		want = []string{"new", "other"}
	}
	if got := s.told(s.request()); !slices.Contains(want, got) {
		t.Errorf("of an upstream that is well again the client got %s, want %q", got, want)
	}
	s.quiet()
	if kept := s.kept(); !slices.Contains([]string{"old", "new", "other", "nothing"}, kept) {
		t.Errorf("afterwards %s is stored", kept)
	}
}

// TestCells: every cell of the design's table, in each form of a request, for each
// kind of file, with each way to misbehave: a right answer, an old right one or an
// honest error, and no wrong byte in the cache.
func TestCells(t *testing.T) {
	for _, m := range manners() {
		for _, f := range forms {
			t.Run(m.name+"/"+f.String(), func(t *testing.T) {
				t.Parallel()
				stage := newStage(t, f, m)
				names := 0
				for _, st := range []state{notStored, nowhere, fresh, same, older, gone} {
					for _, k := range []kind{promised, blind, metadata} {
						for _, large := range []bool{false, true} {
							c := cell{state: st, kind: k, form: f, large: large, manner: m}
							if c.makes() {
								t.Run(c.String(), func(t *testing.T) { stage.play(t, c) })
								names++
							}
						}
					}
				}
				// What lies in the cache directory are these files, and nothing else.
				for _, name := range stage.files() {
					if !strings.HasSuffix(name, ".rpm") && !strings.HasSuffix(name, ".xml") {
						t.Errorf("stored: %s", name)
					}
				}
				if n := len(stage.files()); n > names {
					t.Errorf("%d files are stored of %d", n, names)
				}
			})
		}
	}
}
