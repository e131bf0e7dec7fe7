package generation_test

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// crowd are clients that come again and again, each as fast as it is served.
type crowd struct {
	over   chan struct{}
	served []chan struct{} // of each client: it has been served once more
	all    sync.WaitGroup
}

// newCrowd has n clients come until leave. An error of visit, which is given the client's
// name, fails the test, and its client comes no more.
func newCrowd(t *testing.T, n int, visit func(client string) error) *crowd {
	c := &crowd{over: make(chan struct{})}
	for i := range n {
		served := make(chan struct{}, 1)
		c.served = append(c.served, served)
		c.all.Go(func() {
			defer close(served)
			for {
				if err := visit(fmt.Sprint("client", i)); err != nil {
					t.Error(err)
					return
				}
				select {
				case served <- struct{}{}:
				default:
				}
				select {
				case <-c.over:
					return
				default:
				}
			}
		})
	}
	return c
}

// meet waits until each client has been served with all that there is now: none is still
// at what it began before, however slow it is beside the others.
func (c *crowd) meet() {
	for _, served := range c.served {
		select {
		case <-served: // of some time before
		default:
		}
		<-served // it may have come before this
		<-served
	}
}

// leave ends the visits, and waits for their end.
func (c *crowd) leave() {
	close(c.over)
	c.all.Wait()
}

// TestSyncingMirror: a mirror goes through a row of generations, each of which it
// publishes in the worst order: repomd.xml first, then what that lists, file by
// file, while it removes the old. No client ever gets a repomd.xml whose files
// are not there.
func TestSyncingMirror(t *testing.T) {
	d := newDesk(t, time.Minute)
	const generations = 6
	stages := make([]string, generations)
	for i := range stages {
		stages[i] = t.TempDir()
		d.pass(time.Hour)
		specs := []testrepo.Spec{spec("a", fmt.Sprint(i)), spec("b", fmt.Sprint(i), "a")}
		if err := testrepo.Build(stages[i], specs, testrepo.BuildOptions{Time: d.now()}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(dir, name string) {
		b, err := os.ReadFile(filepath.Join(dir, "repodata", name))
		if err == nil {
			err = d.up.Put("/updates/41/repodata/"+name, b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	names := func(dir string) (list []string) {
		entries, err := os.ReadDir(filepath.Join(dir, "repodata"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != "repomd.xml" {
				list = append(list, e.Name())
			}
		}
		return list
	}
	for _, dir := range stages {
		// Packages come before all metadata; TestMissingPackages is about the others.
		if err := os.CopyFS(filepath.Join(d.files, "Packages"), os.DirFS(filepath.Join(dir, "Packages"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append(names(stages[0]), "repomd.xml") {
		put(stages[0], name)
	}
	if _, _, err := d.ask(); err != nil {
		t.Fatal(err)
	}
	clients := newCrowd(t, 6, func(string) error {
		body, _, err := d.ask()
		if err == nil {
			err = d.whole(body)
		}
		return err
	})
	step := func() {
		clients.meet()
		d.pass(2 * time.Minute)
	}
	for i := 1; i < generations; i++ {
		put(stages[i], "repomd.xml")
		step()
		for _, name := range names(stages[i-1]) {
			if err := os.Remove(filepath.Join(d.files, "repodata", name)); err != nil {
				t.Error(err)
			}
			step()
		}
		for _, name := range names(stages[i]) {
			put(stages[i], name)
			step()
		}
		step()
	}
	clients.leave()
	d.pass(2 * time.Minute)
	if body, _, err := d.ask(); err != nil || body != d.upstream() {
		t.Errorf("in the end: %d bytes, %v", len(body), err)
	}
}

// TestSuiteOnSyncingMirror: a mirror goes through a row of publications in the worst
// orders, and takes away what is old at once. No client ever sees an index that is
// not its InRelease's.
func TestSuiteOnSyncingMirror(t *testing.T) {
	orders := map[string]func(a, b string) int{
		"InRelease first": func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) },
		"indices first":   func(a, b string) int { return strings.Compare(path.Base(b), path.Base(a)) },
	}
	for order, cmp := range orders {
		for _, byHash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by hash %v", order, byHash), func(t *testing.T) {
				a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, ByHash: byHash})
				a.issue(debs("0"))
				for range 2 { // what is asked for is known from then on
					if err := a.update(client); err != nil {
						t.Fatal(err)
					}
				}
				clients := newCrowd(t, 4, a.update)
				step := func() {
					clients.meet()
					a.pass(2 * time.Minute)
				}
				for i := 1; i < 4; i++ {
					next := a.build(debs(fmt.Sprint(i)))
					names := slices.DeleteFunc(slices.Collect(maps.Keys(next)), func(name string) bool { return strings.HasSuffix(name, ".deb") })
					slices.SortFunc(names, cmp)
					for name := range a.has {
						if next[name] == nil {
							a.drop(name)
						}
					}
					for name, b := range next {
						if strings.HasSuffix(name, ".deb") {
							a.put(name, b) // before all metadata
						}
					}
					for _, name := range names {
						a.put(name, next[name])
						step()
					}
					a.has = next
					step()
				}
				clients.leave()
				a.settle() // a client that the clock has made impatient leaves before its flight is over
				a.pass(2 * time.Minute)
				if got, _, err := a.get(a.root+"/InRelease", client); err != nil || got != string(a.has[a.root+"/InRelease"]) {
					t.Errorf("in the end: %d bytes, %v", len(got), err)
				}
			})
		}
	}
}
