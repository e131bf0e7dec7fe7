package sync

import (
	"testing"

	"intelligentmirror/internal/repodata"
)

func TestOverlap(t *testing.T) {
	for _, tc := range []struct {
		provides, provided string // flags, version
		requires, required string
		want               bool
	}{
		{"", "", "", "", true},
		{"EQ", "1-1", "", "", true},
		{"", "", "GE", "2", true}, // as rpm has it: an unversioned one provides any version
		{"EQ", "", "GE", "2", true},
		{"EQ", "1-1", "EQ", "1-1", true},
		{"EQ", "1-1", "EQ", "1-2", false},
		{"EQ", "1-1", "EQ", "1", true}, // the release counts if both have one
		{"EQ", "1", "EQ", "1-7", true},
		{"EQ", "2-1", "GE", "1-9", true},
		{"EQ", "1-1", "GE", "1", true},
		{"EQ", "1-1", "GT", "1", false},
		{"EQ", "1-2", "GT", "1-1", true},
		{"EQ", "1-1", "LE", "1", true},
		{"EQ", "1-1", "LT", "1", false},
		{"EQ", "1-1", "LT", "2", true},
		{"EQ", "1~rc1-1", "LT", "1", true},
		{"EQ", "1~rc1-1", "GE", "1", false},
		{"EQ", "1^git1-1", "GT", "1", true},
		{"EQ", "1:1-1", "GE", "9", true},
		{"EQ", "9-1", "GE", "1:1", false},
		{"EQ", "1.10-1", "GE", "1.9", true},
		{"GE", "2", "LE", "1", false},
		{"GE", "2", "LE", "3", true},
		{"GE", "2", "EQ", "3", true},
		{"GE", "2", "GE", "3", true},
		{"LT", "2", "LT", "1", true},
		{"LT", "2", "GE", "2", false},
		{"LT", "2", "LT", "2", true},
		{"LE", "2", "GE", "2", true},
	} {
		a, b := repodata.ParseEVR(tc.provided), repodata.ParseEVR(tc.required)
		if got := overlap(senseOf(tc.provides), a, senseOf(tc.requires), b); got != tc.want {
			t.Errorf("%s %s for %s %s: got %t", tc.provides, tc.provided, tc.requires, tc.required, got)
		}
		if got := overlap(senseOf(tc.requires), b, senseOf(tc.provides), a); got != tc.want {
			t.Errorf("%s %s for %s %s, the other way round: got %t", tc.provides, tc.provided, tc.requires, tc.required, got)
		}
	}
}
