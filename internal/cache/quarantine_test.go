package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestQuarantineIsBounded: the oldest samples go when there are too many or too
// large ones; the newest stays, and of what is too large its text.
func TestQuarantineIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sizes []int // of samples that come one after the other
		want  string
		first time.Time // the time of the first; the others' follow
	}{
		{"few", []int{100, 100}, "0 0.txt 1 1.txt", time.Unix(0, 0)},
		{"many", []int{1, 1, 1, 1, 1}, "2 2.txt 3 3.txt 4 4.txt", time.Unix(0, 0)},
		{"many, and the clock was ahead", []int{1, 1, 1, 1, 1}, "2 2.txt 3 3.txt 4 4.txt", time.Now().AddDate(1, 0, 0)},
		{"large", []int{100, 3000, 3000}, "2 2.txt", time.Unix(0, 0)},
		{"too large", []int{100, 9000}, "0 0.txt 1.txt", time.Unix(0, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			q := newQuarantine(filepath.Join(dir, "q"), time.Now)
			q.samples, q.bytes = 3, 5000
			for i, size := range tt.sizes {
				name := filepath.Join(dir, fmt.Sprint(i))
				if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
					t.Fatal(err)
				}
				e := &WrongContentError{URL: "http://mirror.test/x", Expected: "a", Came: "b"}
				if err := q.keep(Key{"r", "x"}, name, int64(size), e); err != nil {
					t.Fatal(err)
				}
				at := tt.first.Add(time.Duration(i) * time.Second)
				for _, f := range []string{fmt.Sprint(i), fmt.Sprint(i) + ".txt"} {
					if err := os.Chtimes(filepath.Join(q.dir, f), at, at); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
			}
			entries, err := os.ReadDir(q.dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("kept %q, want %q", got, tt.want)
			}
		})
	}
}

// TestQuarantineTwice: of one file the last sample is kept.
func TestQuarantineTwice(t *testing.T) {
	dir := t.TempDir()
	q := newQuarantine(filepath.Join(dir, "q"), time.Now)
	name := filepath.Join(dir, "0")
	for _, body := range []string{"first", "second"} {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := q.keep(Key{"r", "x"}, name, int64(len(body)), &WrongContentError{Came: body}); err != nil {
			t.Fatal(err)
		}
		sample, err := os.ReadFile(filepath.Join(q.dir, "0"))
		text, terr := os.ReadFile(filepath.Join(q.dir, "0.txt"))
		if err != nil || terr != nil || string(sample) != body || !strings.Contains(string(text), body) {
			t.Errorf("%q, %q, %v, %v; want %q", sample, text, err, terr, body)
		}
	}
}

// TestReadable: how many bytes may leave before the verdict.
func TestReadable(t *testing.T) {
	const small, large = verifiedFirst - 1, verifiedFirst
	want := func(n int64) Want { return Want{Digest: "sha256:00", Size: n} }
	for _, tt := range []struct {
		name string
		p    progress
		want int64
	}{
		{"nothing to be known", progress{head: Head{Length: 10}, size: 10}, 10},
		{"of unknown length", progress{head: Head{Length: -1}, size: 10}, 10},
		{"small, promised", progress{head: Head{Length: 10, Want: want(small)}, size: small}, 0},
		{"large, promised, on the way", progress{head: Head{Want: want(large)}, size: 10}, 10},
		{"large, promised", progress{head: Head{Want: want(large)}, size: large}, large - 1},
		{"small, to be checked", progress{head: Head{Length: small}, size: small, checks: true}, 0},
		{"empty, to be checked", progress{head: Head{Length: 0}, checks: true}, 0},
		{"large, to be checked, on the way", progress{head: Head{Length: large}, size: 10, checks: true}, 10},
		{"large, to be checked", progress{head: Head{Length: large}, size: large, checks: true}, large - 1},
		{"of unknown length, to be checked, so far small", progress{head: Head{Length: -1}, size: verifiedFirst, checks: true}, 0},
		{"of unknown length, to be checked", progress{head: Head{Length: -1}, size: verifiedFirst + 1, checks: true}, verifiedFirst},
		{"chunked, promised", progress{head: Head{Length: -1, Want: want(large)}, size: large}, large - 1},
		{"done", progress{head: Head{Length: small, Want: want(small)}, size: small, checks: true, done: true}, small},
	} {
		if got := tt.p.readable(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
