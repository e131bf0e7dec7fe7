package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// A small run from end to end: each figure is measured, for files and for clients.
func TestRun(t *testing.T) {
	out := t.TempDir()
	var said bytes.Buffer
	args := []string{"-files", "20,40", "-size", "65536", "-crowds", "2,4", "-clients", "2", "-requests", "50", "-rounds", "1", "-peers", "", "-out", out}
	if err := run(t.Context(), args, &said); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	byFiles, byClients, ok := strings.Cut(said.String(), "\nClients, with 20 files\n")
	if !ok {
		t.Fatalf("it says\n%s", &said)
	}
	for _, name := range []string{startup, startCPU, memory, median, slow, page, plan, idleRun, eviction} {
		if !strings.Contains(byFiles, "\n"+name+", ") {
			t.Errorf("%s is not in\n%s", name, byFiles)
		}
	}
	for _, name := range []string{median, slow, speed, crowdMemory} {
		if !strings.Contains(byClients, "\n"+name+", ") {
			t.Errorf("%s is not in\n%s", name, byClients)
		}
	}
	picture, err := os.ReadFile(out + "/growth.svg")
	if err == nil {
		err = xml.Unmarshal(picture, new(struct{}))
	}
	if err != nil {
		t.Error(err)
	}
}

func TestRefusesNonsense(t *testing.T) {
	for args, want := range map[string]string{"-files=0": "no list", "-crowds=1,x": "no list", "-rounds=0": "positive", "-size=95": "96 bytes at least", "-peers=varnish": "nothing named varnish"} {
		if err := run(t.Context(), []string{"-bin", "/there", args}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// What a client gets is compared with what is stored.
func TestWrongBytes(t *testing.T) {
	s := &site{files: make([]stored, 3), size: 1000}
	answer := s.body(1)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(answer) }))
	defer up.Close()
	v := target{up.URL + "/", s}.visitor()
	defer v.client.CloseIdleConnections()
	if _, err := v.get(context.Background(), 1); err != nil {
		t.Error(err)
	}
	if _, err := v.get(context.Background(), 2); err == nil {
		t.Error("another file's bytes are no error")
	}
}
