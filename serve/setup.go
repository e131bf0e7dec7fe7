package serve

import (
	"bytes"
	_ "embed" // what is below setup/
	htmltemplate "html/template"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"intelligentmirror/internal/cache"
)

// setupPath is below which clients find how to use this mirror.
const setupPath = "/-/setup/"

// setup answers with what a client's administrator needs: for any client.
func (s *Server) setup(a *answer, name string) {
	p := s.setupFor(a.r)
	var body bytes.Buffer
	contentType := "text/plain; charset=utf-8"
	var err error
	switch name {
	case "":
		contentType = "text/html; charset=utf-8"
		err = setupTemplate.Execute(&body, p)
	case "setup.sh":
		contentType = "text/x-shellscript; charset=utf-8"
		err = setupScript.Execute(&body, p)
	case "dnf5.repo":
		body.WriteString(p.DNF5(false))
	case "dnf5-metalink.repo":
		body.WriteString(p.DNF5(true))
	case "apt.conf":
		body.WriteString(p.AptConf())
	case "apt-proxy":
		contentType = "text/x-shellscript; charset=utf-8"
		body.WriteString(p.AptProxy())
	default:
		a.text(http.StatusNotFound, cache.Status{}, "Not found: there is no such page.", "There are setup.sh, dnf5.repo, dnf5-metalink.repo, apt.conf and apt-proxy below "+setupPath)
		return
	}
	if err != nil {
		a.text(http.StatusInternalServerError, cache.Status{}, "This page can't be shown: "+err.Error())
		return
	}
	a.guard()
	a.document(contentType, body.Bytes())
}

// setupPage is what clients are told. All text in it but Base comes from the
// configuration and from sources; Base is checked by hostOf.
type setupPage struct {
	Base   string // this mirror's URL as the client wrote it, without a slash at its end
	Secure bool   // it is asked over TLS
	Proxy  bool   // it is a proxy too
	Repos  []setupRepo
	Rules  []setupRule
	Groups []setupGroup
}

// setupRepo is a repository.
type setupRepo struct{ Name, URL, Public string }

// setupRule says which URL, of a list of mirrors or of a mirror, is which place here.
type setupRule struct{ From, After, Repo, Before, Behind, Public string }

// setupGroup is a distribution whose repositories have sections of a fixed name.
type setupGroup struct {
	Name     string
	Sections []setupSection
}

// setupSection is a section of a .repo file.
type setupSection struct{ ID, Ours, Public, Metalink string }

// setupFor is what the client of r is told.
func (s *Server) setupFor(r *http.Request) *setupPage {
	cfg := s.o.Config
	p := &setupPage{Proxy: cfg.Serve.Proxy}
	p.Base, p.Secure = s.baseFor(r)
	for i := range cfg.Repos {
		p.Repos = append(p.Repos, setupRepo{cfg.Repos[i].Name, p.Base + "/" + cfg.Repos[i].Name + "/", cfg.Repos[i].Upstreams[0] + "/"})
	}
	for _, src := range sources {
		repo := cfg.Repo(src.repo)
		if repo == nil {
			continue
		}
		before, behind, _ := strings.Cut(src.path, "@")
		p.Rules = append(p.Rules, setupRule{src.list, src.after, repo.Name, before, behind, repo.Upstreams[0]})
		if src.id == "" {
			continue
		}
		i := slices.IndexFunc(p.Groups, func(g setupGroup) bool { return g.Name == src.of })
		if i < 0 {
			i = len(p.Groups)
			p.Groups = append(p.Groups, setupGroup{Name: src.of})
		}
		g := &p.Groups[i]
		path := before + src.usual + behind
		g.Sections = append(g.Sections, setupSection{src.id, p.Base + "/" + repo.Name + "/" + path, repo.Upstreams[0] + "/" + path, p.Base + metalinkPage + repo.Name + "/" + strings.TrimSuffix(path, "/")})
	}
	for i := range cfg.Repos {
		repo := &cfg.Repos[i]
		for _, prefix := range append(repo.Upstreams[:len(repo.Upstreams):len(repo.Upstreams)], repo.Aliases...) {
			_, prefix, _ = strings.Cut(prefix, "://")
			if !strings.Contains(prefix, "*") {
				p.Rules = append(p.Rules, setupRule{From: prefix + "/", Repo: repo.Name})
			}
		}
	}
	return p
}

