package popularity

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrCounts is wrapped by the errors of counts that cannot be taken in: they are
// damaged, not whole, another group's or another version's.
var ErrCounts = errors.New("these counts can't be taken in")

// CountsFile is what imsync calls, in its state directory, the file that Export has
// written, and CountsPage where imserve has it for administrators.
const (
	CountsFile = "counts.gz"
	CountsPage = "/-/counts"
)

// countsVersion is the version of what Export writes. A reader refuses another.
const countsVersion = 1

// maxCount is the longest line of counts, in bytes: a client's day with a million
// files is shorter.
const maxCount = 16 << 20

// countsLine is a line of counts: a JSON object with one field, which says what it
// is. The first is Counts, the last End. Directories, paths and names come before
// what refers to them by their number, and a day before what belongs to it.
type countsLine struct {
	Counts  *countsHead    `json:"counts,omitempty"`
	Root    *countsRoot    `json:"root,omitempty"`
	Dir     *string        `json:"dir,omitempty"`  // numbered from 0
	Path    *countsPath    `json:"path,omitempty"` // numbered from 1
	Name    *countsName    `json:"name,omitempty"` // numbered from 0
	Open    *int64         `json:"open,omitempty"` // a day; its clients follow
	Client  *countsClient  `json:"client,omitempty"`
	Closed  *int64         `json:"closed,omitempty"` // a day; its numbers follow
	Number  *countsNumber  `json:"number,omitempty"`
	Overlap *countsOverlap `json:"overlap,omitempty"`
	End     *string        `json:"end,omitempty"` // the seal over all lines before, see group.seal
}

// countsHead says whose counts these are.
type countsHead struct {
	Version int    `json:"version"`
	Group   string `json:"group"` // see group.name
	Node    string `json:"node"`
	Made    int64  `json:"made"` // seconds since 1970
}

// countsRoot is a root that clients asked for, with the times as the database has
// them.
type countsRoot struct {
	Root  string `json:"root"`
	First int64  `json:"first"`
	Last  int64  `json:"last"`
}

// countsPath is a package's file.
type countsPath struct {
	Dir  int    `json:"dir"`
	Base string `json:"base"`
}

// countsName is a name that has numbers.
type countsName struct {
	Name string `json:"name"`
	Arch string `json:"arch"`
	Dir  int    `json:"dir"`
}

// countsClient is a client on the day before it. Asked and Missing are as the
// database has them (appendAsked, appendMissing), with the numbers of paths for ids.
type countsClient struct {
	Hash    int64  `json:"hash"`
	Asked   []byte `json:"asked,omitempty"`
	Missing []byte `json:"missing,omitempty"`
}

// countsNumber is what a name has on the day before it.
type countsNumber struct {
	Name     int   `json:"name"`
	Clients  int64 `json:"clients"`
	Weight   int64 `json:"weight"`
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`
	LastSeen int64 `json:"last_seen"`
}

// countsOverlap is clients of several names on the day before it.
type countsOverlap struct {
	Names   []int `json:"names"`
	Clients int64 `json:"clients"`
	Weight  int64 `json:"weight"`
}

// eachLine calls fn for each line of the compressed text that r begins with. The
// line is valid until fn returns.
func eachLine(r io.ReadSeeker, fn func([]byte) error) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCounts, err)
	}
	defer z.Close()
	lines := bufio.NewScanner(z)
	lines.Buffer(make([]byte, 64<<10), maxCount)
	for lines.Scan() {
		if err := fn(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrCounts, err)
	}
	return nil
}

// verify reads counts to their end, and returns their head if they are whole, and
// this group's.
func (s *Store) verify(r io.ReadSeeker) (*countsHead, error) {
	var head *countsHead
	seal, sealed := s.group.seal(), false
	end := []byte(`{"end":`)
	err := eachLine(r, func(text []byte) error {
		if head == nil {
			var l countsLine
			if err := json.Unmarshal(text, &l); err != nil || l.Counts == nil {
				return fmt.Errorf("%w: they do not begin like counts", ErrCounts)
			}
			if head = l.Counts; head.Version != countsVersion {
				return fmt.Errorf("%w: they are of version %d, and this program knows %d: upgrade the older one", ErrCounts, head.Version, countsVersion)
			}
			if head.Group != s.group.name() {
				return fmt.Errorf("%w: they were made with another group's secret", ErrCounts)
			}
		}
		if sealed {
			return fmt.Errorf("%w: they go on behind their end", ErrCounts)
		}
		if bytes.HasPrefix(text, end) {
			var l countsLine
			if err := json.Unmarshal(text, &l); err != nil {
				return fmt.Errorf("%w: %w", ErrCounts, err)
			}
			if l.End != nil {
				given, err := hex.DecodeString(*l.End)
				sealed = err == nil && hmac.Equal(given, seal.Sum(nil))
			}
			if !sealed {
				return fmt.Errorf("%w: they were changed on their way", ErrCounts)
			}
			return nil
		}
		seal.Write(text)
		seal.Write([]byte("\n"))
		return nil
	})
	if err == nil && !sealed {
		err = fmt.Errorf("%w: they end before their end", ErrCounts)
	}
	return head, err
}

// eachCount calls fn for each line of counts.
func eachCount(r io.ReadSeeker, fn func(*countsLine) error) error {
	return eachLine(r, func(text []byte) error {
		var l countsLine
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("%w: %w", ErrCounts, err)
		}
		return fn(&l)
	})
}
