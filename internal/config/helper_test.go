package config

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// host is a machine for Load: files, an environment, and root without a
// network but loopback. A change to the Options makes it another one.
func host(files, env map[string]string) Options {
	return Options{
		UID:    0,
		Getenv: func(name string) string { return env[name] },
		Interfaces: func() ([]net.Addr, error) {
			return []net.Addr{ipNet("127.0.0.1/8"), ipNet("::1/128")}, nil
		},
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := files[name]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
	}
}

func ipNet(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return &net.IPNet{IP: ip, Mask: n.Mask}
}

// fromText is what root gets with text in /etc.
func fromText(text string) (*Config, error) {
	return Load(host(map[string]string{SystemFile: text}, nil))
}

func mustLoad(t testing.TB, o Options) *Config {
	t.Helper()
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// diff compares the values of two configurations, wherever they came from.
func diff(a, b *Config) string {
	return cmp.Diff(a, b,
		cmpopts.IgnoreUnexported(Config{}),
		cmp.AllowUnexported(Template{}, rule{}),
		cmpopts.IgnoreFields(rule{}, "re"),
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(p, q netip.Prefix) bool { return p == q }))
}

// problems takes what Load returned apart.
func problems(err error) []*Problem {
	var list []*Problem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, problems(e)...)
		}
		return list
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		list = append(list, p)
	}
	return list
}

func lineCount(s string) int { return strings.Count(s, "\n") + 1 }
