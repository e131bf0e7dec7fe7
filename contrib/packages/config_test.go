package packages_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intelligentmirror/internal/config"
)

// What is commented out as a default is the default, and what is an example is accepted.
func TestConfiguration(t *testing.T) {
	text, err := os.ReadFile("config.toml")
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) *config.Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{Path: file})
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, text)
		}
		return c
	}
	// values are those of a configuration in writing, without the places where they stand.
	values := func(c *config.Config) string {
		var b strings.Builder
		if err := c.Write(&b); err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`(?m)^#.*\n| *# [a-z].*$`).ReplaceAllString(b.String(), "")
	}
	if got, want := values(load(string(text))), values(load("")); got != want {
		t.Errorf("as it is, the file changes the defaults:\n%s\n%s", got, want)
	}

	var defaults strings.Builder
	example := false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "# "):
			example = strings.Contains(line, "xample") || example && !strings.HasSuffix(line, ".\n")
		case strings.HasPrefix(line, "#") && len(line) > 2 && !example:
			line = line[1:]
		case line == "\n":
			example = false
		}
		defaults.WriteString(line)
	}
	if got, want := values(load(defaults.String())), values(load("")); got != want {
		t.Errorf("what is not called an example is not the default:\n%s\n%s", got, want)
	}
	load(regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(string(text), "$1"))
}
