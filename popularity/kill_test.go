package popularity

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ingestEnv makes the test binary a program that ingests the log below the
// directory it names, and says so on standard output at each commit. After so many
// commits as commitsEnv has it goes no further, and waits to be killed.
const (
	ingestEnv  = "POPULARITY_TEST_INGEST"
	commitsEnv = "POPULARITY_TEST_COMMITS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(ingestEnv); dir != "" {
		if err := ingestMain(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func ingestMain(dir string) error {
	o := options()
	most, err := strconv.Atoi(os.Getenv(commitsEnv))
	if err != nil {
		return err
	}
	o.Log = slog.New(slog.NewTextHandler(&halting{most: most}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Open(dir+"/state/popularity.db", o)
	if err != nil {
		return err
	}
	defer s.Close()
	s.limit = 20
	_, err = s.Ingest(context.Background(), []string{dir + "/log*"})
	return err
}

// committed is what the log says at a commit.
const committed = "log lines committed"

// halting writes a log to standard output, up to so many commits; there it stands still.
type halting struct{ most int }

func (h *halting) Write(b []byte) (int, error) {
	n, err := os.Stdout.Write(b)
	if bytes.Contains(b, []byte(committed)) {
		if h.most--; h.most == 0 {
			_, err = io.Copy(io.Discard, os.Stdin) // which ends with the test
		}
	}
	return n, err
}

// Killed at any moment, the database has counted exactly the lines that it says
// it read, and the next run goes on there.
func TestKilled(t *testing.T) {
	for _, c := range []struct {
		name    string
		content func(string) string
	}{
		{"log", func(s string) string { return s }},
		{"log.gz", func(s string) string { return gzipped(t, s) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			hits := traffic(12, 2000)
			text := write(hits, "imserve")
			writeFile(t, dir+"/"+c.name, c.content(text))
			r := rand.New(rand.NewPCG(1, 2))
			kills := 0
			for runIngest(t, dir, 1+r.IntN(8)) {
				kills++
				s := openStore(t, dir, options())
				k, err := s.loadKnowns(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				readTo := int64(0)
				for _, l := range k.list {
					readTo = max(readTo, l.readTo)
				}
				read := hits[:strings.Count(text[:readTo], "\n")]
				if diff := cmp.Diff(expect(read, halfLife), ranks(t, s)); diff != "" {
					t.Fatalf("kill %d, read to %d (%d lines): %s", kills, readTo, len(read), diff)
				}
			}
			if kills < 5 {
				t.Errorf("killed %d times only", kills)
			}
			s := openStore(t, dir, options())
			if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
				t.Error(diff)
			}
			if r := ingest1(t, s, dir+"/log*"); r.Lines != 0 {
				t.Errorf("%d lines are read again", r.Lines)
			}
		})
	}
}

// runIngest runs the program of ingestMain and kills it after so many commits, while it
// goes on, but by no more than a few: however late the kill comes, it meets the program at
// work. killed is false if that came to its end before.
func runIngest(t *testing.T, dir string, commits int) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ingestEnv+"="+dir, fmt.Sprintf("%s=%d", commitsEnv, commits+4))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); commits > 0 && lines.Scan(); {
		if strings.Contains(lines.Text(), committed) {
			commits--
		}
	}
	if commits == 0 {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if err != nil && cmd.ProcessState.ExitCode() != -1 {
		t.Fatal(err)
	}
	return err != nil
}
