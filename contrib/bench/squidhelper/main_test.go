package main

import (
	"bytes"
	"strings"
	"testing"
)

// A small run from end to end: the helpers are started, asked and their answers checked.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-lines", "1000", "-single", "10", "-rounds", "1", "-squid", ""}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1000 questions, half of them packages", "\nimserve, rewriting ", "\nimserve, store ids "} {
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
