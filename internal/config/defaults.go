package config

import (
	"net/netip"
	"path/filepath"
	"time"
)

// defaults is the configuration of a site that wrote none, but for what
// depends on the host: directories, and the networks it is attached to.
func defaults() *Config {
	return &Config{
		CacheSize:      100 << 30,
		MinFree:        1 << 30,
		GenerationKeep: Duration(7 * day),
		BucketRegion:   "us-east-1",
		BucketKeep:     Duration(90 * day),
		Serve: Serve{
			Listen: []Address{{HostPort: ":3180"}},
			Clients: mustNetworks("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
				"fc00::/7", "fe80::/10"),
			Admins:         mustNetworks("127.0.0.0/8", "::1"),
			TrustedProxies: mustNetworks("127.0.0.0/8", "::1"),
			Proxy:          true,
			ProxyDeny: mustNetworks("127.0.0.0/8", "169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
				"::1", "fc00::/7", "fe80::/10"),
			ConnectPorts:   []int{443},
			ConnectHosts:   []Pattern{"*"},
			MetadataMaxAge: Duration(time.Minute),
			PackageMaxAge:  Duration(time.Hour),
			QuickAbortMax:  1 << 30,
			Packages:       []Pattern{"*.rpm", "*.drpm", "*.deb", "*.udeb", "*.apk", "*.pkg.tar.*"},
			Metadata: []Pattern{"*/repodata/*", "*/dists/*", "*/InRelease", "*/Release", "*/Release.gpg", "*/Packages",
				"*/Packages.[gxbz]*", "*/media.1/*", "*/RPM-GPG-KEY*"},
			Extra: []Pattern{"*/.treeinfo", "*/images/*", "*/LiveOS/*"},
		},
		Sync: Sync{
			Schedule:   "17 2 * * *",
			Poll:       Duration(time.Hour),
			Verify:     Duration(30 * day),
			JSONFields: DefaultLogFields(),
			ClientCap:  2000,
			Packages:   []Pattern{"mplayer", "vlc", "vlc-plugins-freeworld", "gstreamer1*", "gstreamer-plugins-*"},
			Exclude:    []Pattern{"*-devel", "*-dev", "*-doc", "*-debuginfo", "*-debugsource", "*-dbg"},
			Top:        500,
			HalfLife:   Duration(60 * day),
			Candidates: []string{CandidateRename, CandidateDependency, CandidateNewcomer, CandidateSibling},
			Objective:  ObjectiveRequests,
			Budget:     20 << 30,
			Parallel:   16,
			Keep:       2,
		},
	}
}

// mustNetworks is for the lists above, which a test reads.
func mustNetworks(list ...string) Networks {
	n := make(Networks, len(list))
	for i, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			n[i] = p
		} else {
			a := netip.MustParseAddr(s)
			n[i] = netip.PrefixFrom(a, a.BitLen())
		}
	}
	return n
}

// baseDir is a directory that depends on who runs the program: for root it is
// system; for others it is below the XDG variable's directory, or below home.
// It is "" where none of these is known.
func baseDir(o Options, system, variable, belowHome string) (dir string, from origin) {
	const name = "intelligentmirror"
	if o.UID == 0 {
		return filepath.Join(system, name), origin{text: "default"}
	}
	// The XDG specification has relative paths ignored.
	if base := o.Getenv(variable); filepath.IsAbs(base) {
		return filepath.Join(base, name), origin{text: "environment: $" + variable}
	}
	if filepath.IsAbs(o.HomeDir) {
		return filepath.Join(o.HomeDir, belowHome, name), origin{text: "default"}
	}
	return "", origin{}
}

// complete fills in what follows from other values.
func (c *Config) complete(o Options) {
	if key := "serve.clients"; !c.origins[key].set {
		addrs, err := o.Interfaces()
		if err != nil {
			c.caveats = append(c.caveats, "serve.clients: the networks that this host is attached to cannot be read ("+
				err.Error()+"): only private networks may ask; set serve.clients")
		}
		if more := attached(addrs, c.Serve.Clients); len(more) > 0 {
			c.Serve.Clients = append(c.Serve.Clients, more...)
			c.origins[key] = origin{text: "default, with the networks of this host"}
		}
	}
	if c.Serve.AdminToken != "" && c.Serve.TLSCert == "" {
		c.caveats = append(c.caveats, "serve.admin_token: without serve.tls_cert whoever is on the way can read the token, unless a proxy in front of this machine speaks TLS")
	}
	if c.Serve.AccessLog == "" && c.StateDir != "" {
		c.Serve.AccessLog = filepath.Join(c.StateDir, "access.log")
	}
	if c.Serve.CACert == "" && c.StateDir != "" {
		c.Serve.CACert, c.Serve.CAKey = filepath.Join(c.StateDir, "ca.pem"), filepath.Join(c.StateDir, "ca.key")
	}
	if !c.origins["sync.logs"].set && c.StateDir != "" {
		log := c.Serve.AccessLog
		if log == StandardOutput {
			log = filepath.Join(c.StateDir, "access.log")
		}
		c.Sync.Logs = []string{globQuote.Replace(log) + "*"}
	}
}
