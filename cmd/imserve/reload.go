package main

import (
	"fmt"
	"net"
	"slices"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/site"
)

// reload reads the configuration again and puts it in effect for the requests
// that come from now on. Whatever can fail comes first: a configuration that
// can't be used changes nothing.
func (d *daemon) reload() {
	if err := d.tryReload(); err != nil {
		d.reloads.failed()
		d.log.Error("the configuration stays as it was: the new one can't be used", "error", err)
		return
	}
	d.reloads.succeeded()
	d.log.Info("the configuration was read again", "config", d.cfg.File())
}

func (d *daemon) tryReload() error {
	cfg, err := d.p.load(nil)
	if err != nil {
		return err
	}
	// What is kept open would have to be opened elsewhere. The file is read once
	// more without these keys, since others follow from them.
	pinned := map[string]string{}
	for _, k := range []struct{ key, was, is string }{
		{"cache_dir", d.first.CacheDir, cfg.CacheDir},
		{"state_dir", d.first.StateDir, cfg.StateDir},
	} {
		if k.was != k.is {
			d.staysAsItWas(k.key, k.was, k.is)
			pinned[k.key] = k.was
		}
	}
	if len(pinned) > 0 {
		if cfg, err = d.p.load(pinned); err != nil {
			return err
		}
	}
	rings, err := site.Keyrings(cfg)
	if err != nil {
		return err
	}
	cert, err := certificate(cfg)
	if err != nil {
		return err
	}
	ca, err := authorityOf(cfg, d.log)
	if err != nil {
		return err
	}
	token, err := tokenOf(cfg)
	if err != nil {
		return err
	}
	var more map[config.Address]net.Listener
	if d.doors.open != nil {
		if more, err = d.doors.missing(cfg.Serve.Listen); err != nil {
			return fmt.Errorf("serve.listen: %w", err)
		}
	}
	if err = d.access.reopen(cfg.Serve.AccessLog, d.p.stdout); err == nil {
		err = d.site.Reconfigure(cfg, rings)
	}
	if err != nil {
		for _, l := range more {
			_ = l.Close() // nobody has come by it
		}
		return err
	}

	for _, w := range cfg.Warnings() {
		d.log.Warn(w)
	}
	d.sizesStay(cfg)
	d.server.Reconfigure(cfg, d.site.MirrorsNow(), ca, token)
	d.cert.Use(cert)
	if d.doors.open == nil {
		if !slices.Equal(cfg.Serve.Listen, d.cfg.Serve.Listen) {
			d.log.Warn("serve.listen has no effect: the sockets are the service manager's; change ListenStream= of its socket unit, and restart that")
		}
	} else {
		for _, l := range d.doors.settle(cfg.Serve.Listen, more) {
			d.server.Add(l)
		}
	}
	d.cfg = cfg
	d.announce()
	return nil
}

// sizesStay says which of the keys that the cache was opened with have changed.
func (d *daemon) sizesStay(cfg *config.Config) {
	for _, k := range []struct{ key, was, is string }{
		{"cache_size", d.first.CacheSize.String(), cfg.CacheSize.String()},
		{"min_free", d.first.MinFree.String(), cfg.MinFree.String()},
		{"generation_keep", d.first.GenerationKeep.String(), cfg.GenerationKeep.String()},
		{"bucket", d.first.Bucket.String(), cfg.Bucket.String()},
		{"bucket_endpoint", d.first.BucketEndpoint, cfg.BucketEndpoint},
		{"bucket_region", d.first.BucketRegion, cfg.BucketRegion},
		{"bucket_credentials", d.first.BucketCredentials, cfg.BucketCredentials},
	} {
		if k.was != k.is {
			d.staysAsItWas(k.key, k.was, k.is)
		}
	}
}

// staysAsItWas says that a key can't change under way.
func (d *daemon) staysAsItWas(key, was, is string) {
	d.log.Warn(key+" can't change while imserve runs: restart it", "in_effect", was, "in_the_configuration", is)
}
