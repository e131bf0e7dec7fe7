package packages_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// testTry is the story of a site, from the installation to the last trace: its administrator installs the package and
// names the repositories, machines with dnf and apt are pointed at the mirror by its page and install from it, imsync
// fetches ahead, and the status page has all of it; then every machine goes back to what it was, and the mirror too.
func testTry(t *testing.T, p packager, file string) {
	root := newRoot(t)
	bare := tree(t, root)
	up := newPublic(t)
	p.install(t, root, file)
	administer(t, root, up)
	imserve := newService(t, root, "imserve.service")
	mirror := imserve.serve()

	fedora, debian := newFedora(t, up.key), newDebian(t, up.key, up.URL+debianBase)
	fedora.setUp(mirror)
	debian.setUp(mirror)
	fedora.dnf("install", "kstars")
	if got := fedora.run("rpm", "--root="+fedora.root, "--query", "--all"); !strings.Contains(got, published[0].NEVRA()) {
		t.Errorf("%s is not installed; there is:\n%s", published[0].NEVRA(), got)
	}
	debian.apt("update")
	debian.apt("install", archived.Name)
	if got := debian.run("dpkg-query", "--root="+debian.root, "--show"); got != archived.Name+"\t"+archived.Version+"\n" {
		t.Errorf("installed is %q", got)
	}
	up.passed(t)
	asked := []string{
		"fedora/" + updates + "/" + published[0].Location(), "fedora/" + updates + "/" + published[1].Location(),
		"debian/" + archived.Filename(false),
	}
	await(t, mirror, asked, func(s status) bool {
		ready := 0
		for _, p := range s.Popular {
			if p.Ready && slices.Contains(asked, p.Path) {
				ready++
			}
		}
		return ready == len(asked)
	})

	imsync := newService(t, root, "imsync.service")
	asRoot(t, root, "/usr/bin/imsync", "rank") // to have a look first, by hand
	imsync.once()
	ahead := []string{"fedora/" + updates + "/" + published[2].Location(), "fedora/" + updates + "/" + published[3].Location()}
	await(t, mirror, append(asked, ahead...), func(s status) bool {
		if s.Sync == nil || s.Sync.Failures > 0 || s.Sync.Ended != "" {
			return false
		}
		var brought []string
		for _, b := range s.Sync.Brought {
			brought = append(brought, b.Path)
		}
		slices.Sort(brought)
		return slices.Equal(brought, slices.Sorted(slices.Values(ahead)))
	})
	up.Forget()
	fedora.dnf("install", "mplayer")
	if n := up.Count("GET", "*.rpm"); n != 0 {
		t.Errorf("what was fetched ahead was asked for again, %d times", n)
	}

	fedora.undo()
	debian.undo()
	imserve.stop()
	p.remove(t, root)
	p.purge(t, root)
	if got := left(t, root, bare); !slices.Equal(got, p.keeps) {
		t.Errorf("left behind:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(p.keeps, "\n"))
	}
}

// administer makes the changes to the installed configuration that this site needs.
func administer(t *testing.T, root string, up *public) {
	t.Helper()
	file := filepath.Join(root, "etc/intelligentmirror/config.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// That the public mirror is on this machine is the test's; imserve would lead no client there.
	const listen, mine = "\n#listen = \":3180\"\n", "\nlisten = \"127.0.0.1:0\"\nproxy_allow = [\"127.0.0.1\"]\n"
	if !strings.Contains(string(text), listen) {
		t.Fatalf("no place for the address in\n%s", text)
	}
	changed := strings.Replace(string(text), listen, mine, 1) + up.repos()
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// status is what the test looks at of the status.
type status struct {
	Popular []struct {
		Path  string
		Ready bool
	}
	Sync *struct {
		Failures int
		Ended    string
		Brought  []struct{ Path string }
	}
}

// patience is how long a test waits for what takes a moment, before it says that it waits in vain.
const patience = 2 * time.Minute

// await waits until the status is as it should be, and looks for the same packages on the page: what an answer changes
// in it may come a moment after the answer.
func await(t *testing.T, mirror string, packages []string, well func(status) bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		text := get(t, mirror+"/-/status.json")
		var s status
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if well(s) {
			break
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("the status is not what it should be:\n%s", text)
		}
	}
	page := get(t, mirror+"/-/")
	var missing error
	for _, name := range packages {
		if !strings.Contains(page, fmt.Sprintf("title=%q>%s<", name, filepath.Base(name))) {
			missing = errors.Join(missing, errors.New(name))
		}
	}
	if missing != nil {
		t.Errorf("the page lacks\n%v\n%s", missing, page)
	}
}