// baseFor is the URL of this server as the client of r wrote it, or, where that is
// none which can be written into a file, by the address that the connection came to.
func (s *Server) baseFor(r *http.Request) (base string, secure bool) {
	secure = r.TLS != nil
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && s.o.Config.Serve.TrustedProxies.Contains(peer.Addr()) {
		secure = secure || r.Header.Get("X-Forwarded-Proto") == "https"
	}
	scheme, usual := "http", "80"
	if secure {
		scheme, usual = "https", "443"
	}
	host, ok := hostOf(r.Host)
	if !ok {
		if host, ok = hostOf(localAddr(r)); !ok {
			host = "localhost"
		}
	}
	return scheme + "://" + strings.TrimSuffix(host, ":"+usual), secure
}

// hostOf is a Host field that is a host's name or address, and maybe a port, in one
// way of writing it. Whoever asks may have written anything there, and what is made
// of it goes into scripts and configuration.
func hostOf(field string) (host string, ok bool) {
	name, port := field, ""
	if h, p, err := net.SplitHostPort(field); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", false
		}
		name, port = h, ":"+strconv.FormatUint(n, 10)
	} else if strings.HasPrefix(field, "[") && strings.HasSuffix(field, "]") {
		name = field[1 : len(field)-1]
	}
	if a, err := netip.ParseAddr(name); err == nil {
		if a.Zone() != "" {
			return "", false // a name of an interface, which means nothing elsewhere
		}
		if a = plain(a); a.Is6() {
			return "[" + a.String() + "]" + port, true
		}
		return a.String() + port, true
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name + port, true
}

// DNF5 is what dnf5 lays over the repositories of Fedora: the addresses of this mirror
// and of a public one, or this mirror's metalinks.
func (p *setupPage) DNF5(metalink bool) string {
	var b strings.Builder
	b.WriteString("# Of " + p.Base + setupPath + ": for /etc/dnf/repos.override.d/90-intelligentmirror.repo\n")
	for _, g := range p.Groups {
		if !strings.Contains(g.Name, "Fedora") {
			continue
		}
		for _, section := range g.Sections {
			if metalink {
				b.WriteString("\n[" + section.ID + "]\nmetalink=" + section.Metalink + "\nmirrorlist=\nbaseurl=\n")
				continue
			}
			b.WriteString("\n[" + section.ID + "]\nmetalink=\nmirrorlist=\nbaseurl=" + section.Ours + "," + section.Public + "\n")
		}
	}
	return b.String()
}

// AptConf is apt's drop-in.
func (p *setupPage) AptConf() string { return p.apt(aptConf) }

// AptProxy is the program that apt asks for its proxy.
func (p *setupPage) AptProxy() string { return p.apt(aptProxy) }

func (p *setupPage) apt(t *template.Template) string {
	var b strings.Builder
	// A template of one string, and a Builder, which takes anything.
	_ = t.Execute(&b, p.Base)
	return b.String()
}

// Source is a line of sources.list for the repository of that name; "" where this
// mirror does not have it.
func (p *setupPage) Source(repo, suite, components string) string {
	for _, r := range p.Repos {
		if r.Name == repo {
			return "deb " + strings.TrimSuffix(r.URL, "/") + " " + suite + " " + components
		}
	}
	return ""
}

// Has reports whether this mirror has the repository of that name.
func (p *setupPage) Has(repo string) bool { return p.Source(repo, "", "") != "" }

//go:embed setup/setup.html
var setupHTML string

//go:embed setup/setup.sh
var setupText string

//go:embed setup/apt.conf
var aptConfText string

//go:embed setup/apt-proxy.sh
var aptProxyText string

var (
	setupTemplate = htmltemplate.Must(htmltemplate.New("setup").Parse(setupHTML))
	setupScript   = template.Must(template.New("setup.sh").Parse(setupText))
	aptConf       = template.Must(template.New("apt.conf").Parse(aptConfText))
	aptProxy      = template.Must(template.New("apt-proxy").Parse(aptProxyText))
)
