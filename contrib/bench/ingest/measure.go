package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

// sample is what one whole process took.
type sample struct {
	wall, cpu time.Duration
	peak      int64 // resident memory at its most, in bytes
}

// measure runs a program to its end. Its error has what the program said.
func measure(ctx context.Context, name string, args ...string) (sample, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said.Bytes()))
	}
	s := sample{wall: time.Since(begin), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.peak = usage.Maxrss << 10
	}
	return s, nil
}

// figures are the medians of some samples; the peak is the highest.
func figures(all []sample) sample {
	var walls, cpus []time.Duration
	for _, s := range all {
		walls, cpus = append(walls, s.wall), append(cpus, s.cpu)
	}
	f := sample{wall: peer.Median(walls), cpu: peer.Median(cpus)}
	for _, s := range all {
		f.peak = max(f.peak, s.peak)
	}
	return f
}

// configure writes a configuration of imsync, whose database is empty.
func configure(path, dir, log string) error {
	if err := os.RemoveAll(dir + "/state"); err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, "cache_dir = %q\nstate_dir = %q\n[sync]\nlogs = [%q]\n", dir+"/cache", dir+"/state", log), 0o600)
}
