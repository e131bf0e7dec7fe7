package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatch: what is watched is looked at every two seconds, or less often where a look
// takes long, and ends with the context.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		var b bytes.Buffer
		texts := []string{"one\n", "one\n", "two\n", "two\n", "three\n"}
		n := 0
		err := watch(ctx, &b, nil, func() (string, error) {
			n++
			return texts[n-1], nil
		})
		if err != nil || n != 5 || b.String() != "one\n\ntwo\n\nthree\n" {
			t.Errorf("%v, %d looks, %q", err, n, b.String())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 65*time.Second)
		defer cancel()
		n := 0
		err := watch(ctx, &bytes.Buffer{}, nil, func() (string, error) {
			n++
			time.Sleep(3 * time.Second)
			return "", nil
		})
		if err != nil || n != 3 { // at 0, 30 and 60 s
			t.Errorf("%v, %d looks that take 3 s", err, n)
		}
	})
	wrong := errors.New("no database")
	if err := watch(t.Context(), &bytes.Buffer{}, nil, func() (string, error) { return "", wrong }); err != wrong {
		t.Errorf("%v, want %v", err, wrong)
	}
}

func TestScreen(t *testing.T) {
	for _, c := range []struct {
		name           string
		columns, lines int
		text, want     string
	}{
		{"it fits", 20, 5, "a\nb\n", "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J"},
		{"narrow", 5, 5, "abcdef\nabcde\näöüßéè\n", "\x1b[Habcd…\x1b[K\r\nabcde\x1b[K\r\näöüß…\x1b[K\r\n\x1b[J"},
		{"low", 20, 3, "a\nb\nc\nd\n", "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J"},
	} {
		if got := screen(c.text, func() (int, int) { return c.columns, c.lines }); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is no terminal has no size, nor has a program's own terminal that is dumb.
func TestTerminal(t *testing.T) {
	if terminal(&bytes.Buffer{}, func(string) string { return "xterm" }) != nil {
		t.Error("a buffer is a terminal")
	}
	if strings.Contains(screen("x", func() (int, int) { return 80, 24 }), "\x1b[3") {
		t.Error("it has colours")
	}
}
