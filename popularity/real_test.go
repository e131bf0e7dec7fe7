package popularity

import (
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// Real logs of real servers: each line is understood, with the numbers that awk
// gives for methods and statuses.
func TestRealLogs(t *testing.T) {
	logs := testrepo.Shared(t, "logs")
	for _, c := range []struct {
		file, format                            string
		lines, answered, packages, method, torn int64
	}{
		// One line has no end of its User-Agent.
		{"apache-combined.log", "combined", 10000, 9580, 4, 48, 1},
		{"nginx-combined-http-conformance.log", "combined", 2652, 1680, 0, 774, 0},
		{"squid-native-http-conformance.log", "squid", 2777, 1805, 0, 774, 0},
	} {
		t.Run(c.file, func(t *testing.T) {
			o := options()
			o.Resolve = func(host, path string) (repo, rest string, ok bool) {
				return "site", strings.TrimPrefix(path, "/"), true
			}
			o.IsPackage = func(path string) bool { return true }
			s := openStore(t, t.TempDir(), o)
			r := ingest1(t, s, filepath.Join(logs, c.file))
			skipped := func(why reason) int64 { return r.Skipped[why.String()].Lines }
			// These are no mirrors: nearly all that would count is stopped by its name.
			if got := r.Counted + skipped(reasonFileName) + skipped(reasonTarget); got != c.answered || r.Counted != c.packages {
				t.Errorf("%d lines answer a GET, %d of them for packages, want %d and %d", got, r.Counted, c.answered, c.packages)
			}
			if got := skipped(reasonMethod); got != c.method {
				t.Errorf("%d lines are no GET, want %d", got, c.method)
			}
			if got := skipped(reasonStatus); got != c.lines-c.answered-c.method-c.torn {
				t.Errorf("%d lines have another status, want %d", got, c.lines-c.answered-c.method-c.torn)
			}
			if r.Lines != c.lines || r.Formats[c.format] != c.lines-c.torn || len(r.Failed) != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}
