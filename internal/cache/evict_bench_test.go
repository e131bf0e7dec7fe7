package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkEvict is what a count of the stored files costs, which both programs
// do at their start, the same with all that eviction weighs, and an eviction of
// one file in ten. cpu-ms is what a busy machine does not change.
func BenchmarkEvict(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := stocked(b, n)
			c := s.open()
			b.Run("count", func(b *testing.B) {
				defer cpu(b)()
				for b.Loop() {
					if _, _, err := c.count(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("weigh", func(b *testing.B) {
				defer cpu(b)()
				for b.Loop() {
					if _, err := c.Room(b.Context(), nil); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("evict", func(b *testing.B) {
				defer cpu(b)()
				// One after the other, until a third is left.
				for left := int64(n); b.Loop() && left > int64(n)/3; left -= int64(n) / 10 {
					c.space.size = (left - int64(n)/10) * block * slackParts / (slackParts - 2)
					if e, err := c.Evict(b.Context(), false); err != nil || len(e.Files) < n/10 {
						b.Fatalf("%d evicted, %v", len(e.Files), err)
					}
				}
			})
		})
	}
}

// stocked is a shelf with n files of one block, each of which was used once.
func stocked(b *testing.B, n int) *shelf {
	b.Helper()
	s := newShelf(b, 0)
	s.account()
	for i := range n {
		name := fmt.Sprintf("fedora/updates/%d/Packages/p/package-%d-1.fc41.x86_64.rpm", i%100, i)
		if i < 100 {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(s.dir, name)), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("x"), 0o644); err != nil {
			b.Fatal(err)
		}
		k, _ := keyOf(name)
		s.ledger.Served(k, 1, true)
		if i%1000 == 999 {
			if err := s.ledger.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	return s
}

// cpu reports the processor's time of each loop.
func cpu(b *testing.B) func() {
	spent := func() time.Duration {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := spent()
	return func() { b.ReportMetric(float64(spent()-before)/1e6/float64(b.N), "cpu-ms/op") }
}
