package main

import (
	"bytes"
	"strings"
	"testing"
)

// A small run from end to end: the log is made, read and counted exactly.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-lines", "3000", "-packages", "200", "-clients", "20", "-rounds", "1", "-goaccess", ""}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3000 lines, 200 packages, 20 clients", "\nimsync rank, plain ", "\nimsync rank, gzipped ", "Counted exactly: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	if err := run(t.Context(), []string{"-rounds", "0"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "positive") {
		t.Errorf("%v", err)
	}
}
