package popularity

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ingestEnv makes the test binary a program that ingests the log below the
// directory it names, and says so on standard output at each commit.
const ingestEnv = "POPULARITY_TEST_INGEST"

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
	o.Log = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := Open(dir+"/state/popularity.db", o)
	if err != nil {
		return err
	}
	defer s.Close()
	s.limit = 20
	_, err = s.Ingest(context.Background(), []string{dir + "/log*"})
	return err
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

// runIngest runs the program of ingestMain and kills it after so many commits,
// while it goes on. killed is false if it came to its end before.
func runIngest(t *testing.T, dir string, commits int) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ingestEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); commits > 0 && lines.Scan(); {
		if strings.Contains(lines.Text(), "log lines committed") {
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
