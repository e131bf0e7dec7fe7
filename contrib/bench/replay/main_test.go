package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	imsync "intelligentmirror/sync"
)

// histories writes small ones, in the form of the real.
func histories(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var packed, order bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintln(z, "date\tname\told_evra\tnew_evra")
	fmt.Fprintln(&order, "/*\n   a heading\n*/")
	for i := range 30 {
		name := fmt.Sprintf("pkg%d", i)
		fmt.Fprintln(&order, name)
		fmt.Fprintf(z, "2022-05-01T00:00:00+00:00\t%s\t-\t1-1.fc36.x86_64\n", name)
		for v := range 8 {
			fmt.Fprintf(z, "2022-%02d-%02dT09:00:00+00:00\t%s\t%d-1.fc36.x86_64\t%d-1.fc36.x86_64\n", 5+v/2, 1+14*(v%2)+i%10, name, v+1, v+2)
		}
	}
	for i := range 1000 {
		fmt.Fprintf(&order, "tail%d\n", i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"fedora-package-updates.tsv.gz": packed.Bytes(), "popularity-contest.stretch": order.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A small run from end to end: it has a line for each way and budget, and the same
// seed has the same result.
func TestRun(t *testing.T) {
	args := []string{"-history", histories(t), "-clients", "8", "-days", "50", "-warmup", "20", "-tail", "20", "-keep", t.TempDir()}
	var out, again bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	for _, p := range planners(nil) {
		if n := strings.Count(out.String(), " "+p.name+" "); n != len(budgets) {
			t.Errorf("%d lines of %q, want %d, in:\n%s", n, p.name, len(budgets), &out)
		}
	}
	if !strings.Contains(out.String(), "8 clients, 50 days, ") || strings.Contains(out.String(), " 0 of them first requests") {
		t.Errorf("no request counts:\n%s", &out)
	}
	if err := run(t.Context(), args, &again); err != nil {
		t.Fatal(err)
	}
	if out.String() != again.String() {
		t.Errorf("first\n%s\nand then\n%s", &out, &again)
	}
}

func TestRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-history", "nowhere"}, {"-history", histories(t), "-clients", "none"}, {"-from", "soon"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// TestSettledWaste: what the trace's end left no time for is not in it.
func TestSettledWaste(t *testing.T) {
	x := &imsync.Outcome{ByDay: make([]imsync.DayCounts, settled+2)}
	for i := range x.ByDay {
		x.ByDay[i].PrefetchedBytes, x.ByDay[i].WastedBytes = 100, 100
	}
	x.ByDay[0].WastedBytes, x.ByDay[1].WastedBytes = 0, 50
	if got := settledWaste(x); got != "25.0" {
		t.Errorf("%s, want 25.0", got)
	}
	x.ByDay = x.ByDay[:settled]
	if got := settledWaste(x); got != "-" {
		t.Errorf("all of it is too new: %s, want -", got)
	}
}
