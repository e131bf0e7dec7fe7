package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/site"
	"intelligentmirror/serve"
)

// serve runs the mirror until ctx ends.
func (p *program) serve(ctx context.Context) (err error) {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: p.logLevel}))
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	defer func() {
		switch {
		case errors.Is(err, site.ErrKeys):
			err = &failure{exitUsage, err}
		case err != nil:
			err = &failure{exitFailed, err}
		}
	}()
	via := serve.Pseudonym()
	s, err := site.Open(cfg, site.Options{Program: "imserve", Via: via, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	access, err := p.accessLog(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, access.Close()) }()
	host, err := os.Hostname()
	if err != nil {
		log.Warn("this machine's name is not known", "error", err)
	}
	l, err := net.Listen("tcp", cfg.Serve.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: is imserve running already? Else set serve.listen, or --listen", err)
	}
	if err != nil {
		return err
	}
	server := serve.New(serve.Options{
		Config: cfg, Cache: s.Cache, Mirrors: s.Mirrors, Ledger: s.Ledger,
		AccessLog: access, Version: site.Version(), Hostname: host, Via: via, Log: log,
	})
	defer server.Close()
	log.Info("imserve", "version", site.Version(), "cache_dir", cfg.CacheDir, "access_log", cfg.Serve.AccessLog, "config", cfg.File())
	return server.Serve(ctx, l)
}

// accessLog opens the access log for appending, so that it may be truncated at
// any time.
func (p *program) accessLog(cfg *config.Config) (io.WriteCloser, error) {
	if cfg.Serve.AccessLog == config.StandardOutput {
		return standardOutput{p.stdout}, nil
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Serve.AccessLog), 0o750); err != nil {
		return nil, fmt.Errorf("access_log: %w", err)
	}
	// It tells who asked for what: not for everybody on this machine.
	f, err := os.OpenFile(cfg.Serve.AccessLog, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("access_log: %w", err)
	}
	return f, nil
}

// standardOutput is not ours to close.
type standardOutput struct{ io.Writer }

func (standardOutput) Close() error { return nil }
