package config

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestContract holds that a site without a file gets what the contract says.
func TestContract(t *testing.T) {
	text, err := os.ReadFile("testdata/contract.toml")
	if err != nil {
		t.Fatal(err)
	}
	none := mustLoad(t, host(nil, nil))
	written, err := fromText(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(none, written); d != "" {
		t.Errorf("the defaults (-) are not the contract's (+):\n%s", d)
	}
	for _, s := range settings(written) {
		if !written.origins[s.key].set {
			t.Errorf("%s is not in testdata/contract.toml", s.key)
		}
	}
}

// TestEveryFieldHasAKey holds that nothing in Config is out of a file's reach.
func TestEveryFieldHasAKey(t *testing.T) {
	c, r, x := &Config{}, &Repo{}, &Replica{}
	targets := map[any]string{}
	for _, s := range slices.Concat(settings(c), repoSettings(r), replicaSettings(x)) {
		if other, taken := targets[s.target]; taken {
			t.Errorf("%s and %s set the same field", s.key, other)
		}
		targets[s.target] = s.key
	}
	want := 0
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			f, name := v.Field(i), path+v.Type().Field(i).Name
			switch {
			case !v.Type().Field(i).IsExported() || name == "Repos" || name == "Replicas":
			case name == "Serve" || name == "Sync":
				walk(name+".", f)
			default:
				want++
				if _, ok := targets[f.Addr().Interface()]; !ok {
					t.Errorf("no key sets %s", name)
				}
			}
		}
	}
	walk("", reflect.ValueOf(c).Elem())
	walk("Repo.", reflect.ValueOf(r).Elem())
	walk("Replica.", reflect.ValueOf(x).Elem())
	if len(targets) != want {
		t.Errorf("%d keys for %d fields", len(targets), want)
	}
}

func TestLookup(t *testing.T) {
	const named, system, own, xdg = "/srv/named.toml", SystemFile,
		"/home/ann/.config/intelligentmirror/config.toml", "/xdg/intelligentmirror/config.toml"
	const variable = "/srv/variable.toml"
	for _, c := range []struct {
		name  string
		path  string
		uid   int
		env   map[string]string
		files []string
		want  string // the file that is read
		fails string // what the error names
	}{
		{name: "none", want: ""},
		{name: "none, not root", uid: 7, want: ""},
		{name: "the system's", files: []string{system, own}, want: system},
		{name: "one's own before the system's", uid: 7, files: []string{system, own}, want: own},
		{name: "the system's where there is none of one's own", uid: 7, files: []string{system}, want: system},
		{name: "XDG", uid: 7, env: map[string]string{"XDG_CONFIG_HOME": "/xdg"}, files: []string{system, own, xdg}, want: xdg},
		{name: "XDG is not root's", env: map[string]string{"XDG_CONFIG_HOME": "/xdg"}, files: []string{xdg}, want: ""},
		{name: "a relative XDG is ignored", uid: 7, env: map[string]string{"XDG_CONFIG_HOME": "xdg"}, files: []string{own}, want: own},
		{name: "the variable", env: map[string]string{FileVariable: variable}, files: []string{variable, system}, want: variable},
		{name: "--config before the variable", path: named, env: map[string]string{FileVariable: variable},
			files: []string{named, variable}, want: named},
		{name: "--config must be there", path: named, files: []string{system}, fails: "--config"},
		{name: "the variable's must be there", env: map[string]string{FileVariable: variable}, files: []string{system}, fails: "$" + FileVariable},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			for _, f := range c.files {
				files[f] = "cache_dir = " + quote("/cache"+f)
			}
			o := host(files, c.env)
			o.Path, o.UID, o.HomeDir = c.path, c.uid, "/home/ann"
			got, err := Load(o)
			if c.fails != "" {
				if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want one that names %s", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.File() != c.want {
				t.Errorf("read %q, want %q", got.File(), c.want)
			}
			if c.want != "" && got.CacheDir != "/cache"+c.want {
				t.Errorf("cache_dir %q is not that of %s", got.CacheDir, c.want)
			}
		})
	}
	t.Run("one that cannot be read is not passed over", func(t *testing.T) {
		o := host(nil, nil)
		o.ReadFile = func(name string) ([]byte, error) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		if _, err := Load(o); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error %v, want that of the permission", err)
		}
	})
}

