package systest

import (
	"io"
	"testing"
)

// newAbandoned is a site with a download half way, which is stopped as soon as
// no client waits for it: leave lets the one that does break off.
func newAbandoned(t *testing.T) (x shared, server *server, leave func()) {
	t.Helper()
	x = newShared(t)
	x.configure("[serve]\nquick_abort_max = \"0\"", "[sync]\nroots = [\""+rootName+"\"]\npackages = [\"big\"]")
	server = x.serve()
	resp, err := server.request(x.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 1); err != nil {
		t.Fatal(err)
	}
	x.awaitPartial(half)
	return x, server, func() { resp.Body.Close() }
}

// A download that no client waits for is stopped, and the next client continues it.
func TestAbandoned(t *testing.T) {
	x, server, leave := newAbandoned(t)
	leave()
	server.says("nobody waits for it")
	x.check(server.get(x.path))
	x.continued()
}

// What imserve stops for want of clients, imsync goes on with, which waits for it.
func TestAbandonedToSync(t *testing.T) {
	x, server, leave := newAbandoned(t)
	sync := x.startImsync("once")
	sync.says("fetching 1 package")
	leave()
	server.says("nobody waits for it")
	if code := sync.wait(); code != 0 {
		t.Errorf("imsync once: exit code %d", code)
	}
	x.check(server.get(x.path))
	x.continued()
}
