package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mirrors are two of one repository.
var mirrors = [...]string{"http://one.mirror.test/pub/campus", "http://two.mirror.test/campus"}

// sample is what one process took.
type sample struct {
	wall time.Duration // from the first question of many to the last answer
	cpu  time.Duration // of the process's whole life
	one  time.Duration // for an answer to a question that is asked alone
}

// question is the i-th, as squid asks it, and whether it is for a package.
func question(i int) (line string, isPackage bool) {
	const fields = " 10.0.0.7/- - GET myip=10.0.0.1 myport=3128\n"
	if i%2 == 1 {
		return fmt.Sprintf("%d http://www.example.org/news/2026/%d/index.html%s", i, i, fields), false
	}
	return fmt.Sprintf("%d %s/updates/41/Everything/x86_64/Packages/v/vlc-3.0.%d-4.fc41.x86_64.rpm%s", i, mirrors[i/2%2], i, fields), true
}

// measure runs a helper on one processor and asks it: first one by one, then as
// many questions at a time as it takes.
func measure(ctx context.Context, c *contender, lines, single int) (s sample, err error) {
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return s, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := cmd.Start(); err != nil {
		return s, err
	}
	var one unix.CPUSet
	one.Set(firstProcessor())
	err = unix.SchedSetaffinity(cmd.Process.Pid, &one)
	if err == nil {
		s, err = ask(c, in, bufio.NewReaderSize(out, 64<<10), lines, single)
	}
	in.Close()
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return s, fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return s, nil
}

// firstProcessor is one that this process may use.
func firstProcessor() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0
	}
	for i := range 64 * len(set) {
		if set.IsSet(i) {
			return i
		}
	}
	return 0
}

// ask asks a helper that has been started.
func ask(c *contender, in io.Writer, out *bufio.Reader, lines, single int) (s sample, err error) {
	begin := time.Now()
	for i := range single {
		line, isPackage := question(i)
		if _, err := io.WriteString(in, line); err != nil {
			return s, err
		}
		if err := check(c, out, i, isPackage); err != nil {
			return s, err
		}
		if i == 0 {
			begin = time.Now() // the first has the start of the program in it
		}
	}
	s.one = time.Since(begin) / time.Duration(max(single-1, 1))
	asked := make(chan error, 1)
	var text strings.Builder
	for i := range lines {
		line, _ := question(i)
		text.WriteString(line)
	}
	begin = time.Now()
	go func() {
		_, err := io.WriteString(in, text.String())
		asked <- err
	}()
	for i := range lines {
		_, isPackage := question(i)
		if err := check(c, out, i, isPackage); err != nil {
			return s, err
		}
	}
	s.wall = time.Since(begin)
	return s, <-asked
}

// check reads the answer to the i-th question.
func check(c *contender, out *bufio.Reader, i int, isPackage bool) error {
	line, err := out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the answer to question %d: %w", i, err)
	}
	want := fmt.Sprintf("%d ERR", i)
	if isPackage && c.knows {
		want = fmt.Sprintf("%d OK ", i)
	}
	if !strings.HasPrefix(line, want) || isPackage && c.knows && !strings.Contains(line, fmt.Sprintf("/vlc-3.0.%d-4.fc41.x86_64.rpm", i)) {
		return fmt.Errorf("question %d is answered %q, which does not begin with %s", i, line, want)
	}
	return nil
}
