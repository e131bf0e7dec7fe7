package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

// site is a site with its upstream, under way. What happens in it happens in several
// goroutines; what these share is below mu.
type site struct {
	options
	dir, cache, state, temp string
	config                  string
	url                     string // of imserve
	up                      *upstream
	serve, agent            *program
	watcher                 *http.Client // of who looks at imserve's figures

	mu       sync.Mutex
	answers  map[string]int
	wrong    []string // the first of what is amiss
	troubles int      // how much is amiss
}

const (
	startTime = time.Minute      // for imserve to be ready
	stopTime  = 30 * time.Second // for a program to end after it was asked to
	mostTold  = 20               // of what is amiss
)

// newSite starts upstream, imserve and the agent below dir.
func newSite(dir string, o options) (s *site, err error) {
	s = &site{
		options: o, dir: dir, cache: dir + "/cache", state: dir + "/state", temp: dir + "/tmp", config: dir + "/config.toml",
		watcher: &http.Client{Timeout: startTime}, answers: map[string]int{},
	}
	if err := os.MkdirAll(s.temp, 0o755); err != nil {
		return nil, err
	}
	if s.up, err = newUpstream(dir+"/upstream", o.seed); err != nil {
		return nil, fmt.Errorf("make upstream: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(io.Discard))
		}
	}()
	addr, err := peer.FreeAddr(context.Background())
	if err != nil {
		return s, err
	}
	s.url = "http://" + addr
	if err := os.WriteFile(s.config, s.configuration(addr), 0o644); err != nil {
		return s, err
	}
	if s.serve, err = s.start("imserve"); err != nil {
		return s, err
	}
	if err := s.ready(); err != nil {
		return s, err
	}
	s.agent, err = s.start("imsync", "run")
	return s, err
}

// configuration is one in which what else takes weeks takes minutes.
func (s *site) configuration(addr string) []byte {
	_, port, _ := strings.Cut(strings.TrimPrefix(s.up.elsewhere.URL, "http://"), ":")
	return fmt.Appendf(nil, `cache_dir = %q
state_dir = %q
cache_size = "%d"
min_free = "16MiB"
generation_keep = %q

[[repo]]
name = "fedora"
upstreams = [%q, %q]

[serve]
listen = %q
proxy_deny = []
connect_ports = [%s]
metadata_max_age = "2s"
package_max_age = "10s"

[sync]
schedule = "* * * * *"
poll = %q
verify = "1d"
half_life = "30d"
budget = "1MiB"
top = 60
packages = ["mplayer"]
`, s.cache, s.state, cacheSize, 2*s.day, s.up.mirrors[0].URL+upstreamBase, s.up.mirrors[1].URL+upstreamBase, addr, port,
		max(time.Second, s.day/4))
}

// program is a process under way.
type program struct {
	name  string
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when it has
}

// start starts a program with the site's configuration.
func (s *site) start(name string, args ...string) (*program, error) {
	p := &program{name: name, log: filepath.Join(s.dir, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(filepath.Join(s.bin, name), append(args, "--config", s.config)...) // its end is stop's
	p.cmd.Env = append(os.Environ(), "TMPDIR="+s.temp)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is for running and stop to say
		close(p.ended)
	}()
	return p, nil
}

// running is an error, with what it said last, where a program has ended.
func (p *program) running() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended, %v: %s", p.name, p.cmd.ProcessState, p.said())
	default:
		return nil
	}
}

// said is the end of what a program has said.
func (p *program) said() string {
	const most = 2000
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}

// stop ends a program. The error is of one that does not end, or not well.
func (p *program) stop() error {
	// One that has ended already gets no signal.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		err := p.cmd.Process.Kill()
		<-p.ended
		return errors.Join(fmt.Errorf("%s does not end when it is asked to", p.name), err)
	}
	// The agent says that it was stopped in the middle of a run, where it was.
	if code := p.cmd.ProcessState.ExitCode(); code > 1 || code < 0 {
		return fmt.Errorf("%s ends by %v: %s", p.name, p.cmd.ProcessState, p.said())
	}
	return nil
}

// ready waits until imserve says that it is.
func (s *site) ready() error {
	end := time.Now().Add(startTime)
	for {
		resp, err := s.watcher.Get(s.url + "/-/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if gone := s.serve.running(); gone != nil {
			return gone
		}
		if time.Now().After(end) {
			return fmt.Errorf("imserve is not ready: %w: %s", err, s.serve.said())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// live lets time pass until it is over, and returns what was noted, which is also in
// the file name.
func (s *site) live(ctx context.Context, name string) (_ *table, err error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := fmt.Fprintln(f, header()); err != nil {
		return nil, err
	}
	over, cancel := context.WithTimeout(ctx, s.during)
	defer cancel()
	var others sync.WaitGroup
	for i := range s.clients {
		others.Go(func() { s.client(over, rand.New(rand.NewPCG(s.seed, uint64(i)))) })
	}
	others.Go(func() { s.days(over) })
	// Whatever ends this, the others end before.
	defer others.Wait()
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	t := &table{}
	for {
		r := row{time.Since(began), s.sample(ctx)}
		if err := errors.Join(s.serve.running(), s.agent.running()); err != nil {
			return t, err
		}
		t.rows = append(t.rows, r)
		if _, err := fmt.Fprintln(f, r); err != nil {
			return t, err
		}
		select {
		case <-tick.C:
		case <-over.Done():
			return t, nil
		}
	}
}

// close ends the programs and upstream, and says what clients were answered. The error
// is of what was amiss.
func (s *site) close(w io.Writer) error {
	var errs []error
	for _, p := range []*program{s.agent, s.serve} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	s.up.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(w, "%d days. Answers:", s.up.generation())
	for _, what := range slices.Sorted(maps.Keys(s.answers)) {
		fmt.Fprintf(w, " %s %d;", what, s.answers[what])
	}
	_, err := fmt.Fprint(w, "\n\n")
	errs = append(errs, err)
	for _, what := range s.wrong {
		errs = append(errs, errors.New(what))
	}
	if more := s.troubles - len(s.wrong); more > 0 {
		errs = append(errs, fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}

// complain remembers what is amiss.
func (s *site) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.troubles++; s.troubles <= mostTold {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	}
}

// answered counts what clients were answered.
func (s *site) answered(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[what]++
}
