package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/visible"
	imsync "intelligentmirror/sync"
)

// size is a number of bytes as a person reads it.
func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// table writes rows whose cells are aligned.
func table(w io.Writer, rows func(row func(cells ...any))) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			// A line's end within a name would be the row's.
			fmt.Fprint(t, visible.Text(fmt.Sprint(c), ""))
		}
		fmt.Fprintln(t)
	})
	t.Flush()
}

// why is an item's reason with what stands behind it.
func why(it imsync.Item) string {
	s := string(it.Reason)
	if it.Rank > 0 {
		s += fmt.Sprintf(" (rank %d)", it.Rank)
	}
	if it.Because != "" {
		s += ": " + it.Because
	}
	return s
}

// writeReport prints what a run did.
func writeReport(w io.Writer, r *imsync.Report, cfg *config.Config) {
	if len(r.Items) > 0 {
		table(w, func(row func(...any)) {
			row("FETCHED", "VERSION", "ARCH", "SIZE", "FOR")
			for _, it := range r.Items {
				row(it.Name, it.EVR, it.Arch, size(it.Size), why(it.Item))
			}
		})
		fmt.Fprintln(w)
	}
	if len(r.Roots) == 0 && r.Stopped != "" {
		fmt.Fprintf(w, "Nothing is done now: %s.\n", r.Stopped)
		return
	}
	writeRoots(w, r, cfg)
	if r.Unchanged {
		fmt.Fprintln(w, "\nNothing has changed since a run of the last day that had nothing to fetch.")
		writeVerified(w, r.Verified)
		writeNotes(w, r)
		writeFailures(w, r)
		return
	}
	fmt.Fprintf(w, "\n%d packages, %s from upstream in %s", r.Fetched, size(r.Bytes), r.Finished.Sub(r.Started).Round(time.Millisecond))
	if r.ResumedBytes > 0 {
		fmt.Fprintf(w, ", %s kept from an earlier run", size(r.ResumedBytes))
	}
	fmt.Fprintf(w, "; %d of those wanted were there already (%s)\n", r.Plan.Stored, size(r.Plan.StoredBytes))
	if r.UsedBytes+r.WastedBytes+r.WaitingBytes > 0 {
		fmt.Fprintf(w, "of what was prefetched before, %s\n", worth(r.UsedBytes, r.WastedBytes, r.WaitingBytes))
		for _, s := range r.Sources {
			fmt.Fprintf(w, "  %s: %s\n", s.Source, sourceWorth(s))
		}
	}
	if r.Stopped != "" {
		fmt.Fprintf(w, "note: %s\n", r.Stopped)
	}
	if n := len(r.Withdrawn); n > 0 {
		fmt.Fprintf(w, "%d files (%s) are gone upstream and not served any more, %s first\n", n, size(bytesOf(r.Withdrawn)), r.Withdrawn[0].Path)
	}
	for _, f := range r.Deleted {
		fmt.Fprintf(w, "deleted: %s (%s): %s\n", f.Path, size(f.Bytes), f.Why)
	}
	writeVerified(w, r.Verified)
	writeNotes(w, r)
	writeFailures(w, r)
}

// writeVerified prints what reading a part of the cache back has shown, where that was due.
func writeVerified(w io.Writer, v *imsync.ReadBack) {
	if v == nil {
		return
	}
	fmt.Fprintf(w, "read back: %d files, %s; %d wrong\n", v.Files, size(v.Bytes), len(v.Wrong))
	for _, f := range v.Wrong {
		writeWrong(w, f)
	}
}

// writePlan prints what a run would do.
func writePlan(w io.Writer, r *imsync.Report, cfg *config.Config) {
	if len(r.Plan.Items)+len(r.Plan.Cut) > 0 {
		table(w, func(row func(...any)) {
			row("WOULD FETCH", "VERSION", "ARCH", "SIZE", "FOR")
			for _, it := range r.Plan.Items {
				row(it.Name, it.EVR, it.Arch, size(it.Size), why(it))
			}
			for _, it := range r.Plan.Cut {
				row(it.Name, it.EVR, it.Arch, size(it.Size), "over the budget: "+why(it))
			}
		})
		fmt.Fprintln(w)
	}
	writeRoots(w, r, cfg)
	fmt.Fprintf(w, "\n%d packages, %s of a budget of %s; %d wanted ones are there already (%s)\n",
		len(r.Plan.Items), size(r.Plan.Bytes), size(int64(cfg.Sync.Budget)), r.Plan.Stored, size(r.Plan.StoredBytes))
	if len(r.Plan.Items) > 0 {
		fmt.Fprintf(w, "by source: %s\n", bySource(r.Plan.Items))
	}
	writeNotes(w, r)
	writeFailures(w, r)
}

