package generation_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// TestLearnFromAnother: an index that another process has read is known, though this one
// has not looked at its generations since.
func TestLearnFromAnother(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
	list := debs("1")
	a.issue(list)
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	k := cache.Key{Repo: "r", Path: "debian/" + list[0].Filename(false)}
	other := &desk{T: t, dir: a.dir, mirrors: a.mirrors}
	other.clock.Store(a.clock.Load())
	other.start(time.Hour, time.Minute)
	other.fresh.Learn(t.Context(), k)
	if w, _ := a.store.Lookup(k); w.Known() {
		t.Fatal("it has looked already")
	}
	a.fresh.Learn(t.Context(), k)
	if w, _ := a.store.Lookup(k); !w.Known() {
		t.Error("nothing is promised of the package")
	}
}

// TestLearnTogether: of clients that come at once, each with an index of its own, all
// have the packages of theirs promised.
func TestLearnTogether(t *testing.T) {
	for range 10 {
		a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
		list := debs("1") // one of each architecture
		a.issue(list)
		var wg sync.WaitGroup
		for i, arch := range []string{"amd64", "i386"} {
			for range 4 {
				wg.Go(func() {
					for _, name := range []string{"/InRelease", "/main/binary-" + arch + "/Packages.xz"} {
						o, err := a.open(a.root+name, client)
						if err == nil {
							_, err = read(o)
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
					a.fresh.Learn(t.Context(), cache.Key{Repo: "r", Path: "debian/" + list[i].Filename(false)})
					if w, _ := a.promised(list[i]); !w.Known() {
						t.Errorf("%s: nothing is promised of the package", arch)
					}
				})
			}
		}
		wg.Wait()
	}
}

// TestLearnLeaves: a client that leaves does not wait, nor does one that comes too late.
func TestLearnLeaves(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
	list := debs("1")
	a.issue(list)
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	a.settle()
	// While another program changes the suite, what is learnt can't become known.
	locks, err := filepath.Glob(filepath.Join(a.dir, ".im/gen/*.lock"))
	if err != nil || len(locks) != 1 {
		t.Fatalf("locks: %q, %v", locks, err)
	}
	lock, err := os.OpenFile(locks[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	k := cache.Key{Repo: "r", Path: "debian/" + list[0].Filename(false)}
	a.fresh.Learn(left, k)
	if w, _ := a.promised(list[0]); w.Known() {
		t.Error("there was nothing to wait for")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	a.fresh.Learn(t.Context(), k)
	if w, _ := a.promised(list[0]); !w.Known() {
		t.Error("who stays does not learn of the package either")
	}
	a.fresh.Close()
	a.fresh.Learn(t.Context(), cache.Key{Repo: "r", Path: "debian/pool/x.deb"})
}
