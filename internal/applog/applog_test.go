package applog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/visible"
)

// TestHostileNames: names that strangers chose make no line of their own, command no
// terminal and look like no other, in either format, as values, as errors, as groups'
// and in the message; JSON's readers get them as they were.
func TestHostileNames(t *testing.T) {
	const name = "\x1b[2J\r\nlevel=ERROR\x00\x7f\u009b\u0085\u2028\u2029\u202egpj\u2066\u200b\u3164\ufe0f\U000e0001"
	for _, o := range []Options{{}, {Format: JSON}, {Journal: true}, {Journal: true, Format: JSON}} {
		var b bytes.Buffer
		New(&b, o).With("with", name).WithGroup("g").Warn("of "+name, "path", name, "error", fmt.Errorf("fetch %s: no", name), "key"+name, 1)
		text := b.String()
		if strings.Count(text, "\n") != 1 || visible.Text(text, "\n") != text {
			t.Errorf("%+v: %q", o, text)
		}
		if o.Format == JSON {
			var got struct {
				With, Msg string
				G         map[string]any
			}
			if err := json.Unmarshal([]byte(text[strings.IndexByte(text, '{'):]), &got); err != nil || got.With != name || got.Msg != "of "+name || got.G["path"] != name {
				t.Errorf("%+v: read as %+v, %v", o, got, err)
			}
		}
	}
	var b bytes.Buffer
	Failure(&b, true, "imsync: read "+name)
	for line := range strings.Lines(b.String()) {
		if visible.Text(line, "\n") != line || !strings.HasPrefix(line, "<3>") {
			t.Errorf("what a program ends with: %q", line)
		}
	}
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want []string // patterns of the lines
	}{
		{"text", Options{}, []string{
			`^time=\S+ level=INFO msg="a thing" repo=fedora n=1$`,
			`^time=\S+ level=WARN msg=odd repo=fedora$`,
			`^time=\S+ level=ERROR msg=wrong repo=fedora more.key="of two\\nlines"$`,
		}},
		{"JSON", Options{Format: JSON}, []string{
			`^\{"time":"[^"]+","level":"INFO","msg":"a thing","repo":"fedora","n":1\}$`,
			`^\{"time":"[^"]+","level":"WARN","msg":"odd","repo":"fedora"\}$`,
			`^\{"time":"[^"]+","level":"ERROR","msg":"wrong","repo":"fedora","more":\{"key":"of two\\nlines"\}\}$`,
		}},
		{"the journal", Options{Journal: true, Level: slog.LevelDebug}, []string{
			`^<7>msg=detail repo=fedora$`,
			`^<6>msg="a thing" repo=fedora n=1$`,
			`^<4>msg=odd repo=fedora$`,
			`^<3>msg=wrong repo=fedora more.key="of two\\nlines"$`,
		}},
		{"JSON in the journal", Options{Journal: true, Format: JSON, Level: slog.LevelWarn}, []string{
			`^<4>\{"level":"WARN","msg":"odd","repo":"fedora"\}$`,
			`^<3>\{"level":"ERROR","msg":"wrong","repo":"fedora","more":\{"key":"of two\\nlines"\}\}$`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			log := New(&b, c.o).With("repo", "fedora")
			log.Debug("detail")
			log.Info("a thing", "n", 1)
			log.Warn("odd")
			log.WithGroup("more").Error("wrong", "key", "of two\nlines")
			lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(c.want), b.String())
			}
			for i, want := range c.want {
				if !regexp.MustCompile(want).MatchString(lines[i]) {
					t.Errorf("line %d is %s\nwant %s", i, lines[i], want)
				}
			}
		})
	}
}

// TestPrioritiesOfMany: however many write at a time, each line has its own priority.
func TestPrioritiesOfMany(t *testing.T) {
	var b bytes.Buffer
	log := New(&b, Options{Journal: true})
	var all sync.WaitGroup
	for i := range 8 {
		of := log.With("of", i)
		all.Go(func() {
			for range 200 {
				of.Info("well")
				of.Error("wrong")
			}
		})
	}
	all.Wait()
	if n := strings.Count(b.String(), "\n"); n != 8*400 {
		t.Errorf("%d lines", n)
	}
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "<6>msg=well of=") && !strings.HasPrefix(line, "<3>msg=wrong of=") {
			t.Fatalf("a line is %q", line)
		}
	}
}

func TestInJournal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(w.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	stream := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	variable := func(value string) func(string) string {
		return func(name string) string {
			if name == "JOURNAL_STREAM" {
				return value
			}
			return ""
		}
	}
	if !InJournal(w, variable(stream)) {
		t.Error("the journal's own file is not known")
	}
	if InJournal(w, variable("")) || InJournal(w, variable("1:2")) {
		t.Error("any file is the journal's")
	}
	if InJournal(&bytes.Buffer{}, variable(stream)) {
		t.Error("no file is the journal's")
	}
}

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		name, text string
		journal    bool
		want       string
	}{
		{"a terminal", "imserve: two\nlines", false, "imserve: two\nlines\n"},
		{"the journal", "imserve: two\nlines\n", true, "<3>imserve: two\n<3>lines\n"},
	} {
		var b bytes.Buffer
		Failure(&b, c.journal, c.text)
		if b.String() != c.want {
			t.Errorf("%s: %q, want %q", c.name, b.String(), c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	var f Format
	if text, err := f.MarshalText(); err != nil || string(text) != "text" {
		t.Errorf("%s, %v", text, err)
	}
	if err := f.UnmarshalText([]byte("json")); err != nil || f != JSON {
		t.Errorf("%s, %v", f, err)
	}
	if err := f.UnmarshalText([]byte("xml")); err == nil || f != JSON {
		t.Errorf("%s, %v", f, err)
	}
}
