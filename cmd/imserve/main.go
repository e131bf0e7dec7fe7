// Imserve is the mirror: it answers a site's clients from its cache, and
// downloads what is missing once, however many ask.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/applog"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/manual"
	"intelligentmirror/internal/site"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // to run; another try may do better
	exitUsage  = 2 // the command line or the configuration; another try won't
)

// heapGrowth is how many per cent of garbage come on top of what the heap holds
// before it is collected: half of Go's default. What lives is little but for the
// buffers and stacks of connections, so that thousands of these cost a fifth less
// of memory and a request hardly more of the processor (docs/BENCHMARKS.md).
const heapGrowth = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	os.Exit(run(ctx, signals, os.Args[1:], os.Stdout, os.Stderr))
}

// failure is an error with the exit code that it ends the program with. An error
// that is none is the command line's.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// run is the program. It ends when ctx does; signals are those that don't end it.
func run(ctx context.Context, signals <-chan os.Signal, args []string, stdout, stderr io.Writer) int {
	p := &program{signals: signals, stdout: stdout, stderr: stderr}
	root := p.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code, text := exitUsage, fmt.Sprintf("imserve: %v", err)
	var f *failure
	if errors.As(err, &f) {
		code = f.code
	} else {
		text += "\nSee imserve --help."
	}
	applog.Failure(stderr, applog.InJournal(stderr, os.Getenv), text)
	return code
}

// program is one call of imserve.
type program struct {
	signals        <-chan os.Signal
	stdout, stderr io.Writer

	configPath, listen, cacheDir string
	logLevel                     slog.Level
	logFormat                    applog.Format
}

// logger is the program's log, on standard error.
func (p *program) logger() *slog.Logger {
	return applog.New(p.stderr, applog.Options{Level: p.logLevel, Format: p.logFormat, Journal: applog.InJournal(p.stderr, os.Getenv)})
}

// command is the command line.
func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "imserve",
		Short: "Run the mirror",
		Long: "Imserve is a mirror of Linux package repositories for a local network: it answers from its cache,\n" +
			"and downloads what is missing once, however many ask. It needs no configuration file.",
		Example:       "  imserve --listen :3180 --cache-dir /srv/mirror\n  imserve check",
		Args:          cobra.NoArgs,
		Version:       site.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context()) },
	}
	root.SetVersionTemplate("imserve {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&p.configPath, "config", "", "the configuration `file` (default: $"+config.FileVariable+", the user's own if not root, "+config.SystemFile+", or none)")
	flags.StringVar(&p.listen, "listen", "", "the `address` to answer on, host:port (serve.listen)")
	flags.StringVar(&p.cacheDir, "cache-dir", "", "the `directory` of the cache (cache_dir)")
	flags.TextVar(&p.logLevel, "log-level", slog.LevelInfo, "what to log: debug, info, warn or error")
	flags.TextVar(&p.logFormat, "log-format", applog.Text, "the `format` of the log: text or json")
	root.AddCommand(p.checkCommand(), p.caCommand(), p.squidHelperCommand(), manual.Command(root))
	return root
}

// load reads the configuration with what the command line adds to it, and with
// the keys in pinned, which win over both.
func (p *program) load(pinned map[string]string) (*config.Config, error) {
	set := map[string]string{}
	if p.listen != "" {
		set["serve.listen"] = p.listen
	}
	if p.cacheDir != "" {
		set["cache_dir"] = p.cacheDir
	}
	maps.Copy(set, pinned)
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // Load says so, should it need one
	}
	cfg, err := config.Load(config.Options{Path: p.configPath, UID: os.Geteuid(), HomeDir: home, Set: set})
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("the configuration can't be used:\n%w", err)}
	}
	return cfg, nil
}
