// Package origin is an upstream for the benchmarks: it has any package that it is
// asked for, and sends it over a link of a given speed that all its answers share.
package origin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"intelligentmirror/contrib/bench/internal/peer"
)

// Origin is such an upstream. It is safe for concurrent use.
type Origin struct {
	URL string // of its root, without a slash at its end

	link   *rate.Limiter
	server *http.Server
	ended  chan error

	mu    sync.Mutex
	sizes map[string]int64 // by path
	seen  map[string]Transfer
}

// Transfer is what was asked for one file.
type Transfer struct {
	GETs  int
	First time.Time // when its first byte was sent
	Last  time.Time // when the last byte of what was asked for was sent, the latest of all GETs
}

// burst is how many bytes the link sends at once, at the most: less than 4 ms of
// a link of 20 MiB/s.
const burst = 64 << 10

// Start starts an upstream that sends bytesPerSecond in all; Close ends it.
func Start(ctx context.Context, bytesPerSecond int64) (*Origin, error) {
	addr, err := peer.FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	o := &Origin{
		URL:   "http://" + l.Addr().String(),
		link:  rate.NewLimiter(rate.Limit(bytesPerSecond), burst),
		ended: make(chan error, 1),
		sizes: map[string]int64{}, seen: map[string]Transfer{},
	}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: time.Minute}
	go func() { o.ended <- o.server.Serve(l) }()
	return o, nil
}

// Close breaks off what is under way, and ends the upstream.
func (o *Origin) Close() error {
	err := o.server.Close()
	if end := <-o.ended; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

// Add makes a package of that many bytes be there at path, "/pub/a.rpm".
func (o *Origin) Add(path string, size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sizes[path] = size
}

// SetRate changes the link's speed, also for what is under way.
func (o *Origin) SetRate(bytesPerSecond int64) { o.link.SetLimit(rate.Limit(bytesPerSecond)) }

// Seen is what was asked for path so far.
func (o *Origin) Seen(path string) Transfer {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[path]
}

// modified is when all files were changed last: what a cache makes of it is the
// same in each run.
var modified = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// ServeHTTP sends a file, or a range of it.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	size, ok := o.sizes[r.URL.Path]
	if r.Method == http.MethodGet {
		t := o.seen[r.URL.Path]
		t.GETs++
		o.seen[r.URL.Path] = t
	}
	o.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-rpm")
	http.ServeContent(w, r, "", modified, &body{o: o, path: r.URL.Path, ctx: r.Context(), size: size})
}

// sent notes that bytes of a file leave at this moment.
func (o *Origin) sent(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.seen[path]
	t.Last = time.Now()
	if t.First.IsZero() {
		t.First = t.Last
	}
	o.seen[path] = t
}

// body is a file as one answer sends it: a Read waits until the link takes what
// it returns.
type body struct {
	o         *Origin
	path      string
	ctx       context.Context
	size, off int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.off >= b.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), b.size-b.off, burst))
	if err := b.o.link.WaitN(b.ctx, n); err != nil {
		return 0, err
	}
	for done := 0; done < n; {
		done += copy(p[done:n], contents(b.off+int64(done)))
	}
	b.off += int64(n)
	b.o.sent(b.path)
	return n, nil
}

// Seek implements io.Seeker for http.ServeContent.
func (b *body) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += b.off
	case io.SeekEnd:
		off += b.size
	}
	b.off = off
	return off, nil
}

// block is what the files consist of, again and again. Its length is prime, so
// that bytes from elsewhere in the file show; it begins as an RPM package does.
var block = sync.OnceValue(func() []byte {
	b := make([]byte, 1_048_583)
	// A ChaCha8 never fails.
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	copy(b, "\xed\xab\xee\xdb\x03\x00")
	return b
})

// contents are some bytes of each file from off on, one at least.
func contents(off int64) []byte { return block()[off%int64(len(block())):] }

// Copy writes what the files of that many bytes have.
func Copy(w io.Writer, size int64) error {
	for off := int64(0); off < size; {
		part := contents(off)
		n, err := w.Write(part[:min(int64(len(part)), size-off)])
		if off += int64(n); err != nil {
			return err
		}
	}
	return nil
}

// Same reports whether p is what the files have from off on.
func Same(p []byte, off int64) bool {
	for len(p) > 0 {
		want := contents(off)
		n := min(len(p), len(want))
		if !bytes.Equal(p[:n], want[:n]) {
			return false
		}
		p, off = p[n:], off+int64(n)
	}
	return true
}
