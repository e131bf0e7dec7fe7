package popularity

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// site is a directory of logs and the database that reads them.
type site struct {
	t     *testing.T
	dir   string
	s     *Store
	lines int64 // read so far
	parts []string
}

func (w *site) ingest() Report {
	w.t.Helper()
	r := ingest1(w.t, w.s, w.dir+"/*log*")
	w.lines += r.Lines
	return r
}

// input reads a log from standard input.
func (w *site) input(content string) {
	w.t.Helper()
	w.s.opt.Stdin = strings.NewReader(content)
	r := ingest1(w.t, w.s, Stdin)
	w.lines += r.Lines
	if r.Files != 1 || len(r.Failed) != 0 {
		w.t.Errorf("standard input: %+v", r)
	}
}

// rotateAndCompress rotates as logrotate does, between two runs and during what
// one would have read.
func (w *site) rotateAndCompress(suffix string) {
	w.t.Helper()
	w.append("log", 0)
	w.ingest()
	w.append("log", 1)
	w.rename("log", "log.1")
	w.compress("log.1", suffix)
	w.append("log", 2)
	w.ingest()
	w.rename("log.1"+suffix, "log.2"+suffix)
	w.rename("log", "log.1")
	w.ingest()
	w.compress("log.1", suffix)
	w.ingest()
	w.append("log", 3)
}

// atWork reads a compressed log while it is being written; magic is how many bytes tell
// the format.
func (w *site) atWork(suffix string, magic int) {
	w.t.Helper()
	name, whole := "log"+suffix, compressors[suffix](w.t, w.parts[0]+w.parts[1]+w.parts[2])
	for _, end := range []int{1, magic - 1, magic, magic + 1, magic + 5, 20, len(whole) / 3, len(whole) / 2, len(whole) - 1} {
		writeFile(w.t, w.dir+"/"+name, whole[:end])
		if r := w.ingest(); end > magic && len(r.Failed) != 1 {
			w.t.Errorf("%d of %d bytes: failed %v", end, len(whole), r.Failed)
		}
	}
	writeFile(w.t, w.dir+"/"+name, whole)
	w.append("log", 3)
}

func (w *site) append(name string, part int) {
	w.t.Helper()
	appendFile(w.t, w.dir+"/"+name, w.parts[part])
}

func (w *site) rename(from, to string) {
	w.t.Helper()
	if err := os.Rename(w.dir+"/"+from, w.dir+"/"+to); err != nil {
		w.t.Fatal(err)
	}
}

func (w *site) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.dir + "/" + name)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// copy copies a log, as `cp` and copy-and-truncate do.
func (w *site) copy(from, to string) { writeFile(w.t, w.dir+"/"+to, w.read(from)) }

// truncate empties a log in place.
func (w *site) truncate(name string) {
	w.t.Helper()
	if err := os.Truncate(w.dir+"/"+name, 0); err != nil {
		w.t.Fatal(err)
	}
}

func (w *site) remove(name string) {
	w.t.Helper()
	if err := os.Remove(w.dir + "/" + name); err != nil {
		w.t.Fatal(err)
	}
}

