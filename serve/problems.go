package serve

import (
	"fmt"
	"strings"
	"time"
)

// problem is something that an administrator should see to, in plain words.
type problem struct {
	What string `json:"what"`
	Do   string `json:"do"` // "" where What says it
	// Minor says that clients get all that they ask for all the same.
	Minor bool `json:"minor,omitempty"`
}

const (
	// staleRun is after how long the last run that came to its end is old.
	staleRun = 3 * 24 * time.Hour
	// muchMissed is the share of all bytes that may go past the cache unnoticed.
	muchMissed = 0.1
)

// problemsNow is what is wrong in r that comes and goes, the worst first.
func problemsNow(r *report) []problem {
	list := []problem{}
	bad := func(what, do string) { list = append(list, problem{What: what, Do: do}) }
	if r.Cache.Problem != "" {
		bad(r.Cache.Problem, "")
	} else if r.unready != nil {
		bad("This mirror is not ready: "+r.unready.Error()+".", "Until it is, a load balancer sends its requests elsewhere.")
	}
	for _, m := range r.Mirrors {
		if m.Mirrors > 0 && m.Resting == m.Mirrors {
			bad("No mirror of "+m.Repo+" answers: what is stored is served, what is missing can't be had.",
				fmt.Sprintf("They are asked again within %d s. See whether this machine can reach them: curl -I, a firewall, a proxy to go out by.", m.Rest+1))
		}
	}
	for _, k := range r.KeptBack {
		list = append(list, problem{"New metadata of " + k.Root + " is kept back: " + k.Why + ".",
			"Clients have what was whole. It is tried again; a mirror in the middle of an update is whole in an hour.", true})
	}
	return list
}

// problemsLater is what else is wrong in r: what the accounting and imsync's runs
// tell. Clients do not notice any of it.
func problemsLater(r *report, now time.Time) []problem {
	list := []problem{}
	minor := func(what, do string) { list = append(list, problem{what, do, true}) }
	if r.Last30Days == nil {
		minor("Nothing is accounted: the database can't be used.", "The log says why. What is served does not depend on it.")
	}
	if s := r.Sync; s != nil {
		switch {
		case s.Ended != "":
			minor("The last run of imsync was broken off: "+s.Ended+".", "What it had is kept; the next run goes on. imsync status says more.")
		case s.Failures > 0:
			minor(fmt.Sprintf("The last run of imsync could not fetch all: %d failed.", s.Failures), "What failed is listed below, and tried again in the next run.")
		}
		if !s.Running && !s.Success.IsZero() && now.Sub(s.Success) > staleRun {
			minor("The last run of imsync that came to its end began "+ago(now.Sub(s.Success))+" ago.",
				"See that its timer is on (systemctl list-timers imsync.timer), or that imsync run goes on.")
		}
	}
	if r.Bucket != nil {
		if p, any := r.Bucket.trouble(now); any {
			list = append(list, p)
		}
	}
	var past int64
	var repos []string
	for _, m := range r.MissedHTTPS {
		past += m.Bytes
		repos = append(repos, m.Repo)
	}
	if past > 0 && float64(past) > muchMissed*float64(past+r.SinceStart.Bytes) {
		minor(byteText(past)+" of "+strings.Join(repos, ", ")+" went past the cache, in tunnels of https.",
			"Point these clients here by /-/setup/, or let them ask by http://: signatures protect them either way.")
	}
	return list
}

// ago is a time that has passed, for people.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}
