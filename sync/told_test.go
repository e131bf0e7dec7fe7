package sync

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/generation"
)

// TestToldOnce: what metadata describes badly is said by the first run that reads it, in
// whatever program, and again where the metadata has changed.
func TestToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), historyName)
	at := time.Unix(1_000_000, 0)
	says := func(root, digest string, bad ...string) int {
		t.Helper()
		h, err := openHistory(path) // each time a run of a timer's
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		var log bytes.Buffer
		a := &Agent{history: h, log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return at }}
		r := &run{Agent: a, staged: map[string]generation.Staged{root: {Generation: &generation.Generation{Digest: digest}}}}
		f := &faults{root: root}
		for _, what := range bad {
			f.add(what+" are left out", what, 1, errors.New("why"))
		}
		f.unusable([]Refusal{{Root: "another", Location: "x", Err: errors.New("why")}})
		r.tell(f)
		return strings.Count(log.String(), "are left out")
	}
	for _, c := range []struct {
		name, root, digest string
		bad                []string
		want               int
	}{
		{"nothing", "r/a", "1", nil, 0},
		{"first", "r/a", "1", []string{"packages", "advisories"}, 2},
		{"again", "r/a", "1", []string{"packages", "advisories"}, 0},
		{"another root", "r/b", "1", []string{"modules"}, 1},
		{"changed", "r/a", "2", []string{"packages"}, 1},
		{"changed, again", "r/a", "2", []string{"packages"}, 0},
	} {
		if got := says(c.root, c.digest, c.bad...); got != c.want {
			t.Errorf("%s: %d lines, want %d", c.name, got, c.want)
		}
	}
	at = at.Add(toldFor + time.Hour)
	if got := says("r/b", "1", "modules"); got != 1 {
		t.Errorf("half a year later: %d lines", got)
	}
}

// TestUnusable: of what can't be fetched each root is told its own.
func TestUnusable(t *testing.T) {
	all := []Refusal{{"r/b", "1", errors.New("x")}, {"r/a", "2", errors.New("y")}, {"r/b", "3", errors.New("z")}, {"r/a", "4", errors.New("z")}}
	f := &faults{root: "r/a"}
	f.unusable(all)
	if len(f.all) != 1 || f.all[0].n != 2 || !strings.Contains(f.all[0].first.Error(), `"2": y`) {
		t.Errorf("%+v", f.all)
	}
}
