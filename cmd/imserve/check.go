package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/site"
)

// checkCommand is the command to look at the configuration.
func (p *program) checkCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration, and print the effective one",
		Long: "Check reads the configuration and all that it names, says what is wrong with it, and prints what is in\n" +
			"effect, each value with where it comes from. It changes nothing, and may run beside the mirror.",
		Example: "  imserve check\n  imserve check --config new.toml >/dev/null && echo good\n  imserve check --json | jq .serve.listen",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return p.check(asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON, for programs")
	return c
}

// check validates the configuration and what it names, and prints it.
func (p *program) check(asJSON bool) error {
	cfg, err := p.load(nil)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(p.stderr, "imserve: warning: %s\n", w)
	}
	write := cfg.Write
	if asJSON {
		write = cfg.WriteJSON
	}
	if err := write(p.stdout); err != nil {
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
	// Those of the environment are the service's, and not this shell's.
	if cfg.BucketCredentials != "" {
		if _, err := site.OpenBucket(cfg, "imserve", time.Now); err != nil {
			errs = append(errs, err)
		}
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
