package systest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// kept is a connection that its client keeps.
type kept struct {
	net.Conn
	in *bufio.Reader
}

// dial opens a connection to the server.
func (s *server) dial() (*kept, error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(hung)); err != nil {
		return nil, err
	}
	// A buffer of the usual size for each of thousands is much.
	return &kept{c, bufio.NewReaderSize(c, 1<<10)}, nil
}

// ask asks for a path, and reads all of the answer.
func (c *kept) ask(path string) (*http.Response, []byte, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: mirror\r\n\r\n", path); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return resp, b, err
}

// TestManyConnections holds that ten thousand clients who keep their connections cost a
// bounded memory each, and keep nobody from being answered: not one another, nor who comes
// after them. With the race detector, in which the test itself is slow, they are one
// thousand.
func TestManyConnections(t *testing.T) {
	const bound = 400 << 20
	clients := 10_000
	if raceDetector {
		clients = 1000
	}
	manyFiles(t, clients+500)
	s := newSite(t)
	put(s, "a.rpm", 2000)
	m := s.serve()
	want := m.get("/fedora/a.rpm")
	before := m.rss()
	all := make([]*kept, clients)
	each := func(do func(i int) error) {
		t.Helper()
		var group errgroup.Group
		group.SetLimit(64)
		for i := range all {
			group.Go(func() error { return do(i) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(c *kept) error {
		resp, b, err := c.ask("/fedora/a.rpm")
		if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Equal(b, want)) {
			err = fmt.Errorf("%s, %d bytes", resp.Status, len(b))
		}
		return err
	}
	defer func() {
		for _, c := range all {
			if c != nil {
				c.Close()
			}
		}
	}()
	each(func(i int) (err error) {
		if all[i], err = m.dial(); err != nil {
			return err
		}
		return ask(all[i])
	})
	after := m.rss()
	t.Logf("%d KiB before, %d KiB with %d clients", before>>10, after>>10, clients)
	if measured() && after > bound {
		t.Errorf("%d MiB with %d clients, more than %d", after>>20, clients, bound>>20)
	}
	if got := m.get("/fedora/a.rpm"); !bytes.Equal(got, want) {
		t.Errorf("who comes after them gets %d bytes", len(got))
	}
	put(s, "b.rpm", 3000)
	if n := len(m.get("/fedora/b.rpm")); n != 3000 {
		t.Errorf("who asks for another file after them gets %d bytes", n)
	}
	each(func(i int) error { return all[i].SetDeadline(time.Now().Add(hung)) })
	each(func(i int) error { return ask(all[i]) })
}

// TestDescriptorsRunOut holds what happens when clients take all the descriptors that the
// process may have: those who are connected are answered, or told that it can't be; nobody
// gets a short file that looks whole; the log does not grow without bound; and once they
// have left all is as before, without a hand.
func TestDescriptorsRunOut(t *testing.T) {
	const most = 150
	s := newSite(t)
	for name, size := range map[string]int{"hit.rpm": 20_000, "large.rpm": 300_000, "miss.rpm": 40_000, "later.rpm": 50_000} {
		put(s, name, size)
	}
	cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" --config "$1"`, most), filepath.Join(programs, "imserve"), s.config)
	m := &server{process: launch(t, "imserve", cmd)}
	m.url = "http://" + listening.FindStringSubmatch(m.says("msg=listening"))[1]
	want := map[string][]byte{}
	for _, name := range []string{"hit.rpm", "large.rpm"} {
		want[name] = m.get("/fedora/" + name)
		s.awaitFile("/fedora/" + name)
	}
	friend, err := m.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer friend.Close()
	if _, b, err := friend.ask("/fedora/hit.rpm"); err != nil || !bytes.Equal(b, want["hit.rpm"]) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}

	// More than there is room for; the kernel greets those whom nobody has accepted yet.
	var crowd []*kept
	leave := func() {
		for _, c := range crowd {
			c.Close()
		}
	}
	defer leave()
	for range most + 50 {
		c, err := m.dial()
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
		if _, err := io.WriteString(c, "GET /fedora/hit.rpm HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	m.says("too many open files")
	honest := func(name string, length int) {
		t.Helper()
		resp, b, err := friend.ask("/fedora/" + name)
		switch {
		case err != nil: // the connection broke: it does not look whole
		case resp.StatusCode == http.StatusOK && len(b) == length && (want[name] == nil || bytes.Equal(b, want[name])):
		case resp.StatusCode >= 500:
		default:
			t.Errorf("%s without descriptors: %s, %d bytes", name, resp.Status, len(b))
		}
		if err != nil {
			friend.Close()
			if friend, err = m.dial(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		honest("hit.rpm", 20_000)
		honest("large.rpm", 300_000)
		honest("miss.rpm", 40_000)
	}
	leave()
	for name, length := range map[string]int{"hit.rpm": 20_000, "large.rpm": 300_000, "miss.rpm": 40_000, "later.rpm": 50_000} {
		if n := len(m.get("/fedora/" + name)); n != length {
			t.Errorf("then %s has %d bytes", name, n)
		}
		s.awaitFile("/fedora/" + name)
	}
	if n := strings.Count(m.stderr.String(), "\n"); n > 1000 {
		t.Errorf("the log has %d lines", n)
	}
	if code := m.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
