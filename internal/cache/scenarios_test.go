package cache_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha512"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// end is what lies on disk after a scenario, and what the caller was told.
type end struct {
	err     func(error) bool // nil: there was none
	stored  []byte           // the tree's file; nil: there is none
	partial int              // bytes of the partial file; 0: there is none
	sent    int              // bytes of bodies that the mirrors sent; 0: not looked at
}

// scenario is a file's way into the cache. It is run on demand and ahead, with
// the file's digest promised and without.
type scenario struct {
	name    string
	key     cache.Key // pkg if zero
	mirrors []mirror  // as they are when the file is asked for; the first has two if there are none
	// before brings about what earlier runs have left; w is the promise of two or
	// none. The mirrors are honest and have their files.
	before func(b *bench, e entry, w cache.Want)
	want   func([]byte) cache.Want // sha256 if nil
	idle   time.Duration           // of the mirrors; very long if zero
	again  bool                    // the client asks again when its answer is broken off
	// The end with the digest of two promised, and without; nil: not run.
	promised, blind *end
}

// Versions of a file, the second of the length of the third. half is where
// downloads break off.
var (
	one, like, two = rpm(150_000, 21), rpm(200_000, 25), rpm(200_000, 22)
	half           = 80_000
)

func scenarios() []scenario {
	whole := end{stored: two}
	all := &end{stored: two, sent: len(two)}
	rest := &end{stored: two, sent: len(two) - half}
	honest := mirror{body: two}
	broken := func(n int) *end { return &end{err: anyError, partial: n} }
	with := func(f ...testrepo.Fault) []mirror { return []mirror{{body: two, faults: f}} }
	head := func(b *bench, body []byte) cache.Head {
		return cache.Head{Length: int64(len(body)), URL: b.url(0), ETag: `"other"`, LastModified: day0.Format(http.TimeFormat)}
	}
	cutBy := func(which func(entry) entry) func(*bench, entry, cache.Want) {
		return func(b *bench, e entry, w cache.Want) { b.cut(which(e), w, int64(half)) }
	}
	same := func(e entry) entry { return e }
	cut := cutBy(same)
	// What is left is of another version, which was promised if this one is.
	cutOld := func(b *bench, e entry, w cache.Want) {
		if w.Known() {
			w = want(like)
		}
		b.put(0, like, day0)
		b.cut(e, w, int64(half))
		b.put(0, two, day1)
	}
	storedOld := func(b *bench, e entry, w cache.Want) {
		if w.Known() {
			w = want(one)
		}
		b.keep(0, one, day0, e, w)
	}
	return []scenario{
		{name: "fresh miss", promised: all, blind: all},
		{name: "complete", promised: &whole, blind: &whole, before: func(b *bench, e entry, w cache.Want) {
			b.keep(0, two, day1, e, w)
			b.mirrors[0].On("*", testrepo.Status(http.StatusTeapot)) // not asked
			b.now.Add(-int64(time.Hour))
		}},
		{name: "complete by the other", promised: &whole, blind: &whole, before: func(b *bench, e entry, w cache.Want) {
			b.keep(0, two, day1, e.other(), w)
		}},
		{name: "cut in mid-body, then fine", mirrors: with(testrepo.Cut(int64(half)).Times(1)), promised: all, blind: all},
		{name: "cut for good", mirrors: with(testrepo.Cut(int64(half)).Times(1), testrepo.Status(503)), promised: broken(half), blind: broken(half)},
		{name: "partial", before: cut, promised: rest, blind: rest},
		{name: "partial by the other", before: cutBy(entry.other), promised: rest, blind: rest},
		{name: "partial of another version", before: cutOld, promised: all, blind: all},
		{name: "partial of another version, nothing was promised", promised: &whole, before: func(b *bench, e entry, _ cache.Want) {
			cutOld(b, e, cache.Want{})
		}},
		{name: "partial that was promised, of another mirror, nothing is promised now", blind: rest, before: func(b *bench, _ entry, _ cache.Want) {
			b.leave(cache.Head{Length: int64(len(two)), URL: "http://elsewhere.test/x"}, want(two), two[:half])
		}},
		{name: "partial that was promised, of another version, nothing is promised now", blind: &whole, before: func(b *bench, _ entry, _ cache.Want) {
			b.leave(cache.Head{Length: int64(len(like)), URL: "http://elsewhere.test/x"}, wantSHA512(like), like[:half])
		}},
		{name: "partial of another version, If-Range ignored", before: cutOld, promised: &whole, blind: &whole,
			mirrors: []mirror{{body: two, wrap: without("If-Range")}}},
		{name: "partial, Range ignored", before: cut, mirrors: with(testrepo.IgnoreRange()), promised: &whole, blind: all},
		{name: "partial, wrong Content-Range", before: cut, mirrors: with(testrepo.WrongRange().Times(1)), promised: &whole, blind: &whole},
		{name: "partial, Content-Range of another total", before: cut, promised: &whole, blind: &whole,
			mirrors: []mirror{{body: two, wrap: onceRange("bytes %d-%d/%d", 1)}}},
		{name: "partial, a part of the range", before: cut, promised: &whole, blind: rest,
			mirrors: []mirror{{body: two, wrap: sliced}}},
		{name: "partial without length, a part of the range", promised: &whole, blind: &whole, mirrors: []mirror{{body: two, wrap: sliced}},
			before: func(b *bench, _ entry, w cache.Want) {
				// Honest but for its length, which a chunked body did not tell.
				h := head(b, two)
				h.Length, h.ETag, h.LastModified = -1, b.etag(0), day1.Format(http.TimeFormat)
				b.leave(h, w, two[:half])
			}},
		{name: "partial, 416", before: cut, mirrors: with(testrepo.Status(416).Only(http.MethodGet).Times(1)), promised: all, blind: all},
		{name: "partial, HEAD refused", before: cut, mirrors: with(testrepo.NoHead()), promised: rest, blind: rest},
		{name: "partial, HEAD fails", before: cut, mirrors: with(testrepo.Status(503).Only(http.MethodHead)), promised: rest, blind: rest},
		{name: "redirect", mirrors: []mirror{{to: 1}, honest}, promised: all, blind: all},
		{name: "redirect, partial", before: cut, mirrors: []mirror{{body: two, to: 1}, honest}, promised: rest, blind: all},
		{name: "redirect to a long address", mirrors: []mirror{{body: two, wrap: longAddress}}, promised: all, blind: all},
		{name: "redirect to HTML", mirrors: []mirror{{to: 1}, {faults: []testrepo.Fault{testrepo.Portal()}}},
			promised: &end{err: wrong}, blind: &end{err: wrong}},
		{name: "partial, captive portal", before: cut, mirrors: with(testrepo.Portal()), promised: &end{err: wrong, partial: half}, blind: &end{err: wrong}},
		{name: "encoded", mirrors: with(testrepo.Gzipped()), promised: &end{err: wrong}, blind: &end{err: wrong}},
		{name: "partial, encoded", before: cut, mirrors: with(testrepo.Gzipped()), promised: &end{err: wrong, partial: half}, blind: &end{err: wrong, partial: half}},
		{name: "chunked", mirrors: with(testrepo.Chunked()), promised: all, blind: all},
		{name: "chunked, cut, then fine", mirrors: with(testrepo.Chunked().With(testrepo.Cut(int64(half))).Times(1)), promised: all, blind: all},
		{name: "chunked and endless", mirrors: []mirror{{wrap: endless}}, promised: &end{err: wrong}},
		{name: "ends where the connection does", mirrors: with(testrepo.CloseDelimited()), promised: all, blind: &end{err: unstorable}},
		{name: "longer than it is", mirrors: with(testrepo.Overstate(1000)), promised: &end{err: wrong}, blind: &end{err: anyError}},
		{name: "shorter than it is", mirrors: with(testrepo.Truncate(100_000)), promised: &end{err: wrong}},
		{name: "shorter than it is, then an honest mirror", mirrors: []mirror{{body: two, faults: []testrepo.Fault{testrepo.Truncate(100_000)}}, honest}, promised: &whole},
		{name: "partial larger than the file", promised: all, blind: all, before: func(b *bench, _ entry, _ cache.Want) {
			old := rpm(400_000, 23)
			b.leave(head(b, old), cache.Want{}, old[:300_000])
		}},
		{name: "partial of the same size, wrong bytes", promised: all, blind: all, before: func(b *bench, _ entry, w cache.Want) {
			b.leave(head(b, two), w, rpm(len(two), 24))
		}},
		{name: "complete, not committed", promised: &end{stored: two}, blind: &whole, before: func(b *bench, _ entry, w cache.Want) {
			b.leave(head(b, two), w, two)
			if w.Known() {
				b.mirrors[0].On("*", testrepo.Status(http.StatusTeapot)) // not asked
			}
		}},
		{name: "complete, not committed, upstream's still", promised: &whole, blind: &whole, mirrors: []mirror{{body: two, wrap: conditionalOnly}},
			before: func(b *bench, _ entry, w cache.Want) {
				h := head(b, two)
				h.ETag, h.LastModified = b.etag(0), day1.Format(http.TimeFormat)
				b.leave(h, w, two)
			}},
		{name: "complete, not committed, of another version of its length", promised: all, blind: all, before: func(b *bench, _ entry, _ cache.Want) {
			b.leave(head(b, like), cache.Want{}, like)
		}},
		{name: "404", mirrors: []mirror{{}}, promised: &end{err: notExist}, blind: &end{err: notExist}},
		{name: "404 of two", mirrors: []mirror{{}, {}}, promised: &end{err: notExist}, blind: &end{err: notExist}},
		{name: "410 of two", mirrors: []mirror{gone, gone}, promised: &end{err: notExist}, blind: &end{err: notExist}},
		{name: "404 of one, then an honest mirror", mirrors: []mirror{{}, honest}, promised: all, blind: all},
		{name: "stored, 404 of the only mirror", before: storedOld, mirrors: []mirror{{}}, promised: &end{err: maybe, stored: one}, blind: &end{err: notExist}},
		{name: "stored, 410 of two", before: storedOld, mirrors: []mirror{gone, gone}, promised: &end{err: maybe, stored: one}, blind: &end{err: notExist}},
		{name: "stored, 404 of one, the other is down", before: storedOld, mirrors: []mirror{{}, {down: true}}, promised: &end{err: maybe, stored: one}, blind: &end{err: maybe, stored: one}},
		{name: "stored, one is down, 404 of the other", before: storedOld, mirrors: []mirror{failing, {}}, promised: &end{err: maybe, stored: one}, blind: &end{err: maybe, stored: one}},
		{name: "stored, cut, 404 of the other", before: storedOld, mirrors: []mirror{{body: two, faults: []testrepo.Fault{testrepo.Cut(int64(half)).Times(1), testrepo.Status(503)}}, {}},
			promised: &end{err: maybe, stored: one, partial: half}, blind: &end{err: maybe, stored: one, partial: half}},
		{name: "cut, 404 of the other", mirrors: []mirror{{body: two, faults: []testrepo.Fault{testrepo.Cut(int64(half)).Times(1), testrepo.Status(503)}}, {}}, promised: broken(half), blind: broken(half)},
		{name: "503, then the next mirror", mirrors: []mirror{failing, honest}, promised: all, blind: all},
		{name: "down, then the next mirror", mirrors: []mirror{{down: true}, honest}, promised: all, blind: all},
		{name: "cut, then the next mirror", again: true, mirrors: []mirror{{body: two, faults: []testrepo.Fault{testrepo.Cut(int64(half)).Times(1), testrepo.Status(503)}}, honest},
			promised: all, blind: &end{stored: two, sent: half + len(two)}},
		{name: "stall, then the next mirror", again: true, idle: 3 * time.Second, mirrors: []mirror{{body: two, faults: []testrepo.Fault{testrepo.Stall(int64(half))}}, honest},
			promised: all, blind: &end{stored: two, sent: half + len(two)}},
		{name: "stored, older", before: storedOld, promised: all, blind: all},
		{name: "stored, older, cut for good", before: storedOld, mirrors: with(testrepo.Cut(int64(half)).Times(1), testrepo.Status(503)),
			promised: &end{err: maybe, stored: one, partial: half}, blind: &end{err: maybe, stored: one, partial: half}},
		{name: "stored, the mirror lags", mirrors: []mirror{{body: one, modified: day0}}, promised: &whole, blind: &whole, before: func(b *bench, e entry, w cache.Want) {
			b.keep(0, two, day1, e, w)
		}},
		{name: "the mirror lags, then the next", mirrors: []mirror{{body: one, modified: day0}, honest}, promised: &whole},
		{name: "wrong bytes, then an honest mirror", mirrors: []mirror{{body: two, faults: []testrepo.Fault{testrepo.Corrupt(100)}}, honest}, promised: &end{stored: two, sent: 2 * len(two)}},
		{name: "wrong bytes", mirrors: with(testrepo.Corrupt(100)), promised: &end{err: wrong}},
		{name: "empty file", key: cache.Key{Repo: "r", Path: "x/empty"}, mirrors: []mirror{{body: []byte{}}}, promised: &end{stored: []byte{}}, blind: &end{stored: []byte{}}},
		{name: "not of the format of its name", mirrors: []mirror{{body: random(200_000, 26)}}, promised: &end{stored: random(200_000, 26)}, blind: &end{err: wrong}},
		{name: "sha512", want: wantSHA512, promised: all},
		{name: "sha512, partial", want: wantSHA512, before: cut, promised: rest},
		{name: "sha1, partial by the other", want: wantSHA1, before: cutBy(entry.other), promised: rest},
		{name: "sha1, complete, not promised then", want: wantSHA1, promised: &whole, before: func(b *bench, e entry, _ cache.Want) {
			b.keep(0, two, day1, e, cache.Want{})
			b.mirrors[0].On("*", testrepo.Status(http.StatusTeapot)) // not asked
		}},
		{name: "sha1, wrong bytes", want: wantSHA1, mirrors: with(testrepo.Corrupt(100)), promised: &end{err: wrong}},
		{name: "a name of + ~ ^ %", key: cache.Key{Repo: "r", Path: "x/p+q/a-1~rc1^git+2%25-1.noarch.rpm"}, promised: all, blind: all},
	}
}

