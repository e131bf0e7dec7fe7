package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"intelligentmirror/popularity"
)

// Exchanged is what came of the counts of another machine of the group.
type Exchanged struct {
	From string `json:"from"` // the imserve there, or a file
	popularity.Imported
	Error string `json:"error,omitempty"` // why nothing was taken in; "" if it was
}

// ErrGroupKey is wrapped by the errors of a sync.group_key that can't be used.
var ErrGroupKey = errors.New("sync.group_key can't be used")

// shortestSecret is how many bytes a group's secret has at the least.
const shortestSecret = 16

// groupSecret reads the file of sync.group_key; "" is none.
func groupSecret(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGroupKey, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGroupKey, err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%w: everybody on this machine may read %s (%v); chmod o= %[2]s", ErrGroupKey, file, mode)
	}
	secret, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGroupKey, err)
	}
	if secret = bytes.TrimSpace(secret); len(secret) < shortestSecret {
		return nil, fmt.Errorf("%w: the secret in %s has %d characters, and has to have %d; openssl rand -hex 32 makes one, and it is the same on each machine",
			ErrGroupKey, file, len(secret), shortestSecret)
	}
	return secret, nil
}

// Exchange takes in what the other machines of sync.group have counted. One that
// cannot be asked holds up none of the others.
func (a *Agent) Exchange(ctx context.Context) []Exchanged {
	all := []Exchanged{}
	for _, url := range a.site.Config.Sync.Group {
		x := Exchanged{From: url}
		var err error
		if x.Imported, err = a.fetchCounts(ctx, url); err != nil {
			x.Error = err.Error()
			a.log.Warn("the counts of a machine of the group are not taken in", "from", url, "error", err)
		}
		all = append(all, x)
	}
	return all
}

// fetchCounts takes in the counts that the imserve at url has.
func (a *Agent) fetchCounts(ctx context.Context, url string) (done popularity.Imported, err error) {
	origin, release := a.site.Origin(url, 1, nil)
	defer release()
	resp, err := origin.Page(ctx, popularity.CountsPage, nil)
	if err != nil {
		return done, fmt.Errorf("%w (imsync there has to have run with sync.group_key)", err)
	}
	defer resp.Body.Close()
	return a.ImportCounts(ctx, resp.Body)
}

// mostCounts bounds the counts of one machine, packed, in bytes: who sends them is known
// only when all are here.
const mostCounts = 4 << 30

// ImportCounts takes in counts that ExportCounts has written.
func (a *Agent) ImportCounts(ctx context.Context, r io.Reader) (done popularity.Imported, err error) {
	// They are read twice, and the first time to see whether they are whole.
	f, err := os.CreateTemp(a.site.Config.StateDir, countsPrefix)
	if err != nil {
		return done, fmt.Errorf("keep the counts for a moment: %w", err)
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return done, err
	}
	if err := copyAtMost(f, r, mostCounts); err != nil {
		return done, fmt.Errorf("the counts do not come to their end: %w", err)
	}
	return a.ranks.Import(ctx, f)
}

// ExportCounts writes what has been counted for other machines of the group.
func (a *Agent) ExportCounts(ctx context.Context, w io.Writer) error { return a.ranks.Export(ctx, w) }

// countsPrefix is what names of counts begin with that are being written, which takes
// less than countsUnderWay.
const (
	countsPrefix   = ".counts-"
	countsUnderWay = 24 * time.Hour
)

// publishCounts puts what has been counted where imserve gives it to the group. Where
// that fails, the others have what was there before.
func (a *Agent) publishCounts(ctx context.Context) {
	if a.site.Config.Sync.GroupKey == "" {
		return
	}
	dir := a.site.Config.StateDir
	if err := sweepLeft(dir, countsPrefix, time.Now().Add(-countsUnderWay)); err != nil {
		a.log.Debug("what is left of counts can't be removed", "error", err)
	}
	write := func(w io.Writer) error { return a.ExportCounts(ctx, w) }
	if err := replaceFile(filepath.Join(dir, popularity.CountsFile), countsPrefix, write, nil); err != nil {
		a.log.Warn("what is counted here can't be given to the group", "error", err)
	}
}
