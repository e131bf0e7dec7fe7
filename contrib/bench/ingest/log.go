package main

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sort"
	"time"

	"github.com/klauspost/compress/gzip"
)

// shape is what a log is like.
type shape struct {
	lines, packages, clients, days int
}

// first is the time of the first line; it is the same in each run, so that the
// figures are.
var first = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// writeLog writes a combined log of a mirror to path, and the same compressed to
// path with .gz behind it. Packages are popular as 1/rank is, and each stands in
// the log at least once if there are lines enough; one line in fifty asks for
// metadata. It returns how many distinct (client, day, package) there are.
func writeLog(path string, s shape) (requests int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	packed, err := os.Create(path + ".gz")
	if err != nil {
		return 0, err
	}
	defer packed.Close()
	zip := gzip.NewWriter(packed)
	plain, squeezed := bufio.NewWriterSize(f, 1<<20), bufio.NewWriterSize(zip, 1<<20)

	r := rand.New(rand.NewPCG(1, 2))
	names, weights := make([]string, s.packages), make([]float64, s.packages)
	sum := 0.0
	for i := range names {
		names[i] = fmt.Sprintf("/fedora/updates/41/Everything/x86_64/Packages/%c/package-%d-%d.%d-%d.fc41.x86_64.rpm",
			'a'+rune(i%26), i, i%9, i%7, 1+i%3)
		sum += math.Pow(float64(i+10), -0.8)
		weights[i] = sum
	}
	seen := map[[3]int32]bool{}
	var line []byte
	for i := range s.lines {
		at := first.Add(time.Duration(float64(i) / float64(s.lines) * float64(s.days) * 24 * float64(time.Hour)))
		client := r.IntN(s.clients)
		line = fmt.Appendf(line[:0], "10.%d.%d.%d - - [", client>>16, client>>8&255, client&255)
		line = at.AppendFormat(line, "02/Jan/2006:15:04:05 -0700")
		line = append(line, `] "GET `...)
		switch {
		case i%50 == 49:
			line = append(line, "/fedora/updates/41/Everything/x86_64/repodata/repomd.xml"...)
		default:
			n := i - i/50
			if n >= s.packages {
				n = sort.SearchFloat64s(weights, r.Float64()*sum)
			}
			line = append(line, names[n]...)
			seen[[3]int32{int32(client), int32(at.YearDay()), int32(n)}] = true
		}
		line = fmt.Appendf(line, " HTTP/1.1\" 200 %d \"-\" \"libdnf (Fedora Linux 41; workstation; Linux.x86_64)\"\n", 2000+r.IntN(9_000_000))
		// The Writers keep the first error for Flush.
		_, _ = plain.Write(line)
		_, _ = squeezed.Write(line)
	}
	for _, end := range []func() error{plain.Flush, squeezed.Flush, zip.Close, f.Close, packed.Close} {
		if err := end(); err != nil {
			return 0, err
		}
	}
	return len(seen), nil
}
