package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

// A small run from end to end: each case is measured, and every client served.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	args := []string{"-clients", "3", "-size", "3000000", "-pace", "1000000", "-during", "500ms", "-idle", "5", "-peers", ""}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"3 clients of one package of 3000000 bytes", "\nas it arrives   imserve ", "\nfrom the cache  imserve ", "\nidle            imserve "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	for args, want := range map[string]string{"-clients=0": "positive", "-during=0": "positive", "-peers=varnish": "nothing named varnish"} {
		if err := run(t.Context(), []string{"-imserve", "/there", args}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// What a client gets is compared with what upstream has.
func TestWrongBytes(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<html>"))
	}))
	defer up.Close()
	at := target{Peer: &peer.Peer{URL: up.URL}}
	c := &crowd{}
	if err := c.read(t.Context(), at, 0); err == nil || err.Error() != "wrong bytes from 0 on" {
		t.Errorf("a client in a crowd: %v", err)
	}
	if err := at.fetch(t.Context(), small, smallSize); err == nil || err.Error() != "wrong bytes from 0 on" {
		t.Errorf("one alone: %v", err)
	}
}

func TestFigures(t *testing.T) {
	of := func(n int64) taken {
		m := peer.Memory{RSS: n, PSS: n + 1, Anonymous: n + 2, Peak: n + 3}
		return taken{before: m, most: m, served: int(n), rate: n, cpu: time.Duration(n)}
	}
	if got := figures([]taken{of(9), of(5), of(1)}); got != of(5) {
		t.Errorf("%+v", got)
	}
}
