package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"intelligentmirror/internal/config"
	"intelligentmirror/serve"
)

// doors are the sockets that the server listens on: those of the configuration,
// or those that were handed over in their place. For one goroutine.
type doors struct {
	cert *serve.Certificate
	// open is what is open of the configuration; nil where sockets were handed over.
	open map[config.Address]net.Listener
	// handed is where the sockets are that were handed over.
	handed []place
}

// place is where a socket is.
type place struct {
	addr  net.Addr
	plain bool // plain HTTP is spoken there also where there is a certificate
}

// plainSocket is the name of a socket that was handed over on which plain HTTP is
// spoken also where there is a certificate.
const plainSocket = "http"

// openDoors opens what the server listens on from its start.
func openDoors(want []config.Address, sockets []inherited, cert *serve.Certificate) (*doors, []net.Listener, error) {
	d := &doors{cert: cert}
	if len(sockets) == 0 {
		d.open = map[config.Address]net.Listener{}
		more, err := d.missing(want)
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: is imserve running already? Else set serve.listen, or --listen", err)
		}
		return d, d.settle(want, more), err
	}
	var list []net.Listener
	for _, in := range sockets {
		l, err := in.listener()
		if err != nil {
			for _, l := range list {
				err = errors.Join(err, l.Close())
			}
			return nil, nil, err
		}
		d.handed = append(d.handed, place{l.Addr(), in.name == plainSocket})
		list = append(list, d.door(l, in.name == plainSocket))
	}
	return d, list, nil
}

// door is l with TLS, unless plain HTTP is spoken there anyway.
func (d *doors) door(l net.Listener, plain bool) net.Listener {
	if plain {
		return l
	}
	return d.cert.Secure(l)
}

// places is where the server listens, in the order of want.
func (d *doors) places(want []config.Address) []place {
	if d.open == nil {
		return d.handed
	}
	var list []place
	for _, a := range want {
		if l := d.open[a]; l != nil {
			list = append(list, place{l.Addr(), a.Plain})
		}
	}
	return list
}

// missing opens those of want that are not open yet. After an error none of them is.
func (d *doors) missing(want []config.Address) (map[config.Address]net.Listener, error) {
	more := map[config.Address]net.Listener{}
	for _, a := range want {
		if d.open[a] != nil {
			continue
		}
		l, err := net.Listen("tcp", a.HostPort)
		if err != nil {
			for _, l := range more {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		more[a] = d.door(l, a.Plain)
	}
	return more, nil
}

// settle takes in what missing has opened, closes what is not wanted any more, and
// returns the new listeners in the order of want.
func (d *doors) settle(want []config.Address, more map[config.Address]net.Listener) []net.Listener {
	for a, l := range d.open {
		if !slices.Contains(want, a) {
			_ = l.Close() // those who came by it stay
			delete(d.open, a)
		}
	}
	var list []net.Listener
	for _, a := range want {
		if l := more[a]; l != nil {
			d.open[a] = l
			list = append(list, l)
		}
	}
	return list
}
