package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 22, 3, 0, 0, 5, time.UTC)

// line is a file whose bytes are named by a word.
func line(path, word string) Line {
	sum := sha256.Sum256([]byte(word))
	return Line{Path: path, Size: int64(len(word)), SHA256: hex.EncodeToString(sum[:]), ModTime: at}
}

// take makes the manifest of these lines.
func take(t *testing.T, s Shelf, since string, lines []Line) (text []byte, tag string, changes []byte, known bool) {
	t.Helper()
	taking := s.Take(since)
	defer taking.Close()
	for _, l := range lines {
		raw, err := taking.Add(l)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, raw...)
	}
	tag, err := taking.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r, known := taking.Changes()
	if known {
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		changes = b.Bytes()
	}
	return text, tag, changes, known
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// TestCompare holds that paths are in the order in which a walk meets them.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a-b/x", "a/x", "a.b", "a/b/c", "a/b-c", "ab", "é/\x01", "a b/x", "a!/y"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var walked []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			walked = append(walked, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if sorted := slices.SortedFunc(slices.Values(walked), Compare); len(walked) != 9 || !slices.Equal(sorted, walked) {
		t.Errorf("sorted %q\nwalked %q", sorted, walked)
	}
}

// TestChanges holds, for many pairs of caches, that what has changed between them
// makes the one the other, to the byte, and has no line too much.
func TestChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		s := NewShelf(filepath.Join(t.TempDir(), "shelf"))
		var before, after []Line
		differ := 0
		for j := range r.IntN(40) {
			path := fmt.Sprintf("r/%03d/%d", j/7, j)
			switch r.IntN(5) {
			case 0:
				before = append(before, line(path, "old"))
				differ++
			case 1:
				after = append(after, line(path, "new"))
				differ++
			case 2:
				before, after = append(before, line(path, "old")), append(after, line(path, "new"))
				differ++
			default:
				before, after = append(before, line(path, "same")), append(after, line(path, "same"))
			}
		}
		byPath := func(a, b Line) int { return Compare(a.Path, b.Path) }
		slices.SortFunc(before, byPath)
		slices.SortFunc(after, byPath)
		old, cursor, _, _ := take(t, s, "", before)
		text, tag, changes, known := take(t, s, cursor, after)
		if !known || tag != sum(text) || cursor != sum(old) {
			t.Fatalf("case %d: known %t, tags %s %s", i, known, cursor, tag)
		}
		if n := bytes.Count(changes, []byte("\n")); n != differ {
			t.Errorf("case %d: %d changes of %d files:\n%s", i, n, differ, changes)
		}
		var b bytes.Buffer
		got, err := Apply(&b, bytes.NewReader(old), bytes.NewReader(changes))
		if err != nil || got != tag || !bytes.Equal(b.Bytes(), text) {
			t.Fatalf("case %d: %v; applied:\n%s\nwant:\n%s", i, err, b.Bytes(), text)
		}
		b.Reset()
		if got, err := Copy(&b, bytes.NewReader(text)); err != nil || got != tag || !bytes.Equal(b.Bytes(), text) {
			t.Fatalf("case %d: copied: %v", i, err)
		}
		var missing []string
		if err := Missing(bytes.NewReader(old), bytes.NewReader(text), func(l Line) error { missing = append(missing, l.Path); return nil }); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, l := range before {
			if !slices.ContainsFunc(after, func(x Line) bool { return x.Path == l.Path }) {
				want = append(want, l.Path)
			}
		}
		if !slices.Equal(missing, want) {
			t.Errorf("case %d: missing %q, want %q", i, missing, want)
		}
	}
}

