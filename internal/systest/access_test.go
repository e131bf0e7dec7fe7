package systest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// accessLine is a request as imserve has logged it.
type accessLine struct{ client, method, path, status, outcome string }

// accessLog is what imserve has logged. It is whole once imserve has ended.
func (s *site) accessLog() []accessLine {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "state/access.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []accessLine
	for line := range strings.Lines(string(b)) {
		f := strings.Split(line, `"`)
		if len(f) != 9 {
			s.t.Fatalf("not imserve's format: %s", line)
		}
		request := strings.Fields(f[1])
		lines = append(lines, accessLine{strings.Fields(f[0])[0], request[0], request[1], strings.Fields(f[2])[0], f[7]})
	}
	return lines
}

// asked is the access log without the requests for imserve's own pages, those of squid's
// helper among them.
func (s *site) asked() []accessLine {
	s.t.Helper()
	return slices.DeleteFunc(s.accessLog(), func(l accessLine) bool { return strings.HasPrefix(l.path, "/-/") })
}

// is reports whether the request was for that path and ended so.
func (l accessLine) is(path, status, outcome string) bool {
	return l.path == path && l.status == status && l.outcome == outcome
}