// Whatever happens to a log between two runs, each of its lines is read once:
// the four parts of the traffic give the ranking of once, and no line is even
// read a second time.
func TestOnceOverRuns(t *testing.T) {
	const parts = 4
	for _, c := range []struct {
		name string
		does func(w *site)
		// How many lines are read again, all of them counted before: a copy
		// that holds less than was read cannot be told from a new log.
		again func(lines [parts]int) int
	}{
		{name: "all at once", does: func(w *site) {
			for p := range parts {
				w.append("log", p)
			}
		}},
		{name: "read twice, and growing", does: func(w *site) {
			for p := range parts {
				w.append("log", p)
				w.ingest()
				w.ingest()
			}
		}},
		{name: "torn lines", does: func(w *site) {
			whole := w.parts[0] + w.parts[1] + w.parts[2] + w.parts[3]
			for _, end := range []int{1, 77, 500, 5000, len(whole) / 2, len(whole) - 1, len(whole)} {
				writeFile(w.t, w.dir+"/log", whole[:end])
				w.ingest()
			}
		}},
		{name: "rotated by rename", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.append("log", 1)
			w.rename("log", "log.1")
			w.append("log", 2)
			w.ingest()
			w.rename("log.1", "log.2")
			w.rename("log", "log.1")
			w.append("log", 3)
		}},
		{name: "rotated and gzipped", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.append("log", 1)
			w.rename("log", "log.1")
			w.gzip("log.1")
			w.append("log", 2)
			w.ingest()
			w.rename("log.1.gz", "log.2.gz")
			w.rename("log", "log.1")
			w.gzip("log.1")
			w.append("log", 3)
		}},
		{name: "rotated and compressed with xz", does: func(w *site) { w.rotateAndCompress(".xz") }},
		{name: "rotated and compressed with zstd", does: func(w *site) { w.rotateAndCompress(".zst") }},
		{name: "compressed anew with something else", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.append("log", 1)
			w.append("log", 2)
			whole := w.read("log")
			w.compress("log", ".gz")
			w.ingest()
			w.remove("log.gz")
			for _, suffix := range []string{".xz", ".zst"} {
				writeFile(w.t, w.dir+"/log"+suffix, compressors[suffix](w.t, whole))
				w.ingest()
			}
			w.append("log", 3)
		}},
		{name: "xz and zstd in several streams", does: func(w *site) {
			writeFile(w.t, w.dir+"/log.xz", xzed(w.t, w.parts[0]))
			w.ingest()
			appendFile(w.t, w.dir+"/log.xz", xzed(w.t, w.parts[1]))
			writeFile(w.t, w.dir+"/log.zst", zstded(w.t, w.parts[2]))
			w.ingest()
			appendFile(w.t, w.dir+"/log.zst", zstded(w.t, w.parts[3]))
		}},
		{name: "by way of standard input, and as a file", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.append("log", 1)
			w.input(w.read("log"))
			w.input(w.read("log"))
			w.ingest()
			w.input(gzipped(w.t, w.read("log")+w.parts[2]))
			w.append("log", 2)
			w.append("log", 3)
		}},
		{name: "gzipped with another name", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.gzip("log")
			w.rename("log.gz", "old-log")
			w.append("log", 1)
			w.append("log", 2)
			w.append("log", 3)
		}},
		{name: "copied and truncated", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.append("log", 1)
			w.copy("log", "log.1")
			w.truncate("log")
			w.append("log", 2)
			w.ingest()
			w.copy("log", "log.2")
			w.truncate("log")
			w.ingest()
			w.append("log", 3)
		}},
		{name: "both copies present", does: func(w *site) {
			w.append("log", 0)
			w.copy("log", "log.copy")
			w.ingest()
			w.append("log", 1)
			w.copy("log", "log.copy2")
			w.copy("log", "a-log")
			w.gzip("a-log")
			w.ingest()
			w.append("log", 2)
			w.append("log", 3)
		}},
		{name: "plain and gzipped both present, and the plain one goes on", does: func(w *site) {
			w.append("log", 0)
			w.append("log", 1)
			w.copy("log", "z-log")
			w.gzip("z-log")
			w.ingest()
			w.append("log", 2)
			w.ingest()
			w.append("log", 3)
		}},
		{name: "a copy goes on, the original stays", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.copy("log", "log.x")
			w.append("log.x", 1)
			w.ingest()
			w.append("log.x", 2)
			w.ingest()
			w.append("log.x", 3)
		}},
		{name: "a copy from between two runs", again: func(n [parts]int) int { return n[1] }, does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.append("log", 1)
			w.copy("log", "z-log")
			w.append("log", 2)
			w.ingest()
			w.ingest()
			w.append("log", 3)
		}},
		{name: "a gzipped copy from between two runs", again: func(n [parts]int) int { return n[1] }, does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.append("log", 1)
			w.copy("log", "z-log")
			w.gzip("z-log")
			w.append("log", 2)
			w.ingest()
			w.ingest()
			w.append("log", 3)
		}},
		{name: "truncated and regrown, shorter", does: func(w *site) {
			w.append("log", 0)
			w.append("log", 1)
			w.append("log", 2)
			w.ingest()
			w.truncate("log")
			w.append("log", 3)
		}},
		{name: "truncated and regrown, longer", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			w.truncate("log")
			w.append("log", 1)
			w.append("log", 2)
			w.append("log", 3)
		}},
		{name: "rewritten in the same size", does: func(w *site) {
			w.append("log", 0)
			w.ingest()
			pad := len(w.parts[0]) - len(w.parts[1])
			if pad < 1 {
				w.t.Fatal("the first part must be the longest")
			}
			writeFile(w.t, w.dir+"/log", strings.Repeat("#", pad-1)+"\n"+w.parts[1])
			w.lines-- // the padding
			w.ingest()
			w.append("log", 2)
			w.append("log", 3)
		}},
		{name: "two logs change names", does: func(w *site) {
			w.append("log.a", 0)
			w.append("log.b", 1)
			w.ingest()
			w.rename("log.a", "log.c")
			w.rename("log.b", "log.a")
			w.rename("log.c", "log.b")
			w.ingest()
			w.append("log.a", 2)
			w.append("log.b", 3)
		}},
		{name: "links to one file", does: func(w *site) {
			w.append("log", 0)
			if err := os.Link(w.dir+"/log", w.dir+"/hard-log"); err != nil {
				w.t.Fatal(err)
			}
			if err := os.Symlink("log", w.dir+"/soft-log"); err != nil {
				w.t.Fatal(err)
			}
			w.ingest()
			w.append("log", 1)
			w.append("log", 2)
			w.ingest()
			w.append("log", 3)
		}},
		{name: "gzip in several members", does: func(w *site) {
			writeFile(w.t, w.dir+"/log.gz", gzipped(w.t, w.parts[0]))
			w.ingest()
			appendFile(w.t, w.dir+"/log.gz", gzipped(w.t, w.parts[1]+w.parts[2]))
			w.ingest()
			w.append("log", 3)
		}},
		{name: "a gzipped log is rewritten in place", does: func(w *site) {
			writeFile(w.t, w.dir+"/log.gz", gzipped(w.t, w.parts[0]))
			w.ingest()
			w.ingest()
			writeFile(w.t, w.dir+"/log.gz", gzipped(w.t, w.parts[1]))
			w.ingest()
			w.append("log", 2)
			w.append("log", 3)
		}},
		{name: "gzip at work", does: func(w *site) { w.atWork(".gz", 2) }},
		{name: "xz at work", does: func(w *site) { w.atWork(".xz", 6) }},
		{name: "zstd at work", does: func(w *site) { w.atWork(".zst", 4) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			hits := traffic(5, 1500)
			cuts := []int{0, 500, 800, 1100, len(hits)}
			w := &site{t: t, dir: t.TempDir()}
			var lines [parts]int
			want := int64(len(hits))
			for p := range parts {
				part := hits[cuts[p]:cuts[p+1]]
				w.parts = append(w.parts, write(part, "imserve"))
				lines[p] = len(part)
			}
			if c.again != nil {
				want += int64(c.again(lines))
			}
			w.s = openStore(t, w.dir, options())
			w.s.limit = 100
			c.does(w)
			w.ingest()
			if got := w.lines; got != want {
				t.Errorf("%d lines read, want %d", got, want)
			}
			w.ingest()
			if w.lines != want {
				t.Errorf("%d lines read again", w.lines-want)
			}
			if diff := cmp.Diff(expect(hits, halfLife), ranks(t, w.s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Logs that begin alike stay two logs.
func TestSameBeginning(t *testing.T) {
	for _, same := range []int{1, 2, 100} {
		hits := traffic(6, 1000)
		begin := write(hits[:same], "combined")
		dir := t.TempDir()
		s := openStore(t, dir, options())
		writeFile(t, dir+"/a.log", begin)
		ingest1(t, s, dir+"/*.log")
		writeFile(t, dir+"/b.log", begin)
		ingest1(t, s, dir+"/*.log")
		appendFile(t, dir+"/a.log", write(hits[same:300], "combined"))
		appendFile(t, dir+"/b.log", write(hits[300:500], "combined"))
		ingest1(t, s, dir+"/*.log")
		// The longest, so that it could be any of the others.
		writeFile(t, dir+"/c.log", begin+write(hits[500:], "combined"))
		ingest1(t, s, dir+"/*.log")
		if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
			t.Errorf("%d lines: %s", same, diff)
		}
		if r := ingest1(t, s, dir+"/*.log"); r.Lines != 0 || r.Files != 3 {
			t.Errorf("%d lines: again: %+v", same, r)
		}
	}
}

// A log that differs from a known one in its first line alone is another.
func TestSameEnd(t *testing.T) {
	hits := traffic(6, 300)
	dir := t.TempDir()
	s := openStore(t, dir, options())
	for _, client := range []string{"10.9.9.1", "10.9.9.2"} {
		hits[0].client = client
		writeFile(t, dir+"/log", write(hits, "combined"))
		if r := ingest1(t, s, dir+"/log"); r.Lines != int64(len(hits)) {
			t.Errorf("%s: %d lines", client, r.Lines)
		}
	}
}

// One log is one row, however many batches it took, and is known by a whole
// window at each end.
func TestKnownOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, options())
	s.limit = 10
	text := write(traffic(6, 3000), "combined")
	writeFile(t, dir+"/log", text)
	ingest1(t, s, dir+"/log")
	k, err := s.loadKnowns(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := known{
		id: 1, headLength: window, head: fingerprintOf([]byte(text[:window])),
		readTo: int64(len(text)), tailLength: window, tail: fingerprintOf([]byte(text[len(text)-window:])),
	}
	if len(k.list) != 1 || *k.list[0] != want {
		t.Errorf("%d known, want one: %+v", len(k.list), want)
	}
}

// A log is forgotten when no file was it for long, and not before.
func TestForgetsLogs(t *testing.T) {
	dir := t.TempDir()
	o := options()
	clock := now
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	writeFile(t, dir+"/log", write(traffic(6, 10), "combined"))
	for _, c := range []struct {
		after time.Duration
		glob  string
		known int
	}{
		{0, "/log", 1}, {399, "/log", 1}, {399, "/nothing", 1}, {2, "/nothing", 0},
	} {
		clock = clock.Add(c.after * 24 * time.Hour)
		ingest1(t, s, dir+c.glob)
		if got := count(t, s, "logs"); got != c.known {
			t.Errorf("after %d days, %s: %d logs", c.after, c.glob, got)
		}
	}
}

// A compressed log that was left alone since it was read is not even opened.
func TestUnchangedIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	o := options()
	ahead := now
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if mtime := info.ModTime(); mtime.After(ahead) {
		ahead = mtime
	}
	ahead = ahead.Add(2 * stampAge)
	o.Clock = func() time.Time { return ahead }
	s := openStore(t, dir, o)
	writeFile(t, dir+"/log.gz", gzipped(t, write(traffic(7, 50), "imserve")))
	if r := ingest1(t, s, dir+"/log.gz"); r.Lines != 50 {
		t.Fatalf("%+v", r)
	}
	k, err := s.loadKnowns(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info, err = os.Stat(dir + "/log.gz"); err != nil {
		t.Fatal(err)
	}
	st, _ := stampOf(info)
	if k.unmoved[st] != k.list[0].id {
		t.Errorf("stamps %v, want %v to be log %d", k.unmoved, st, k.list[0].id)
	}
	if r := ingest1(t, s, dir+"/log.gz"); r.Files != 1 || r.FilesRead != 0 || r.Lines != 0 {
		t.Errorf("again: %+v", r)
	}
}