// TestScenarios: whichever way a file comes into the cache, and whatever happens
// on the way, the same lies on disk afterwards.
func TestScenarios(t *testing.T) {
	for _, s := range scenarios() {
		for promise, expect := range map[string]*end{"promised": s.promised, "blind": s.blind} {
			if expect == nil {
				continue
			}
			t.Run(s.name+"/"+promise, func(t *testing.T) {
				t.Parallel()
				disks := map[entry]disk{}
				for _, e := range []entry{onDemand, ahead} {
					t.Run(string(e), func(t *testing.T) { disks[e] = s.play(t, e, promise == "promised", *expect) })
				}
				name := s.file().String()
				for e, d := range disks {
					if f, ok := d.Ahead[name]; ok && expect.sent > 0 && f != (e == ahead) {
						t.Errorf("%s: the facts say that it was fetched ahead: %v", e, f)
					}
					d.Ahead = nil
					disks[e] = d
				}
				if diff := cmp.Diff(disks[onDemand], disks[ahead], short); diff != "" {
					t.Errorf("on disk after get (-) and prefetch (+):\n%s", diff)
				}
			})
		}
	}
}

// short tells long texts apart without printing them.
var short = cmp.FilterValues(func(a, b string) bool { return len(a) > 2000 || len(b) > 2000 },
	cmp.Transformer("short", func(s string) string { return fmt.Sprintf("%d bytes, %.8x", len(s), sha512.Sum512([]byte(s))) }))

