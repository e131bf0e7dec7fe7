package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"intelligentmirror/contrib/bench/internal/origin"
	"intelligentmirror/contrib/bench/internal/peer"
)

// A small run from end to end: the package is downloaded once, and each client
// gets all of it.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	args := []string{"-clients", "3", "-apart", "1ms", "-size", "300000", "-rate", "10000000", "-rounds", "2", "-patience", "5m"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"3 clients, 1ms apart", "takes 30ms; medians of 2 rounds", "\nimserve        no           1 ", "\nimserve        yes          1 "} {
		// Without the peers the columns are narrower.
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-clients", "0"}, {"-patience", "1s"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "positive") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// What a client gets is compared with what upstream has.
func TestWrongBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(http.ResponseWriter)
		want string
	}{
		{"other bytes", func(w http.ResponseWriter) { w.Write(make([]byte, 100)) }, "wrong bytes from 0 on"},
		{"too few", func(w http.ResponseWriter) { w.Write([]byte("\xed\xab\xee\xdb")) }, "4 bytes in place of 100"},
		{"an error", func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }, "status 502"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.send(w) }))
			defer up.Close()
			var v visit
			v.get(t.Context(), up.URL, 100, 0, func() {})
			if v.err == nil || v.err.Error() != c.want || !v.done.IsZero() {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	begin := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	b := &bench{shape: shape{size: 1000, rate: 1000, patience: 9 * time.Second}}
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		all  []visit
		want outcome
	}{
		{"all within the link's time", []visit{
			{asked: at(-10), first: at(5), done: at(1010)}, {asked: at(100), first: at(101), done: at(1020)}, {asked: at(200), first: at(207), done: at(1010)},
		}, outcome{gets: 1, first: 5 * time.Millisecond, slowest: 7 * time.Millisecond, done: 1020 * time.Millisecond, least: time.Second}},
		{"one that asks later", []visit{
			{asked: at(0), first: at(1), done: at(1000)}, {asked: at(1500), first: at(1501), done: at(1600)},
		}, outcome{gets: 1, first: time.Millisecond, slowest: time.Millisecond, done: 1600 * time.Millisecond, least: 1500 * time.Millisecond}},
		{"one that gets nothing", []visit{
			{asked: at(0), first: at(1), done: at(1000)}, {asked: at(0), err: broken},
		}, outcome{gets: 1, first: 9 * time.Second, slowest: 9 * time.Second, done: 9 * time.Second, least: time.Second, failures: 1, failed: broken}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := b.outcome(c.all, origin.Transfer{GETs: 1, First: begin}); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// The program fails where imserve breaks a promise that no load excuses.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		of   outcome
		want string // of the error, "" for none
	}{
		{"good", outcome{gets: 1, slowest: time.Hour}, ""},
		{"two downloads", outcome{gets: 2}, "asked upstream 2 times"},
		{"a client without it", outcome{gets: 1, failures: 1, failed: context.DeadlineExceeded}, "1 clients did not get it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := (&contender{Peer: &peer.Peer{Name: "imserve"}, beside: []outcome{c.of}}).check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFigures(t *testing.T) {
	var rounds []outcome
	for _, n := range []time.Duration{9, 5, 1} {
		rounds = append(rounds, outcome{gets: int(n), first: n, slowest: n, done: n, least: n, cpu: n, failures: 1})
	}
	want := outcome{gets: 9, first: 5, slowest: 5, worst: 9, done: 5, least: 5, cpu: 5, failures: 3}
	if got := figures(rounds); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
