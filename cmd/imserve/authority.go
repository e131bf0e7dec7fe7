package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/authority"
	"intelligentmirror/internal/config"
)

// caEndsSoon is how long before its end the log begins to speak of it: all
// clients have to be told of another CA.
const caEndsSoon = 60 * 24 * time.Hour

// authorityOf loads the CA by which cfg has https intercepted, nil if it does not.
func authorityOf(cfg *config.Config, log *slog.Logger) (*authority.Authority, error) {
	if !cfg.Serve.Intercept {
		return nil, nil
	}
	a, err := authority.Load(cfg.Serve.CACert, cfg.Serve.CAKey, time.Now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("serve.intercept needs a CA: %w; make one with: imserve ca", err)
	case err != nil:
		return nil, fmt.Errorf("serve.intercept: the CA can't be used: %w", err)
	}
	if time.Until(a.Expires()) < caEndsSoon {
		log.Warn("the CA ends soon: move it away, make another one with imserve ca, and have the clients trust that",
			"ca_cert", cfg.Serve.CACert, "until", a.Expires().Format(time.DateOnly))
	}
	return a, nil
}

// caCommand is the command that makes the site's CA.
func (p *program) caCommand() *cobra.Command {
	var only []string
	c := &cobra.Command{
		Use:   "ca",
		Short: "Make the CA that https is intercepted with, and say what clients have to do",
		Long: "Ca makes the certificate authority by which imserve may answer https in the place of repositories' hosts\n" +
			"(serve.intercept), to those clients that are told to trust it. Where there is one already it is left as it\n" +
			"is, and shown. Whoever has its key can pose as any host to these clients, or as those of --only.",
		Example: "  imserve ca\n  imserve ca --only fedoraproject.org --only rpmfusion.org",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return p.ca(only) },
	}
	c.Flags().StringSliceVar(&only, "only", nil, "a `domain` whose hosts the CA may vouch for, and no others; may be repeated")
	return c
}

// ca makes the CA, if there is none, and shows it.
func (p *program) ca(only []string) error {
	cfg, err := p.load(nil)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // it is a name for people
	}
	v := &cfg.Serve
	err = authority.Create(authority.New{Cert: v.CACert, Key: v.CAKey, Host: host, Only: only, Now: time.Now()})
	made := err == nil
	if err != nil && (!errors.Is(err, fs.ErrExist) || len(only) > 0) {
		return &failure{exitFailed, fmt.Errorf("make the CA: %w", err)}
	}
	a, err := authority.Load(v.CACert, v.CAKey, time.Now)
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{exitFailed, fmt.Errorf("the CA is not whole: %w; move what is there of %s and %s away, then run imserve ca again", err, v.CACert, v.CAKey)}
	}
	if err != nil {
		return &failure{exitFailed, fmt.Errorf("the CA that is there can't be used: %w", err)}
	}
	p.showCA(cfg, a, made)
	return nil
}

// showCA says what the CA is and what to do with it.
func (p *program) showCA(cfg *config.Config, a *authority.Authority, made bool) {
	what := "This CA was there already, and is as it was:"
	if made {
		what = "This CA was made:"
	}
	hosts := "any host: whoever can read its key can pose as any"
	if only := a.Only(); len(only) > 0 {
		hosts = strings.Join(only, ", ") + ", and the hosts below"
	}
	v := &cfg.Serve
	fmt.Fprintf(p.stdout, `%s
  %s
  certificate   %s
  key           %s
  SHA-256       %s
  good until    %s
  vouches for   %s

Clients have to be told to trust the certificate, each by choice, and use this mirror as their proxy. Copy it to them
by a way that you trust, and compare the SHA-256 above. Then, for all of the machine:
  Fedora, EL    cp ca.pem /etc/pki/ca-trust/source/anchors/intelligentmirror.pem && update-ca-trust
  Debian        cp ca.pem /usr/local/share/ca-certificates/intelligentmirror.crt && update-ca-certificates
or for its package manager alone, which then trusts no other CA for these repositories, unless the file has those too:
  dnf           sslcacert=/etc/pki/intelligentmirror.pem
  apt           Acquire::https::CAInfo "/etc/ssl/intelligentmirror.pem";
`, what, a.Subject(), v.CACert, v.CAKey, a.Fingerprint(), a.Expires().Format(time.DateOnly), hosts)
	if !v.Intercept {
		fmt.Fprintf(p.stdout, "\nIt is not in use yet: write intercept = true below [serve] in %s, and reload imserve.\n", cmp.Or(cfg.File(), config.SystemFile))
	}
}
