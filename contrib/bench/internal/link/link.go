// Package link is a long line for the benchmarks: a TCP proxy on 127.0.0.1 before a
// server, behind which that server is some milliseconds away, and gives all its
// connections together no more than so many bytes a second.
//
// What it does not imitate is TCP itself over such a line: a connection sends at full
// speed from its first byte on, and nothing is lost. That favours who opens many
// connections over who keeps few.
package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// chunk is how many bytes of one connection pass before it is another's turn: on a
	// line of 50 MB/s less than a millisecond.
	chunk = 32 << 10
	// underway is how many reads of one connection can be on the way at once: more than a
	// line of 50 MB/s has in 20 ms, unless they are small.
	underway = 256
	// slack is how much of the line's time can be made up for: a timer that is late
	// leaves no gap on a real line.
	slack = 4 * time.Millisecond
)

// Link is such a line. It is safe for concurrent use.
type Link struct {
	// Addr is where it is entered, "127.0.0.1:port".
	Addr string

	to       string
	delay    time.Duration // of each direction
	rate     float64       // from the server on, in bytes a second
	listener net.Listener
	cancel   context.CancelFunc
	under    sync.WaitGroup

	mu    sync.Mutex
	free  time.Time // when the line has sent what was given to it
	taken Traffic
}

// Traffic is what has passed.
type Traffic struct {
	Connections int
	Down        int64 // bytes that left the server
}

// Start starts a line to the server at the address to: a round trip takes twice the
// delay, and so does setting up a connection. Close ends it.
func Start(ctx context.Context, to string, delay time.Duration, bytesPerSecond int64) (*Link, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{Addr: listener.Addr().String(), to: to, delay: delay, rate: float64(bytesPerSecond), listener: listener}
	ctx, l.cancel = context.WithCancel(context.Background())
	l.under.Go(func() { l.accept(ctx) })
	return l, nil
}

// Close breaks off what is under way, and ends the line.
func (l *Link) Close() error {
	l.cancel()
	err := l.listener.Close()
	l.under.Wait()
	return err
}

// Took is what has passed since it was called last.
func (l *Link) Took() Traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.taken
	l.taken = Traffic{}
	return t
}

// accept takes connections until the listener is closed.
func (l *Link) accept(ctx context.Context) {
	var dialer net.Dialer
	for {
		client, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // one that has left already
		}
		l.mu.Lock()
		l.taken.Connections++
		l.mu.Unlock()
		open := time.Now().Add(2 * l.delay)
		l.under.Go(func() {
			server, err := dialer.DialContext(ctx, "tcp", l.to)
			if err != nil {
				client.Close()
				return
			}
			l.join(ctx, client, server, open)
		})
	}
}

// join carries what the two say to each other until both have ended. Nothing leaves
// the client before its connection is set up, at the time open.
func (l *Link) join(ctx context.Context, client, server net.Conn, open time.Time) {
	end := func() {
		client.Close()
		server.Close()
	}
	defer context.AfterFunc(ctx, end)()
	defer end()
	var both sync.WaitGroup
	both.Go(func() {
		l.carry(client, server, func(int) time.Time { return later(time.Now(), open) })
	})
	both.Go(func() {
		l.carry(server, client, l.take)
	})
	both.Wait()
}

// take is when the line has sent n more bytes of the server's.
func (l *Link) take(n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken.Down += int64(n)
	l.free = later(l.free, time.Now().Add(-slack)).Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	return l.free
}

// later is the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// part is some bytes on the way.
type part struct {
	b   []byte
	due time.Time // at the other end
}

// carry is one direction: it reads, waits until the line has sent what it read, which
// sent says when, and lets it arrive by the delay later.
func (l *Link) carry(from, to net.Conn, sent func(n int) time.Time) {
	queue := make(chan part, underway)
	var arrival sync.WaitGroup
	arrival.Go(func() { deliver(to, queue) })
	for {
		b := make([]byte, chunk)
		n, err := from.Read(b)
		if n > 0 {
			came := time.Now()
			left := later(sent(n), came)
			time.Sleep(time.Until(left))
			queue <- part{b[:n], left.Add(l.delay)}
		}
		if err != nil {
			queue <- part{due: time.Now().Add(l.delay)}
			break
		}
	}
	close(queue)
	arrival.Wait()
}

// deliver writes what is on the way when it is due, and ends this direction then.
func deliver(to net.Conn, queue <-chan part) {
	broken := false
	for p := range queue {
		time.Sleep(time.Until(p.due))
		if !broken && p.b != nil {
			_, err := to.Write(p.b)
			broken = err != nil
		}
	}
	// Who has left needs no end; where only this one is, the other direction goes on.
	if half, ok := to.(interface{ CloseWrite() error }); ok && !broken {
		_ = half.CloseWrite()
		return
	}
	to.Close()
}
