// Package config holds what the site's administrator decided: the keys of the
// configuration file, their defaults and what is allowed for each.
//
// What it promises: a Config that Load returned is complete and valid, every
// path in it is absolute, and nothing in the file was ignored. Whatever is
// wrong in a file is reported at once, each with its file, line and key and
// with what is expected there. What went wrong without being an error is said by
// Warnings.
//
// Read config.go (the values) first, then schema.go (one line a key: its
// name, where it goes, what it may be), load.go (how they are found) and
// resolve.go (to which repository a URL belongs). repos.toml has the built-in
// repositories in the syntax of the file itself.
package config

import (
	"cmp"
	"slices"
)

// Config is the effective configuration. Load makes it; after that it is read
// only, and may be used by any number of goroutines.
type Config struct {
	CacheDir       string   // where the cache's tree is; absolute
	StateDir       string   // where logs and databases are; absolute
	CacheSize      Size     // what the cache may take on the disk
	MinFree        Size     // what is left free on the cache's file system
	GenerationKeep Duration // how long replaced repository metadata is kept

	Bucket            Bucket   // in an object store, that caches of the site share; the zero Bucket is none
	BucketEndpoint    string   // URL of its server, without a path; "" is Amazon's
	BucketRegion      string   // that requests to it are signed for
	BucketCredentials string   // a file with its credentials, absolute; "" is the environment
	BucketKeep        Duration // how long it keeps what no metadata tells the use of

	// Repos has the repositories of the file in its order, then the built-in
	// ones that the file does not replace. Names are unique.
	Repos []Repo

	Serve Serve
	Sync  Sync

	// Replicas has the other imserves whose caches are copied into this one, in the
	// order of the file. No two have one From.
	Replicas []Replica

	file     string            // the file that was read; "" is none
	tried    []string          // where one was looked for
	origins  map[string]origin // where each value came from, by originKey
	caveats  []string          // what went wrong without being an error
	prefixes *prefixes
}

// Repo is a repository: its place in the cache is its name.
type Repo struct {
	Name       string
	Upstreams  []string // URLs of mirrors in the order they are asked, without a trailing slash; never empty
	Metalink   Template // of a root: where its metalink is
	Mirrorlist Template // of a root: where its list of mirrors is, without digests
	Proxy      string   // URL of the proxy that its mirrors and lists are reached by; "" is as the environment says
	Aliases    []string // URL prefixes that are this repo too, http and https alike; a label of the host may be "*"
	AliasPaths []string // path prefixes that are this repo on its upstreams' hosts and in the logs of other mirrors
	GPGKeys    []string // files with the keys that sign it
	// RepoGPGCheck says whether repomd.xml must be signed: GPGAuto, GPGAlways
	// or GPGNever.
	RepoGPGCheck string
}

// What Repo.RepoGPGCheck may be.
const (
	GPGAuto   = "auto"   // a signature that exists must verify
	GPGAlways = "always" // there must be one, and it must verify
	GPGNever  = "never"  // it is not looked at
)

// Serve is how imserve answers.
type Serve struct {
	Listen         []Address // never empty
	TLSCert        string    // a file with the certificate, absolute; "" is plain HTTP
	TLSKey         string    // a file with its key; "" where TLSCert is
	Clients        Networks  // who may ask; never empty
	Admins         Networks  // who may see and do more at /-/
	AdminToken     string    // a file with a secret, absolute: who gives that may, too; "" is none
	TrustedProxies Networks  // whose X-Forwarded-For is believed
	Proxy          bool      // whether absolute-form requests are answered
	ProxyDeny      Networks  // where a proxied request may not lead
	ProxyAllow     []string  // exceptions to ProxyDeny: networks or host names
	ConnectPorts   []int     // where CONNECT may lead
	ConnectHosts   []Pattern
	Intercept      bool     // whether tunnels to repositories' hosts end here, by certificates of the site's CA
	CACert         string   // the file with that CA's certificate, absolute
	CAKey          string   // the file with its key, absolute
	MetadataMaxAge Duration // how long stored metadata is fresh
	PackageMaxAge  Duration // how long a stored package is fresh that no metadata vouches for
	QuickAbortMax  Size     // what may be missing of a file for its download to go on when nobody waits for it
	Packages       []Pattern
	Metadata       []Pattern
	Extra          []Pattern
	Announce       bool     // whether the local network is told of this server by mDNS
	Siblings       []string // URLs of other caches of the site, without the last slash
	AccessLog      string   // an absolute path, or StandardOutput
}

// StandardOutput as Serve.AccessLog writes the access log there.
const StandardOutput = "-"

