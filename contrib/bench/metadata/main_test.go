package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// index is a Debian index of n packages, each of which needs the one before it; five
// that follow each other have one source.
func index(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Package: tool%d\nVersion: 1:%d.0~rc1-2\nArchitecture: amd64\nSource: suite%d (1.0)\nMaintainer: A & B <a@example.org>\n"+
			"Depends: tool%d (>= 1:1.0-1) | other, libc6\nDescription: a tool\nTag: role::program,\n use::testing\n\n", i, i+1, i/5, max(i-1, 0))
	}
	return b.String()
}

// A small run from end to end: what clients ask for is planned with what it needs and
// some of what has the same source, and nothing is asked twice of a mirror that has not changed.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Packages")
	if err := os.WriteFile(file, []byte(index(60)), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-packages", "50", "-popular", "5", "-rounds", "1", "-index", file}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"50 packages, primary.xml ", "\nimsync plan, the metadata is there ", "\nimsync once, nothing has changed ", "\nimsync run, each look while ", "one conditional request"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
}

func TestReadIndex(t *testing.T) {
	all, err := readIndex(strings.NewReader(index(2)+"Package: tool1\nVersion: 9\n\n"+index(1)+"Package: last\nVersion: 2-1-3\nArchitecture: all\n"), 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{all[0].name, all[1].name, all[2].name}; !slices.Equal(got, []string{"tool0", "tool1", "last"}) {
		t.Errorf("names %q", got)
	}
	if all[0].tags != "role::program, use::testing" {
		t.Errorf("tags %q", all[0].tags)
	}
	if got := relations(all[1].depends); !slices.Equal(got, []relation{{"tool0", "GE", "1:1.0-1"}, {name: "libc6"}}) {
		t.Errorf("relations %+v", got)
	}
	if epoch, ver, rel := evr(all[2].version); epoch != "0" || ver != "2.1" || rel != "3.fc41" {
		t.Errorf("version %s:%s-%s", epoch, ver, rel)
	}
	if _, err := readIndex(strings.NewReader(index(2)), 3); err == nil || !strings.Contains(err.Error(), "2 packages") {
		t.Errorf("an index that is too short: %v", err)
	}
}

func TestRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-packages", "3", "-popular", "4"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "positive") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A plan is refused for what should not be in it, and for what should.
func TestCheck(t *testing.T) {
	all, err := readIndex(strings.NewReader(index(40)), 40)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := newRepository(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	s := site{mirror: &mirror{repo: repo}, popular: 2} // tool0 and tool20
	item := func(i int, reason, because string) string {
		return fmt.Sprintf(`{"path": "bench/%s", "name": "tool%d", "reason": %q, "because": %q}`, repo.packages[i].file, i, reason, because)
	}
	popular := []string{item(0, "popular", ""), item(20, "popular", "")}
	for _, c := range []struct {
		name  string
		items []string
		want  string // in the error; "": none
	}{
		{"popular", popular, ""},
		{"with what it needs", append(popular[:2:2], item(19, "dependency", "tool20")), ""},
		{"with a sibling", append(popular[:2:2], item(24, "sibling", "tool20")), ""},
		{"one is missing", popular[:1], "not planned"},
		{"twice", append(popular[:2:2], item(20, "popular", "")), "twice"},
		{"unknown", append(popular[:2:2], `{"path": "bench/other.rpm", "reason": "dependency"}`), "has not"},
		{"what nobody asked for", append(popular[:2:2], item(3, "popular", "")), "planned as popular"},
		{"popular for another reason", []string{popular[0], item(20, "dependency", "tool0")}, "planned as dependency"},
		{"a seed", append(popular[:2:2], item(3, "seed", "tool3")), "planned as seed"},
		{"a sibling of another source", append(popular[:2:2], item(25, "sibling", "tool20")), "another source"},
		{"a sibling of what is not popular", append(popular[:2:2], item(12, "sibling", "tool11")), "not popular"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := s.check([]byte("[" + strings.Join(c.items, ",") + "]"))
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
