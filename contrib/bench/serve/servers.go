package main

import (
	"fmt"

	"intelligentmirror/contrib/bench/internal/peer"
)

// server is a program with its configuration.
type server struct {
	program peer.Program
	config  func(peer.Place) string
	prefix  string // of upstream's /pub on it
}

// servers are all that can be measured, imserve first. All write an access log.
func servers(imserve, upstream, files string) []server {
	static := peer.Nginx()
	static.Name = "nginx-static"
	return []server{
		{peer.Imserve(imserve), func(p peer.Place) string {
			return fmt.Sprintf(imserveConfig, p.Dir, upstream, p.Addr)
		}, "/bench"},
		{peer.Nginx(), func(p peer.Place) string {
			return fmt.Sprintf(nginxConfig, peer.NginxPaths, p.Addr, fmt.Sprintf(nginxCache, upstream))
		}, "/pub"},
		{static, func(p peer.Place) string {
			return fmt.Sprintf(nginxConfig, peer.NginxPaths, p.Addr, fmt.Sprintf(nginxFiles, files))
		}, "/pub"},
		{peer.Squid(), func(p peer.Place) string {
			return fmt.Sprintf(squidConfig, p.Dir, p.Addr, upstream[len("http://127.0.0.1:"):])
		}, "/pub"},
		{peer.AptCacherNG(), func(p peer.Place) string {
			return fmt.Sprintf(acngConfig, p.Dir, p.Port(), upstream)
		}, "/bench"},
	}
}

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
			proxy_cache_lock on;`

const nginxFiles = `root %s;`

const squidConfig = `
http_port %[2]s accel no-vhost defaultsite=bench.test
cache_peer 127.0.0.1 parent %[3]s 0 no-query no-digest originserver name=upstream
never_direct allow all
http_access allow all
maximum_object_size 10 GB
maximum_object_size_in_memory 1 MB
cache_mem 256 MB
refresh_pattern . 60 90%% 600 override-lastmod
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
