package peer

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// Sample is what one whole process took, from its start to its end.
type Sample struct {
	Wall, CPU time.Duration
	Peak      int64 // resident memory at its most, in bytes
}

// Measure runs a program to its end, and returns what it printed and what it took.
// Its error has what the program said.
func Measure(ctx context.Context, name string, args ...string) (Sample, []byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var said, printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &said
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return Sample{}, printed.Bytes(), fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(said.Bytes()))
	}
	s := Sample{Wall: time.Since(begin), CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.Peak = usage.Maxrss << 10
	}
	return s, printed.Bytes(), nil
}

// Figures are the medians of some samples; the peak is the highest.
func Figures(all []Sample) Sample {
	var walls, cpus []time.Duration
	for _, s := range all {
		walls, cpus = append(walls, s.Wall), append(cpus, s.CPU)
	}
	f := Sample{Wall: Median(walls), CPU: Median(cpus)}
	for _, s := range all {
		f.Peak = max(f.Peak, s.Peak)
	}
	return f
}
