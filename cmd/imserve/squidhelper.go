package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"intelligentmirror/serve"
)

// squidHelperCommand is the command that squid runs.
func (p *program) squidHelperCommand() *cobra.Command {
	var mirror string
	var storeID bool
	c := &cobra.Command{
		Use:   "squid-helper",
		Short: "Answer squid's questions, as its url_rewrite_program or store_id_program",
		Long: "Squid-helper is started by squid, and tells it which requests are for files of a repository: squid asks\n" +
			"imserve for them, as long as imserve is ready, and goes on by itself where it is not. With --store-id\n" +
			"it gives a repository's packages one name in squid's own cache, whatever mirror they are asked of.\n" +
			"All other requests are left alone. See docs/SQUID.md.",
		Example: "  url_rewrite_program /usr/bin/imserve squid-helper\n" +
			"  store_id_program /usr/bin/imserve squid-helper --store-id\n" +
			"  echo http://ftp.debian.org/debian/dists/stable/InRelease | imserve squid-helper",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.squidHelper(cmd, mirror, storeID) },
	}
	c.Flags().StringVar(&mirror, "mirror", "", "the `URL`, http://HOST:PORT, at which squid reaches imserve (else what serve.listen says, on this machine)")
	c.Flags().BoolVar(&storeID, "store-id", false, "be a store_id_program, in place of a url_rewrite_program")
	return c
}

// squidHelper answers squid until its end, or until the program is told to stop.
func (p *program) squidHelper(cmd *cobra.Command, mirror string, storeID bool) error {
	log := p.logger()
	o := serve.SquidHelperOptions{StoreID: storeID, Log: log}
	var err error
	if mirror != "" {
		if o.Mirror, err = parseMirror(mirror); err != nil {
			return &failure{exitUsage, fmt.Errorf("--mirror %s: %w", mirror, err)}
		}
	}
	// It runs as squid's user, who has no home, and keeps nothing.
	nowhere := map[string]string{"cache_dir": os.TempDir(), "state_dir": os.TempDir()}
	o.Config, err = p.load(nowhere)
	if err == nil && o.Mirror == nil {
		if o.Mirror, err = serve.SquidMirror(&o.Config.Serve); err != nil {
			o.Config, err = nil, fmt.Errorf("imserve's address is not known: %w, or name it by --mirror", err)
		}
	}
	if err != nil {
		// A squid whose helpers end as they start ends too, and with it all of the site's traffic.
		log.Error("all URLs are left as they are, until this is corrected and squid is reconfigured", "error", err)
	}
	ctx := cmd.Context()
	ended := make(chan error, 1)
	go func() { ended <- serve.NewSquidHelper(o).Run(ctx, cmd.InOrStdin(), p.stdout) }()
	select {
	case err = <-ended:
	case <-ctx.Done(): // nothing wakes who reads from squid
		err = nil
	}
	if err != nil {
		return &failure{exitFailed, err}
	}
	return nil
}

// parseMirror reads an address at which imserve answers squid.
func parseMirror(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("not an address such as http://127.0.0.1:3180")
	}
	if u.Port() == "" {
		u.Host += ":80"
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
