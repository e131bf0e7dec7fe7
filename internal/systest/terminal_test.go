package systest

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"intelligentmirror/internal/testrepo"
)

// onTerminal is what a command line writes to a terminal of so many columns.
func (s *site) onTerminal(columns int, name, line string) string {
	s.t.Helper()
	cmd := exec.Command(testrepo.Program(s.t, "script"), "--quiet", "--return", "--flush", "--log-out", s.dir+"/typescript", "--command",
		fmt.Sprintf("stty cols %d rows 20 -onlcr; %s", columns, line))
	cmd.Env = append(environment(s.dir), "TERM="+name, "PATH="+programs+":/usr/bin:/bin", "INTELLIGENTMIRROR_CONFIG="+s.config)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// escapes are what moves a terminal's cursor or clears a part of it.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// colours are the escape sequences that set them.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestTerminals: progress is bars on a terminal, which fit it however narrow it is, and
// lines without any escape sequence on one that is dumb, in a pipe and in a job of CI.
// Nothing has colours, whatever NO_COLOR says.
func TestTerminals(t *testing.T) {
	t.Parallel()
	testrepo.Program(t, "script")
	specs := []testrepo.Spec{
		{Name: "a-package-with-quite-a-long-name-as-some-of-them-have-it", Version: "1.5", Release: "1", Size: 9 << 20},
		{Name: "mplayer", Version: "1.5", Release: "1", Size: 4000},
	}
	s := newSite(t)
	s.publish(specs)
	for _, c := range []struct {
		name     string
		columns  int
		terminal string
		line     string
		bars     bool
	}{
		{"wide", 120, "xterm-256color", "imsync once >/dev/null", true},
		{"as tmux has it", 80, "tmux-256color", "imsync once >/dev/null", true},
		{"narrow", 30, "screen", "imsync once >/dev/null", true},
		{"very narrow", 12, "xterm", "imsync once >/dev/null", true},
		{"dumb", 80, "dumb", "imsync once >/dev/null", false},
		{"in a pipe", 80, "xterm", "imsync once 2>&1 >/dev/null | cat", false},
	} {
		o := s.another(t, "[sync]\nroots = [\""+rootName+"\"]\npackages = [\"*\"]")
		got := o.onTerminal(c.columns, c.terminal, c.line)
		if colours.MatchString(got) {
			t.Errorf("%s: it has colours: %q", c.name, got)
		}
		if escapes.MatchString(got) != c.bars {
			t.Errorf("%s: escape sequences: %t, want %t: %q", c.name, !c.bars, c.bars, got)
		}
		if !c.bars {
			if !strings.Contains(got, "fetching 2 packages") {
				t.Errorf("%s: it says %q", c.name, got)
			}
			continue
		}
		for _, line := range regexp.MustCompile("[\r\n]+").Split(escapes.ReplaceAllString(got, "\n"), -1) {
			if n := utf8.RuneCountInString(line); n > c.columns {
				t.Errorf("%s: a line has %d columns of %d: %q", c.name, n, c.columns, line)
			}
		}
	}
	const watch = "imsync status --watch & until grep -qs 'last run' typescript; do sleep 0.1; done; kill $!; wait $!"
	if got := s.onTerminal(30, "xterm", "cd "+s.dir+"; "+watch); !strings.Contains(got, "\x1b[H") || colours.MatchString(got) {
		t.Errorf("what is watched is %q", got)
	} else {
		for line := range strings.Lines(escapes.ReplaceAllString(got, "\n")) {
			if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 30 {
				t.Errorf("what is watched has %d columns of 30: %q", n, line)
			}
		}
	}
}
