package testrepo

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
)

// Server is an Upstream on a port of the loopback interface. Its methods may be
// called from any goroutine.
type Server struct {
	*Upstream
	Addr string // "127.0.0.1:40123", the same over all restarts
	URL  string // "http://127.0.0.1:40123", without a slash behind it

	mu     sync.Mutex
	holder int // a socket that keeps the port from others while nobody listens
	stop   func()

	sendBuffer atomic.Int64 // bytes; 0: as the kernel has it
}

// TB is what Start needs of a *testing.T.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Start serves the files below dir until the test ends.
func Start(t TB, dir string) *Server {
	t.Helper()
	s, err := Listen(dir)
	if err != nil {
		t.Fatalf("start an upstream: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Listen serves the files below dir until Close.
func Listen(dir string) (*Server, error) {
	holder, port, err := holdPort()
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	s := &Server{Upstream: NewUpstream(dir), Addr: addr, URL: "http://" + addr, holder: holder}
	if err := s.Restart(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Stop puts the upstream out of reach: what is being sent breaks off, and
// connections are refused until Restart. It returns when no request is left.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Restart listens again, on the same port. Requests, faults, rate and latency
// are as they were. It does nothing while the server listens.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("listen again: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	// Serve, the connections, and the requests: a connection is counted before
	// Serve can end, a request before its connection can.
	var under sync.WaitGroup
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			under.Add(1)
			defer under.Done()
			s.ServeHTTP(w, r)
		}),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState: func(conn net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.bound(conn)
				under.Add(1)
			case http.StateClosed, http.StateHijacked:
				under.Done()
			}
		},
		ErrorLog: log.New(io.Discard, "", 0), // it only speaks of clients that left
	}
	under.Go(func() {
		// Serve ends by Stop alone: it goes on after a passing error.
		_ = srv.Serve(l)
	})
	s.stop = func() {
		_ = srv.Close() // an error closing a listener that goes away changes nothing
		cancel()
		under.Wait()
	}
	return nil
}

// SetSendBuffer limits what the kernel takes of each connection that is made from now
// on and has not sent yet, to about so many bytes: what is recorded as sent has left
// the server then, and not only its program.
func (s *Server) SetSendBuffer(bytes int) { s.sendBuffer.Store(int64(bytes)) }

// bound limits the send buffer of a new connection.
func (s *Server) bound(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok && s.sendBuffer.Load() > 0 {
		// An error means that the connection is gone already.
		_ = tcp.SetWriteBuffer(int(s.sendBuffer.Load()))
	}
}

// Close stops the server for good and gives the port back.
func (s *Server) Close() {
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder >= 0 {
		// An error of closing a socket that was never connected leaves nothing to do.
		_ = syscall.Close(s.holder)
		s.holder = -1
	}
}

// holdPort binds a socket to a free port of 127.0.0.1 and does not listen on it:
// connections are refused, no other program is given the port, and a listener
// with SO_REUSEADDR, as net.Listen makes it, can join.
func holdPort() (fd, port int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("make a socket: %w", err)
	}
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(fd)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return -1, 0, fmt.Errorf("bind a port of 127.0.0.1: %w", err)
	}
	in, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		_ = syscall.Close(fd)
		return -1, 0, fmt.Errorf("bind a port of 127.0.0.1: got a %T", name)
	}
	return fd, in.Port, nil
}
