package popularity

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func BenchmarkParse(b *testing.B) {
	for _, format := range []string{"common", "combined", "imserve", "squid"} {
		b.Run(format, func(b *testing.B) {
			var lines [][]byte
			for _, l := range strings.Split(strings.TrimSpace(write(traffic(1, 1000), format)), "\n") {
				lines = append(lines, []byte(l))
			}
			var p parser
			var e entry
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if why := p.parse(lines[n%len(lines)], &e); why != reasonNone {
					b.Fatal(why)
				}
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// BenchmarkIngest reads 1,000,000 lines of a month of 2,000 clients and 20,000
// files, in the order of time.
func BenchmarkIngest(b *testing.B) {
	const lines = 1_000_000
	for _, name := range []string{"log", "log.gz"} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			writeMonth(b, dir+"/"+name, lines)
			n := 0
			for b.Loop() {
				s := openStore(b, fmt.Sprintf("%s/%d", dir, n), options())
				if r := ingest1(b, s, dir+"/"+name); r.Lines != lines || r.Counted+r.Repomd != lines {
					b.Fatalf("%+v", r)
				}
				s.Close()
				n++
			}
			b.ReportMetric(float64(lines*n)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

func writeMonth(b *testing.B, path string, lines int) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	var w io.WriteCloser = f
	if strings.HasSuffix(path, ".gz") {
		w = gzip.NewWriter(f)
	}
	out := bufio.NewWriter(w)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range lines {
		h := hit{
			client: fmt.Sprintf("10.1.%d.%d", r.IntN(8), r.IntN(250)),
			at:     now.Add(-30 * 24 * time.Hour).Add(time.Duration(i) * 30 * 24 * time.Hour / time.Duration(lines)),
			repo:   "fedora", status: 200, bytes: int64(r.IntN(10_000_000)),
		}
		file := int(r.ExpFloat64() * 2000)
		h.rest = fmt.Sprintf("%s/Packages/%c/package-number%d-1.%d-1.fc41.x86_64.rpm", updates, 'a'+rune(file%26), file, file%5)
		if i%100 == 0 {
			h.rest = updates + "/repodata/repomd.xml"
		}
		fmt.Fprintln(out, formatters["combined"](h))
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if w != f {
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRank(b *testing.B) {
	dir := b.TempDir()
	writeMonth(b, dir+"/log", 1_000_000)
	s := openStore(b, dir, options())
	ingest1(b, s, dir+"/log")
	for b.Loop() {
		ranks(b, s)
	}
}
