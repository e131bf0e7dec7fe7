package peer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is in what the kernel tells processor time: USER_HZ, which is 100 a
// second wherever Go runs on Linux.
const clockTick = 10 * time.Millisecond

// Memory is what the processes of a server have in memory, in bytes.
type Memory struct {
	// RSS is what is resident; what two processes share counts for each.
	RSS int64
	// PSS is the same, but what several processes share counts in parts.
	PSS int64
	// Anonymous is what of RSS is no file's.
	Anonymous int64
	// Peak is the sum of the most that each process had resident so far.
	Peak int64
}

// CPU is the processor time that the server has taken since it was started, with
// its workers, in steps of 10 ms.
func (p *Peer) CPU() (time.Duration, error) {
	took, err := CPUOf(p.cmd.Process.Pid)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.Name, err)
	}
	return took, nil
}

// CPUOf is the processor time that a process and all that descend from it have taken
// since they were started, in steps of 10 ms.
func CPUOf(pid int) (time.Duration, error) {
	all, err := tree(pid)
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, s := range all {
		ticks += s.ticks
	}
	return time.Duration(ticks) * clockTick, nil
}

// Memory is what the server has in memory at this moment, with its workers.
func (p *Peer) Memory() (Memory, error) {
	m, err := MemoryOf(p.cmd.Process.Pid)
	if err != nil {
		return m, fmt.Errorf("%s: %w", p.Name, err)
	}
	return m, nil
}

// MemoryOf is what a process and all that descend from it have in memory at this moment.
func MemoryOf(pid int) (Memory, error) {
	all, err := tree(pid)
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for _, s := range all {
		rollup, err := kilobytes(s.pid, "smaps_rollup")
		if gone(err) {
			continue
		}
		if err != nil {
			return Memory{}, err
		}
		status, err := kilobytes(s.pid, "status")
		if gone(err) {
			continue
		}
		if err != nil {
			return Memory{}, err
		}
		m.RSS += rollup["Rss"]
		m.PSS += rollup["Pss"]
		m.Anonymous += rollup["Anonymous"]
		m.Peak += status["VmHWM"]
	}
	return m, nil
}

// stat is one process.
type stat struct {
	pid, parent int
	ticks       int64 // of processor time, its ended children's included
}

// tree is the process pid and all that descend from it.
func tree(pid int) ([]stat, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]stat{}
	var all []stat
	for _, name := range names {
		s, err := readStat(name)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.pid == pid {
			all = append(all, s)
		}
		children[s.parent] = append(children[s.parent], s)
	}
	if all == nil {
		return nil, fmt.Errorf("there is no process %d", pid)
	}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].pid]...)
	}
	return all, nil
}

// gone reports whether a process has ended while it was looked at.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// readStat reads a file /proc/PID/stat.
func readStat(name string) (stat, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return stat{}, err
	}
	// The name, in parentheses, may have spaces and parentheses in it.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("%s: %q is not understood", name, b)
	}
	var s stat
	if s.pid, err = strconv.Atoi(string(bytes.TrimSpace(b[:open]))); err != nil {
		return stat{}, fmt.Errorf("%s: %w", name, err)
	}
	fields := strings.Fields(string(b[end+1:])) // from the third on, the state
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("%s: %q is not understood", name, b)
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return stat{}, fmt.Errorf("%s: %w", name, err)
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("%s: %w", name, err)
		}
		s.ticks += n
	}
	return s, nil
}

// kilobytes are the lines "Name: 123 kB" of a file of a process, in bytes.
func kilobytes(pid int, file string) (map[string]int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[string]int64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		number, ok := strings.CutSuffix(rest, " kB")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		all[name] = n << 10
	}
	return all, lines.Err()
}
