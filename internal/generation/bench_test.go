package generation

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// What BenchmarkCatalogs keeps is a suite of the size of Debian sid's main for one
// architecture, with the four pushes a day that it has over generation_keep's week.
const (
	sidPackages = 68000
	sidKept     = 28
	sidChanges  = 300 // packages that a push replaces by newer versions
)

// sid makes catalogs as pushes of sid make them, or of a smaller suite.
type sid struct {
	random   *rand.Rand
	sources  []string
	packages []item
}

func newSid(packages int) *sid {
	s := &sid{random: rand.New(rand.NewPCG(5, 8))}
	for i := range packages {
		// Two packages in three are of a source that has others: libraries with their -dev and -doc.
		if i%3 == 0 {
			s.sources = append(s.sources, s.word(4+s.random.IntN(12)))
		}
		source := s.sources[len(s.sources)-1]
		s.packages = append(s.packages, s.item(source, source+[...]string{"", "-dev", "-common"}[i%3]))
	}
	return s
}

func (s *sid) word(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + s.random.IntN(26))
	}
	return string(b)
}

// item is a package of a source, in a version that nothing had before.
func (s *sid) item(source, name string) item {
	version := fmt.Sprintf("%d.%d.%d-%d", s.random.IntN(9), s.random.IntN(40), s.random.IntN(1000), 1+s.random.IntN(9))
	sum := sha256.Sum256([]byte(name + version))
	return item{fmt.Sprintf("pool/main/%.1s/%s/%s_%s_amd64.deb", source, source, name, version),
		cache.Want{Digest: cache.SHA256(sum[:]), Size: 1000 + s.random.Int64N(1<<22)}}
}

// push replaces so many packages.
func (s *sid) push(changes int) {
	for range changes {
		at := &s.packages[s.random.IntN(len(s.packages))]
		dir := strings.Split(at.path, "/")
		name, _, _ := strings.Cut(dir[4], "_")
		*at = s.item(dir[3], name)
	}
}

// heap is how many bytes live.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first has found unused in weak maps
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkCatalogs measures what the kept catalogs of a suite like sid take in
// memory, and a lookup in one.
func BenchmarkCatalogs(b *testing.B) {
	s := newSid(sidPackages)
	var dirs []string
	for range sidKept {
		dir := b.TempDir()
		if err := writeCatalog(dir, append([]item(nil), s.packages...)); err != nil {
			b.Fatal(err)
		}
		dirs = append(dirs, dir)
		s.push(sidChanges)
	}
	var text, first int64
	if fi, err := os.Stat(dirs[0] + "/" + catalogName); err == nil {
		text = fi.Size()
	}
	before := heap()
	kept := make([]*catalog, sidKept)
	for i, dir := range dirs {
		var err error
		if kept[i], err = readCatalog(dir); err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			first = heap() - before
		}
	}
	all := heap() - before
	for _, c := range kept {
		c.endOf("/none")
	}
	byName := heap() - before
	i := 0
	for b.Loop() {
		i = (i + 7919) % len(s.packages)
		kept[sidKept-1].find(s.packages[i].path)
	}
	runtime.KeepAlive(kept)
	for _, m := range []struct {
		what  string
		bytes int64
	}{{"file", text}, {"first", first}, {"all", all}, {"all-by-name", byName}} {
		b.ReportMetric(float64(m.bytes)/1e6, "MB/"+m.what)
	}
}

// BenchmarkTwin measures how long it takes to see in one catalog of that size which of
// its files have a digest, and what is made for it when it is first asked for.
func BenchmarkTwin(b *testing.B) {
	s, dir := newSid(sidPackages), b.TempDir()
	if err := writeCatalog(dir, s.packages); err != nil {
		b.Fatal(err)
	}
	c, err := readCatalog(dir)
	if err != nil {
		b.Fatal(err)
	}
	find := func(d cache.Digest) (found int) {
		for at := range c.digests.find(c, digestIn, string(d)) {
			if it, ok := c.item(at); ok && it.want.Digest == d {
				found++
			}
		}
		return found
	}
	before, begun := heap(), time.Now()
	find("")
	took := time.Since(begun)
	bytes := heap() - before
	i := 0
	for b.Loop() {
		i = (i + 7919) % len(s.packages)
		if find(s.packages[i].want.Digest) == 0 {
			b.Fatal("it is not found")
		}
	}
	b.ReportMetric(float64(bytes)/1e6, "MB/index")
	b.ReportMetric(took.Seconds()*1e3, "ms/first")
}
