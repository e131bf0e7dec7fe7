package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// A small run from end to end: every server has every package, and upstream is
// asked for none again.
func TestRun(t *testing.T) {
	testrepo.Program(t, "wrk")
	var out bytes.Buffer
	args := []string{"-rounds", "1", "-duration", "1s", "-packages", "20", "-loads", "small,mix", "-peers", ""}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"small: a package of 16 KiB, 64 connections", "mix: 20 packages", "\nimserve "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-duration", "1ms"}, {"-packages", "1"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "positive") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// What is popular is asked for often, and all of the mix at some time.
func TestMix(t *testing.T) {
	l := mix(100)
	counts := make([]int, len(l.files))
	for _, n := range l.sequence {
		counts[n]++
	}
	// The first of a hundred has a share of 1/5.19 of all requests.
	if share := float64(counts[0]) / draws; share < 0.17 || share > 0.22 {
		t.Errorf("the most popular package has %.2f of the requests", share)
	}
	for n, c := range counts {
		if c == 0 {
			t.Errorf("nobody asks for package %d", n)
		}
	}
	if again := mix(100); again.what != l.what || again.files[7] != l.files[7] {
		t.Errorf("%s, then %s", l.what, again.what)
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		out  string
		want result
		err  string
	}{
		{"Running 1s test\nRESULT 1000 2048 500000 1500 0\n", result{requests: 1000, bytes: 2048, took: 500 * time.Millisecond, late: 1500 * time.Microsecond}, ""},
		{"RESULT 1000 2048 500000 1500 3\n", result{}, "3 of 1000 requests failed"},
		{"unable to connect", result{}, "unable to connect"},
	} {
		got, err := parse(tt.out)
		if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %+v, %v", tt.out, got, err)
		}
	}
}

// A server that has other bytes is not measured.
func TestCheck(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 100)) }))
	defer up.Close()
	if err := check(t.Context(), up.URL, 100); err == nil || !strings.Contains(err.Error(), "wrong bytes") {
		t.Error(err)
	}
}