func TestDirectories(t *testing.T) {
	xdg := map[string]string{"XDG_CACHE_HOME": "/x/cache", "XDG_STATE_HOME": "/x/state"}
	for _, c := range []struct {
		name              string
		uid               int
		home              string
		env               map[string]string
		text              string
		cache, state      string
		cacheFrom         string
		accessLog, ourLog string
	}{
		{name: "root", home: "/root", env: xdg, cache: "/var/cache/intelligentmirror", state: "/var/lib/intelligentmirror", cacheFrom: "default",
			accessLog: "/var/lib/intelligentmirror/access.log", ourLog: "/var/lib/intelligentmirror/access.log*"},
		{name: "home", uid: 1, home: "/h", cache: "/h/.cache/intelligentmirror", state: "/h/.local/state/intelligentmirror", cacheFrom: "default",
			accessLog: "/h/.local/state/intelligentmirror/access.log", ourLog: "/h/.local/state/intelligentmirror/access.log*"},
		{name: "XDG", uid: 1, home: "/h", env: xdg, cache: "/x/cache/intelligentmirror", state: "/x/state/intelligentmirror", cacheFrom: "environment: $XDG_CACHE_HOME",
			accessLog: "/x/state/intelligentmirror/access.log", ourLog: "/x/state/intelligentmirror/access.log*"},
		{name: "logs follow state_dir", text: "state_dir = '/s[1]/'\n[serve]\naccess_log = ''", cache: "/var/cache/intelligentmirror", state: "/s[1]", cacheFrom: "default",
			accessLog: "/s[1]/access.log", ourLog: `/s\[1]/access.log*`},
		{name: "logs follow access_log", text: "[serve]\naccess_log = '/l/a.log'", cache: "/var/cache/intelligentmirror", state: "/var/lib/intelligentmirror", cacheFrom: "default",
			accessLog: "/l/a.log", ourLog: "/l/a.log*"},
		{name: "standard output is no file to read", text: "state_dir = '/s'\n[serve]\naccess_log = '-'", cache: "/var/cache/intelligentmirror", state: "/s", cacheFrom: "default",
			accessLog: "-", ourLog: "/s/access.log*"},
		{name: "logs that are set stay", text: "cache_dir = '/c/'\nstate_dir = '/s'\n[sync]\nlogs = []", cache: "/c", state: "/s", cacheFrom: "config.toml:1",
			accessLog: "/s/access.log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := host(map[string]string{SystemFile: c.text}, c.env)
			o.UID, o.HomeDir = c.uid, c.home
			got := mustLoad(t, o)
			if got.CacheDir != c.cache || got.StateDir != c.state {
				t.Errorf("cache_dir %q, state_dir %q; want %q, %q", got.CacheDir, got.StateDir, c.cache, c.state)
			}
			if from := got.origins["cache_dir"].text; from != c.cacheFrom {
				t.Errorf("cache_dir comes from %q, want %q", from, c.cacheFrom)
			}
			if got.Serve.AccessLog != c.accessLog {
				t.Errorf("access_log %q, want %q", got.Serve.AccessLog, c.accessLog)
			}
			if logs := strings.Join(got.Sync.Logs, " "); logs != c.ourLog {
				t.Errorf("logs %q, want %q", logs, c.ourLog)
			}
		})
	}
	t.Run("no home", func(t *testing.T) {
		o := host(nil, nil)
		o.UID = 1
		_, err := Load(o)
		if got := problems(err); len(got) != 2 || got[0].Key != "cache_dir" || got[1].Key != "state_dir" {
			t.Errorf("error %v, want one for each directory", err)
		}
	})
	t.Run("the glob for an odd directory finds its log", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), `a[b]*\c?`)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(dir, "access.log.1")
		if err := os.WriteFile(log, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := fromText("state_dir = " + quote(dir))
		if err != nil {
			t.Fatal(err)
		}
		if found, err := filepath.Glob(c.Sync.Logs[0]); err != nil || !slices.Equal(found, []string{log}) {
			t.Errorf("%q finds %q, %v; want %q", c.Sync.Logs[0], found, err, log)
		}
	})
}

