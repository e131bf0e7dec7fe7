package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// setting is one key: what it is called, where its value goes, how it is read
// and written.
type setting struct {
	key    string // "serve.listen"; within a repo "upstreams"
	kind   string // as docs/CONFIGURATION.md names it
	target any    // a pointer to the field of Config or Repo
	set    func(value) []fault
	text   func() string // the value as TOML
}

// fault is why a value was refused.
type fault struct {
	line int
	text string
}

// settings are the keys outside [[repo]], in the order in which they are
// written. They are bound to c.
func settings(c *Config) []setting {
	const lastPort = 65535
	v, s := &c.Serve, &c.Sync
	return []setting{
		one("cache_dir", &c.CacheDir, directory()),
		one("state_dir", &c.StateDir, directory()),
		one("cache_size", &c.CacheSize, size(1<<20)),
		one("min_free", &c.MinFree, size(0)),
		one("bucket", &c.Bucket, ofString("bucket", `a bucket such as "s3://mirror/packages", or "" for none`, parseBucket, Bucket.String)),
		one("bucket_endpoint", &c.BucketEndpoint, checked("URL", `the URL of the server such as "https://s3.example.org:9000", or "" for Amazon's`, parseEndpoint)),
		one("bucket_region", &c.BucketRegion, checked("string", `a region such as "eu-central-1"`, parseRegion)),
		one("bucket_credentials", &c.BucketCredentials, optionalFile()),
		one("bucket_keep", &c.BucketKeep, duration(Duration(day))),
		one("generation_keep", &c.GenerationKeep, duration(0)),

		addresses("serve.listen", &v.Listen),
		one("serve.tls_cert", &v.TLSCert, optionalFile()),
		one("serve.tls_key", &v.TLSKey, optionalFile()),
		atLeastOne(networks("serve.clients", &v.Clients), `"0.0.0.0/0" and "::/0" let everyone in`),
		networks("serve.admins", &v.Admins),
		one("serve.admin_token", &v.AdminToken, optionalFile()),
		networks("serve.trusted_proxies", &v.TrustedProxies),
		one("serve.proxy", &v.Proxy, boolean()),
		networks("serve.proxy_deny", &v.ProxyDeny),
		many("serve.proxy_allow", &v.ProxyAllow, checked("network or host name",
			`a network such as "10.1.2.0/24" or a host's name`, parseHostOrNetwork)),
		many("serve.connect_ports", &v.ConnectPorts, integer(1, lastPort)),
		many("serve.connect_hosts", &v.ConnectHosts, pattern()),
		one("serve.intercept", &v.Intercept, boolean()),
		one("serve.ca_cert", &v.CACert, optionalFile()),
		one("serve.ca_key", &v.CAKey, optionalFile()),
		one("serve.metadata_max_age", &v.MetadataMaxAge, duration(0)),
		one("serve.package_max_age", &v.PackageMaxAge, duration(0)),
		one("serve.quick_abort_max", &v.QuickAbortMax, size(0)),
		many("serve.packages", &v.Packages, pathPattern()),
		many("serve.metadata", &v.Metadata, pathPattern()),
		many("serve.extra", &v.Extra, pathPattern()),
		many("serve.siblings", &v.Siblings, checked("URL", `a URL such as "http://10.0.0.12:3180"`, parseUpstream)),
		one("serve.announce", &v.Announce, boolean()),
		one("serve.access_log", &v.AccessLog, logFile()),

		one("sync.schedule", &s.Schedule, checked("cron schedule",
			`minute, hour, day, month, weekday (0 to 6, 0 is Sunday) such as "17 2 * * *"`, parseSchedule)),
		one("sync.poll", &s.Poll, durationOrNever(Duration(time.Second))),
		one("sync.verify", &s.Verify, durationOrNever(Duration(day))),
		many("sync.logs", &s.Logs, fileGlob()),
		many("sync.json_fields", &s.JSONFields, logField()),
		one("sync.client_cap", &s.ClientCap, integer(0, 1_000_000)),
		many("sync.group", &s.Group, checked("URL", `the URL of another imserve such as "http://mirror2.example.org:3180"`, parseUpstream)),
		one("sync.group_key", &s.GroupKey, optionalFile()),
		many("sync.packages", &s.Packages, pattern()),
		many("sync.exclude", &s.Exclude, pattern()),
		many("sync.arches", &s.Arches, checked("architecture", `an architecture such as "x86_64"`, parseArch)),
		many("sync.roots", &s.Roots, root(c)),
		one("sync.top", &s.Top, integer(0, 1_000_000)),
		one("sync.half_life", &s.HalfLife, duration(Duration(time.Second))),
		many("sync.candidates", &s.Candidates, oneOf(CandidateRename, CandidateDependency, CandidateNewcomer, CandidateSibling, CandidateGroup)),
		one("sync.objective", &s.Objective, oneOf(ObjectiveRequests, ObjectiveBytes)),
		one("sync.budget", &s.Budget, size(0)),
		one("sync.root_budget", &s.PerRoot, size(0)),
		one("sync.rate", &s.Rate, rate()),
		one("sync.window", &s.Window, ofString("window", `two times such as "01:00-06:00", or "" for always`, parseWindow, Window.String)),
		one("sync.parallel", &s.Parallel, integer(1, 256)),
		one("sync.keep", &s.Keep, integer(1, 100)),
	}
}

