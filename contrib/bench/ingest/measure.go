package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
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
	median := func(of func(sample) time.Duration) time.Duration {
		list := make([]time.Duration, len(all))
		for i, s := range all {
			list[i] = of(s)
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	f := sample{wall: median(func(s sample) time.Duration { return s.wall }), cpu: median(func(s sample) time.Duration { return s.cpu })}
	for _, s := range all {
		f.peak = max(f.peak, s.peak)
	}
	return f
}

// build builds the program to measure into dir.
func build(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir, "intelligentmirror/cmd/imsync").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build imsync: %w: %s", err, bytes.TrimSpace(out))
	}
	return dir + "/imsync", nil
}

// configure writes a configuration of imsync, whose database is empty.
func configure(path, dir, log string) error {
	if err := os.RemoveAll(dir + "/state"); err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, "cache_dir = %q\nstate_dir = %q\n[sync]\nlogs = [%q]\n", dir+"/cache", dir+"/state", log), 0o600)
}
