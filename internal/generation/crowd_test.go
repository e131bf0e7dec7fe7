package generation_test

import (
	"fmt"
	"sync"
	"testing"
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