func (s scenario) file() cache.Key {
	if s.key == (cache.Key{}) {
		return pkg
	}
	return s.key
}

// play runs the scenario through one entry point.
func (s scenario) play(t *testing.T, e entry, promised bool, expect end) disk {
	mirrors, body := s.mirrors, two
	if mirrors == nil {
		mirrors = []mirror{{body: two}}
	}
	if b := mirrors[0].body; b != nil && !bytes.HasPrefix(b, rpm(4, 0)) {
		body = b
	}
	var w cache.Want
	if promised {
		if s.want == nil {
			s.want = want
		}
		w = s.want(body)
	}
	b := newBench(t, s.file(), mirrors...)
	if s.idle > 0 {
		b.idle = s.idle
	}
	if s.before != nil {
		for _, m := range b.mirrors {
			m.Heal()
		}
		s.before(b, e, w)
		for i, m := range b.mirrors {
			b.put(i, mirrors[i].body, mirrors[i].modified)
			b.misbehave(i, mirrors[i])
			m.Forget()
		}
		b.now.Add(int64(time.Hour))
	}
	b.begun.Store(true)
	err := b.run(e, w, s.again)
	switch {
	case expect.err == nil && err != nil:
		t.Errorf("err = %v", err)
	case expect.err != nil && !expect.err(err):
		t.Errorf("err = %v, another was expected", err)
	}
	d := b.disk()
	stored, ok := d.Files[b.key.String()]
	if ok != (expect.stored != nil) || stored != string(expect.stored) {
		t.Errorf("stored: %v, %d bytes; want %d", ok, len(stored), len(expect.stored))
	}
	if len(d.Files) > 1 {
		t.Errorf("%d files in the tree", len(d.Files))
	}
	left := 0
	for _, p := range d.Partials {
		left += len(p)
		if !bytes.HasPrefix(two, []byte(p)) {
			t.Error("the partial file is not the beginning of the file")
		}
	}
	if left != expect.partial || expect.partial == 0 && len(d.Partials) > 0 {
		t.Errorf("%d partial files of %d bytes, want %d bytes", len(d.Partials), left, expect.partial)
	}
	if n := b.sent(); expect.sent > 0 && n != int64(expect.sent) {
		t.Errorf("the mirrors sent %d bytes, want %d: %v", n, expect.sent, b.mirrors[0].Lines("", "*"))
	}
	return d
}

