package systest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// lan is a network of its own, in which nothing but loopback is, with Avahi, a bus for
// it, and a stranger that listens to mDNS.
type lan struct {
	*site
	pid      string // of a process in it
	avahi    *process
	stranger *process
}

// mdnsListener prints what mDNS tells: a line when a service appears, and one when it
// goes, by Python's zeroconf, which asks nobody but the network.
const mdnsListener = `
import sys, time
from zeroconf import Zeroconf, ServiceBrowser
class Listener:
    def say(self, *words): print(*words, file=sys.stderr, flush=True)
    def add_service(self, z, kind, name): self.say("appears", name)
    def remove_service(self, z, kind, name): self.say("goes", name)
    def update_service(self, z, kind, name): pass
z = Zeroconf(interfaces=["127.0.0.1"])
ServiceBrowser(z, ["_apt_proxy._tcp.local.", "_http._tcp.local."], Listener())
print("listening", file=sys.stderr, flush=True)
time.sleep(86400)
`

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true"/><allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="error"/>
<allow receive_type="method_return"/></policy></busconfig>
`

const avahiConfig = `[server]
host-name=mirrorhost
use-ipv6=no
allow-interfaces=lo
[publish]
publish-workstation=no
publish-hinfo=no
`

// newLAN makes the network. Its processes end with the test.
func newLAN(t *testing.T) *lan {
	t.Helper()
	for _, name := range []string{"unshare", "nsenter", "ip", "dbus-daemon", "avahi-daemon", "avahi-browse", "avahi-publish"} {
		testrepo.Program(t, name)
	}
	if exec.Command("/usr/bin/python3", "-c", "import zeroconf").Run() != nil {
		testrepo.Lacking(t, "no python3-zeroconf here: .ci/setup installs it")
	}
	if out, err := exec.Command("unshare", "--net", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("no network of its own can be made here: %v %s", err, out)
	}
	l := &lan{site: newSite(t, "[serve]\nannounce = true")}
	keeper := launch(t, "unshare", exec.Command("unshare", "--net", "--mount", "sh", "-c",
		`mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc/avahi/services && ip link set lo multicast on up &&
		ip route add 224.0.0.0/4 dev lo && mkdir /run/avahi-daemon && echo ready >&2 && exec sleep 86400`))
	keeper.says("ready")
	l.pid = strconv.Itoa(keeper.cmd.Process.Pid)

	// A socket's path has to be short.
	dir, err := os.MkdirTemp("", "bus-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // apt's user, too, asks Avahi
		t.Fatal(err)
	}
	bus := filepath.Join(dir, "bus")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+bus)
	l.write(l.dir+"/bus.conf", fmt.Sprintf(busConfig, bus))
	l.start("dbus-daemon", "--config-file="+l.dir+"/bus.conf", "--nofork", "--nopidfile")
	l.await("the bus", func() bool { _, err := os.Stat(bus); return err == nil })
	l.write(l.dir+"/avahi.conf", avahiConfig)
	l.startAvahi()
	l.write(l.dir+"/listen.py", mdnsListener)
	l.stranger = l.start("/usr/bin/python3", l.dir+"/listen.py")
	l.stranger.says("listening")
	return l
}

// command is a program in the network.
func (l *lan) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", l.pid, "--net", "--mount", name}, args...)...)
	cmd.Env = append(environment(l.dir), "DBUS_SYSTEM_BUS_ADDRESS="+os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"))
	return cmd
}

func (l *lan) start(name string, args ...string) *process {
	l.t.Helper()
	return launch(l.t, name, l.command(name, args...))
}

func (l *lan) startAvahi() {
	l.t.Helper()
	l.avahi = l.start("avahi-daemon", "--file="+l.dir+"/avahi.conf", "--no-drop-root", "--no-chroot", "--no-rlimits")
	l.avahi.says("Server startup complete")
}

// imserve starts imserve on an address and returns it with its port.
func (l *lan) imserve(listen string) (p *process, port string) {
	l.t.Helper()
	p = l.start(filepath.Join(programs, "imserve"), "--config", l.config, "--listen", listen)
	m := listening.FindStringSubmatch(p.says("msg=listening"))
	return p, m[1][strings.LastIndex(m[1], ":")+1:]
}

// hears waits until the stranger has heard something so many times.
func (l *lan) hears(what string, times int) {
	l.t.Helper()
	l.await(fmt.Sprintf("%q on the network, for the %d. time", what, times), func() bool {
		return strings.Count(l.stranger.stderr.String(), what) >= times
	})
}

// browse is what avahi-browse finds of a type, a line each.
func (l *lan) browse(kind string) string {
	l.t.Helper()
	out, err := l.command("avahi-browse", "-kprt", kind).Output()
	if err != nil {
		l.t.Fatal(err)
	}
	return string(out)
}

// TestAnnounced holds that a server which is to be announced is found, by programs that
// were not made for it, and that it goes from the network when it is told to, when it
// ends and when it is killed; that it is there again when Avahi is; and that a name
// which is taken is not taken away.
func TestAnnounced(t *testing.T) {
	l := newLAN(t)
	const name = "IntelligentMirror on mirrorhost"
	const proxy, page = name + "._apt_proxy._tcp.local.", name + "._http._tcp.local."
	mirror, port := l.imserve("0.0.0.0:0")
	l.hears("appears "+proxy, 1)
	l.hears("appears "+page, 1)
	// Avahi says either address of the machine.
	const either = `(127\.0\.0\.1|::1)`
	if got := l.browse("_apt_proxy._tcp"); !regexp.MustCompile(`;_apt_proxy\._tcp;local;mirrorhost\.local;` + either + `;` + port + `;`).MatchString(got) {
		t.Errorf("avahi-browse finds %q, not port %s", got, port)
	}
	if got := l.browse("_http._tcp"); !regexp.MustCompile(`;` + either + `;` + port + `;"path=/-/setup/"`).MatchString(got) {
		t.Errorf("avahi-browse finds %q", got)
	}
	script, err := filepath.Abs("../../contrib/avahi/apt-proxy-found")
	if err != nil {
		t.Fatal(err)
	}
	apt := func() string {
		out, err := l.command("/usr/lib/apt/apt-helper", "-o", "Acquire::http::Proxy-Auto-Detect="+script, "auto-detect-proxy", "http://deb.debian.org/debian").CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		return string(out)
	}
	if got := apt(); !strings.Contains(got, "http://127.0.0.1:"+port) && !strings.Contains(got, "http://[::1]:"+port) {
		t.Errorf("apt finds %q", got)
	}

	// The configuration is read again, twice.
	l.configure()
	mirror.signal(syscall.SIGHUP)
	l.hears("goes "+proxy, 1)
	l.hears("goes "+page, 1)
	// What was said goodbye to is remembered for a second (RFC 6762, 10.1).
	l.await("apt to find none", func() bool { return strings.Contains(apt(), "'DIRECT'") })
	l.configure("[serve]\nannounce = true\nproxy = false")
	mirror.signal(syscall.SIGHUP)
	l.hears("appears "+page, 2)
	l.configure("[serve]\nannounce = true")
	mirror.signal(syscall.SIGHUP)
	l.hears("appears "+proxy, 2)

	// Avahi ends, and comes back.
	l.avahi.stop()
	mirror.says("Avahi has ended")
	l.startAvahi()
	l.await("the services in the new Avahi", func() bool { return strings.Contains(l.browse("_apt_proxy._tcp"), ";"+port+";") })

	// Somebody else has the name.
	l.hears("appears "+proxy, 3)
	gone := strings.Count(l.stranger.stderr.String(), "goes "+proxy)
	if code := mirror.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	l.hears("goes "+proxy, gone+1)
	l.start("avahi-publish", "-s", name, "_apt_proxy._tcp", "9").says("Established")
	second, _ := l.imserve("0.0.0.0:0")
	l.hears("appears "+name+" #2._apt_proxy._tcp.local.", 1)

	// Nobody can say goodbye who is killed, but Avahi does.
	second.kill()
	l.hears("goes "+name+" #2._apt_proxy._tcp.local.", 1)

	// What others can't reach is not announced, and no harm is done without Avahi.
	local, _ := l.imserve("127.0.0.1:0")
	local.says("serve.announce has no effect")
	local.stop()
	l.avahi.stop()
	alone, _ := l.imserve("0.0.0.0:0")
	alone.says("can't be announced by mDNS")
	if code := alone.stop(); code != 0 {
		t.Errorf("without Avahi: exit code %d", code)
	}
}
