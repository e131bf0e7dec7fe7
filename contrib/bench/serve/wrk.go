package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// result is one measurement.
type result struct {
	requests, bytes int64 // of bodies and headers
	took            time.Duration
	late            time.Duration // the 99th percentile
	cpu             time.Duration // of the server
	memory          int64         // of the server, bytes
}

func (r result) rate() float64       { return float64(r.requests) / r.took.Seconds() }
func (r result) speed() float64      { return float64(r.bytes) / r.took.Seconds() }
func (r result) perRequest() float64 { return r.cpu.Seconds() / float64(r.requests) }
func (r result) perByte() float64    { return r.cpu.Seconds() / float64(r.bytes) }

// program is what wrk runs: each thread goes through the sequence from a place of
// its own on, and at the end the figures are printed for result's reader.
const program = `
local threads = 0
function setup(thread)
	thread:set("place", threads * 7919)
	threads = threads + 1
end
function init(args)
	ready = {}
	for i, path in ipairs(paths) do
		ready[i] = wrk.format("GET", args[1] .. path)
	end
end
function request()
	place = place + 1
	return ready[sequence[place %% #sequence + 1]]
end
function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("RESULT %%d %%d %%d %%.0f %%d\n", summary.requests, summary.bytes, summary.duration,
		latency:percentile(99), e.connect + e.read + e.write + e.status))
end
paths = {%s}
sequence = {%s}
`

// script writes the load as a program for wrk into dir.
func (l load) script(dir string) (string, error) {
	var paths, sequence strings.Builder
	for _, f := range l.files {
		fmt.Fprintf(&paths, "%q,", f.path)
	}
	for _, n := range l.sequence {
		fmt.Fprintf(&sequence, "%d,", n+1)
	}
	name := filepath.Join(dir, l.name+".lua")
	return name, os.WriteFile(name, fmt.Appendf(nil, program, paths.String(), sequence.String()), 0o644)
}

// wrk asks the server at base, with the prefix of its packages, for a while.
func wrk(ctx context.Context, base string, connections int, script string, length time.Duration) (result, error) {
	scheme, rest, _ := strings.Cut(base, "://")
	host, prefix, _ := strings.Cut(rest, "/")
	seconds := int(math.Ceil(length.Seconds()))
	// One thread: the server needs the other processor.
	cmd := exec.CommandContext(ctx, "wrk", "--threads", "1", "--connections", fmt.Sprint(connections), "--timeout", "60s",
		"--duration", fmt.Sprintf("%ds", seconds), "--script", script, scheme+"://"+host, "--", "/"+prefix)
	out, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return result{}, fmt.Errorf("wrk: %w", err)
	}
	return parse(string(out))
}

// parse reads what the program has printed.
func parse(out string) (result, error) {
	_, line, _ := strings.Cut(out, "RESULT ")
	var r result
	var took, late, failed int64
	if _, err := fmt.Sscanf(line, "%d %d %d %d %d\n", &r.requests, &r.bytes, &took, &late, &failed); err != nil {
		return result{}, fmt.Errorf("wrk said %q: %w", out, err)
	}
	r.took, r.late = time.Duration(took)*time.Microsecond, time.Duration(late)*time.Microsecond
	if failed > 0 {
		return result{}, fmt.Errorf("%d of %d requests failed", failed, r.requests)
	}
	return r, nil
}
