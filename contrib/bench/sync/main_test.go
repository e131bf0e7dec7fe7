package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A small run from end to end: imsync brings all packages, and asks once for each.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	args := []string{"-packages", "20", "-bytes", "400000", "-away", "2ms", "-rounds", "1", "-peers", "aria2c"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"20 packages, 0.4 MB, from a mirror 2ms away", "\nimsync once "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-packages", "0"}, {"-away", "-1s"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "positive") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// What was brought is compared with what the mirror has.
func TestCheck(t *testing.T) {
	r, err := newRepository(t.TempDir(), 3, 30_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.check(r.dir); err != nil {
		t.Error(err)
	}
	name := filepath.Join(r.dir, r.files[1].file)
	if err := os.WriteFile(name, payload(7, r.files[1].size), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.check(r.dir); err == nil || !strings.Contains(err.Error(), "other bytes") {
		t.Errorf("other bytes: %v", err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if r.check(r.dir) == nil {
		t.Error("a package that is missing is not missed")
	}
}
