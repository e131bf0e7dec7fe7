package config

import (
	"slices"
	"strings"
	"testing"
)

// TestRefuses holds that what will not do is refused, in one line that begins
// with file, line and key, and says what would.
func TestRefuses(t *testing.T) {
	const repo = "[[repo]]\nname = 'x'\nupstreams = ['https://h/x']\n" // lines 1 to 3
	for _, c := range []struct {
		name, text string
		want       string // the error, from the file's name; it may end in "..."
	}{
		{"syntax", "a = 1\nb = \n", `:2: b: expected value but found '\n' instead`},
		{"a key twice", "[sync]\ntop = 1\ntop = 2", ":3: sync.top: Key 'sync.top' has already been defined."},
		{"a key with a table's name", "sync.top = 1\nsync = 0", `:2: sync: this key has already been defined`},
		{"not UTF-8", "cache_dir = \"\xff\"", ":1: cache_dir: invalid UTF-8 byte: 0xff"},
		{"an unknown key", "cache_siz = 1", `:1: cache_siz: unknown key; did you mean "cache_size"?`},
		{"an unknown key in a table", "[serve]\n\nlisten_on = ''", `:3: serve.listen_on: unknown key; did you mean "listen"?`},
		{"letters swapped", "[sync]\nkepe = 1", `:2: sync.kepe: unknown key; did you mean "keep"?`},
		{"capitals", "[serve]\nListen = ''", `:2: serve.Listen: unknown key; did you mean "listen"?`},
		{"like nothing", "[serve]\nxyzzy = ''", `:2: serve.xyzzy: unknown key`},
		{"an odd key", "\"a\\nb\" = 1", `:1: "a\u000Ab": unknown key`},
		{"a key of another table", "listen = ':80'", ":1: listen: unknown key; it belongs in [serve]"},
		{"a key of the top", "[sync]\ncache_dir = '/c'", ":2: sync.cache_dir: unknown key; it belongs at the top of the file, before the first table"},
		{"an unknown table", "[server]\nlisten = ''", `:1: server: unknown key; did you mean "serve"?`},
		{"a table that is none", "serve = 1", ":1: serve: an integer; expected a table: [serve]"},
		{"a table too many", "[[sync]]\ntop = 1", ":1: sync: an array; expected a table: [sync]"},

		{"a number for a string", "cache_dir = 5", `:1: cache_dir: 5 is an integer; expected an absolute path such as "/srv/mirror"`},
		{"a float for a size", "cache_size = 1.5", `:1: cache_size: 1.5 is a float; expected a size such as "20GiB", "500MB", or a number of bytes, at least "1MiB"`},
		{"a date for a duration", "generation_keep = 2020-01-02", `:1: generation_keep: ...`},
		{"a string for a list", "[serve]\nclients = '::1'", `:2: serve.clients: "::1" is a string; expected a list, in brackets, of a network such as "10.0.0.0/8" or an address such as "::1"`},
		{"a list for a string", "state_dir = ['/s']", `:1: state_dir: an array; expected an absolute path such as "/srv/mirror"`},
		{"a number for an address", "[serve]\nlisten = 80", `:2: serve.listen: 80 is an integer; expected host:port such as ":3180", or a list of these`},
		{"a number among addresses", "[serve]\nlisten = [':80',\n80]", `:3: serve.listen: 80 is an integer; expected ...`},
		{"a list among addresses", "[serve]\nlisten = [[':80']]", `:2: serve.listen: an array; expected ...`},
		{"no address", "[serve]\nlisten = []", `:2: serve.listen: an empty list; expected at least one: host:port such as ":3180", or a list of these`},
		{"an address twice", "[serve]\nlisten = [':80',\n':80']", `:3: serve.listen: ":80": twice; expected ...`},
		{"an address with another scheme", "[serve]\nlisten = 'https://:80'", `:2: serve.listen: "https://:80": not host:port; expected ...`},
		{"a string for a boolean", "[serve]\nproxy = 'yes'", `:2: serve.proxy: "yes" is a string; expected true or false`},
		{"a string for a number", "[sync]\ntop = '5'", `:2: sync.top: "5" is a string; expected a whole number from 0 to 1000000`},

		{"a relative directory", "cache_dir = 'cache'", `:1: cache_dir: "cache": not absolute; expected an absolute path such as "/srv/mirror"`},
		{"a home that nobody expands", "state_dir = '~/x'", `:1: state_dir: "~/x": "~" has no meaning here; expected ...`},
		{"the root directory", "cache_dir = '//'", `:1: cache_dir: "//": not the root directory; expected ...`},
		{"no directory", "cache_dir = ''", `:1: cache_dir: "": not absolute; expected ...`},
		{"a size without its unit", "cache_size = 100", `:1: cache_size: 100: too small; expected ...`},
		{"a negative size", "min_free = -1", `:1: min_free: -1: a size is not negative; expected ...`},
		{"a size in bits", "min_free = '1Gb'", `:1: min_free: "1Gb": not a size; expected a size such as "20GiB", "500MB", or a number of bytes`},
		{"a negative duration", "generation_keep = '-7d'", `:1: generation_keep: "-7d": a duration is not negative; expected ...`},
		{"a duration without a unit", "[serve]\npackage_max_age = '60'", `:2: serve.package_max_age: "60": not a duration; expected a duration such as "90s", "12h" or "7d"`},
		{"a duration as a number", "[serve]\npackage_max_age = 60", `:2: serve.package_max_age: 60 is an integer; expected ...`},

		{"a bucket without its scheme", "bucket = 'mirror'", `:1: bucket: "mirror": it does not begin with "s3://"; expected a bucket such as "s3://mirror/packages", or "" for none`},
		{"a bucket of capitals", "bucket = 's3://Mirror'", `:1: bucket: "s3://Mirror": no name of a bucket: 3 to 63 of a-z, 0-9, dots and dashes; expected ...`},
		{"a bucket that is an address", "bucket = 's3://10.0.0.1'", `:1: bucket: "s3://10.0.0.1": no name of a bucket: ...`},
		{"a prefix with nothing in it", "bucket = 's3://mirror/a//b'", `:1: bucket: "s3://mirror/a//b": a prefix with an empty part, ...`},
		{"a prefix that leads out", "bucket = 's3://mirror/../b'", `:1: bucket: "s3://mirror/../b": a prefix with an empty part, ...`},
		{"an endpoint without its scheme", "bucket_endpoint = 's3.example.org'", `:1: bucket_endpoint: "s3.example.org": neither http:// nor https://; expected ...`},
		{"an endpoint with a bucket", "bucket_endpoint = 'https://s3.example.org/mirror'", `:1: bucket_endpoint: "https://s3.example.org/mirror": more than a host and a port; ...`},
		{"a region that is none", "bucket_region = ''", `:1: bucket_region: "": no name of a region; expected ...`},
		{"a bucket that keeps nothing", "bucket_keep = '1h'", `:1: bucket_keep: "1h": ...`},

		{"no port", "[serve]\nlisten = '10.0.0.1'", `:2: serve.listen: "10.0.0.1": not host:port; expected host:port such as ":3180", or a list of these`},
		{"a port by name", "[serve]\nlisten = ':http'", `:2: serve.listen: ":http": the port is a number up to 65535; expected ...`},
		{"a port too high", "[serve]\nlisten = ':70000'", `:2: serve.listen: ":70000": the port is a number up to 65535; expected ...`},
		{"a bad host", "[serve]\nlisten = 'a b:80'", `:2: serve.listen: "a b:80": the host is an address or a name; expected ...`},
		{"an address within a network", "[serve]\nadmins = ['10.1.2.3/8']", `:2: serve.admins: "10.1.2.3/8": an address within a network; the network is "10.0.0.0/8"; expected ...`},
		{"a mask for bits", "[serve]\nadmins = ['10.0.0.0/255.0.0.0']", `:2: serve.admins: "10.0.0.0/255.0.0.0": not a network; expected ...`},
		{"a name for a network", "[serve]\nadmins = ['localhost']", `:2: serve.admins: "localhost": not an address; expected ...`},
		{"a zone", "[serve]\nadmins = ['fe80::1%eth0']", `:2: serve.admins: "fe80::1%eth0": an address without a zone; expected ...`},
		{"IPv4 in IPv6", "[serve]\nadmins = ['::ffff:10.0.0.1']", `:2: serve.admins: "::ffff:10.0.0.1": write it as "10.0.0.1"; expected ...`},
		{"a certificate without a key", "[serve]\ntls_cert = '/c'", `:1: serve.tls_key: a certificate without its key; set it to the file that has it`},
		{"a group without its secret", "[sync]\ngroup = ['http://h:3180']", `:1: sync.group_key: a group without its secret; set it to the file that has it, the same on each machine of sync.group`},
		{"a key without a certificate", "[serve]\ntls_key = '/k'", `:1: serve.tls_cert: a key without its certificate; set it to the file that has it`},
		{"a CA without its key", "[serve]\nca_cert = '/c'", `:1: serve.ca_cert: a CA is a certificate and its key; set serve.ca_key too, or neither of them`},
		{"a CA's key alone", "[serve]\nca_key = '/k'", `:1: serve.ca_cert: a CA is a certificate and its key; set serve.ca_key too, or neither of them`},
		{"a relative certificate", "[serve]\ntls_cert = 'c'", `:2: serve.tls_cert: "c": not absolute; expected ...`},
		{"nobody may ask", "[serve]\nclients = []", `:2: serve.clients: an empty list; expected at least one: "0.0.0.0/0" and "::/0" let everyone in`},
		{"an element's line", "[serve]\nadmins = [\n '::1',\n # no\n 'x',\n]", `:5: serve.admins: "x": not an address; expected ...`},
		{"an exception that is nothing", "[serve]\nproxy_allow = ['a b']", `:2: serve.proxy_allow: "a b": neither a network nor a host's name; expected ...`},
		{"an exception's bad network", "[serve]\nproxy_allow = ['10.0.0/8']", `:2: serve.proxy_allow: "10.0.0/8": not a network; expected ...`},
		{"port 0", "[serve]\nconnect_ports = [443, 0]", `:2: serve.connect_ports: 0: out of range; expected a whole number from 1 to 65535`},
		{"a pattern that no path has", "[serve]\npackages = ['fedora/*']", `:2: serve.packages: "fedora/*": it would match no path: each begins with a slash; expected ...`},
		{"brackets left open", "[serve]\nextra = ['*/[ab']", `:2: serve.extra: "*/[ab": "[" without "]"; expected ...`},
		{"a question mark", "[sync]\nexclude = ['a?']", `:2: sync.exclude: "a?": "?" has no meaning in a pattern; expected a pattern such as "gstreamer1*"`},
		{"a relative log", "[serve]\naccess_log = 'a.log'", `:2: serve.access_log: "a.log": not absolute; expected an absolute path, "-" for standard output, or ""`},
		{"a log that is a directory", "[serve]\naccess_log = '/var/log/'", `:2: serve.access_log: "/var/log/": a directory; expected ...`},

		{"four fields", "[sync]\nschedule = '17 2 * *'", `:2: sync.schedule: "17 2 * *": expected exactly 5 fields, found 4: [17 2 * *]; expected minute, hour, day, month, weekday (0 to 6, 0 is Sunday) such as "17 2 * * *"`},
		{"no schedule", "[sync]\nschedule = ''", `:2: sync.schedule: "": empty spec string; expected ...`},
		{"Sunday as 7", "[sync]\nschedule = '0 2 * * 7'", `:2: sync.schedule: "0 2 * * 7": end of range (7) above maximum (6): 7; expected ...`},
		{"a date that never comes", "[sync]\nschedule = '0 2 30 2 *'", `:2: sync.schedule: "0 2 30 2 *": that date never comes; expected ...`},
		{"fields of commas", "[sync]\nschedule = ', 2 * * *'", `:2: sync.schedule: ", 2 * * *": a field of commas; expected ...`},
		{"a time zone alone", "[sync]\nschedule = 'CRON_TZ=UTC'", `:2: sync.schedule: "CRON_TZ=UTC": a time zone without a schedule behind it; expected ...`},
		{"the other spelling alone", "[sync]\nschedule = 'TZ='", `:2: sync.schedule: "TZ=": a time zone without a schedule behind it; expected ...`},
		{"an unknown time zone", "[sync]\nschedule = 'CRON_TZ=Mars/Base 17 2 * * *'", `:2: sync.schedule: ...`},
		{"every second", "[sync]\nschedule = '@every 1s'", `:2: sync.schedule: "@every 1s": more often than once a minute; expected ...`},
		{"poll all the time", "[sync]\npoll = '0s'", `:2: sync.poll: "0s": too short; expected a duration such as "90s", "12h" or "7d", at least "1s", or "" for never`},
		{"a relative log to read", "[sync]\nlogs = ['access.log']", `:2: sync.logs: "access.log": not absolute; expected ...`},
		{"a broken glob", "[sync]\nlogs = ['/l/[a']", `:2: sync.logs: "/l/[a": brackets that are not closed; expected ...`},
		{"an unknown repo's root", "[sync]\nroots = ['fedoar/x/y']", `:2: sync.roots: "fedoar/x/y": no repo "fedoar"; did you mean "fedora"?; expected ...`},
		{"a root with a slash first", "[sync]\nroots = ['/fedora/x']", `:2: sync.roots: "/fedora/x": not a root; expected a root such as "fedora/updates/41/Everything/x86_64"`},
		{"a root that climbs", "[sync]\nroots = ['fedora/../x']", `:2: sync.roots: "fedora/../x": a path without "." and ".."; expected ...`},
		{"a repository alone", "[sync]\nroots = ['fedora']", `:2: sync.roots: "fedora": not a root; expected ...`},
		{"negative", "[sync]\ntop = -1", `:2: sync.top: -1: out of range; expected a whole number from 0 to 1000000`},
		{"nothing has a half-life", "[sync]\nhalf_life = '0s'", `:2: sync.half_life: "0s": too short; expected ...`},
		{"an unknown objective", "[sync]\nobjective = 'speed'", `:2: sync.objective: "speed": unknown; expected "requests" or "bytes"`},
		{"a rate without its unit", "[sync]\nrate = 10", `:2: sync.rate: 10: too small; expected a rate of at least 1KiB/s such as "10MiB/s" (bytes, not bits), or "" for no limit`},
		{"a rate in bits", "[sync]\nrate = '10Mbit/s'", `:2: sync.rate: "10Mbit/s": not a rate; expected ...`},
		{"a rate per nothing", "[sync]\nrate = '10MiB'", `:2: sync.rate: "10MiB": a rate ends with "/s"; expected ...`},
		{"a window without an end", "[sync]\nwindow = '01:00'", `:2: sync.window: "01:00": not two times; expected two times such as "01:00-06:00", or "" for always`},
		{"a window at 25 o'clock", "[sync]\nwindow = '01:00-25:00'", `:2: sync.window: "01:00-25:00": "25:00" is no time of the day; expected ...`},
		{"a window of no width", "[sync]\nwindow = '01:00-01:00'", `:2: sync.window: "01:00-01:00": it begins when it ends; the whole day is ""; expected ...`},
		{"no versions", "[sync]\nkeep = 0", `:2: sync.keep: 0: out of range; expected a whole number from 1 to 100`},
		{"no downloads at a time", "[sync]\nparallel = 0", `:2: sync.parallel: 0: out of range; expected a whole number from 1 to 256`},

		{"a replica of nothing", "[[replicate]]\nrate = '1MiB/s'", ":1: replicate: from: missing; every [[replicate]] has it"},
		{"a replica of no URL", "[[replicate]]\nfrom = 'mirror1'", `:2: replicate: from: "mirror1": ...`},
		{"a replica twice", "[[replicate]]\nfrom = 'http://a'\n[[replicate]]\nfrom = 'http://a/'", ":3: replicate: from: the [[replicate]] in line 1 has the same; expected each once"},
		{"a replica's unknown key", "[[replicate]]\nfrom = 'http://a'\nshedule = ''", `:3: replicate: shedule: unknown key; did you mean "schedule"?`},
		{"a replica's schedule", "[[replicate]]\nfrom = 'http://a'\nschedule = '0 0 30 2 *'", `:3: replicate: schedule: "0 0 30 2 *": that date never comes; expected ...`},
		{"replicate as a table", "[replicate]\nfrom = 'http://a'", ":1: replicate: a table; expected an array of tables: [[replicate]]"},
		{"repo as a table", "[repo]\nname = 'x'", ":1: repo: a table; expected an array of tables: [[repo]]"},
		{"repo as strings", "repo = [\n'x']", ":2: repo: a string; expected an array of tables: [[repo]]"},
		{"a repo's unknown key", repo + "upstream = 1", `:4: repo x: upstream: unknown key; did you mean "upstreams"?`},
		{"a repo without a name", "\n[[repo]]\nupstreams = ['https://h']", ":2: repo: name: missing; every [[repo]] has it"},
		{"a repo without upstreams", "[[repo]]\nname = 'x'", ":1: repo x: upstreams: missing; every [[repo]] has it"},
		{"a repo with none", "[[repo]]\nname = 'x'\nupstreams = []", `:3: repo x: upstreams: an empty list; expected at least one: a URL such as "https://mirror.example.org/fedora/linux"`},
		{"a repo twice", repo + "\n" + repo, ":5: repo x: the [[repo]] in line 1 has the same name; expected each name once"},
		{"a reserved name", "[[repo]]\nname = 'proxy'\nupstreams = ['https://h']", `:2: repo proxy: name: "proxy": reserved; expected ...`},
		{"the pages' name", "[[repo]]\nname = '-'\nupstreams = ['https://h']", `:2: repo -: name: "-": reserved; expected ...`},
		{"our own directory", "[[repo]]\nname = '.im'\nupstreams = ['https://h']", `:2: repo .im: name: ".im": reserved; expected ...`},
		{"a hidden name", "[[repo]]\nname = '.x'\nupstreams = ['https://h']", `:2: repo .x: name: ".x": not a name; expected ...`},
		{"a name with a slash", "[[repo]]\nname = 'a/b'\nupstreams = ['https://h']", `:2: repo "a/b": name: "a/b": not a name; expected ...`},
		{"a name of two lines", "[[repo]]\nname = \"a\\nb\"\nupstreams = ['https://h']", `:2: repo "a\u000Ab": name: "a\u000Ab": not a name; expected ...`},
		{"an upstream by ftp", "[[repo]]\nname = 'x'\nupstreams = ['ftp://h/x']", `:3: repo x: upstreams: "ftp://h/x": not a URL with http or https; expected ...`},
		{"an upstream without a host", "[[repo]]\nname = 'x'\nupstreams = ['https:///x']", `:3: repo x: upstreams: "https:///x": the host is missing or no host's name; expected ...`},
		{"an upstream with a password", "[[repo]]\nname = 'x'\nupstreams = ['https://a:b@h']", `:3: repo x: upstreams: "https://a:b@h": a URL without user and password; expected ...`},
		{"an upstream with a query", "[[repo]]\nname = 'x'\nupstreams = ['https://h/?a']", `:3: repo x: upstreams: "https://h/?a": a URL without "?" and "#"; expected ...`},
		{"an upstream that climbs", "[[repo]]\nname = 'x'\nupstreams = ['https://h/a/%2e%2E/b']", `:3: repo x: upstreams: "https://h/a/%2e%2E/b": a path without "." and ".."; expected ...`},
		{"an upstream with two slashes", "[[repo]]\nname = 'x'\nupstreams = ['https://h/a//b']", `:3: repo x: upstreams: "https://h/a//b": a path without "//"; expected ...`},
		{"an upstream with a space", "[[repo]]\nname = 'x'\nupstreams = ['https://h/a b']", `:3: repo x: upstreams: "https://h/a b": a URL is escaped; expected ...`},
		{"an upstream's port", "[[repo]]\nname = 'x'\nupstreams = ['https://h:99999']", `:3: repo x: upstreams: "https://h:99999": the host is missing or no host's name; expected ...`},
		{"an upstream of many", "[[repo]]\nname = 'x'\nupstreams = ['https://*.h.example.org']", `:3: repo x: upstreams: "https://*.h.example.org": an upstream's host is no pattern; expected ...`},
		{"an alias for the world", repo + "aliases = ['https://*/fedora']", `:4: repo x: aliases: "https://*/fedora": after "*" there must be a domain, as in "*.archive.example.org"; expected ...`},
		{"an alias for a country", repo + "aliases = ['https://*.org/fedora']", `:4: repo x: aliases: "https://*.org/fedora": after "*" there must be a domain, as in "*.archive.example.org"; expected ...`},
		{"an alias path without a slash", repo + "alias_paths = ['fedora']", `:4: repo x: alias_paths: "fedora": not a path that begins with a slash; expected ...`},
		{"an alias path for everything", repo + "alias_paths = ['/']", `:4: repo x: alias_paths: "/": not a path that begins with a slash; expected ...`},
		{"a key file beside us", repo + "gpg_keys = ['key.asc']", `:4: repo x: gpg_keys: "key.asc": not absolute; expected ...`},
		{"a check that is none", repo + "repo_gpgcheck = 'yes'", `:4: repo x: repo_gpgcheck: "yes": unknown; expected "auto" or "always" or "never"`},
		{"a proxy that is no URL", repo + "proxy = 'proxy:3128'", `:4: repo x: proxy: "proxy:3128": not a URL with http, https or socks5; expected ...`},
		{"a proxy of another kind", repo + "proxy = 'ftp://p'", `:4: repo x: proxy: "ftp://p": not a URL with http, https or socks5; expected ...`},
		{"a proxy without a host", repo + "proxy = 'http://:3128'", `:4: repo x: proxy: "http://:3128": the host is missing or no host's name; expected ...`},
		{"a proxy with a path", repo + "proxy = 'http://p/x'", `:4: repo x: proxy: "http://p/x": a proxy has no path; expected ...`},
		{"a proxy that is a pattern", repo + "proxy = 'http://*.example.org'", `:4: repo x: proxy: "http://*.example.org": the host is missing or no host's name; expected ...`},
		{"a template of a number", repo + "metalink = 5", `:4: repo x: metalink: 5 is an integer; expected a URL such as ...`},
		{"a template that is no URL", repo + "mirrorlist = '{root}'", `:4: repo x: mirrorlist: "{root}": not a URL with http or https; expected ...`},
		{"a template of an unknown name", repo + "metalink = 'https://h/{release}'", `:4: repo x: metalink: "https://h/{release}": {release} is not in its pattern; expected ...`},
		{"a template whose host is a stranger's", repo + "metalink = 'https://{root}/x'", `:4: repo x: metalink: "https://{root}/x": no placeholder in the host; expected ...`},
		{"a template's table", repo + "[repo.metalink]\n'a/{v}' = 'https://h/{v}'\n'b/{v}' = 'https://h/{w}'", `:6: repo x: metalink: "https://h/{w}": {w} is not in its pattern; expected ...`},
		{"a name twice in a pattern", repo + "metalink = { '{v}/{v}' = 'https://h/' }", `:4: repo x: metalink: "https://h/": {v} has a meaning already; expected ...`},
		{"a pattern with odd braces", repo + "metalink = { '{V}/x' = 'https://h/' }", `:4: repo x: metalink: "https://h/": not a pattern of a root; expected ...`},
		{"a pattern with a slash first", repo + "metalink = { '/x' = 'https://h/' }", `:4: repo x: metalink: "https://h/": a root has no slash at its ends; expected ...`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := fromText(c.text)
			got := problems(err)
			if len(got) == 0 {
				t.Fatalf("error %v, want %s", err, c.want)
			}
			text := strings.TrimPrefix(got[0].Error(), SystemFile)
			if want, cut := strings.CutSuffix(c.want, "..."); cut && !strings.HasPrefix(text, want) || !cut && text != want {
				t.Errorf("\n got %s\nwant %s", text, c.want)
			}
			if strings.ContainsAny(text, "\n\r") {
				t.Errorf("more than one line: %q", text)
			}
		})
	}
}