// TestShelf holds that nobody guesses what has changed since a manifest that is not
// remembered, and that those are remembered which are used.
func TestShelf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shelf")
	s := NewShelf(dir)
	_, first, _, _ := take(t, s, "", []Line{line("r/a", "0")})
	book, err := os.ReadFile(filepath.Join(dir, first))
	if err != nil {
		t.Fatal(err)
	}
	// A manifest, but under names that are no tags; and what crashes have left.
	for name, old := range map[string]time.Duration{"cafe": 0, ".left": 2 * leftFor, ".young": leftFor / 2} {
		if err := os.WriteFile(filepath.Join(dir, name), book, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, time.Now().Add(-old)); err != nil {
			t.Fatal(err)
		}
	}
	for _, since := range []string{
		"", "x", "../" + first, strings.Repeat("0", 64), strings.ToUpper(first), "cafe", strings.Repeat("./", 30) + "cafe",
	} {
		if _, _, _, known := take(t, s, since, []Line{line("r/a", "0")}); known {
			t.Errorf("changes since %q are known", since)
		}
	}
	for name, stays := range map[string]bool{".left": false, ".young": true} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
		os.Remove(filepath.Join(dir, name))
	}
	tags := []string{first}
	for i := range 2 * shelfHolds {
		// Time on the disk has to differ, for who was used last to be known.
		old := time.Now().Add(time.Duration(i-100) * time.Hour)
		for _, tag := range tags[1:] {
			if err := os.Chtimes(filepath.Join(dir, tag), old, old); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		_, tag, _, known := take(t, s, first, []Line{line("r/a", fmt.Sprint(i+1))})
		if !known {
			t.Fatalf("the manifest that is always used was forgotten after %d others", i)
		}
		tags = append(tags, tag)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != shelfHolds {
		t.Errorf("%d files on the shelf, %v", len(entries), err)
	}
	if err := os.WriteFile(filepath.Join(dir, first), []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, _, known := take(t, s, first, nil); known {
		t.Error("changes since a damaged one are known")
	}
}

// TestShelfIsOptional holds that a manifest comes where nothing can be remembered.
func TestShelfIsOptional(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	taking := NewShelf(filepath.Join(file, "shelf")).Take("")
	defer taking.Close()
	raw, err := taking.Add(line("r/a", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if tag, err := taking.Finish(); err == nil || tag != sum(raw) {
		t.Errorf("%q, %v", tag, err)
	}
	if _, err := taking.Add(line("r/A", "a")); err == nil {
		t.Error("files out of their order are taken")
	}
}

// TestDamaged holds that what is no manifest, or does not fit, is refused.
func TestDamaged(t *testing.T) {
	enc := func(v any) string {
		raw, err := encode(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	a, b := enc(line("r/a", "a")), enc(line("r/b", "b"))
	var paths []string
	if err := Each(strings.NewReader(a+b), func(l Line) error { paths = append(paths, l.Path); return nil }); err != nil || !slices.Equal(paths, []string{"r/a", "r/b"}) {
		t.Errorf("in order: %q, %v", paths, err)
	}
	for _, c := range []struct{ name, before, changes string }{
		{"no JSON", a, "what\n"},
		{"a last line without its end", a, strings.TrimSuffix(b, "\n")},
		{"a line of nothing", a, "\n"},
		{"out of order", "", b + a},
		{"twice", "", a + a},
		{"no path", a, `{"path":"","size":1}` + "\n"},
		{"beside the repositories", a, `{"path":"a","size":1}` + "\n"},
		{"less than nothing", a, `{"path":"r/b","size":-1}` + "\n"},
		{"a file goes that was not there", a, enc(deletion{"r/b", true})},
		{"too long", a, `{"path":"r/` + strings.Repeat("b", maxLine) + `"}` + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Apply(&bytes.Buffer{}, strings.NewReader(c.before), strings.NewReader(c.changes)); !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
		})
	}
	if err := Each(strings.NewReader(enc(deletion{"r/b", true})), func(Line) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Errorf("a change in a manifest: %v", err)
	}
}

// FuzzApply: whatever comes is refused, or makes a manifest whose tag is its own.
func FuzzApply(f *testing.F) {
	raw, err := encode(line("r/a", "a"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, raw)
	f.Add(raw, []byte(`{"path":"r/a","deleted":true}`+"\n"))
	f.Fuzz(func(t *testing.T, before, changes []byte) {
		var b bytes.Buffer
		tag, err := Apply(&b, bytes.NewReader(before), bytes.NewReader(changes))
		if err != nil {
			return
		}
		if tag != sum(b.Bytes()) {
			t.Error("the tag is another's")
		}
		if err := Each(bytes.NewReader(b.Bytes()), func(Line) error { return nil }); err != nil && !bytes.Contains(before, []byte("deleted")) {
			t.Errorf("what came of it is no manifest: %v", err)
		}
	})
}
