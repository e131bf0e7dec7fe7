package serve

import (
	"net"

	"golang.org/x/sys/unix"
)

// mostUnsent is how many bytes, or a few more, the kernel takes for a client that it does
// not send yet. By itself it takes as many as it would for the fastest line, up to
// 4 MiB, and keeps them when the client falls asleep: some hundred of these would use up
// what the machine's connections all share (net.ipv4.tcp_mem), and the kernel resets
// others then, whoever they belong to.
const mostUnsent = 256 << 10

// boundUnsent bounds what the kernel keeps unsent on c. Not by its listener, since
// connections that come by way of Multipath TCP's do not inherit it. Where it
// can't be bounded all is as the kernel has it.
func boundUnsent(c net.Conn) {
	bottom, _ := lowest(c)
	tcp, ok := bottom.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, mostUnsent)
		})
	}
}
