package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"intelligentmirror/internal/announce"
	"intelligentmirror/internal/bucket"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/site"
	"intelligentmirror/serve"
)

// daemon is the mirror while it runs, with what a signal may change of it.
type daemon struct {
	p          *program
	log        *slog.Logger
	supervisor supervisor
	reloads    *reloads

	first  *config.Config // that it was started with
	cfg    *config.Config // that is in effect
	site   *site.Site
	access *accessLog
	cert   *serve.Certificate
	doors  *doors
	server *serve.Server
	known  *announce.Announcer // to the local network
}

// serve runs the mirror until ctx ends.
func (p *program) serve(ctx context.Context) (err error) {
	cfg, err := p.load(nil)
	if err != nil {
		return err
	}
	log := p.logger()
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	defer func() {
		var f *failure
		switch {
		case err == nil || errors.As(err, &f):
		case errors.Is(err, site.ErrKeys), errors.Is(err, bucket.ErrCredentials):
			err = &failure{exitUsage, err}
		default:
			err = &failure{exitFailed, err}
		}
	}()
	d := &daemon{p: p, log: log, first: cfg, cfg: cfg, reloads: newReloads(), cert: serve.NewCertificate(), known: announce.New(log)}
	if d.supervisor, err = newSupervisor(os.Getenv, os.Getpid()); err != nil {
		return err
	}
	cert, err := certificate(cfg)
	if err != nil {
		return &failure{exitUsage, err}
	}
	d.cert.Use(cert)
	ca, err := authorityOf(cfg, log)
	if err != nil {
		return &failure{exitUsage, err}
	}
	token, err := tokenOf(cfg)
	if err != nil {
		return &failure{exitUsage, err}
	}
	via := serve.Pseudonym()
	if d.site, err = site.Open(cfg, site.Options{Program: "imserve", Via: via, Log: log}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.site.Close()) }()
	if d.access, err = openAccessLog(cfg.Serve.AccessLog, p.stdout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.access.Close()) }()
	host, err := os.Hostname()
	if err != nil {
		log.Warn("this machine's name is not known", "error", err)
	}
	var listeners []net.Listener
	if d.doors, listeners, err = openDoors(cfg.Serve.Listen, d.supervisor.sockets, d.cert); err != nil {
		return err
	}
	metadata := d.site.Refresher(log)
	defer metadata.Close()
	d.server = serve.New(serve.Options{
		Config: cfg, Cache: d.site.Cache, Mirrors: d.site.MirrorsNow(), Metadata: metadata, Hosts: d.site.Hosts(),
		Claims: d.site.Claims, Learnt: d.site.Learnt, Listed: d.site.Generations.Listed, Authority: ca, Token: token, Ledger: d.site.Ledger,
		Refused:   &d.site.Refused,
		AccessLog: d.access, Version: site.Version(), Hostname: host, Via: via, Log: log,
		Metrics: []prometheus.Collector{d.reloads, syncs{dir: cfg.StateDir, log: log}, uploads{d.site.Uploads}},
		Bucket:  bucketState(d.site.Uploads),
		Runs: func(ctx context.Context, cfg *config.Config) (*serve.Runs, error) {
			return runsOf(ctx, cfg, time.Now())
		},
		Actions: d.actions(),
	})
	defer d.server.Close()
	log.Info("imserve", "version", site.Version(), "cache_dir", cfg.CacheDir, "access_log", cfg.Serve.AccessLog, "config", cfg.File())
	return d.run(ctx, listeners)
}

// run answers until ctx ends, and heeds signals meanwhile.
func (d *daemon) run(ctx context.Context, listeners []net.Listener) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	ended, end := context.WithCancel(context.Background())
	defer end()
	for _, l := range listeners {
		d.server.Add(l)
	}
	d.tell(stateReady)
	d.announce()
	// It is withdrawn before the answers that are under way have ended.
	announcing, withdraw := context.WithCancel(ctx)
	defer withdraw()
	beside.Go(func() { d.known.Run(announcing) })
	beside.Go(func() { d.heed(ctx, ended) })
	beside.Go(func() { d.watch(ended) })
	beside.Go(func() { d.site.Cache.Tend(ended) })
	if d.site.Uploads != nil {
		beside.Go(func() { d.site.Uploads.Tend(ended) })
	}
	return d.server.Serve(ctx)
}

// announce has the local network told of where the server is now.
func (d *daemon) announce() {
	services := announced(d.cfg, d.doors.places(d.cfg.Serve.Listen), net.Interfaces)
	if d.cfg.Serve.Announce && len(services) == 0 {
		d.log.Warn("serve.announce has no effect: plain HTTP is spoken nowhere but on this machine itself")
	}
	d.known.Use(services)
}

// heed does what signals ask for, one after the other, until the server is told
// to stop (ctx) or has ended.
func (d *daemon) heed(ctx, ended context.Context) {
	for {
		select {
		case s := <-d.p.signals:
			switch s {
			case syscall.SIGHUP:
				d.tell(stateReloading)
				d.reload()
				d.tell(stateReady)
			case syscall.SIGUSR1:
				d.reopen()
			}
		case <-ctx.Done():
			d.tell(stateStopping)
			return
		case <-ended.Done():
			// It may have ended so soon that both are true.
			if ctx.Err() != nil {
				d.tell(stateStopping)
			}
			return
		}
	}
}

// watch gives the supervisor its signs of life, until ctx ends: while the
// server goes on, and not merely this goroutine.
func (d *daemon) watch(ctx context.Context) {
	if d.supervisor.watchdog == 0 {
		return
	}
	tick := time.NewTicker(d.supervisor.watchdog / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.server.Alive()
			d.tell(stateAlive)
		case <-ctx.Done():
			return
		}
	}
}

// tell tells the supervisor; one that does not listen is no reason to stop.
func (d *daemon) tell(state string) {
	if err := d.supervisor.tell(state); err != nil {
		d.log.Warn("the service manager does not listen", "error", err)
	}
}

// reopen opens the access log again, whose file was moved away.
func (d *daemon) reopen() {
	if err := d.access.reopen(d.cfg.Serve.AccessLog, d.p.stdout); err != nil {
		d.log.Error("the access log stays as it is", "error", err)
		return
	}
	d.log.Info("the access log was opened again", "access_log", d.cfg.Serve.AccessLog)
}

// certificate loads the certificate that cfg names, nil if it names none.
func certificate(cfg *config.Config) (*tls.Certificate, error) {
	if cfg.Serve.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.Serve.TLSCert, cfg.Serve.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("serve.tls_cert and serve.tls_key can't be used: %w", err)
	}
	return &cert, nil
}
