package testrepo

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Socket is one end of a connection of this machine's, as its kernel shows it.
type Socket struct {
	Local, Remote netip.AddrPort
	// Unsent is how many bytes the other end has not acknowledged, sent or not, and Unread
	// how many have come that the program has not read.
	Unsent, Unread int64
}

// Sockets are the ends of all connections of TCP over IPv4.
func Sockets() ([]Socket, error) {
	const name = "/proc/net/tcp" // see proc_net_tcp in the kernel's documentation
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []Socket
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if i == 0 {
			continue // the columns' names
		}
		f := strings.Fields(line)
		if len(f) < 5 {
			return nil, fmt.Errorf("%s: %q has %d fields", name, line, len(f))
		}
		var s Socket
		if s.Local, err = socketAddr(f[1]); err == nil {
			s.Remote, err = socketAddr(f[2])
		}
		if err == nil {
			_, err = fmt.Sscanf(f[4], "%x:%x", &s.Unsent, &s.Unread)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", name, line, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// socketAddr reads an address as 0100007F:0050: four bytes in the machine's order, and
// the port.
func socketAddr(text string) (netip.AddrPort, error) {
	ip, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(ip)
	if err != nil || len(b) != 4 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var a [4]byte
	binary.NativeEndian.PutUint32(a[:], binary.BigEndian.Uint32(b))
	return netip.AddrPortFrom(netip.AddrFrom4(a), uint16(p)), nil
}
