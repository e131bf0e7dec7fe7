package serve

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
)

// report is the server's state, as /-/status.json has it.
type report struct {
	Version       string        `json:"version"`
	Started       time.Time     `json:"started"`
	UptimeSeconds int64         `json:"uptime_seconds"`
	Today         *cache.Totals `json:"today"`        // null where nothing is accounted
	Last30Days    *cache.Totals `json:"last_30_days"` // today included; days are UTC's
	Days          []cache.Day   `json:"days"`         // of these 30, those that have any request
	// Spared is how much less clients waited, about: by how fast downloads and stored
	// copies have been since the start. 0 where that is not known yet.
	SparedToday  int64         `json:"spared_seconds_today"`
	Spared30Days int64         `json:"spared_seconds_30_days"`
	Problems     []problem     `json:"problems"`         // what an administrator should see to, the worst first
	Downloads    []downloading `json:"downloads"`        // under way in this program, the one that most wait for first
	Popular      []popular     `json:"popular"`          // packages, the most asked for lately first
	Roots        []rootState   `json:"roots"`            // what repositories' metadata is kept of, by name
	Mirrors      []mirrorState `json:"mirrors"`          // of the repositories that are in use, by name
	Sync         *Runs         `json:"sync"`             // null where imsync never ran
	Bucket       *bucketState  `json:"bucket,omitempty"` // none where there is no bucket
	Cache        cache.Space   `json:"cache"`
	KeptBack     []keptBack    `json:"metadata_kept_back"` // roots whose new metadata is not served, by name
	SinceStart   sinceStart    `json:"since_start"`
	MissedHTTPS  []missedHTTPS `json:"missed_https"` // through tunnels to hosts of repositories since the start, the most first
	Recent       []recent      `json:"recent"`       // the latest first

	unready error
}

// downloading is a file that is on its way.
type downloading struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"` // bytes; -1 where nobody knows
	There   int64  `json:"there"`
	Waiting int    `json:"waiting"` // clients, and runs of imsync's
	Begun   bool   `json:"begun"`   // false while upstream's answer is waited for
}

// popular is a package that is asked for.
type popular struct {
	Path  string    `json:"path"`
	Last  time.Time `json:"last_asked"`
	Ready bool      `json:"ready"` // it is stored
}

// rootState is how a root's metadata is.
type rootState struct {
	Root      string    `json:"root"`
	Published time.Time `json:"published,omitzero"` // when it last changed upstream
	Kept      int       `json:"generations"`
	Held      bool      `json:"held,omitempty"`
	Holdable  bool      `json:"-"` // it is one of those that can be held: of RPM packages
}

// mirrorState is how a repository's mirrors are.
type mirrorState struct {
	Repo    string `json:"repo"`
	Mirrors int    `json:"mirrors"`
	Resting int    `json:"resting"`      // of these, left alone after a failure
	Rest    int64  `json:"rest_seconds"` // until one is asked again, where all rest
}

// Runs is what is known of imsync's runs.
type Runs struct {
	Running  bool      `json:"running"`
	Next     time.Time `json:"next,omitzero"` // by the schedule of the configuration; a timer has times of its own
	Started  time.Time `json:"started"`       // of the last run, as all that follows
	Finished time.Time `json:"finished"`
	Ended    string    `json:"ended,omitempty"` // what broke it off; "" if it came to its end
	Success  time.Time `json:"last_completed,omitzero"`
	Fetched  int       `json:"fetched"` // packages
	Bytes    int64     `json:"bytes"`
	Failures int       `json:"failures"`
	Failed   []string  `json:"failed,omitempty"` // some of the failures: path and why
	Used     int64     `json:"used_bytes"`       // of what was prefetched within a year
	Wasted   int64     `json:"wasted_bytes"`
	Waiting  int64     `json:"waiting_bytes"`
	// Brought is the largest of what the last run brought that brought anything,
	// BroughtAll how many packages that were, InVain the largest that nobody came for.
	Brought    []RunItem `json:"brought"`
	BroughtAll int       `json:"brought_packages"`
	InVain     []RunItem `json:"in_vain"`
}

// RunItem is a package that a run brought.
type RunItem struct {
	Path string    `json:"path"`
	Size int64     `json:"size"` // bytes
	At   time.Time `json:"at"`
	Why  string    `json:"why,omitempty"`
	Used bool      `json:"used"`
}

// keptBack is a root that stays at older metadata than upstream's.
type keptBack struct {
	Root  string    `json:"root"`
	Since time.Time `json:"since"` // of the last try
	Why   string    `json:"why"`
}

// sinceStart counts all answers, those included that are none of our business.
type sinceStart struct {
	Requests int64            `json:"requests"`
	Bytes    int64            `json:"bytes_served"`
	Outcomes map[string]int64 `json:"outcomes"`
}

// recent is one of the last answers.
type recent struct {
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"`
	Client  string    `json:"client"`
	Method  string    `json:"method"`
	Target  string    `json:"target"`
	Code    int       `json:"status"`
	Bytes   int64     `json:"bytes"`
	Outcome outcome   `json:"outcome"`
}

// totalsWithin is how long the status page waits for the accounting.
const totalsWithin = 2 * time.Second

// popularShown is how many of the packages that are asked for are shown.
const popularShown = 15

