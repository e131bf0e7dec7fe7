package systest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"intelligentmirror/internal/testrepo"
)

// What a person types and what comes of it: exit codes and words. A script has
// the site's configuration as $WORK/config.toml, another whose upstream is not
// there as $WORK/down.toml, its upstream's address as $UPSTREAM, upstream's own
// tree of the repo as $MIRROR, the address of an imserve whose cache has all of that
// as $SOURCE, and the commands
//
//	exits CODE PROGRAM [ARG ...]
//	appendto FILE LINE ...
//
// of which the first runs a program and compares its exit code; stdout and stderr look
// at what it printed, as they do after exec. The second writes lines behind a file's.
func TestScripts(t *testing.T) {
	s := newSite(t)
	specs := []testrepo.Spec{
		{Name: "mplayer", Version: "1.5", Release: "1", Size: 5000, Requires: []string{"libass"}},
		{Name: "libass", Version: "0.17", Release: "2", Size: 3000},
		{Name: "bash", Version: "5.2", Release: "1", Size: 4000},
	}
	s.publish(specs)
	full := s.another(t, "[sync]\nroots = ["+strconv.Quote(rootName)+"]\npackages = [\"*\"]")
	full.once()
	copied := full.serve().url
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", programs+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("UPSTREAM", s.up.Addr)
			e.Setenv("MIRROR", s.tree+upstreamBase)
			e.Setenv("SOURCE", copied)
			for name, upstream := range map[string]string{"config.toml": s.up.URL, "down.toml": "http://127.0.0.1:1"} {
				text := fmt.Sprintf(scriptConfig, e.WorkDir, upstream+upstreamBase, rootName)
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(text), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "appendto": appendTo},
	})
}

const scriptConfig = `cache_dir = "%[1]s/cache"
state_dir = "%[1]s/state"
[[repo]]
name = "fedora"
upstreams = [%[2]q]
[serve]
listen = "127.0.0.1:0"
[sync]
logs = ["%[1]s/access.log"]
roots = [%[3]q]
`

// exits is the scripts' command of that name.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [arg ...]")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exit code %q: %v", args[0], err)
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// appendTo is the scripts' command appendto.
func appendTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: appendto file line [line ...]")
	}
	text := ts.ReadFile(args[0]) + "\n" + strings.Join(args[1:], "\n") + "\n"
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}