func TestAttachedNetworks(t *testing.T) {
	private := mustNetworks("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
	with := func(more ...string) Networks { return append(slices.Clone(private), mustNetworks(more...)...) }
	for _, c := range []struct {
		name  string
		addrs []net.Addr
		err   error
		text  string
		want  Networks
		warns bool
	}{
		{name: "private ones are there already", addrs: []net.Addr{ipNet("10.1.2.3/24"), ipNet("fe80::5/64"), ipNet("::1/128")}, want: private},
		{name: "public ones are added once", addrs: []net.Addr{ipNet("192.0.2.7/24"), ipNet("192.0.2.8/25"), ipNet("2001:db8::5/64")},
			want: with("192.0.2.0/24", "2001:db8::/64")},
		{name: "a network is wider than what it covers", addrs: []net.Addr{ipNet("10.0.0.1/7")}, want: with("10.0.0.0/7")},
		{name: "not the whole world", addrs: []net.Addr{ipNet("192.0.2.7/0"), &net.UnixAddr{}}, want: private},
		{name: "not to what is set", addrs: []net.Addr{ipNet("192.0.2.7/24")}, text: "[serve]\nclients = ['192.0.2.1']", want: mustNetworks("192.0.2.1")},
		{name: "they cannot be read", err: errors.New("no netlink"), want: private, warns: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := host(map[string]string{SystemFile: c.text}, nil)
			o.Interfaces = func() ([]net.Addr, error) { return c.addrs, c.err }
			got := mustLoad(t, o)
			if !slices.Equal(got.Serve.Clients, c.want) {
				t.Errorf("clients %v, want %v", got.Serve.Clients, c.want)
			}
			if warned := len(got.Warnings()) > 0; warned != c.warns {
				t.Errorf("warnings %q", got.Warnings())
			}
		})
	}
}

// TestListen holds that one address may be written without a list.
func TestListen(t *testing.T) {
	for text, want := range map[string][]Address{
		`"[::1]:80"`:            {{HostPort: "[::1]:80"}},
		`["[::1]:80"]`:          {{HostPort: "[::1]:80"}},
		`["a:1", "http://b:2"]`: {{HostPort: "a:1"}, {HostPort: "b:2", Plain: true}},
	} {
		c := mustLoad(t, host(map[string]string{SystemFile: "[serve]\nlisten = " + text}, nil))
		if !slices.Equal(c.Serve.Listen, want) {
			t.Errorf("%s is %v, want %v", text, c.Serve.Listen, want)
		}
	}
}

func TestFlags(t *testing.T) {
	o := host(map[string]string{SystemFile: "cache_dir = '/file'\n[serve]\nlisten = ':1'"}, nil)
	o.Set = map[string]string{"serve.listen": ":2", "cache_dir": "rel", "sync.top": "5", "serve.proxy": "false", "serve.access_log": "-"}
	c := mustLoad(t, o)
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Serve.Listen, []Address{{HostPort: ":2"}}) || c.CacheDir != filepath.Join(cwd, "rel") || c.Sync.Top != 5 || c.Serve.Proxy || c.Serve.AccessLog != "-" {
		t.Errorf("the flags do not win: %+v", c)
	}
	if from := c.origins["cache_dir"].text; from != "--cache-dir flag" {
		t.Errorf("cache_dir comes from %q", from)
	}
	o.Set = map[string]string{"serve.listen": "x", "sync.top": "many", "no.key": "1", "serve.clients": "::1"}
	_, err = Load(o)
	var got []string
	for _, p := range problems(err) {
		got = append(got, p.Key)
		if p.File != "" || p.Line != 0 {
			t.Errorf("%v: a flag is in no file", p)
		}
	}
	if want := []string{"--key", "--clients", "--listen", "--top"}; !slices.Equal(got, want) {
		t.Errorf("problems with %q, want %q:\n%v", got, want, err)
	}
}