// repoSettings are the keys within [[repo]], bound to r.
func repoSettings(r *Repo) []setting {
	upstream := checked("URL", `a URL such as "https://mirror.example.org/fedora/linux"`, parseUpstream)
	return []setting{
		one("name", &r.Name, repoName()),
		atLeastOne(many("upstreams", &r.Upstreams, upstream), upstream.want),
		templateSetting("metalink", &r.Metalink),
		templateSetting("mirrorlist", &r.Mirrorlist),
		one("proxy", &r.Proxy, checked("proxy URL",
			`a URL such as "http://proxy.example.org:3128" or "socks5://10.0.0.9:1080", or ""`, parseProxy)),
		many("aliases", &r.Aliases, checked("URL",
			`a URL such as "https://mirrors.example.org/fedora/linux" or "http://*.archive.example.org/ubuntu"`, parseAlias)),
		many("alias_paths", &r.AliasPaths, checked("URL path", `a path such as "/pub/fedora/linux"`, parseAliasPath)),
		many("gpg_keys", &r.GPGKeys, keyFile()),
		one("repo_gpgcheck", &r.RepoGPGCheck, oneOf(GPGAuto, GPGAlways, GPGNever)),
	}
}

// replicaSettings are the keys within [[replicate]], bound to r.
func replicaSettings(r *Replica) []setting {
	return []setting{
		one("from", &r.From, checked("URL", `the URL of another imserve such as "http://mirror1.example.org:3180"`, parseUpstream)),
		one("upstream", &r.Upstream, boolean()),
		one("schedule", &r.Schedule, checked("cron schedule",
			`minute, hour, day, month, weekday (0 to 6, 0 is Sunday) such as "17 4 * * *", or "" for behind each run`, func(s string) (string, error) {
				if s == "" {
					return "", nil
				}
				return parseSchedule(s)
			})),
		one("rate", &r.Rate, rate()),
		one("window", &r.Window, ofString("window", `two times such as "01:00-06:00", or "" for that of [sync]`, parseWindow, Window.String)),
		one("parallel", &r.Parallel, integer(0, 256)),
	}
}

// one is a key with a single value.
func one[T any](key string, target *T, c codec[T]) setting {
	return setting{
		key: key, kind: c.kind, target: target,
		set: func(v value) []fault {
			x, err := c.read(v.v)
			if err != nil {
				return []fault{refuse(v, err, c.want)}
			}
			*target = x
			return nil
		},
		text: func() string { return c.text(*target) },
	}
}

// many is a key with a list.
func many[T any](key string, target *[]T, c codec[T]) setting {
	return setting{
		key: key, kind: "list of " + c.kind, target: target,
		set: func(v value) []fault {
			elems, ok := v.v.([]value)
			if !ok {
				return []fault{refuse(v, errType, "a list, in brackets, of "+c.want)}
			}
			list := make([]T, 0, len(elems))
			var faults []fault
			for _, e := range elems {
				x, err := c.read(e.v)
				if err != nil {
					faults = append(faults, refuse(e, err, c.want))
					continue
				}
				list = append(list, x)
			}
			if faults == nil {
				*target = list
			}
			return faults
		},
		text: func() string {
			texts := make([]string, len(*target))
			for i, x := range *target {
				texts[i] = c.text(x)
			}
			return "[" + strings.Join(texts, ", ") + "]"
		},
	}
}

func networks(key string, target *Networks) setting {
	s := many(key, (*[]netip.Prefix)(target), network())
	s.target = target
	return s
}

// atLeastOne is the list s, refused where it is empty.
func atLeastOne(s setting, want string) setting {
	set := s.set
	s.set = func(v value) []fault {
		if elems, ok := v.v.([]value); ok && len(elems) == 0 {
			return []fault{{v.line, "an empty list; expected at least one: " + want}}
		}
		return set(v)
	}
	return s
}

// templateSetting is a key with a Template: one URL, or a table.
func templateSetting(key string, target *Template) setting {
	const want = `a URL such as "https://mirrors.example.org/metalink?path={root}", or a table of such by pattern of the root`
	return setting{
		key: key, kind: "template", target: target,
		set: func(v value) []fault {
			lines := table{{anyRoot, v}}
			if t, ok := v.v.(table); ok {
				lines = t
			}
			var t Template
			var faults []fault
			for _, f := range lines {
				address, ok := f.v.(string)
				if !ok {
					faults = append(faults, refuse(f.value, errType, want))
					continue
				}
				// "" is none, where the whole is a string.
				if _, whole := v.v.(string); whole && address == "" {
					continue
				}
				r, err := newRule(f.name, address)
				if err != nil {
					faults = append(faults, refuse(f.value, err, want))
					continue
				}
				t.rules = append(t.rules, r)
			}
			if faults == nil {
				*target = t
			}
			return faults
		},
		text: func() string {
			rules := target.rules
			switch {
			case len(rules) == 0:
				return `""`
			case len(rules) == 1 && rules[0].pattern == anyRoot:
				return quote(rules[0].url)
			}
			lines := make([]string, len(rules))
			for i, r := range rules {
				lines[i] = quote(r.pattern) + " = " + quote(r.url)
			}
			return "{ " + strings.Join(lines, ", ") + " }"
		},
	}
}

// refuse says what v is, why it will not do and what would.
func refuse(v value, err error, want string) fault {
	if errors.Is(err, errType) {
		switch v.v.(type) {
		case []value, table:
			return fault{v.line, fmt.Sprintf("%s; expected %s", v.kind(), want)}
		}
		return fault{v.line, fmt.Sprintf("%s is %s; expected %s", shown(v.v), v.kind(), want)}
	}
	return fault{v.line, fmt.Sprintf("%s: %v; expected %s", shown(v.v), err, want)}
}

// shown is a value as an error quotes it, cut where it is long.
func shown(v any) string {
	s, ok := v.(string)
	if !ok {
		return fmt.Sprint(v)
	}
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "..."
	}
	return quote(s)
}
