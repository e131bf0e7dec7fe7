package popularity

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// linesOptions are for repos of one element; all .rpm are packages.
func linesOptions() Options {
	return Options{
		Resolve: func(host, path string) (repo, rest string, ok bool) {
			repo, rest, ok = strings.Cut(strings.TrimPrefix(path, "/"), "/")
			return repo, rest, ok && host == "" && repo == "fedora"
		},
		IsPackage: func(path string) bool { return strings.HasSuffix(path, ".rpm") },
	}
}

const linesLog = `10.0.0.1 - - [21/Nov/2024:09:12:44 +0100] "GET /fedora/41/Packages/v/vlc-3.0.20%2B-1.x86_64.rpm HTTP/1.1" 200 12 "-" "dnf"
10.0.0.2 - - [21/Nov/2024:09:12:45 +0000] "GET /fedora/41/repodata/repomd.xml HTTP/1.1" 200 7 "-" "dnf"
noise
10.0.0.2 - - [21/Nov/2024:09:12:46 +0000] "GET /fedora/41/Packages/v/vlc-3.0.20-1.x86_64.rpm HTTP/1.1" 404 7 "-" "dnf"
10.0.0.2 - - [21/Nov/2024:09:12:47 +0000] "GET /elsewhere/vlc-3.0.20-1.x86_64.rpm HTTP/1.1" 200 7 "-" "dnf"
`

func TestEachLine(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "plain"), linesLog)
	writeFile(t, filepath.Join(dir, "packed"), gzipped(t, linesLog))
	at := time.Date(2024, 11, 21, 9, 12, 45, 0, time.UTC)
	want := []Line{
		{At: at.Add(-time.Hour - time.Second), Path: "fedora/41/Packages/v/vlc-3.0.20+-1.x86_64.rpm", Client: "10.0.0.1", Bytes: 12},
		{At: at, Root: "fedora/41"},
		{At: at.Add(time.Second)},
		{At: at.Add(2 * time.Second)},
	}
	for _, name := range []string{"plain", "packed", Stdin} {
		t.Run(name, func(t *testing.T) {
			o, log := linesOptions(), filepath.Join(dir, name)
			if name == Stdin {
				log, o.Stdin = Stdin, strings.NewReader(linesLog)
			}
			var got []Line
			var text strings.Builder
			report, err := EachLine(t.Context(), o, []string{log}, func(l *Line) error {
				text.Write(l.Text)
				one := *l
				one.Text = nil
				got = append(got, one)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if all := strings.Replace(linesLog, "noise\n", "", 1); text.String() != all {
				t.Errorf("text %q, want %q", &text, all)
			}
			if report.Lines != 5 || report.Counted != 1 || report.Repomd != 1 || len(report.Skipped) != 3 || report.FilesRead != 1 {
				t.Errorf("report %+v", report)
			}
		})
	}
}

// EachLine judges every line as Ingest does.
func TestEachLineJudgesAsIngest(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	writeFile(t, log, linesLog+"unfinished")
	s, err := Open(filepath.Join(dir, "popularity.db"), linesOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want, err := s.Ingest(t.Context(), []string{log})
	if err != nil {
		t.Fatal(err)
	}
	got, err := EachLine(t.Context(), linesOptions(), []string{log}, func(*Line) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	want.Requests, want.NewRoots = got.Requests, got.NewRoots // EachLine keeps nothing
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-Ingest +EachLine):\n%s", diff)
	}
}

func TestEachLineFails(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	writeFile(t, log, linesLog)
	broken := errors.New("broken")
	if _, err := EachLine(t.Context(), linesOptions(), []string{log}, func(*Line) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want what the function returned", err)
	}
	report, err := EachLine(t.Context(), linesOptions(), []string{dir, filepath.Join(dir, "none*")}, func(*Line) error { return nil })
	if err != nil || len(report.Failed) != 1 || len(report.Unmatched) != 1 {
		t.Errorf("%+v, %v; want a log that can't be read, and one that is not there", report, err)
	}
}
