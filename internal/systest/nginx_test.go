package systest

import (
	"fmt"
	"testing"
)

// TestGroupBehindNginx holds that contrib's configuration of nginx does what HAProxy's
// does: each file once, and clients that notice nothing of a node that is lost.
func TestGroupBehindNginx(t *testing.T) {
	const clients, count = 4, 120
	g := newGroup(t)
	paths := g.publish(count)
	dir := g.up.dir
	replace := map[string]string{
		"listen 3180;": "listen FRONT;",
		// What nginx.conf has around conf.d; one process, which ends when it is killed.
		"# nginx 1.18 or newer": fmt.Sprintf("daemon off; master_process off; pid %[1]s/nginx.pid; error_log stderr; events {}\nhttp { access_log off;\n"+
			"client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;\n#", dir),
		"proxy_max_temp_file_size 0;\n\t}\n}\n": "proxy_max_temp_file_size 0;\n\t}\n}\n}\n",
	}
	for i, n := range g.nodes {
		replace[fmt.Sprintf("server 192.0.2.%d:3180", 11+i)] = "server " + n.addr
	}
	g.balance("nginx", "nginx.conf", replace, "-p", dir, "-e", "stderr", "-c")

	g.none(g.pass(clients, func(int) []string { return paths }))
	if got := g.downloads(); len(got) != count || !once(got) {
		t.Errorf("upstream sent %d files, want each of %d once", len(got), count)
	}
	stored := g.awaitStored(count)
	lost := stored[0]
	if n := len(stored[0]) + len(stored[1]) + len(stored[2]); n != count || len(stored[0]) == 0 || len(stored[1]) == 0 || len(stored[2]) == 0 {
		t.Errorf("%d, %d and %d files are stored, want %d in all", len(stored[0]), len(stored[1]), len(stored[2]), count)
	}
	g.seen(clients)
	g.together()

	g.nodes[0].run.kill()
	g.none(g.pass(clients, func(int) []string { return paths }))
	if got := g.downloads(); len(got) != len(lost) || !once(got) {
		t.Errorf("upstream sent %d files again, want the %d that were on the node that is lost", len(got), len(lost))
	}
}