// Sync is how imsync fills the cache ahead of the requests.
type Sync struct {
	Schedule   string     // in cron's five fields, or as "@daily"
	Poll       Duration   // how often the roots in use are looked at; 0 is never
	Verify     Duration   // in which time the nights read all that is stored back; 0 is never
	Logs       []string   // globs of access logs, absolute
	JSONFields []LogField // where lines in JSON have what, the preferred first
	ClientCap  int        // packages that a client's day can count for; 0 is no limit
	Group      []string   // URLs of the imserves whose machines make one ranking with this one
	GroupKey   string     // the file with the secret that these machines share, absolute; "" is no group
	Packages   []Pattern  // the seed list; "@name" is a comps group
	Exclude    []Pattern
	Arches     []string // architectures that are fetched, and noarch; none is all
	Roots      []string // "fedora/updates/41/Everything/x86_64"; the first element names one of Repos
	Top        int      // how many of the most popular names are kept ready
	HalfLife   Duration // after which a client-day counts half; never 0
	Candidates []string // where names are looked for that nobody asked for yet: CandidateRename and others
	Objective  string   // ObjectiveRequests or ObjectiveBytes
	Budget     Size     // what a run may download
	PerRoot    Size     // what of it may be of one root; 0 is no limit
	Rate       Rate     // what it may download a second; 0 is no limit
	Window     Window   // when it may run; the zero Window is always
	Parallel   int      // downloads at a time, at least 1
	Keep       int      // versions of a name, at least 1
}

// Replica is another imserve whose cache is copied into this one.
type Replica struct {
	From     string // its URL, without a trailing slash
	Upstream bool   // whether imserve asks it before the upstreams of each repository
	Schedule string // in cron's five fields; "" is behind each run that Sync.Schedule begins
	Rate     Rate   // what may come from it a second; 0 is as Sync.Rate says
	Window   Window // when it may be copied; the zero Window is as Sync.Window says
	Parallel int    // downloads at a time; 0 is as Sync.Parallel says
}

// What Sync.Objective may be.
const (
	ObjectiveRequests = "requests" // waits spared
	ObjectiveBytes    = "bytes"    // bytes moved from the day to the night
)

// What Sync.Candidates may have.
const (
	CandidateRename     = "rename"     // what obsoletes a popular name
	CandidateDependency = "dependency" // what popular packages require
	CandidateNewcomer   = "newcomer"   // new names that are built from the source of popular ones
	CandidateSibling    = "sibling"    // other names that are
	CandidateGroup      = "group"      // the rest of comps groups most of which is popular
)

// Repo is the repository of that name, nil if there is none.
func (c *Config) Repo(name string) *Repo {
	for i := range c.Repos {
		if c.Repos[i].Name == name {
			return &c.Repos[i]
		}
	}
	return nil
}

// Replica is how the imserve at from is copied: as its [[replicate]] says, or as [sync]
// does where there is none. A slash at the end of from does not matter. The error says
// what is wrong with from.
func (c *Config) Replica(from string) (Replica, error) {
	from, err := parseUpstream(from)
	if err != nil {
		return Replica{}, err
	}
	r := Replica{From: from}
	for _, x := range c.Replicas {
		if x.From == from {
			r = x
		}
	}
	return r.over(&c.Sync), nil
}

// over is r with what it leaves to s.
func (r Replica) over(s *Sync) Replica {
	r.Rate, r.Window, r.Parallel = cmp.Or(r.Rate, s.Rate), cmp.Or(r.Window, s.Window), cmp.Or(r.Parallel, s.Parallel)
	return r
}

// Origins are the URLs that files of the repository of that name are asked for
// before its upstreams: of the caches that this one is a copy of.
func (c *Config) Origins(repo string) (urls []string) {
	for _, r := range c.Replicas {
		if r.Upstream {
			urls = append(urls, r.From+"/"+repo)
		}
	}
	return urls
}

// BuiltIn reports whether the repository of that name is one that no entry of the
// file replaced: its upstreams are the distribution's own servers, which nobody
// chose for this site.
func (c *Config) BuiltIn(name string) bool {
	return c.Repo(name) != nil && !c.origins[originKey(name, "upstreams")].set
}

// File is the configuration file that was read, "" if there was none.
func (c *Config) File() string { return c.file }

// origin is where a value came from.
type origin struct {
	text string // "default", "config.toml:12", "--listen flag"
	set  bool   // by the administrator, in the file or by a flag
}

// originKey is a repo's key in Config.origins, and with no key the repo's own.
// No repo has a slash in its name.
func originKey(repo, key string) string { return repo + "/" + key }

// replicaOrigin is a key in Config.origins of the [[replicate]] from there.
func replicaOrigin(from, key string) string { return "replicate " + from + " " + key }

// Warnings has a sentence for each thing that the administrator should know
// before relying on this configuration. Both programs log them as they start.
func (c *Config) Warnings() []string { return slices.Clone(c.caveats) }
