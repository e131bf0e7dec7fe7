package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// The whole demonstration, with packages of a hundredth of the size.
func TestDemonstration(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "bin") + string(filepath.Separator)
	if out, err := exec.Command("go", "build", "-trimpath", "-o", bin, "intelligentmirror/cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, out)
	}
	home := t.TempDir()
	o := options{dir: filepath.Join(home, "demo"), bin: bin, listen: "127.0.0.1:0", noDNF: true, small: true}
	for range 2 { // the second time over what the first has left
		var out bytes.Buffer
		if err := run(t.Context(), o, &out); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		text := out.String()
		for line := range strings.Lines(text) {
			// A path of a test's folder is longer than one that a person has.
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width && !strings.Contains(line, home) {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		for _, want := range []string{"kernel-modules-core", "on the seed list", "mplayer", "for ffmpeg-libs", "x264-libs", "6.11.5-300.fc41", "bytes saved"} {
			if !strings.Contains(text, want) {
				t.Errorf("it does not say %q", want)
			}
		}
		sums := regexp.MustCompile(`(?m)^  in all +(\d+) +(\d+) +\d+ `).FindAllStringSubmatch(text, -1)
		if len(sums) != 2 || sums[0][1] != sums[1][1] || sums[0][1] == sums[0][2] || sums[1][1] != sums[1][2] {
			t.Errorf("requests and hits, with upstream and without: %q", sums)
		}
		m := regexp.MustCompile(`status page  http://(\S+)/-/`).FindStringSubmatch(text)
		if m == nil {
			t.Fatal("it does not say where the status page is")
		}
		if c, err := net.Dial("tcp", m[1]); err == nil {
			c.Close()
			t.Error("the server is still there")
		}
		if t.Failed() {
			t.Log(text)
		}
	}
	if names, err := os.ReadDir(home); err != nil || len(names) != 1 {
		t.Errorf("beside its folder there is %v, %v", names, err)
	}
}

// A folder with somebody's files is left alone.
func TestForeignFolder(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(name, []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := empty(dir); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	page{&out}.list("label", []string{strings.Repeat("a", 40), strings.Repeat("b", 40), "c"})
	want := "  label" + strings.Repeat(" ", 24) + strings.Repeat("a", 40) + ",\n" +
		strings.Repeat(" ", 31) + strings.Repeat("b", 40) + ", c\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}
