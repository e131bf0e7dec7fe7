package upstream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// guarded carries requests of which MayReach is asked: straight, where each address
// is looked at as it is dialled, or by a proxy, where the name is looked up first.
type guarded struct {
	c              *Client
	by             func(*http.Request) (*url.URL, error)
	direct, parent transport
}

// RoundTrip implements http.RoundTripper.
func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	proxy, err := g.by(req)
	if err == nil && proxy == nil {
		return g.direct.RoundTrip(req)
	}
	if err == nil {
		err = g.c.mayAsk(req.Context(), hostPort(req.URL))
	}
	if err != nil {
		if req.Body != nil {
			err = errors.Join(err, req.Body.Close())
		}
		return nil, err
	}
	return g.parent.RoundTrip(req)
}

// CloseIdleConnections closes the connections that are idle.
func (g *guarded) CloseIdleConnections() {
	g.direct.CloseIdleConnections()
	g.parent.CloseIdleConnections()
}

// hostPort is u's host with its port.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		if port = "80"; u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// mayAsk is MayReach for a host that a proxy will look up and dial: none of the
// addresses that it has here may be refused. A name that has none here is the
// proxy's to judge: behind some there are no others.
func (c *Client) mayAsk(ctx context.Context, host string) error {
	if c.o.MayReach == nil {
		return nil
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return err
	}
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(name); err == nil {
		addrs = append(addrs, a)
	} else {
		ctx, cancel := context.WithTimeout(ctx, c.o.Connect)
		defer cancel()
		// An error is as good as no address.
		addrs, _ = net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	}
	for _, a := range addrs {
		if !c.o.MayReach(host, a) {
			return &DeniedError{Host: host, Addr: a}
		}
	}
	return nil
}

// connect connects to host, which has a port, for a tunnel: by the proxy that an
// https request to it would go by.
func (c *Client) connect(ctx context.Context, host string) (net.Conn, error) {
	proxy, err := c.o.Parent(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
	if err != nil || proxy == nil {
		if err != nil {
			return nil, err
		}
		return c.dial(ctx, "tcp", host)
	}
	if err := c.mayAsk(ctx, host); err != nil {
		return nil, err
	}
	if proxy.Scheme != "http" {
		return nil, fmt.Errorf("a tunnel to %s can't lead by way of %s: only http:// proxies can have it; name the host in NO_PROXY, or set HTTPS_PROXY to one",
			host, proxy.Redacted())
	}
	conn, err := c.dialer().DialContext(ctx, "tcp", hostPort(proxy))
	if err != nil {
		return nil, fmt.Errorf("the proxy %s: %w", proxy.Redacted(), err)
	}
	// Whoever waits may leave.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	err = c.greet(conn, proxy, host)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a tunnel to %s by the proxy %s: %w", host, proxy.Redacted(), err), conn.Close())
	}
	return conn, nil
}

// maxGreeting is how long a proxy's answer to CONNECT may be, in bytes.
const maxGreeting = 16 << 10

// greet has the proxy at the other end of conn connect to host.
func (c *Client) greet(conn net.Conn, proxy *url.URL, host string) error {
	if err := conn.SetDeadline(time.Now().Add(c.o.Connect + c.o.Header)); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\nUser-Agent: %s\r\n", host, c.o.UserAgent)
	if c.o.Via != "" {
		fmt.Fprintf(&b, "Via: 1.1 %s\r\n", c.o.Via)
	}
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password)))
	}
	if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
		return err
	}
	// Byte for byte: what follows the answer is the host's.
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one[0]) {
		if len(head) >= maxGreeting {
			return errors.New("its answer is no HTTP")
		}
		if _, err := io.ReadFull(conn, one); err != nil {
			return err
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // what it says beside is left unread
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return conn.SetDeadline(time.Time{})
}
