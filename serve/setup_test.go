package serve

import (
	"os/exec"
	"strings"
	"testing"
)

func TestHostOf(t *testing.T) {
	for _, c := range []struct{ name, field, want string }{
		{"a name", "mirror.example.org", "mirror.example.org"},
		{"with a port", "mirror.example.org:3180", "mirror.example.org:3180"},
		{"in capitals, with a root's dot", "Mirror.Example.ORG.:3180", "mirror.example.org:3180"},
		{"an address", "192.0.2.7:3180", "192.0.2.7:3180"},
		{"IPv6", "[2001:DB8::1]:3180", "[2001:db8::1]:3180"},
		{"IPv6 without a port", "[2001:db8::1]", "[2001:db8::1]"},
		{"IPv4 in IPv6's clothes", "[::ffff:192.0.2.7]:80", "192.0.2.7:80"},
		{"with an interface", "[fe80::1%25eth0]:80", ""},
		{"a port with zeros", "mirror:080", "mirror:80"},
		{"nothing", "", ""},
		{"a port alone", ":3180", ""},
		{"a port that is none", "mirror:http", ""},
		{"port 0", "mirror:0", ""},
		{"a port too large", "mirror:65536", ""},
		{"a quote", "mirror'", ""},
		{"a command", "mirror$(id)", ""},
		{"a path", "mirror/x", ""},
		{"a user", "user@mirror", ""},
		{"markup", "<b>", ""},
		{"a blank", "a b", ""},
		{"a line", "a\nb", ""},
		{"letters of other scripts", "mïrror", ""},
		{"an option", "-o.example.org", ""},
		{"an empty label", "a..b", ""},
		{"a long label", strings.Repeat("a", 64) + ".org", ""},
		{"a long name", strings.Repeat("a.", 127) + "org", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := hostOf(c.field)
			if !ok {
				got = ""
			}
			if got != c.want {
				t.Errorf("hostOf(%q) = %q, want %q", c.field, got, c.want)
			}
		})
	}
}

// TestSetup: every client may learn how to use the mirror, for the address that it
// used; a command that pipes into a root's shell is offered over TLS alone.
func TestSetup(t *testing.T) {
	m := newMirror(t, setup{config: "[[repo]]\nname = \"site\"\nupstreams = [\"https://packages.example.org/a'b\"]\n"})
	fromClient := []string{"X-Forwarded-For", "192.168.3.4"}
	if r := m.get("/-/", fromClient...); r.StatusCode != 403 {
		t.Errorf("the status page to a client: %s", r.Status)
	}
	for _, name := range []string{"", "setup.sh", "dnf5.repo", "apt.conf", "apt-proxy"} {
		r := m.get("/-/setup/"+name, fromClient...)
		if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-store" || !strings.Contains(string(r.body), "http://"+m.addr) {
			t.Errorf("%s: %s %v", name, r.Status, r.Header)
		}
	}
	page := string(m.get("/-/setup/").body)
	for _, want := range []string{"site/", "packages.example.org/a&#39;b", "setup.sh --undo", "mirrormanager.fedoraproject.org"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "| sudo sh") {
		t.Error("without TLS the page pipes into a root's shell")
	}
	page = string(m.get("/-/setup/", "X-Forwarded-Proto", "https").body)
	if want := "curl -fsSL https://" + m.addr + "/-/setup/setup.sh | sudo sh\n"; !strings.Contains(strings.ReplaceAll(page, "</pre>", "\n"), want) {
		t.Errorf("over TLS the page lacks %q", want)
	}
	if r := m.get("/-/setup"); r.StatusCode != 301 || r.Header.Get("Location") != "/-/setup/" {
		t.Errorf("%s %q", r.Status, r.Header.Get("Location"))
	}
	if r := m.get("/-/setup/nothing"); r.StatusCode != 404 {
		t.Error(r.Status)
	}
	for _, host := range []string{"'$(id)'", "<script>", "a/b"} {
		for _, name := range []string{"", "setup.sh"} {
			text := string(m.send("GET /-/setup/" + name + " HTTP/1.0\r\nHost: " + host + "\r\n\r\n").body)
			if strings.Contains(text, host) {
				t.Errorf("Host %q is written into %q as it came", host, name)
			}
		}
	}
}

// The script is one for any shell, whatever the configuration has.
func TestSetupScript(t *testing.T) {
	for _, config := range []string{"", "[serve]\nproxy = false\n", "[[repo]]\nname = \"fedora\"\nupstreams = [\"http://127.0.0.1/it's$(id)\"]\n"} {
		m := newMirror(t, setup{config: config})
		cmd := exec.Command("sh", "-s", "--", "--root", t.TempDir())
		cmd.Stdin = strings.NewReader(string(m.get("/-/setup/setup.sh").body))
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "there is no ") || strings.Contains(string(out), "ntax") {
			t.Errorf("with %q: %v, %s", config, err, out)
		}
	}
}

func TestStyleSheet(t *testing.T) {
	m := newMirror(t, setup{})
	r := m.get("/-/style.css")
	tag := r.Header.Get("ETag")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/css; charset=utf-8" || tag == "" {
		t.Fatalf("%s %v", r.Status, r.Header)
	}
	if r := m.get("/-/style.css", "If-None-Match", tag); r.StatusCode != 304 || len(r.body) != 0 {
		t.Errorf("%s, %d bytes", r.Status, len(r.body))
	}
}
