package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"intelligentmirror/internal/generation"
	"intelligentmirror/serve"
	imsync "intelligentmirror/sync"
)

// actions is what the status page has buttons for: what imsync's commands do.
func (d *daemon) actions() serve.Actions {
	a := serve.Actions{Hold: d.hold, Release: d.release}
	// A run started from here has the same configuration, which has no command line's in it.
	if program, err := imsyncProgram(); err == nil && d.p.cacheDir == "" {
		a.Run = func() error { return d.startRun(program) }
	}
	return a
}

// hold keeps a root at the metadata that it has.
func (d *daemon) hold(ctx context.Context, name string) error {
	r, err := generation.ParseRoot(name)
	if err != nil {
		return err
	}
	from := d.site.Mirrors(r.Repo)
	if from == nil {
		return fmt.Errorf("there is no repository %q", r.Repo)
	}
	return d.site.Generations.Hold(ctx, d.site.Cache, r, from.Grab())
}

// release lets a root go on.
func (d *daemon) release(_ context.Context, name string) error {
	r, err := generation.ParseRoot(name)
	if err != nil {
		return err
	}
	held, err := d.site.Generations.Release(r)
	if err == nil && !held {
		err = fmt.Errorf("%s is not held", r)
	}
	return err
}

// imsyncProgram is the imsync that belongs to this imserve: that beside it, or else
// the one that a shell would find.
func imsyncProgram() (string, error) {
	self, err := os.Executable()
	if err == nil {
		beside := filepath.Join(filepath.Dir(self), "imsync")
		if path, err := exec.LookPath(beside); err == nil {
			return path, nil
		}
	}
	return exec.LookPath("imsync")
}

// startRun starts a run of imsync with this program's configuration. Of two at a time
// imsync's own lock refuses one; that it does is said at once where it can be.
func (d *daemon) startRun(program string) error {
	cfg := d.first
	if running, err := imsync.IsRunning(cfg.StateDir); err == nil && running {
		return errors.New("a run is under way already")
	}
	args := []string{"once"}
	if cfg.File() != "" {
		args = append(args, "--config", cfg.File())
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = d.p.stderr, d.p.stderr // where this program's log goes
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			d.log.Warn("a run of imsync that an administrator started has not done all", "error", err)
		}
	}()
	return nil
}
