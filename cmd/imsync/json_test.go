package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"intelligentmirror/popularity"
)

// TestJSONList: a list is printed as one document would be, element for element, and a
// name in it is what it was, though no terminal obeys it.
func TestJSONList(t *testing.T) {
	ranks := []popularity.Rank{
		{Rank: 1, Name: "vlc", Arch: "x86_64", Root: "fedora/updates", Score: 1.5, LastSeen: time.Unix(0, 0).UTC()},
		{Rank: 2, Name: "\x1b[2J\u202evlc<&>\u2028\x7f\u3164", Arch: "noarch"},
		{Rank: 3},
	}
	for n := range len(ranks) + 1 {
		var whole, list strings.Builder
		if err := errors.Join(writeJSON(&whole, ranks[:n]), writeJSONList(&list, ranks[:n])); err != nil {
			t.Fatal(err)
		}
		if whole.String() != list.String() {
			t.Errorf("%d: %s\nwant %s", n, &list, &whole)
		}
	}
	var b strings.Builder
	if err := writeJSONList(&b, ranks); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e\u2028\x7f\u3164") || !strings.Contains(b.String(), `\u202evlc<&>\u2028\u007f\u3164"`) {
		t.Errorf("%q", b.String())
	}
	var back []popularity.Rank
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil || len(back) != 3 || back[1].Name != ranks[1].Name {
		t.Errorf("%+v, %v", back, err)
	}
	var none strings.Builder
	if err := writeJSONList[popularity.Rank](&none, nil); err != nil || none.String() != "[]\n" {
		t.Errorf("of nothing: %q, %v", none.String(), err)
	}
	if err := writeJSONList(full{}, ranks); err == nil {
		t.Error("that it can't be written is no error")
	}
}

// full is a Writer that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }
