package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// rank is one name of `imsync rank --json`.
type rank struct {
	Rank       int
	Name, Arch string
	Score      float64
	Clients    int
	ClientDays int `json:"client_days"`
	Requests   int
	Bytes      int64
}

// item is one package of `imsync plan --json`.
type item struct {
	Path, Name, EVR, Arch, Reason, Because string
	Size                                   int64
	Rank                                   int
}

// report is what `imsync once --json` prints, as far as it is shown.
type report struct {
	Started, Finished time.Time
	Fetched           int
	Bytes             int64
	Failures          int
}

// night is what a night's run did, and why.
type night struct {
	report
	items []item
	sent  int64 // bytes that upstream sent for it
	took  time.Duration
}

// command is the command line that a person would type.
func (s *stage) command(program string, args ...string) string {
	show := func(path string) string {
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
				return rel
			}
		}
		return path
	}
	return strings.Join(append([]string{show(filepath.Join(s.bin, program))}, append(args, "--config", show(s.config))...), " ")
}

// program is a command that does not outlive the demonstration.
func (s *stage) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), append(args, "--config", s.config)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd
}

// imsync runs imsync to its end and reads the JSON that it prints.
func (s *stage) imsync(ctx context.Context, v any, args ...string) error {
	cmd := s.program(ctx, "imsync", append(args, "--json")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return errors.Join(context.Cause(ctx), fmt.Errorf("imsync %s: %w\n%s", args[0], err, stderr.Bytes()))
	}
	if err := json.Unmarshal(stdout.Bytes(), v); err != nil {
		return fmt.Errorf("imsync %s: %w", args[0], err)
	}
	return nil
}

// rank is the site's ranking, all of it.
func (s *stage) rank(ctx context.Context) ([]rank, error) {
	var all []rank
	err := s.imsync(ctx, &all, "rank", "-n", "0")
	return all, err
}

// night lets imsync do a run. What it is about to fetch, and why, its plan says.
func (s *stage) night(ctx context.Context) (n night, err error) {
	s.up.Forget()
	if err := s.imsync(ctx, &n.items, "plan"); err != nil {
		return n, err
	}
	if err := s.imsync(ctx, &n.report, "once"); err != nil {
		return n, err
	}
	for _, it := range n.items {
		s.fetched[strings.TrimPrefix(it.Path, rootName+"/")] = true
	}
	n.sent, n.took = s.up.Sent("*"), n.Finished.Sub(n.Started)
	if n.Fetched != len(n.items) {
		return n, fmt.Errorf("imsync fetched %d packages, its plan was %d", n.Fetched, len(n.items))
	}
	return n, nil
}

// server is imserve under way.
type server struct {
	cmd *exec.Cmd
	url string
	log bytes.Buffer
	out chan error // of its log's end
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// serve starts imserve and returns when it listens.
func (s *stage) serve(ctx context.Context) (*server, error) {
	// It is stopped at the end, also when ctx is.
	srv := &server{cmd: s.program(context.WithoutCancel(ctx), "imserve"), out: make(chan error, 1)}
	stderr, err := srv.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := srv.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(stderr)
	for srv.url == "" {
		line, err := lines.ReadString('\n')
		srv.log.WriteString(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			srv.url = "http://" + m[1]
		}
		if err != nil {
			return nil, fmt.Errorf("imserve: %w\n%s", errors.Join(err, srv.cmd.Wait()), srv.log.Bytes())
		}
	}
	go func() {
		_, err := io.Copy(&srv.log, lines)
		srv.out <- err
	}()
	return srv, nil
}

// stop ends imserve, and says what it had to say if it did not end well.
func (srv *server) stop() error {
	if err := srv.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop imserve: %w", err)
	}
	read := <-srv.out
	if err := errors.Join(read, srv.cmd.Wait()); err != nil {
		return fmt.Errorf("imserve: %w\n%s", err, srv.log.Bytes())
	}
	return nil
}
