package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHangup: a configuration without errors whose files can't be used leaves the one
// before in effect, and the next good one is taken in.
func TestHangup(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	write := func(schedule, more string) {
		t.Helper()
		text := fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n%s\n[sync]\npoll = \"\"\nlogs = []\nschedule = %q\n", dir+"/cache", dir+"/state", more, schedule)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, w := io.Pipe()
	lines := bufio.NewScanner(r)
	says := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("it ends before it says %q: %v", text, lines.Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	write("1 0 29 2 *", "")
	hangup, ended := make(chan os.Signal, 1), make(chan error, 1)
	go func() {
		p := &program{stdout: io.Discard, stderr: w, config: file}
		err := p.stay(ctx, hangup, false)
		w.CloseWithError(err)
		ended <- err
	}()
	says(`msg=waiting schedule="1 0 29 2 *"`)

	write("2 0 29 2 *", "[[repo]]\nname = \"r\"\nupstreams = [\"http://127.0.0.1:1\"]\ngpg_keys = [\"/nonexistent/key\"]")
	hangup <- syscall.SIGHUP
	says("stays as it was")
	says(`msg=waiting schedule="1 0 29 2 *"`)

	write("3 0 29 2 *", "")
	hangup <- syscall.SIGHUP
	says(`msg=waiting schedule="3 0 29 2 *"`)
	cancel()
	for lines.Scan() { // what it still says
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