var (
	gone    = mirror{faults: []testrepo.Fault{testrepo.Status(http.StatusGone)}}
	failing = mirror{faults: []testrepo.Fault{testrepo.Status(http.StatusServiceUnavailable)}}
)

func unstorable(err error) bool { return errors.Is(err, cache.ErrUnstorable) }

// maybe accepts what Get makes good by the stored copy, and Prefetch reports,
// if it is not that the file is gone.
func maybe(err error) bool { return true }

func wantSHA512(b []byte) cache.Want {
	return cache.Want{Digest: cache.Digest(fmt.Sprintf("sha512:%x", sha512.Sum512(b))), Size: int64(len(b))}
}

func wantSHA1(b []byte) cache.Want {
	return cache.Want{Digest: cache.Digest(fmt.Sprintf("sha1:%x", sha1.Sum(b))), Size: int64(len(b))}
}

// keep stores body, which mirror i has, through e.
func (b *bench) keep(i int, body []byte, modified time.Time, e entry, w cache.Want) {
	b.t.Helper()
	b.put(i, body, modified)
	if err := b.run(e, w, false); err != nil {
		b.t.Fatal(err)
	}
}

// etag is the validator that mirror i gives.
func (b *bench) etag(i int) string {
	b.t.Helper()
	resp, err := http.Head(b.url(i))
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("ETag")
}
