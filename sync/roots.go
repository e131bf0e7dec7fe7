package sync

import (
	"context"
	"strings"
	"time"

	"intelligentmirror/internal/generation"
)

// Each root costs a question upstream in each run, and whoever writes a log that is read
// here can put roots into it that nobody has.
const (
	// rootsFor is how long a root is looked after for which no client comes.
	rootsFor = 180 * 24 * time.Hour
	// mostRoots is how many roots of the logs a run looks after: several distributions'
	// with all their releases have some hundred.
	mostRoots = 1000
)

// askedFor is the files that clients asked for lately, with the day. It is read when it
// is first needed: it may be long, and a run with nothing to do can do without it.
func (r *run) askedFor(ctx context.Context) (map[string]time.Time, error) {
	var err error
	if r.asked == nil {
		r.asked, err = r.Agent.ranks.Asked(ctx)
	}
	return r.asked, err
}

// roots finds the roots that the site uses or that are configured: those of RPM packages
// that the logs show, and the suites whose indices clients have fetched here and whose
// archives they still have packages of.
func (r *run) roots(ctx context.Context) error {
	seen, more, err := r.Agent.ranks.Roots(ctx, r.now().Add(-rootsFor), mostRoots)
	if err != nil {
		return err
	}
	if more > 0 {
		r.log.Warn("the logs have more roots than a run looks after; those that clients asked for last are", "roots", len(seen), "left_out", more,
			"advice", "does a log have requests that imserve did not answer? sync.roots names roots that are to be kept whatever the logs say")
	}
	var roots []generation.Root
	for _, name := range seen {
		if root, err := generation.ParseRoot(name); err == nil {
			roots = append(roots, root)
		}
	}
	for _, name := range r.site.Config.Sync.Roots {
		if named, err := r.site.Generations.Named(name); err == nil {
			roots = append(roots, named...)
		}
	}
	for _, suite := range r.site.Generations.Suites() {
		asked, err := r.askedFor(ctx)
		if err != nil {
			return err
		}
		if uses(asked, suite.Archive()) {
			roots = append(roots, suite)
		}
	}
	known := map[string]bool{}
	for _, root := range roots {
		if known[root.String()] || r.site.Mirrors(root.Repo) == nil {
			// A repo that was taken out of the configuration is still in the logs' counts.
			continue
		}
		known[root.String()] = true
		r.report.Roots = append(r.report.Roots, &RootReport{Root: root.String(), Untried: true, root: root, entry: r.site.Generations.Entry(root).String()})
	}
	r.report.sort()
	return nil
}

// uses reports whether clients have asked for a file below dir.
func uses(asked map[string]time.Time, dir string) bool {
	for p := range asked {
		if strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}
