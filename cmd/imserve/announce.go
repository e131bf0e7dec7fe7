package main

import (
	"net"

	"intelligentmirror/internal/announce"
	"intelligentmirror/internal/config"
)

// The types of what is announced by mDNS: a page for people that shows how a machine
// is pointed here, and the HTTP proxy that apt's clients look for.
const (
	pageType  = "_http._tcp"
	proxyType = "_apt_proxy._tcp"
)

// announced is what of a server with this configuration, which listens at places, the
// local network is told: the first place where others reach it by plain HTTP.
func announced(cfg *config.Config, places []place, interfaces func() ([]net.Interface, error)) []announce.Service {
	if !cfg.Serve.Announce {
		return nil
	}
	for _, p := range places {
		at, ok := p.addr.(*net.TCPAddr)
		if !ok || at.IP.IsLoopback() || cfg.Serve.TLSCert != "" && !p.plain {
			continue
		}
		s := announce.Service{Port: uint16(at.Port), Interface: interfaceOf(at.IP, interfaces)}
		page, proxy := s, s
		page.Type, page.Text = pageType, []string{"path=/-/setup/"}
		proxy.Type = proxyType
		if !cfg.Serve.Proxy {
			return []announce.Service{page}
		}
		return []announce.Service{page, proxy}
	}
	return nil
}

// interfaceOf is the index of the interface that has this address; 0 where all have it,
// or none is known.
func interfaceOf(ip net.IP, interfaces func() ([]net.Interface, error)) int {
	if ip.IsUnspecified() {
		return 0
	}
	all, err := interfaces()
	if err != nil {
		return 0
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return i.Index
			}
		}
	}
	return 0
}
