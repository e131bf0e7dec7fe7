package sync

import (
	"context"
	"path"
	"slices"
	"strings"

	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
)

// index makes the Index of what the staged generations offer. Metadata that
// can't be read is a failure of its root; the rest is planned without it.
func (r *run) index(ctx context.Context) (*Index, error) {
	var b IndexBuilder
	var all []*faults
	for _, x := range r.report.Roots {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		g, root := r.staged[x.Root], x.Root
		if g.Generation == nil || x.root.Kind != generation.RPM {
			continue // nothing is prefetched of suites but their indices
		}
		bad := faults{root: root}
		all = append(all, &bad)
		if err := r.modules(ctx, &b, g.Generation, &bad); err != nil {
			// Without it, whose packages are whose is not known: none is better than all.
			r.report.fail(root, root, err)
			continue
		}
		stats, err := g.Packages(func(p *repodata.Package) error {
			b.Add(root, p)
			return nil
		})
		if err != nil {
			r.report.fail(root, root, err)
			continue
		}
		bad.skipped("packages", stats)
		if err := g.Groups(func(c *repodata.Group) error { b.Group(root, c); return nil }); err != nil {
			r.report.fail(root, root, err)
		}
		stats, err = g.Advisories(func(a *repodata.Advisory) error { b.Advise(root, a); return nil })
		if err != nil {
			r.report.fail(root, root, err)
		}
		bad.skipped("advisories", stats)
	}
	idx := b.Index()
	for _, bad := range all {
		bad.unusable(idx.Refused())
		r.tell(bad)
	}
	return idx, nil
}

// modules tells b which streams of g's modules clients use.
func (r *run) modules(ctx context.Context, b *IndexBuilder, g *generation.Generation, bad *faults) error {
	m, err := g.Modules()
	if m == nil || err != nil {
		return err
	}
	root := g.Root.String()
	if m.Skipped > 0 {
		bad.add("modules that are described badly are left out", "modules", m.Skipped, m.Refused[0])
	}
	asked, err := r.askedFor(ctx)
	if err != nil {
		return err
	}
	files := map[string]bool{}
	for p := range asked {
		if strings.HasPrefix(p, root+"/") {
			files[path.Base(p)] = true
		}
	}
	if err := r.history.saw(root, streamsAsked(m, files), r.now()); err != nil {
		return err
	}
	used, err := r.history.streams(root, r.now())
	if err != nil {
		return err
	}
	b.Modules(root, m, func(module, stream string) bool { return slices.Contains(used, ModuleStream{module, stream}) })
	return nil
}
