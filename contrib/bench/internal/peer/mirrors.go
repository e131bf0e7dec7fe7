package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// Mirror is a server with its configuration as a caching mirror of one upstream,
// with what it has for requests that come together. All write an access log.
type Mirror struct {
	Program
	Config func(Place) string
	Prefix string // of upstream's /pub on it
}

// Mirrors are all servers that can be compared, imserve, which is at that path,
// first. upstream is its URL, on a port of 127.0.0.1.
func Mirrors(imserve, upstream string) []Mirror {
	return []Mirror{
		{Imserve(imserve), func(p Place) string {
			return fmt.Sprintf(imserveConfig, p.Dir, upstream, p.Addr)
		}, "/bench"},
		{Nginx(), func(p Place) string {
			return fmt.Sprintf(nginxConfig, NginxPaths, p.Addr, fmt.Sprintf(nginxCache, upstream))
		}, "/pub"},
		{Squid(), func(p Place) string {
			return fmt.Sprintf(squidConfig, p.Dir, p.Addr, strings.TrimPrefix(upstream, "http://127.0.0.1:"))
		}, "/pub"},
		{AptCacherNG(), func(p Place) string {
			return fmt.Sprintf(acngConfig, p.Dir, p.Port(), upstream)
		}, "/bench"},
	}
}

// Static is nginx with the files of upstream on its own disk, below the directory dir.
func Static(dir string) Mirror {
	m := Mirror{Nginx(), func(p Place) string { return fmt.Sprintf(nginxConfig, NginxPaths, p.Addr, "root "+dir+";") }, "/pub"}
	m.Name = "nginx-static"
	return m
}

// Choose are imserve and those of all whose names stand in the list, separated by
// commas, and which are on this machine; it says to w which are not. The error is of
// a name that none of them has, or w's.
func Choose(w io.Writer, all []Mirror, names string) (chosen []Mirror, err error) {
	wanted := strings.FieldsFunc(names, func(r rune) bool { return r == ',' })
	for i, m := range all {
		at := slices.Index(wanted, m.Name)
		if at >= 0 {
			wanted = slices.Delete(wanted, at, at+1)
		}
		switch _, err := m.find(); {
		case i == 0:
			chosen = append(chosen, m)
		case at < 0:
		case errors.Is(err, exec.ErrNotFound):
			if _, err := fmt.Fprintf(w, "No %s on this machine to compare with.\n", m.Name); err != nil {
				return nil, err
			}
		default:
			chosen = append(chosen, m)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("there is nothing named %s to compare with", strings.Join(wanted, ", "))
	}
	return chosen, nil
}

// Start starts it.
func (m Mirror) Start(ctx context.Context) (*Peer, error) { return Start(ctx, m.Program, m.Config) }

const imserveConfig = `
cache_dir = "%[1]s/cache"
state_dir = "%[1]s/state"
min_free = "16MiB"

[[repo]]
name = "bench"
upstreams = ["%[2]s/pub"]

[serve]
listen = "%[3]s"
`

const nginxConfig = `
worker_processes auto;
worker_rlimit_nofile 65536;
events { worker_connections 16384; }
http {
	%[1]s
	access_log access.log;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	proxy_cache_path cache levels=1:2 keys_zone=packages:10m max_size=10g inactive=1h use_temp_path=off;
	server {
		listen %[2]s;
		location / {
			%[3]s
		}
	}
}
`

const nginxCache = `proxy_pass %s;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_cache packages;
			proxy_cache_valid 200 1h;
			proxy_cache_lock on;
			proxy_cache_lock_timeout 1m;
			proxy_cache_lock_age 1m;`

const squidConfig = `
http_port %[2]s accel no-vhost defaultsite=bench.test
cache_peer 127.0.0.1 parent %[3]s 0 no-query no-digest originserver name=upstream
never_direct allow all
http_access allow all
collapsed_forwarding on
maximum_object_size 10 GB
maximum_object_size_in_memory 1 MB
cache_mem 256 MB
cache_dir ufs %[1]s/cache 10000 16 16
cache_log %[1]s/cache.log
access_log stdio:%[1]s/access.log
pid_filename none
shutdown_lifetime 0 seconds
visible_hostname bench.test
`

const acngConfig = `
CacheDir: %[1]s/cache
LogDir: %[1]s/log
SocketPath: %[1]s/socket
ForeGround: 1
BindAddress: 127.0.0.1
Port: %[2]s
Remap-bench: /bench ; %[3]s/pub
`
