package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/visible"
	imsync "intelligentmirror/sync"
)

func newStatus(p *program) *cobra.Command {
	var asJSON, watched bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the last, the next and the running run, and what the cache has saved",
		Long: `status shows the last, the next and the running run, how large the cache is, and
what it has saved. With --watch it is shown again every two seconds, or less often
where measuring the cache takes long, until it is interrupted; where standard output
is no terminal, whenever it has changed.`,
		Example: `  imsync status
  imsync status --watch
  imsync status --json | jq .bytes_wasted`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, _ *config.Config) error {
				show := func(w io.Writer) error {
					s, err := a.Status(cmd.Context())
					if err != nil {
						return err
					}
					if asJSON {
						return writeJSON(w, s)
					}
					writeStatus(visible.Writer{W: w}, s)
					return nil
				}
				if !watched {
					return show(p.stdout)
				}
				return watch(cmd.Context(), p.stdout, terminal(p.stdout, os.Getenv), func() (string, error) {
					var b strings.Builder
					err := show(&b)
					return b.String(), err
				})
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	c.Flags().BoolVar(&watched, "watch", false, "show it again and again, until it is interrupted")
	return c
}

// rootState is what hold and release print as JSON.
type rootState struct {
	Root    string `json:"root"`
	Held    bool   `json:"held"`    // now
	Changed bool   `json:"changed"` // it was not so before
}

func newHold(p *program) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "hold ROOT",
		Short: "Keep a repository at the metadata that it has now",
		Long: `hold keeps a repository root at its generation: until it is released, clients get
the repomd.xml that they get now, or of a Debian suite the InRelease, and neither a
request nor a run asks upstream for another. Packages that it lists are still fetched
when they are asked for, as long as upstream has them.`,
		Example: `  imsync hold fedora/updates/41/Everything/x86_64
  imsync hold debian/dists/bookworm --json`,
		Args: exactly(1, "the root to hold, such as fedora/updates/41/Everything/x86_64"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, cfg *config.Config) error {
				roots, err := a.Named(args[0])
				if err != nil {
					return &usageError{err}
				}
				root := roots[0].String()
				if repo := roots[0].Repo; cfg.Repo(repo) == nil {
					return &usageError{fmt.Errorf("%s: the configuration has no repo %q (imserve check lists them)", root, repo)}
				}
				before, err := a.Held()
				if err != nil {
					return err
				}
				for _, r := range roots {
					err := a.Hold(cmd.Context(), r)
					if errors.Is(err, fs.ErrNotExist) {
						return fmt.Errorf("%w (it has no metadata here yet: `imsync once`, or a client, brings it)", err)
					}
					if err != nil {
						return err
					}
				}
				if asJSON {
					return writeJSON(p.stdout, rootState{root, true, !slices.Contains(before, root)})
				}
				fmt.Fprintf(p.people(), "%s stays as it is until `imsync release %s`\n", root, root)
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the root's state as JSON")
	return c
}

