package peer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
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
//
// Linux counts towards a process's peak what the one that started it had at its own
// peak, since they are one until exec: so this process's is set back to what it has
// now, which is the least that can be measured.
func Measure(ctx context.Context, name string, args ...string) (Sample, []byte, error) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return Sample{}, nil, fmt.Errorf("set this process's peak of memory back: %w", err)
	}
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
