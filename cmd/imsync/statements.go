package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	imsync "intelligentmirror/sync"
)

// moment is a time as a person reads it.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// writeStatus prints what the agent is about.
func writeStatus(w io.Writer, s *imsync.Status) {
	table(w, func(row func(...any)) {
		if l := s.LastRun; l == nil {
			row("last run", "none yet")
		} else {
			row("last run", lastRun(l))
		}
		if r := s.Running; r == nil {
			row("running", "no")
		} else {
			row("running", fmt.Sprintf("since %s, %d of %d packages, %s of %s", moment(r.Started), r.Done, r.Items, size(r.There), size(r.Bytes)))
		}
		row("next run", moment(s.NextRun)+" by sync.schedule, where `imsync run` stays")
		row("cache", fmt.Sprintf("%s in %d files, of %s", size(s.CacheSize), s.Files, size(s.Limit)))
		if s.Saved >= 0 {
			row("saved", size(s.Saved)+" that did not come from upstream")
		} else {
			row("saved", "nothing yet: "+size(-s.Saved)+" more came from upstream than clients were sent")
		}
		row("prefetched", worth(s.Used, s.Wasted, s.Waiting))
		for _, x := range s.Sources {
			row("  "+string(x.Source), sourceWorth(x))
		}
		if len(s.Held) > 0 {
			row("held", strings.Join(s.Held, ", "))
		}
		for _, x := range s.Replicas {
			row("copy of", x.From+": "+replicaLine(&x))
		}
	})
}

// lastRun is a run in a line.
func lastRun(l *imsync.LastRun) string {
	s := fmt.Sprintf("%s, for %s: %d packages, %s, %d failures", moment(l.Started), l.Finished.Sub(l.Started).Round(time.Second),
		l.Fetched, size(l.Bytes), l.Failures)
	if l.Partial {
		s += " (of roots that had changed)"
	}
	if n := len(l.Withdrawn); n > 0 {
		s += fmt.Sprintf("; %d files are gone upstream and not served any more", n)
	}
	if n := len(l.Deleted); n > 0 {
		s += fmt.Sprintf("; %d files (%s) deleted that upstream or a newer version has replaced", n, size(bytesOf(l.Deleted)))
	}
	for _, g := range l.Guarded {
		s += "; " + g.Root + ": " + g.Advice()
	}
	switch {
	case l.Error != "":
		s += "; broken off: " + l.Error
	case l.Stopped != "":
		s += "; " + l.Stopped
	}
	return s
}

// bytesOf is how many bytes of the disk the files took together.
func bytesOf(files []imsync.Removed) (n int64) {
	for _, f := range files {
		n += f.Bytes
	}
	return n
}

// writeVerify prints what reading the cache back has shown.
func writeVerify(w io.Writer, r *imsync.VerifyReport) {
	for _, f := range r.Wrong {
		writeWrong(w, f)
	}
	fmt.Fprintf(w, "%d files, %s read", r.Files, size(r.Bytes))
	if r.Resumed {
		fmt.Fprintf(w, " since %s", moment(r.Started))
	}
	fmt.Fprintf(w, ": %d wrong, %d repaired", len(r.Wrong), len(r.Wrong)-r.Failures())
	if r.Unknown > 0 {
		fmt.Fprintf(w, "; of %d no digest is known", r.Unknown)
	}
	fmt.Fprintln(w)
}

func writeWrong(w io.Writer, f imsync.WrongFile) {
	if f.Repaired {
		fmt.Fprintf(w, "repaired: %s: %s\n", f.Path, f.Error)
	} else {
		fmt.Fprintf(w, "wrong: %s: %s\n", f.Path, f.Error)
	}
}

// writeImport prints what was adopted.
func writeImport(w io.Writer, r *imsync.ImportReport) {
	table(w, func(row func(...any)) {
		row("REPOSITORY", "PACKAGES", "BYTES", "STORED BEFORE", "NOT THERE", "FAILED", "METADATA")
		for _, x := range r.Roots {
			metadata := "the cache's own stays"
			if x.Current {
				metadata = "taken over"
			}
			row(x.Root, x.Files, size(x.Bytes), x.Stored, x.Missing, len(x.Failed), metadata)
		}
	})
	fmt.Fprintf(w, "\n%d packages, %s\n", r.Files, size(r.Bytes))
	for _, x := range r.Roots {
		if x.Unlisted > 0 {
			fmt.Fprintf(w, "%s: %d packages are left out: the cache's own metadata does not list them\n", x.Root, x.Unlisted)
		}
		for _, f := range x.Failed {
			fmt.Fprintf(w, "failed: %s: %s\n", f.Path, f.Error)
		}
	}
}