// TestAllProblemsAtOnce holds that one run of `imserve check` shows them all,
// in the order of the file.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := fromText(`cache_dir = "x"
[serve]
listen = 5
clients = [
  "a",
  "10.0.0.0/8",
  "b",
]
[sync]
schedule = "no"
topp = 1
[[repo]]
name = "y"
upstreams = ["gopher://h"]
[[repo]]
`)
	var lines []int
	for _, p := range problems(err) {
		lines = append(lines, p.Line)
	}
	if want := []int{1, 3, 5, 7, 10, 11, 14, 15, 15}; !slices.Equal(lines, want) {
		t.Errorf("problems in lines %v, want %v:\n%v", lines, want, err)
	}
}

func TestAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"an empty file":            "",
		"a mark before the text":   "\xef\xbb\xbfcache_size = '1MiB'",
		"Windows' lines":           "cache_size = '1MiB'\r\n[serve]\r\nlisten = ':1'\r\n",
		"a number of bytes":        "cache_size = 1_073_741_824",
		"any port":                 "[serve]\nlisten = '127.0.0.1:0'",
		"a name":                   "[serve]\nlisten = 'localhost:80'",
		"IPv6":                     "[serve]\nlisten = '[::1]:80'",
		"nobody is an admin":       "[serve]\nadmins = []\ntrusted_proxies = []",
		"hosts and networks":       "[serve]\nproxy_allow = ['mirror.campus.example', '10.1.0.0/16', '::1', '10.1.1.1']",
		"a time zone":              "[sync]\nschedule = 'CRON_TZ=UTC 17 2 * * *'",
		"a leap day":               "[sync]\nschedule = '0 2 29 2 *'",
		"a word for a schedule":    "[sync]\nschedule = '@daily'",
		"hourly":                   "[sync]\nschedule = '@every 1h'",
		"never":                    "[sync]\npoll = ''",
		"over midnight":            "[sync]\nwindow = '22:00-06:00'",
		"no limit":                 "[sync]\nrate = 0",
		"nothing is prefetched":    "[sync]\nbudget = 0\ntop = 0\npackages = []\nlogs = []",
		"a comps group":            "[sync]\npackages = ['@gnome-desktop', '*']",
		"an own repo and its root": "[sync]\nroots = ['x/el9']\n[[repo]]\nname = 'x'\nupstreams = ['http://127.0.0.1:8080/', 'https://[::1]']",
		"tables in one line":       "repo = [ { name = 'x', upstreams = ['https://h'] } ]\nserve = { listen = ':1' }\nsync.top = 1",
	} {
		if _, err := fromText(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
