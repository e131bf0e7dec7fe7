package upstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// DeniedError says that a host is at an address that may not be reached.
type DeniedError struct {
	Host string // with its port, as it was named
	Addr netip.Addr
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("%s is at %s, which may not be reached", e.Host, e.Addr)
}

// dialer connects without asking.
func (c *Client) dialer() *net.Dialer {
	return &net.Dialer{Timeout: c.o.Connect, KeepAlive: 30 * time.Second}
}

// dial connects to host, which has a port. The addresses of a name are looked at
// one by one as they are about to be dialled, so that no name which changes its
// address between two questions gets past.
func (c *Client) dial(ctx context.Context, network, host string) (net.Conn, error) {
	d := c.dialer()
	if c.o.MayReach != nil {
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("dial %s: %w", host, err)
			}
			if !c.o.MayReach(host, to.Addr()) {
				return &DeniedError{Host: host, Addr: to.Addr()}
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, host)
}
