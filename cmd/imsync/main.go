// Imsync brings what a site will ask for into its cache before anyone does. See
// the package sync for what a run is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"intelligentmirror/internal/applog"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/manual"
	"intelligentmirror/internal/site"
	imsync "intelligentmirror/sync"
)

// Exit codes; they are part of the contract.
const (
	exitDone    = 0
	exitPartly  = 1 // the failures are listed
	exitUsage   = 2 // usage or configuration
	exitRunning = 4 // another run is under way
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newRoot(stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	code, text := exitPartly, fmt.Sprintf("imsync: %v", err)
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errPartly):
		return exitPartly
	case errors.Is(err, imsync.ErrRunning):
		code = exitRunning
	case errors.As(err, &usage):
		code = exitUsage
	case errors.Is(err, context.Canceled):
		text = "imsync: stopped; the next run goes on from here"
	}
	applog.Failure(stderr, applog.InJournal(stderr, os.Getenv), text)
	return code
}

// usageError is what the user has to put right: a flag, or the configuration.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// errPartly says that the failures have been listed.
var errPartly = errors.New("done in part")

// program is what all commands share.
type program struct {
	stdout, stderr io.Writer
	config, level  string
	format         applog.Format
	uid            int // who started it
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	p := &program{stdout: stdout, stderr: stderr, uid: os.Geteuid()}
	root := &cobra.Command{
		Use:   "imsync",
		Short: "Bring what this site will ask for into its package cache",
		Long: `imsync reads the site's access logs, works out which packages are really used,
and brings their newest versions, a seed list for fresh installs and what all
of these depend on into the cache that imserve serves from.`,
		Example: `  imsync plan      # what it would fetch, and why
  imsync once      # a run now
  imsync status`,
		Version:       site.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w (%s --help lists the flags)", err, c.CommandPath())}
	})
	root.PersistentFlags().StringVar(&p.config, "config", "", "the configuration `file` (default: $"+config.FileVariable+", the user's own if not root, "+config.SystemFile+", or none)")
	root.PersistentFlags().StringVar(&p.level, "log-level", "", "debug, info, warn or error (default: info for run, else warn)")
	root.PersistentFlags().TextVar(&p.format, "log-format", applog.Text, "the `format` of the log: text or json")
	root.AddCommand(newOnce(p), newPlan(p), newPrune(p), newRank(p), newReplicate(p), newRun(p), newStatus(p),
		newReplay(p), newVerify(p), newPurge(p), newHold(p), newRelease(p), newImport(p), newExportCounts(p), newImportCounts(p), manual.Command(root))
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Errorf("unknown command %q (imsync --help lists them)", args[0])}
		}
		return cmd.Help()
	}
	root.Args = cobra.ArbitraryArgs
	return root
}

// logger logs to standard error, from level on or def where none was asked for.
func (p *program) logger(def slog.Level) (*slog.Logger, error) {
	level := def
	if p.level != "" {
		if err := level.UnmarshalText([]byte(strings.ToUpper(p.level))); err != nil {
			return nil, &usageError{fmt.Errorf("--log-level %q: debug, info, warn or error", p.level)}
		}
	}
	return applog.New(p.stderr, applog.Options{Level: level, Format: p.format, Journal: applog.InJournal(p.stderr, os.Getenv)}), nil
}

// load reads the configuration; what is wrong with it is the user's to put right.
func (p *program) load() (*config.Config, error) {
	home, _ := os.UserHomeDir() // without one, configuration asks for directories
	cfg, err := config.Load(config.Options{Path: p.config, UID: p.uid, HomeDir: home})
	if err != nil {
		return nil, &usageError{err}
	}
	return cfg, nil
}

// with runs f with an Agent, and closes all that it opened. Where root has started the
// program, it goes on as the owner of the cache.
func (p *program) with(level slog.Level, progress imsync.Progress, f func(*imsync.Agent, *config.Config) error) error {
	log, err := p.logger(level)
	if err != nil {
		return err
	}
	cfg, err := p.load()
	if err != nil {
		return err
	}
	a, done, err := open(cfg, log, progress)
	if err != nil {
		return err
	}
	return errors.Join(f(a, cfg), done())
}

// open is an Agent with that configuration; done closes all that it has.
func open(cfg *config.Config, log *slog.Logger, progress imsync.Progress) (a *imsync.Agent, done func() error, err error) {
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	if os.Geteuid() == 0 {
		if err := becomeOwner(places(cfg.CacheDir, cfg.StateDir)...); err != nil {
			return nil, nil, &usageError{err}
		}
	}
	o := site.Options{Program: "imsync", Lazy: true, Log: log}
	if r := cfg.Sync.Rate; r > 0 {
		// A second's worth may come at once; grab asks for a buffer at a time.
		o.Rate = rate.NewLimiter(rate.Limit(r), max(int(r), 64<<10))
	}
	s, err := site.Open(cfg, o)
	if err != nil {
		return nil, nil, &usageError{err}
	}
	a, err = imsync.New(imsync.Options{
		Site: s, Progress: progress, Log: log, Stdin: os.Stdin,
		Replicated: func(r *imsync.ReplicaReport, err error) { logReplica(log, r, err) },
	})
	if errors.Is(err, imsync.ErrGroupKey) {
		err = &usageError{err}
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return a, func() error { return errors.Join(a.Close(), s.Close()) }, nil
}
