package sync

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReplaceFile: the file is another one as a whole, or stays, and nothing is left beside it.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	wrong := errors.New("no")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	for _, c := range []struct {
		name   string
		write  func(io.Writer) error
		before func(string) error
		err    error
		want   string
	}{
		{"the first", text("one"), nil, nil, "one"},
		{"it can't be written", func(w io.Writer) error { return errors.Join(text("tw")(w), wrong) }, nil, wrong, "one"},
		{"who sees it refuses it", text("three"), func(string) error { return wrong }, wrong, "one"},
		{"another", text("four"), func(next string) error {
			if b, err := os.ReadFile(next); err != nil || string(b) != "four" {
				t.Errorf("before it takes the place there is %q, %v", b, err)
			}
			return nil
		}, nil, "four"},
	} {
		if err := replaceFile(path, ".new-", c.write, c.before); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, b, err, c.want)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s: %v, %v", c.name, entries, err)
		}
	}
}

// TestSweepLeft: what was being written when its program was killed goes, and nothing else.
func TestSweepLeft(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{".new-1": 2 * time.Hour, ".new-2": 0, "known": 2 * time.Hour} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, now.Add(-age), now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweepLeft(dir, ".new-", now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != ".new-2" || entries[1].Name() != "known" {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestCopyAtMost(t *testing.T) {
	for text, whole := range map[string]bool{"": true, "1234": true, "12345": false} {
		var b strings.Builder
		if err := copyAtMost(&b, strings.NewReader(text), 4); (err == nil) != whole || whole && b.String() != text {
			t.Errorf("%q: %q, %v", text, b.String(), err)
		}
	}
}