// writeRoots prints a line for each root.
func writeRoots(w io.Writer, r *imsync.Report, cfg *config.Config) {
	if len(r.Roots) == 0 {
		fmt.Fprintf(w, "No repository is in use yet: none of %q shows a client that asked for a repomd.xml, and sync.roots names none.\n", cfg.Sync.Logs)
		return
	}
	table(w, func(row func(...any)) {
		row("REPOSITORY", "CHANGED", "PLANNED", "FETCHED", "BYTES", "FAILED")
		for _, x := range r.Roots {
			changed := "no"
			if x.Changed {
				changed = "yes"
			}
			row(x.Root, changed, x.Planned, x.Fetched, size(x.Bytes), len(x.Failed))
		}
	})
}

// maxNotes is how many notes of a kind are printed.
const maxNotes = 10

// writeNotes prints what a person may want to look into.
func writeNotes(w io.Writer, r *imsync.Report) {
	for _, f := range r.Logs.Failed {
		fmt.Fprintf(w, "note: the log %s can't be read to its end: %s\n", f.Path, f.Error)
	}
	for _, x := range r.Group {
		if x.Error != "" {
			fmt.Fprintf(w, "note: the counts of %s are not taken in: %s\n", x.From, x.Error)
		}
	}
	n := 0
	for _, m := range r.Plan.Seeds {
		if m.Note() {
			continue
		}
		fmt.Fprintf(w, "note: sync.packages %q: %s\n", m.Pattern, m.Reason)
	}
	for _, u := range r.Plan.Unmet {
		if n++; n > maxNotes {
			fmt.Fprintf(w, "note: and %d more requirements that no package meets\n", len(r.Plan.Unmet)-maxNotes)
			break
		}
		fmt.Fprintf(w, "note: %s requires %s, which no package of %s or its companions provides\n", u.By, u.Requires, u.Root)
	}
	if rest := len(r.Plan.Resting); rest > 0 {
		fmt.Fprintf(w, "note: %d packages (%s) rest, %s first: nobody fetched what was prefetched of these names before\n",
			rest, size(sum(r.Plan.Resting)), r.Plan.Resting[0].Name)
	}
	if n := len(r.Plan.Unlikely); n > 0 {
		fmt.Fprintf(w, "note: %d packages (%s) are left out, %s first: nobody has asked for these names for long\n",
			n, size(sum(r.Plan.Unlikely)), r.Plan.Unlikely[0].Name)
	}
	if c := len(r.Plan.Cut); c > 0 {
		limit := "the budget (sync.budget, sync.root_budget)"
		if r.Room >= 0 {
			limit = fmt.Sprintf("the %s that the cache has room for (cache_size, min_free)", size(r.Room))
		}
		fmt.Fprintf(w, "note: %d packages (%s) did not fit %s\n", c, size(sum(r.Plan.Cut)), limit)
	}
}

// sum is how large the items are together, in bytes.
func sum(items []imsync.Item) (bytes int64) {
	for _, it := range items {
		bytes += it.Size
	}
	return bytes
}

// worth says what became of the bytes that were prefetched.
func worth(used, wasted, waiting int64) string {
	return fmt.Sprintf("%s were used, %s wasted, %s may still be asked for", size(used), size(wasted), size(waiting))
}

// sourceWorth says what became of what a source of candidates brought.
func sourceWorth(s imsync.SourceWorth) string {
	return fmt.Sprintf("%d packages used (%s), %d wasted (%s), %d waiting (%s)",
		s.Used, size(s.UsedBytes), s.Wasted, size(s.WastedBytes), s.Waiting, size(s.WaitingBytes))
}

// bySource says how much of the items each source brings.
func bySource(items []imsync.Item) string {
	type part struct {
		n     int
		bytes int64
	}
	parts := map[imsync.Reason]part{}
	for _, it := range items {
		p := parts[it.Source]
		parts[it.Source] = part{p.n + 1, p.bytes + it.Size}
	}
	var all []string
	for _, source := range slices.Sorted(maps.Keys(parts)) {
		all = append(all, fmt.Sprintf("%s %d (%s)", source, parts[source].n, size(parts[source].bytes)))
	}
	return strings.Join(all, ", ")
}

// writeFailures lists what failed.
func writeFailures(w io.Writer, r *imsync.Report) {
	for _, x := range r.Roots {
		for _, f := range x.Failed {
			fmt.Fprintf(w, "failed: %s: %s\n", f.Path, f.Error)
		}
	}
	for _, g := range r.Guarded {
		fmt.Fprintf(w, "failed: %s: %s\n", g.Root, g.Advice())
	}
}
