package config

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

const siteText = `
cache_dir = "/srv/cache \"\\ \u00e9\u0001"
cache_size = "1500GB"
generation_keep = "36h"

[[repo]]
name = "site"
upstreams = ["https://pkg.example.org/site"]
aliases = ["https://*.example.org/site"]
gpg_keys = ["/etc/keys/site"]
repo_gpgcheck = "always"
metalink = ""
[repo.mirrorlist]
"{v}/z/{arch}" = "https://h/{v}?a={arch}"
"{v}/a/{arch}" = "https://h/{v}/a?a={arch}"

[serve]
clients = ["192.0.2.0/24", "::1"]
proxy_allow = ["10.9.0.0/16", "intra.example.org"]
connect_ports = []

[sync]
poll = ""
rate = "1500kB/s"
window = "22:00-06:30"
`

const replicaText = `
[[replicate]]
from = "http://m1:3180/"
schedule = "@hourly"
rate = "1MiB/s"

[[replicate]]
from = "https://m2"
upstream = false
window = "20:00-22:00"
parallel = 3
`

func write(t testing.TB, c *Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriteRoundTrip(t *testing.T) {
	home := host(nil, nil)
	home.UID, home.HomeDir = 1, "/home/ann"
	for name, o := range map[string]Options{
		"no file":     host(nil, nil),
		"a user":      home,
		"a site":      host(map[string]string{SystemFile: siteText}, nil),
		"a replica":   host(map[string]string{SystemFile: siteText + replicaText}, nil),
		"an odd file": {Path: "/a\nb", UID: 1, HomeDir: "/h", Getenv: home.Getenv, Interfaces: home.Interfaces, ReadFile: host(map[string]string{"/a\nb": siteText}, nil).ReadFile},
	} {
		t.Run(name, func(t *testing.T) {
			c := mustLoad(t, o)
			text := write(t, c)
			again, err := fromText(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if d := diff(c, again); d != "" {
				t.Errorf("loaded (-) and written and loaded (+) differ:\n%s", d)
			}
		})
	}
}

// TestWriteOrigins holds that each value says where it came from.
func TestWriteOrigins(t *testing.T) {
	o := host(map[string]string{SystemFile: siteText}, map[string]string{"XDG_STATE_HOME": "/x"})
	o.UID, o.HomeDir = 1, "/home/ann"
	o.Set = map[string]string{"serve.listen": ":80"}
	text := write(t, mustLoad(t, o))
	for _, want := range []string{
		"# read: /etc/intelligentmirror/config.toml\n",
		`state_dir        = "/x/intelligentmirror"  # environment: $XDG_STATE_HOME`,
		`cache_size       = "1500GB"  # config.toml:3`,
		`min_free         = "1GiB"  # default`,
		"[[repo]]  # config.toml:6\n",
		`name             = "site"  # config.toml:7`,
		`mirrorlist       = { "{v}/z/{arch}" = "https://h/{v}?a={arch}", "{v}/a/{arch}" = "https://h/{v}/a?a={arch}" }  # config.toml:13`,
		"[[repo]]  # built-in\nname             = \"fedora\"  # built-in\n",
		`listen           = ":80"  # --listen flag`,
		`window           = "22:00-06:30"  # config.toml:25`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, " = ") && !regexp.MustCompile(`  # (default|built-in|config\.toml:\d+|--listen flag|environment: \$XDG_\w+)\n$`).MatchString(line) {
			t.Errorf("where is this from? %s", line)
		}
	}
	if text := write(t, mustLoad(t, host(nil, nil))); !strings.Contains(text, "# no configuration file was found at "+SystemFile+"\n") {
		t.Errorf("it does not say that there was no file:\n%s", text)
	}
}

func TestWriteFails(t *testing.T) {
	want := errors.New("full")
	if err := mustLoad(t, host(nil, nil)).Write(failing{want}); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestWarnings holds that every key has an effect: setting one is nothing to warn of.
func TestWarnings(t *testing.T) {
	for _, c := range []*Config{mustLoad(t, host(nil, nil)), mustLoad(t, host(map[string]string{SystemFile: siteText + "keep = 3\n"}, nil))} {
		if w := c.Warnings(); len(w) != 0 {
			t.Errorf("warnings %q", w)
		}
	}
}

// FuzzLoad holds that of any bytes Load makes either a configuration that it
// writes and reads again as the same, or problems that each have a line of the
// file and fit in one themselves.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"", siteText, builtinRepos, "\xef\xbb\xbf[serve]\r\nlisten=':1'", "repo = [{name='x',upstreams=['https://h']}]", "a = ", "[[sync]]",
		"[sync]\nschedule='CRON_TZ=UTC'\nhalf_life='1w2d'\nroots=['fedora/x']", "cache_size=9223372036854775807\nsync.budget=0",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		c, err := fromText(text)
		if err != nil {
			list := problems(err)
			if len(list) == 0 {
				t.Fatalf("an error of another kind: %v", err)
			}
			for _, p := range list {
				if p.File != SystemFile || p.Line < 1 || p.Line > lineCount(text) || p.Text == "" {
					t.Errorf("problem %+v in %d lines", p, lineCount(text))
				}
				if strings.ContainsAny(p.Error(), "\n\r\x00\x1b") {
					t.Errorf("a problem of more than one line: %q", p)
				}
			}
			return
		}
		written := write(t, c)
		again, err := fromText(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if d := diff(c, again); d != "" {
			t.Errorf("loaded (-) and written and loaded (+) differ:\n%s", d)
		}
	})
}