func newRelease(p *program) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "release ROOT",
		Short: "Let a repository that is held go on",
		Example: `  imsync release fedora/updates/41/Everything/x86_64
  imsync release fedora/updates/41/Everything/x86_64 --json`,
		Args: exactly(1, "the root to release"),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, _ *config.Config) error {
				roots, err := a.Named(args[0])
				if err != nil {
					return &usageError{err}
				}
				root, held := roots[0].String(), false
				for _, r := range roots {
					was, err := a.Release(r)
					if err != nil {
						return err
					}
					held = held || was
				}
				switch {
				case asJSON:
					return writeJSON(p.stdout, rootState{root, false, held})
				case held:
					fmt.Fprintf(p.people(), "%s goes on with the next request or run\n", root)
				default:
					fmt.Fprintf(p.people(), "%s is not held\n", root)
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the root's state as JSON")
	return c
}

// purged is what purge prints as JSON of each path.
type purged struct {
	Path  string `json:"path"` // as it was given
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	Error string `json:"error,omitempty"`
}

func newPurge(p *program) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "purge PATH...",
		Short: "Delete files from the cache",
		Long: `purge deletes files, and directories with all below them, from the cache. A path is
the one on the mirror (/fedora/updates/...) or below cache_dir. Upstream is asked
anew when a client next wants one of them. What a client is reading it reads on.`,
		Example: `  imsync purge /fedora/updates/41/Everything/x86_64/Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm
  imsync purge fedora/releases/39 --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("%s: name the paths to delete", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, cfg *config.Config) error {
				failed := false
				all := make([]purged, 0, len(args))
				for _, arg := range args {
					name := arg
					// As a shell completes it.
					if rel, err := filepath.Rel(cfg.CacheDir, arg); err == nil && filepath.IsAbs(arg) && filepath.IsLocal(rel) {
						name = rel
					}
					files, bytes, err := a.Purge(strings.TrimSuffix(name, "/"))
					one := purged{Path: arg, Files: files, Bytes: bytes}
					switch {
					case err != nil:
						failed, one.Error = true, err.Error()
						fmt.Fprintf(p.complaints(), "imsync: %v\n", err)
					case !asJSON:
						fmt.Fprintf(p.people(), "%s: %d files, %s\n", arg, files, size(bytes))
					}
					all = append(all, one)
				}
				if asJSON {
					if err := writeJSON(p.stdout, all); err != nil {
						return err
					}
				}
				if failed {
					return errPartly
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what went as JSON")
	return c
}

func newVerify(p *program) *cobra.Command {
	var o imsync.VerifyOptions
	var asJSON bool
	var rate string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read the cache back against its digests",
		Long: `verify reads every stored file and compares it with the digest that it had when it
was stored, or else with the one that its repository's metadata promises. One
that is stopped is gone on with by the next. With --repair a file whose bytes are
wrong is moved to .im/wrong/ below cache_dir, and fetched again.`,
		Example: `  imsync verify
  imsync verify --repair --rate 20MiB/s`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := config.ParseRate(rate)
			if err != nil {
				return &usageError{fmt.Errorf("--rate %q: a rate such as \"50MiB/s\", or \"\" for no limit: %w", rate, err)}
			}
			o.Rate = int64(r)
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, _ *config.Config) error {
				report, err := a.Verify(cmd.Context(), o)
				if report == nil || err != nil && !errors.Is(err, context.Canceled) {
					return err
				}
				if asJSON {
					if jerr := writeJSON(p.stdout, report); jerr != nil {
						return jerr
					}
				} else {
					writeVerify(p.people(), report)
				}
				if err == nil && report.Failures() > 0 {
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&o.Repair, "repair", false, "move wrong files to .im/wrong/ and fetch them again")
	c.Flags().BoolVar(&o.Restart, "restart", false, "begin with the first file, though an earlier one was stopped on its way")
	c.Flags().StringVar(&rate, "rate", "100MiB/s", "how much is read a second; \"\" is no limit")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func newImport(p *program) *cobra.Command {
	var repo string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import DIR --repo NAME",
		Short: "Adopt an existing mirror tree",
		Long: `import copies the repositories of an existing mirror's tree into the cache, those of
RPM packages and Debian's suites, flat ones too: DIR is what the upstreams of the repo
have at their top. Each package is verified against its repository's metadata, and that
by its signature where the repo has gpg_keys. What the cache has already stays, metadata
too; what is wrong is listed and left out. DIR is only read, and may be rsync's,
reposync's, debmirror's or apt-mirror's.`,
		Example: `  imsync import /srv/mirror/fedora/linux --repo fedora
  imsync import /var/spool/apt-mirror/mirror/deb.debian.org/debian --repo debian`,
		Args: exactly(1, "the directory to import"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if repo == "" {
				return &usageError{errors.New("--repo: the name of the repo that the directory is a mirror of")}
			}
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, cfg *config.Config) error {
				if cfg.Repo(repo) == nil {
					return &usageError{fmt.Errorf("--repo %q: the configuration has no such repo (imserve check lists them)", repo)}
				}
				report, err := a.Import(cmd.Context(), args[0], repo)
				if errors.Is(err, imsync.ErrNoMirror) || report == nil && errors.Is(err, fs.ErrNotExist) {
					return &usageError{err}
				}
				if err != nil {
					return err
				}
				if asJSON {
					err = writeJSON(p.stdout, report)
				} else {
					writeImport(p.people(), report)
				}
				if err == nil && report.Failures > 0 {
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&repo, "repo", "", "the `name` of the repo that the directory is a mirror of")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// none refuses arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%s takes no argument %q", cmd.CommandPath(), args[0])}
	}
	return nil
}

// exactly asks for n arguments, which what says more of.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return &usageError{fmt.Errorf("%s takes %d argument, not %d: %s", cmd.CommandPath(), n, len(args), what)}
		}
		return nil
	}
}
