package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
	"intelligentmirror/internal/cache"
)

// bin is the folder with the programs, which are built for all tests together.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "soak-test-"); err == nil {
		for _, name := range []string{"imserve", "imsync"} {
			if _, build := peer.Build(context.Background(), bin, name); build != nil {
				err = errors.Join(err, build)
			}
		}
	}
	code := 1
	if err == nil {
		code = m.Run()
	}
	if err := errors.Join(err, os.RemoveAll(bin)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A short run from end to end: all figures are noted and judged, days pass, and nothing
// is amiss. Whether something still grows no such run can tell.
func TestRun(t *testing.T) {
	out := t.TempDir()
	var said bytes.Buffer
	err := run(t.Context(), []string{"-for", "6s", "-day", "2s", "-every", "200ms", "-clients", "2", "-bin", bin, "-out", out}, &said)
	if err != nil && (!strings.HasPrefix(err.Error(), "still growing: ") || strings.Contains(err.Error(), "\n")) {
		t.Fatalf("%v\n%s", err, &said)
	}
	for _, f := range figures {
		if !strings.Contains(said.String(), "\n"+f.name+" ") {
			t.Errorf("nothing is said of %s", f.name)
		}
	}
	if !strings.Contains(said.String(), " days. Answers:") {
		t.Errorf("it says\n%s", &said)
	}
	table, err := readTable(filepath.Join(out, "samples.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range figures {
		most := math.Inf(-1) // of all samples: in the first a program may be about to start
		for _, r := range table.rows {
			if v := r.values[i]; !math.IsNaN(v) {
				most = max(most, v)
			}
		}
		if ofProgram := strings.HasPrefix(f.name, "im") && strings.Contains(f.name, ": "); most < 0 || ofProgram && most == 0 {
			t.Errorf("%s is %v at most", f.name, most)
		}
	}
	picture, err := os.ReadFile(filepath.Join(out, "soak.svg"))
	if err == nil {
		err = xml.Unmarshal(picture, new(struct{}))
	}
	if err != nil {
		t.Error(err)
	}
}

// An interrupted run is judged by what it has.
func TestInterrupted(t *testing.T) {
	out := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if table, err := readTable(filepath.Join(out, "samples.tsv")); err == nil && len(table.rows) > 1 {
				cancel()
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	var said bytes.Buffer
	err := run(ctx, []string{"-day", "1h", "-every", "100ms", "-clients", "1", "-bin", bin, "-out", out}, &said)
	if err != nil && !strings.HasPrefix(err.Error(), "still growing: ") || !strings.Contains(said.String(), "VERDICT") {
		t.Errorf("%v\n%s", err, &said)
	}
}

func TestRefusesNonsense(t *testing.T) {
	for args, want := range map[string]string{"-for=0": "positive", "-clients=0": "positive", "-again=/not/there": "no such file"} {
		if err := run(t.Context(), []string{args}, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// What a run has noted is judged again, and a figure that grows is an error that names it.
func TestAgain(t *testing.T) {
	leaking := slices.IndexFunc(figures, func(f figure) bool { return f.name == "imserve: goroutines" })
	for _, c := range []struct {
		name string
		leak float64 // a sample
		want string
	}{
		{"nothing grows", 0, ""},
		{"goroutines do", 0.5, "still growing: imserve: goroutines"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			lines := []string{header()}
			for i := range 400 {
				values := make([]float64, len(figures))
				for k := range values {
					values[k] = 100 + float64(i%7)
				}
				values[leaking] += c.leak * float64(i)
				lines = append(lines, row{time.Duration(i) * time.Second, values}.String())
			}
			name := filepath.Join(dir, "samples.tsv")
			if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := run(t.Context(), []string{"-again", name, "-out", dir}, io.Discard)
			said := ""
			if err != nil {
				said = err.Error()
			}
			if said != c.want {
				t.Errorf("%q, want %q", said, c.want)
			}
			picture, err := os.ReadFile(filepath.Join(dir, "soak.svg"))
			if err != nil || strings.Contains(string(picture), "grows") != (c.want != "") {
				t.Errorf("a picture of %d bytes says what grows: %v, %v", len(picture), c.want == "", err)
			}
		})
	}
}

// Whatever else than a table of this program's is refused.
func TestReadTable(t *testing.T) {
	for name, text := range map[string]string{
		"other figures": "seconds\tother\n1\t2\n",
		"no samples":    header() + "\n",
		"half a line":   header() + "\n1.0\t2\n",
	} {
		file := filepath.Join(t.TempDir(), "samples.tsv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readTable(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What the databases remember grows older by so many days.
func TestAge(t *testing.T) {
	path := t.TempDir() + "/cache.db"
	if err := age(t.Context(), path, 3, 0); err != nil {
		t.Errorf("none is there: %v", err)
	}
	now := time.Now().Truncate(time.Second)
	l, err := cache.OpenLedger(path, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	key, err := cache.NewKey("fedora", "a.rpm")
	if err != nil {
		t.Fatal(err)
	}
	l.Served(key, 1, true)
	if err := errors.Join(l.Flush(t.Context()), age(t.Context(), path, 3, 0)); err != nil {
		t.Fatal(err)
	}
	uses, err := l.LastUses(t.Context())
	if got := now.Sub(uses["fedora/a.rpm"]); err != nil || got != 3*24*time.Hour {
		t.Errorf("%v, %v", got, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// So do tombstones and whole generations, but for what may be under way.
func TestAgeFiles(t *testing.T) {
	s := &site{options: options{day: time.Minute}, dir: t.TempDir()}
	s.cache = s.dir + "/cache"
	if err := s.ageFiles(3); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	now := time.Now().Truncate(time.Second)
	stone := s.cache + "/.im/tombstones/fedora/a.rpm"
	text, err := json.Marshal(cache.Tombstone{Withdrawn: now, Why: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	old, young := s.cache+"/.im/gen/old", s.cache+"/.im/gen/young"
	before := now.Add(-time.Hour)
	if err := errors.Join(os.MkdirAll(filepath.Dir(stone), 0o755), os.WriteFile(stone, text, 0o644),
		os.MkdirAll(old, 0o755), os.WriteFile(old+"/catalog", nil, 0o644), os.MkdirAll(young, 0o755), os.WriteFile(young+"/catalog", nil, 0o644),
		os.Chtimes(old, before, before), s.ageFiles(3)); err != nil {
		t.Fatal(err)
	}
	const by = 3 * 24 * time.Hour
	var aged cache.Tombstone
	if text, err = os.ReadFile(stone); err == nil {
		err = json.Unmarshal(text, &aged)
	}
	if err != nil || !aged.Withdrawn.Equal(now.Add(-by)) || !aged.Deleted.IsZero() || aged.Why != "gone" {
		t.Errorf("%s, %v", text, err)
	}
	if fi, err := os.Stat(old); err != nil || !fi.ModTime().Equal(before.Add(-by)) {
		t.Errorf("%v, %v", fi, err)
	}
	if fi, err := os.Stat(young); err != nil || time.Since(fi.ModTime()) > by {
		t.Errorf("%v, %v", fi, err)
	}
}

// Clients are given what upstream had, or told the truth.
func TestWrong(t *testing.T) {
	u := &upstream{
		all: [][]byte{[]byte("first"), []byte("second")},
		kept: []map[string][]byte{
			{repomd: []byte("first"), "a.rpm": []byte("aaaa"), "old.rpm": []byte("oooo")},
			{repomd: []byte("second"), "a.rpm": []byte("aaaa"), "new.rpm": []byte("nnnn")},
		},
	}
	for _, c := range []struct {
		name, path string
		status     int
		part, body string
		wrong      bool
	}{
		{"a package", "a.rpm", 200, "", "aaaa", false},
		{"other bytes", "a.rpm", 200, "", "aaab", true},
		{"cut", "a.rpm", 200, "", "aaa", true},
		{"an older repomd.xml", repomd, 200, "", "first", false},
		{"one that never was", repomd, 200, "", "third", true},
		{"a part", "a.rpm", 206, "bytes 1-2/4", "aa", false},
		{"a part of another file", "a.rpm", 206, "bytes 1-2/5", "aa", true},
		{"another part", "new.rpm", 206, "bytes 1-2/4", "aa", true},
		{"a part of nothing", "a.rpm", 206, "", "aa", true},
		{"gone", "old.rpm", 404, "", "Not found", false},
		{"said to be gone", "a.rpm", 404, "", "Not found", true},
		{"no metadata", repomd, 404, "", "Not found", true},
		{"out of reach", "a.rpm", 502, "", "No route to host", false},
		{"and no reason", "a.rpm", 504, "", "\n", true},
		{"our own fault", "a.rpm", 500, "", "oops", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := &http.Response{StatusCode: c.status, Header: http.Header{"Content-Range": {c.part}}}
			if got := u.wrong(c.path, resp, []byte(c.body)); (got != "") != c.wrong {
				t.Errorf("%q", got)
			}
		})
	}
}
