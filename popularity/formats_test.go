package popularity

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The same traffic gives the same ranking, whoever wrote it down.
func TestFormatsRankAlike(t *testing.T) {
	hits := traffic(1, 3000)
	want := expect(hits, halfLife)
	if len(want) < 100 {
		t.Fatalf("the traffic has only %d names", len(want))
	}
	for format := range formatters {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, options())
			writeFile(t, dir+"/access.log", write(hits, format))
			r := ingest1(t, s, dir+"/access.log")
			if r.Lines != int64(len(hits)) || len(r.Skipped) != 0 || len(r.Failed) != 0 {
				t.Errorf("report: %+v", r)
			}
			name, _, _ := strings.Cut(format, ",")
			if r.Formats[name] != r.Lines {
				t.Errorf("formats: %v, want all lines to be %s", r.Formats, name)
			}
			if diff := cmp.Diff(want, ranks(t, s)); diff != "" {
				t.Error(diff)
			}
			roots, more, err := s.Roots(t.Context(), time.Time{}, 3)
			slices.Sort(roots)
			wantRoots := []string{"fedora/releases/41/Everything/x86_64/os", "fedora/updates/41/Everything/x86_64", "rpmfusion/free/fedora/updates/41/x86_64"}
			if err != nil || more != 0 || !slices.Equal(roots, wantRoots) || !slices.Equal(r.NewRoots, wantRoots) {
				t.Errorf("roots %v (new: %v), %v", roots, r.NewRoots, err)
			}
		})
	}
}

// Requests that stand in several logs, in pieces, in any order and over several
// runs come out as if read once.
func TestAnyOrder(t *testing.T) {
	hits := traffic(2, 2000)
	want := expect(hits, halfLife)
	names := make([]string, 0, len(formatters))
	for format := range formatters {
		names = append(names, format)
	}
	slices.Sort(names)
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 3))
		dir := t.TempDir()
		s := openStore(t, dir, options())
		s.limit = 1 + r.IntN(700)
		logs := make([]strings.Builder, 5)
		for range 2 {
			r.Shuffle(len(hits), func(i, j int) { hits[i], hits[j] = hits[j], hits[i] })
			for _, h := range hits {
				logs[r.IntN(len(logs))].WriteString(formatters[names[r.IntN(len(names))]](h) + "\n")
			}
		}
		for i := range logs {
			writeFile(t, filepath.Join(dir, string(rune('a'+i))+".log"), logs[i].String())
			if r.IntN(2) == 0 {
				ingest1(t, s, dir+"/*.log")
			}
		}
		ingest1(t, s, dir+"/*.log")
		if diff := cmp.Diff(want, ranks(t, s)); diff != "" {
			t.Errorf("seed %d: %s", seed, diff)
		}
	}
}

// A log of many blocks, with lines among the others that are none, comes out as
// read line by line, however many goroutines parse and whatever a batch is.
func TestManyBlocks(t *testing.T) {
	hits := traffic(31, 12_000)
	want := expect(hits, halfLife)
	noise := []string{"", "\x00\xff\xfe", "10.0.0.1 - - [torn", strings.Repeat("x", maxLine+1), strings.Repeat("y", 2*blockSize+5), "{}", "1.000 x"}
	r := rand.New(rand.NewPCG(8, 8))
	var b strings.Builder
	lines := 0
	for _, h := range hits {
		if r.IntN(300) == 0 {
			b.WriteString(noise[r.IntN(len(noise))] + "\n")
			lines++
		}
		b.WriteString(formatters["combined"](h) + "\n")
		lines++
	}
	text := b.String()
	if len(text) < 10*blockSize {
		t.Fatalf("only %d bytes", len(text))
	}
	for _, limit := range []int{batchRequests, 1000} {
		dir := t.TempDir()
		s := openStore(t, dir, options())
		s.limit = limit
		writeFile(t, dir+"/log", text)
		report := ingest1(t, s, dir+"/log")
		if report.Lines != int64(lines) || report.Bytes != int64(len(text)) || report.Counted+report.Repomd != int64(len(hits)) {
			t.Errorf("%d requests a batch: %+v, want %d lines", limit, report, lines)
		}
		if diff := cmp.Diff(want, ranks(t, s)); diff != "" {
			t.Errorf("%d requests a batch: %s", limit, diff)
		}
	}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
