package systest

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// journalled is a program whose standard error is what systemd would have told it
// that the journal reads (systemd.exec(5)).
func journalled(t *testing.T, name string, args ...string) *process {
	t.Helper()
	const line = `JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$0" "$@"`
	return launch(t, name, exec.Command("sh", append([]string{"-c", line, filepath.Join(programs, name)}, args...)...))
}

// TestJournal: for the journal each line begins with its priority and has no time of
// its own, the last words of a program that can't go on too; elsewhere it is plain.
func TestJournal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := journalled(t, "imserve", "--config", s.config)
	if line := p.says("msg=listening"); !strings.HasPrefix(line, "<6>msg=listening addr=") {
		t.Errorf("imserve says %q", line)
	}
	p.stop()
	bad := filepath.Join(s.dir, "bad.toml")
	s.write(bad, "nonsense = 1\nmore = 2\n")
	for _, name := range []string{"imserve", "imsync"} {
		args := []string{"--config", bad}
		if name == "imsync" {
			args = append(args, "once")
		}
		p := journalled(t, name, args...)
		if code := p.wait(); code != 2 {
			t.Errorf("%s: exit code %d", name, code)
		}
		for line := range strings.Lines(p.stderr.String()) {
			if !strings.HasPrefix(line, "<3>") {
				t.Errorf("%s says %q, for the journal", name, line)
			}
		}
		p = start(t, name, args...)
		if code := p.wait(); code != 2 || !strings.HasPrefix(p.stderr.String(), name+": ") {
			t.Errorf("%s says %q elsewhere", name, p.stderr.String())
		}
	}
}

// TestLogInJSON: both programs log an object a line where they are asked to.
func TestLogInJSON(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		name, says string
		args       []string
	}{
		{"imserve", `"listening"`, []string{"--log-format", "json", "--config", s.config}},
		{"imsync", `"the run is done"`, []string{"run", "--log-format", "json", "--config", s.config}},
	} {
		p := start(t, c.name, c.args...)
		p.says(c.says)
		p.stop()
		for line := range strings.Lines(p.stderr.String()) {
			var record struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &record); strings.HasPrefix(line, "imsync: stopped") {
				continue // its last words are for who stopped it
			} else if err != nil || record.Time == "" || record.Level == "" || record.Msg == "" {
				t.Errorf("%s logs %q: %v", c.name, line, err)
			}
		}
	}
}
