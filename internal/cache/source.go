package cache

import (
	"context"
	"errors"
	"fmt"
)

// Request asks a Source for one file.
type Request struct {
	Key  Key
	Want Want
	// Stored is the stored copy's facts, where a conditional request shall tell
	// whether it still is upstream's; nil asks for the bytes whatever they are.
	Stored *Facts
	// Held says that a generation which is kept lists the file: that upstream has
	// dropped it is no reason not to have it.
	Held bool
}

// Source is where files come from: a list of mirrors, asked on demand or by the
// agent. A Source is safe for concurrent use.
//
// Fetch writes the file into p, from the byte on that p.Resume says or from the
// first (Partial.Begin), and ends with p.Complete, which tells whether what
// came is what was wanted: if not, the next mirror is asked. The facts that it
// returns hold the validators and where they came from; the cache adds the rest.
//
// Errors: ErrNotModified, for a conditional request alone; one that wraps
// fs.ErrNotExist, where the file is gone from everywhere; *UnreachableError,
// where nobody could be asked; ErrUnstorable from p; any other is a download that
// failed, and p keeps what is worth to be continued.
type Source interface {
	Fetch(ctx context.Context, r Request, p *Partial) error
}

// LocalSource is a Source on this machine: what it brings has not come over the
// uplink, and is not accounted as if it had.
type LocalSource interface {
	Source
	Local()
}

func isLocal(s Source) bool {
	_, local := s.(LocalSource)
	return local
}

// ErrNotModified says that the stored copy is upstream's, or newer.
var ErrNotModified = errors.New("not modified")

// ErrUnstorable says that a file can't be stored: the disk is full or can't be
// written, or upstream's answer does not say where it ends. The request is
// relayed, and nothing is kept.
var ErrUnstorable = errors.New("it can't be stored")

// ErrWrongContent says that what upstream sent is not what it should be: a
// digest, a length or a format is wrong.
var ErrWrongContent = errors.New("not what upstream should send")

// UnreachableError says that no mirror could be asked.
type UnreachableError struct {
	Err error
	// TimedOut tells a mirror that was silent for too long from one that refused.
	TimedOut bool
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("no route to upstream: %v", e.Err) }

func (e *UnreachableError) Unwrap() error { return e.Err }

// Catalog is what verified metadata says of files.
type Catalog interface {
	// Lookup is what the current generation of k's repository promises of k, and
	// whether any generation that is kept lists it. It is called on each request
	// and must not wait for a disk or a lock for long.
	Lookup(k Key) (w Want, held bool)
}

// NoCatalog promises nothing.
type NoCatalog struct{}

// Lookup implements Catalog.
func (NoCatalog) Lookup(Key) (Want, bool) { return Want{}, false }