func (s *Server) report(ctx context.Context) report {
	now := s.o.Now()
	r := report{
		Version: s.o.Version, Started: s.started.UTC(), UptimeSeconds: int64(now.Sub(s.started) / time.Second),
		SinceStart: sinceStart{Bytes: s.stats.sent.Load()}, MissedHTTPS: s.missed.list(), KeptBack: []keptBack{}, Recent: []recent{},
		Days: []cache.Day{}, Popular: []popular{}, Roots: []rootState{}, Mirrors: []mirrorState{},
	}
	r.SinceStart.Outcomes, r.SinceStart.Requests = s.stats.outcomes()
	for _, e := range s.stats.last() {
		r.Recent = append(r.Recent, recent{e.At, e.Took.Seconds(), e.Client, e.Method, e.Target, e.Code, e.Sent, e.Outcome})
	}
	ctx, cancel := context.WithTimeout(ctx, totalsWithin)
	defer cancel()
	s.reportAccounts(ctx, &r, now)
	r.Cache = s.o.Cache.Space(ctx)
	s.reportNow(&r)
	if s.o.Metadata != nil {
		for _, st := range s.o.Metadata.States() {
			r.Roots = append(r.Roots, rootState{st.Root.String(), st.Published.UTC(), st.Kept, st.Held, st.Root.Kind == generation.RPM})
		}
	}
	if s.o.Runs != nil {
		var err error
		if r.Sync, err = s.o.Runs(ctx, s.o.Config); err != nil {
			s.o.Log.Warn("the status lacks imsync's runs", "error", err)
		}
	}
	if s.o.Bucket != nil {
		r.Bucket = &bucketState{s.o.Bucket(), s.o.Cache.Activity().Bucket}
	}
	r.Problems = append(problemsNow(&r), problemsLater(&r, now)...)
	return r
}

// reportNow adds what changes from one second to the next, and needs no database.
func (s *Server) reportNow(r *report) {
	r.Downloads = []downloading{}
	for _, d := range s.o.Cache.Downloads() {
		r.Downloads = append(r.Downloads, downloading{d.Key.String(), d.Size, d.There, d.Waiting, d.Begun})
	}
	if s.o.Metadata != nil {
		for _, p := range s.o.Metadata.Problems() {
			r.KeptBack = append(r.KeptBack, keptBack{p.Root.String(), p.Since.UTC(), p.Err.Error()})
		}
	}
	for _, repo := range s.o.Config.Repos {
		m := s.o.Mirrors(repo.Name)
		// Of the built-in ones most sites use few, and the others have nothing to tell.
		if m == nil || !s.o.Cache.HasRepo(repo.Name) && m.Health().Resting == 0 {
			continue
		}
		h := m.Health()
		r.Mirrors = append(r.Mirrors, mirrorState{repo.Name, h.Mirrors, h.Resting, int64(h.Rest / time.Second)})
	}
	r.unready = s.unready()
}

// reportAccounts adds what the ledger knows.
func (s *Server) reportAccounts(ctx context.Context, r *report, now time.Time) {
	l := s.o.Ledger
	if l == nil {
		return
	}
	if err := l.Flush(ctx); err != nil {
		s.o.Log.Warn("the status lacks the last answers", "error", err)
	}
	month := now.AddDate(0, 0, -29)
	today, err := l.Totals(ctx, now)
	last30, lastErr := l.Totals(ctx, month)
	if err = errors.Join(err, lastErr); err != nil {
		s.o.Log.Warn("the accounting can't be read", "error", err)
		return
	}
	r.Today, r.Last30Days = &today, &last30
	pace := s.stats.pace()
	r.SparedToday, r.Spared30Days = spared(today, pace), spared(last30, pace)
	if r.Days, err = l.Days(ctx, month); err != nil {
		s.o.Log.Warn("the accounting can't be read", "error", err)
	}
	asked, err := s.popular(ctx, now)
	if err != nil {
		s.o.Log.Warn("the accounting can't be read", "error", err)
	}
	for _, p := range asked {
		repo, below, _ := strings.Cut(p.Path, "/")
		r.Popular = append(r.Popular, popular{p.Path, p.Last.UTC(), s.o.Cache.Has(cache.Key{Repo: repo, Path: below})})
	}
}

// popularFor is how long the packages that are asked for most are shown as they were: to
// find them the uses of all files are read.
const popularFor = time.Minute

// favourites are the packages that were asked for most. It is safe for concurrent use.
type favourites struct {
	mu   sync.Mutex
	at   time.Time // when they were found
	list []cache.Asked
}

// popular is the packages that are asked for most, as of a minute ago at the most.
func (s *Server) popular(ctx context.Context, now time.Time) ([]cache.Asked, error) {
	f := s.favourites
	f.mu.Lock()
	defer f.mu.Unlock()
	if age := now.Sub(f.at); age >= 0 && age < popularFor {
		return f.list, nil
	}
	list, err := s.o.Ledger.Popular(ctx, popularShown, s.isPackage)
	if err != nil {
		return nil, err
	}
	f.at, f.list = now, list
	return list, nil
}

// isPackage reports whether a path below the cache directory is a package's.
func (s *Server) isPackage(p string) bool {
	return s.o.Config.Serve.Classify(path.Clean("/"+p)) == config.Package
}

// spared is how many seconds less clients waited, where a byte from upstream takes
// so much longer than one from the disk.
func spared(t cache.Totals, pace float64) int64 {
	return int64(max(pace*float64(t.Served-t.Upstream), 0))
}
