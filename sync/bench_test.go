package sync

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

// distribution makes n packages with relations like those of Fedora: some
// libraries that all need, many that few need, files, and names in several
// versions and architectures.
func distribution(n int) []*repodata.Package {
	rnd := rand.New(rand.NewPCG(1, 2))
	all := make([]*repodata.Package, 0, n)
	for i := range n {
		name := fmt.Sprintf("package%d-%s", i, []string{"libs", "devel", "tools", "plugin-extra"}[i%4])
		arch, isa := "x86_64", "(x86-64)"
		if rnd.IntN(4) == 0 {
			arch, isa = "noarch", ""
		}
		evr := repodata.EVR{Version: fmt.Sprintf("%d.%d.%d", rnd.IntN(20), rnd.IntN(40), rnd.IntN(9)), Release: fmt.Sprintf("%d.fc41", 1+rnd.IntN(9))}
		sum := sha256.Sum256([]byte(name))
		p := &repodata.Package{
			Name: name, Arch: arch, EVR: evr, Size: int64(1000 + rnd.IntN(2e6)),
			Checksum: repodata.Checksum{Type: "sha256", Hex: hex.EncodeToString(sum[:])},
			Location: fmt.Sprintf("Packages/p/%s-%s-%s.%s.rpm", name, evr.Version, evr.Release, arch),
			Provides: []repodata.Dep{{Name: name, Flags: "EQ", EVR: evr}, {Name: name + isa, Flags: "EQ", EVR: evr}},
		}
		for j := range rnd.IntN(5) {
			p.Provides = append(p.Provides, repodata.Dep{Name: fmt.Sprintf("libpackage%d-%d.so.1()(64bit)", i, j)})
		}
		for range 4 + rnd.IntN(16) {
			// The square makes a few of them everybody's.
			on := int(float64(n) * rnd.Float64() * rnd.Float64() * rnd.Float64())
			p.Requires = append(p.Requires, repodata.Dep{Name: fmt.Sprintf("libpackage%d-%d.so.1()(64bit)", on, rnd.IntN(2))})
		}
		on := rnd.IntN(i/4 + 1)
		p.Requires = append(p.Requires,
			repodata.Dep{Name: "rpmlib(CompressedFileNames)", Flags: "LE", EVR: repodata.EVR{Version: "3.0.4", Release: "1"}},
			repodata.Dep{Name: fmt.Sprintf("/usr/bin/package%d-0", on)},
			repodata.Dep{Name: fmt.Sprintf("(package%d-devel if package%d-libs)", on/4*4+1, on/4*4)},
		)
		for j := range rnd.IntN(6) {
			p.Files = append(p.Files, fmt.Sprintf("/usr/bin/package%d-%d", i, j))
		}
		all = append(all, p)
	}
	return all
}

// BenchmarkPlan plans for a repository of 60,000 packages and 5,000 ranks, with
// nothing stored: the most that there is to do. It reports the memory that the
// Index takes, and the time of the processor, building it included.
func BenchmarkPlan(b *testing.B) {
	all := distribution(60000)
	rnd := rand.New(rand.NewPCG(3, 4))
	ranks := make([]popularity.Rank, 5000)
	for i := range ranks {
		p := all[int(float64(len(all))*rnd.Float64()*rnd.Float64())]
		ranks[i] = popularity.Rank{Rank: i + 1, Name: p.Name, Arch: p.Arch, Root: updates}
	}
	budget := Budget{Bytes: 20 << 30, Top: 5000, Seeds: named("package1*-libs", "package77-tools", "*-plugin-extra"), Exclude: []config.Pattern{"*-devel"}}
	build := func() *Index {
		var x IndexBuilder
		for i, p := range all {
			x.Add([]string{releases, updates}[i%2], p)
		}
		return x.Index()
	}
	b.Run("index", func(b *testing.B) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		idx := build()
		runtime.GC()
		runtime.ReadMemStats(&after)
		defer cpuSeconds(b)()
		b.ReportAllocs()
		for b.Loop() {
			build()
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-kept")
		runtime.KeepAlive(idx)
	})
	b.Run("plan", func(b *testing.B) {
		idx := build()
		defer cpuSeconds(b)()
		b.ReportAllocs()
		var res Result
		for b.Loop() {
			res = Plan(ranks, idx, nothingStored, budget)
		}
		b.ReportMetric(float64(len(res.Items)), "items")
		b.ReportMetric(float64(len(res.Unmet)), "unmet")
	})
}

// cpuSeconds reports what each round took of the processor, which, unlike the
// time on the wall, tells something on a machine that does other things too.
func cpuSeconds(b *testing.B) (report func()) {
	used := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	before := used()
	return func() { b.ReportMetric((used()-before)/float64(b.N), "cpu-s/op") }
}
