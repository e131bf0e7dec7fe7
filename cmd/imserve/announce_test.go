package main

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/announce"
	"intelligentmirror/internal/config"
)

// TestAnnouncedServices holds what of a server the local network is told.
func TestAnnouncedServices(t *testing.T) {
	at := func(address string, plain bool) place {
		addr, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return place{addr, plain}
	}
	index := interfaceOf(net.IPv4(127, 0, 0, 1), net.Interfaces)
	if i, err := net.InterfaceByIndex(index); err != nil || i.Flags&net.FlagLoopback == 0 {
		t.Errorf("127.0.0.1 is on interface %d (%v), which is not loopback", index, err)
	}
	none := func() ([]net.Interface, error) { return nil, errors.New("none") }
	page := func(port uint16) announce.Service {
		return announce.Service{Type: "_http._tcp", Port: port, Text: []string{"path=/-/setup/"}}
	}
	proxy := func(port uint16) announce.Service { return announce.Service{Type: "_apt_proxy._tcp", Port: port} }
	for _, c := range []struct {
		name   string
		serve  config.Serve
		places []place
		want   []announce.Service
	}{
		{"not asked for", config.Serve{Proxy: true}, []place{at(":3180", false)}, nil},
		{"everywhere", config.Serve{Announce: true, Proxy: true}, []place{at(":3180", false)}, []announce.Service{page(3180), proxy(3180)}},
		{"no proxy", config.Serve{Announce: true}, []place{at(":3180", false)}, []announce.Service{page(3180)}},
		{"for this machine alone", config.Serve{Announce: true, Proxy: true}, []place{at("127.0.0.1:3180", false), at("[::1]:3180", false)}, nil},
		{"the first that others reach", config.Serve{Announce: true}, []place{at("127.0.0.1:80", false), at("192.0.2.1:3180", false), at(":3181", false)}, []announce.Service{page(3180)}},
		{"TLS", config.Serve{Announce: true, TLSCert: "/c"}, []place{at(":443", false)}, nil},
		{"TLS, and plain beside it", config.Serve{Announce: true, TLSCert: "/c"}, []place{at(":443", false), at(":80", true)}, []announce.Service{page(80)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, announced(&config.Config{Serve: c.serve}, c.places, none)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
