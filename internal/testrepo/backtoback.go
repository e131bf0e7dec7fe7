package testrepo

import (
	"net/http/httptrace"
	"sync"
	"time"
)

// BackToBack makes two requests one behind the other on a connection: second when that of
// first is idle, and before the http.Transport has looked whether something is left over on
// it. Each makes one request, with the trace that it is given. After an error of first's,
// which is returned, there is none to wait for.
func BackToBack(first func(*httptrace.ClientTrace) error, second func(*httptrace.ClientTrace)) error {
	done := make(chan struct{})
	err := first(&httptrace.ClientTrace{PutIdleConn: func(error) {
		wrote := make(chan struct{})
		tell := sync.OnceFunc(func() { close(wrote) }) // it may be written again
		go func() {
			defer close(done)
			second(&httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { tell() }})
		}()
		select {
		case <-wrote:
		case <-time.After(50 * time.Millisecond): // it waits, as it should
		}
	}})
	if err == nil {
		<-done
	}
	return err
}
