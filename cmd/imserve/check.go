package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/site"
)

// check validates the configuration and what it names, and prints it.
func (p *program) check() error {
	cfg, err := p.load(nil)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(p.stderr, "imserve: warning: %s\n", w)
	}
	if err := cfg.Write(p.stdout); err != nil {
		return &failure{exitFailed, fmt.Errorf("print the configuration: %w", err)}
	}
	dirs := []struct{ key, dir string }{{"cache_dir", cfg.CacheDir}, {"state_dir", cfg.StateDir}}
	if log := cfg.Serve.AccessLog; log != config.StandardOutput {
		dirs = append(dirs, struct{ key, dir string }{"serve.access_log", filepath.Dir(log)})
	}
	var errs []error
	for _, d := range dirs {
		if err := writable(d.dir); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; make it, and let user %d write it", d.key, err, os.Geteuid()))
		}
	}
	if _, err := certificate(cfg); err != nil {
		errs = append(errs, err)
	}
	if _, err := authorityOf(cfg, slog.New(slog.DiscardHandler)); err != nil {
		errs = append(errs, err)
	}
	if _, err := tokenOf(cfg); err != nil {
		errs = append(errs, err)
	}
	if _, err := site.Keyrings(cfg); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return &failure{exitUsage, fmt.Errorf("the configuration can't be used:\n%w", err)}
	}
	return nil
}

// writable reports why dir can't be written or, where it is not there, can't be
// made. It leaves nothing behind.
func writable(dir string) error {
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir):
		if err := writable(filepath.Dir(dir)); err != nil {
			return fmt.Errorf("%s can't be made: %w", dir, err)
		}
		return nil
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write", Path: dir, Err: err}
	}
	return nil
}
