package systest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// nginxConfig is nginx as a caching mirror of one upstream, with its collapsing on.
const nginxConfig = `
daemon off;
worker_processes auto;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	client_body_temp_path %[1]s/body;
	proxy_temp_path       %[1]s/temp;
	fastcgi_temp_path     %[1]s/fastcgi;
	uwsgi_temp_path       %[1]s/uwsgi;
	scgi_temp_path        %[1]s/scgi;
	proxy_cache_path %[1]s/cache keys_zone=packages:10m max_size=10g use_temp_path=off;
	server {
		listen %[2]s;
		location / {
			proxy_pass %[3]s/;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_cache packages;
			proxy_cache_valid 200 1h;
			proxy_cache_lock on;
			proxy_cache_lock_timeout 1m;
			proxy_cache_lock_age 1m;
		}
	}
}
`

// nginx starts nginx in front of the site's upstream and returns its URL.
func (s *site) nginx() string {
	s.t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		s.t.Skip("no program nginx here to compare with: apt-get install nginx-light")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		s.t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "nginx")
	s.mkdir(dir)
	s.write(dir+"/nginx.conf", fmt.Sprintf(nginxConfig, dir, addr, s.base+upstreamBase))
	args := []string{"-p", dir, "-c", dir + "/nginx.conf"}
	if os.Geteuid() == 0 {
		args = append(args, "-g", "user root;") // the test's directories are its own
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		// The master ends its workers; how it ends itself is all the same.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if s.t.Failed() {
			text, err := os.ReadFile(dir + "/error.log")
			s.t.Logf("nginx: %v\n%s", err, text)
		}
	})
	url := "http://" + addr
	s.await("nginx to answer", func() bool {
		resp, err := http.Get(url + "/none")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return url
}
