package serve

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/cache"
)

// answer answers q where its file is at hand, and reports whether it did. An
// error is of an answer that was broken off: the connection is closed.
func (c *hitConn) answer(q *hitRequest) (done bool, err error) {
	s := c.server.current.Load()
	f := s.hits.find(q.target)
	if f == nil || s.stopping.Load() {
		return false, nil
	}
	from, name := c.asker(s, q)
	if !s.mayAsk(from) {
		return false, nil
	}
	if !s.o.Cache.Current(f.entry) {
		s.hits.drop(f)
		return false, nil
	}
	defer f.entry.Release()
	if !c.sending.CompareAndSwap(notSending, sendingHit) {
		return false, nil
	}
	s.metrics.underWay.Inc()
	start := s.o.Now()
	c.head = f.appendHead(c.head[:0], start)
	first := s.o.Now().Sub(start)
	sent, err := c.send(f.entry)
	if !c.sending.CompareAndSwap(sendingHit, notSending) {
		_ = c.TCPConn.Close()
		err = errors.Join(err, net.ErrClosed)
	}
	s.metrics.underWay.Dec()
	s.accountHit(c, f, q, name, start, first, sent)
	if err != nil {
		_ = c.TCPConn.Close()
	}
	return true, err
}

// send sends the header and the file of e, and returns how many bytes of the file
// have gone.
func (c *hitConn) send(e *cache.Entry) (sent int64, err error) {
	c.hurry()
	body := e.Body()
	if e.File() == nil {
		c.buffers = [2][]byte{c.head, body}
		both := net.Buffers(c.buffers[:])
		n, err := both.WriteTo(c.TCPConn)
		return max(n-int64(len(c.head)), 0), err
	}
	if err := c.sendHead(); err != nil {
		return 0, err
	}
	return c.sendfile(e.File(), e.Size())
}

// hurry gives the next write its time.
func (c *hitConn) hurry() { _ = c.TCPConn.SetWriteDeadline(time.Now().Add(c.server.o.Patience)) }

// sendHead sends the header, to go with what follows.
func (c *hitConn) sendHead() error {
	head := c.head
	var sendErr error
	err := c.raw.Write(func(fd uintptr) bool {
		for len(head) > 0 {
			var n int
			n, sendErr = unix.SendmsgN(int(fd), head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch sendErr {
			case nil:
				head = head[n:]
			case unix.EAGAIN:
				return false
			case unix.EINTR:
			default:
				return true
			}
		}
		sendErr = nil
		return true
	})
	return errors.Join(err, sendErr)
}

// sendfile sends the first n bytes of file. Its descriptor is shared, which
// net.TCPConn.ReadFrom, going by the position, can't have.
func (c *hitConn) sendfile(file *os.File, n int64) (sent int64, err error) {
	from, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var sendErr error
	err = from.Control(func(from uintptr) {
		err := c.raw.Write(func(to uintptr) bool {
			for sent < n {
				off := sent
				_, sendErr = unix.Sendfile(int(to), int(from), &off, int(min(n-sent, 1<<30)))
				switch {
				case sendErr == unix.EAGAIN:
					c.hurry() // it took something, and has its time again
					return false
				case sendErr == unix.EINTR:
				case sendErr == nil && off == sent:
					sendErr = io.ErrUnexpectedEOF // it was cut short by somebody
					return true
				case sendErr != nil:
					return true
				}
				sent = off
			}
			sendErr = nil
			return true
		})
		sendErr = errors.Join(err, sendErr)
	})
	return sent, errors.Join(err, sendErr)
}

// accountHit is account for an answer of hitConn's.
func (s *Server) accountHit(c *hitConn, f *hitFile, q *hitRequest, client string, start time.Time, first time.Duration, sent int64) {
	if string(q.agent) != c.agent {
		c.agent = string(q.agent)
	}
	e := &event{
		At: start, Took: s.o.Now().Sub(start), Client: client, Method: http.MethodGet, Target: f.target, Proto: "HTTP/1.1",
		Code: http.StatusOK, Sent: sent, Referer: string(q.referer), Agent: c.agent, Status: hitStatus, Outcome: outcomeHit,
	}
	if sent < f.entry.Size() {
		e.Outcome, e.Status = outcomeAborted, cache.Status{Hit: true, Detail: "aborted"}.String()
	}
	s.record(e, true, first)
	if s.o.Ledger != nil {
		s.o.Ledger.Served(f.key, sent, true)
	}
}

// hitStatus is the Cache-Status of hits.
var hitStatus = cache.Status{Hit: true}.String()

// dateField is the Date field of a moment, made once a second.
type dateField struct{ at atomic.Pointer[dateLine] }

type dateLine struct {
	second int64
	line   string
}

func (d *dateField) of(t time.Time) string {
	now := d.at.Load()
	if now == nil || now.second != t.Unix() {
		now = &dateLine{t.Unix(), "Date: " + t.UTC().Format(http.TimeFormat) + "\r\n\r\n"}
		d.at.Store(now)
	}
	return now.line
}

// appendHead appends the header of f at a moment to b.
func (f *hitFile) appendHead(b []byte, now time.Time) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n"...)
	if !f.validated.IsZero() {
		b = append(b, "Age: "...)
		b = strconv.AppendInt(b, max(int64(now.Sub(f.validated)/time.Second), 0), 10)
		b = append(b, '\r', '\n')
	}
	b = append(b, f.fields...)
	// As net/http has it: of the time that clocks show, whatever time we go by.
	return append(b, f.date.of(time.Now())...)
}
