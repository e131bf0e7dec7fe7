package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	// maxAdvisory bounds what one advisory may take in memory, in bytes. The
	// largest known (a kernel's, for ten architectures) take under 100 KB.
	maxAdvisory = 4 << 20
	// nevraWeight is what a package of an advisory takes besides its text.
	nevraWeight = 96
)

// Advisory is what an updateinfo.xml says of one update.
type Advisory struct {
	ID       string  // "FEDORA-2024-0c2d0e1f2a"
	Type     string  // "security", "bugfix", "enhancement", "recommended", ...; "" where it is not said
	Severity string  // "Important"; "" where it is not said
	Packages []NEVRA // the versions that bring the update
}

// Security reports whether the advisory mends something that an attacker can use.
func (a *Advisory) Security() bool { return a.Type == "security" }

// ScanUpdateinfo reads an updateinfo.xml, unpacked, and calls fn for each
// advisory in its order. The Advisory and its slice are reused: they are valid
// until fn returns. Their strings stay valid.
//
// An advisory without an id, with a package without a name, version or
// architecture or with an epoch that is no number, or of more than 4 MiB is
// skipped and counted. An error of fn ends the scan and is returned as it is; any
// other is that of ScanPrimary, and so are the bounds.
func ScanUpdateinfo(r io.Reader, fn func(*Advisory) error) (Stats, error) {
	u := updateinfo{scanner: newScanner(r), strings: newInterner()}
	err := scanList(u.scanner, "updateinfo.xml", &u, func() error { return u.hand(fn) })
	return u.stats, err
}

// part is what an open element of an updateinfo.xml means, by its name and by
// where it stands.
type part uint8

const (
	partOther part = iota // and all within it
	partUpdates
	partUpdate
	partID
	partSeverity
	partList
	partCollection
	partPackage
)

// child is what an element of the given name means inside of p.
func (p part) child(name []byte) part {
	switch p {
	case partUpdates:
		if string(name) == "update" {
			return partUpdate
		}
	case partUpdate:
		switch string(name) {
		case "id":
			return partID
		case "severity":
			return partSeverity
		case "pkglist":
			return partList
		}
	case partList:
		if string(name) == "collection" {
			return partCollection
		}
	case partCollection:
		if string(name) == "package" {
			return partPackage
		}
	}
	return partOther
}

// updateinfo is the state of a scan.
type updateinfo struct {
	*scanner
	stats   Stats
	strings interner

	open     []part // the open elements
	advisory Advisory
	why      error  // why it is refused, nil if it is not
	weight   int    // bytes that it takes
	content  []byte // text of the open element, if that is wanted
}

// start handles a start tag. It reports whether an advisory is complete.
func (u *updateinfo) start(t *token) (whole bool, err error) {
	p := partOther
	if len(u.open) > 0 {
		p = u.open[len(u.open)-1].child(t.name)
	} else if string(t.name) == "updates" {
		p = partUpdates
	} else {
		return false, fmt.Errorf("updateinfo.xml: its root element is <%.50s>, not <updates>", t.name)
	}
	u.open = append(u.open, p)
	switch p {
	case partUpdate:
		u.advisory = Advisory{Type: u.strings.intern(u.value("type")), Packages: u.advisory.Packages[:0]}
		u.why, u.weight = nil, 0
		u.weigh(len(u.advisory.Type))
	case partID, partSeverity:
		u.content = u.content[:0]
	case partPackage:
		if u.why == nil {
			u.refuse(u.add())
		}
	}
	if t.self {
		return u.end(), nil
	}
	return false, nil
}

// add takes over the package of the last start tag.
func (u *updateinfo) add() error {
	n := NEVRA{
		Name: u.strings.intern(u.value("name")),
		EVR:  EVR{Version: u.strings.intern(u.value("version")), Release: u.strings.intern(u.value("release"))},
		Arch: u.strings.intern(u.value("arch")),
	}
	if n.Name == "" || n.Version == "" || n.Arch == "" {
		return errors.New("a package without a name, version or architecture")
	}
	if e := u.value("epoch"); len(e) > 0 {
		epoch, err := strconv.ParseUint(string(e), 10, 31)
		if err != nil {
			return fmt.Errorf("epoch %.50q is not a number", e)
		}
		n.Epoch = int(epoch)
	}
	if u.weigh(nevraWeight + len(n.Name) + len(n.Version) + len(n.Release) + len(n.Arch)); u.why == nil {
		u.advisory.Packages = append(u.advisory.Packages, n)
	}
	return nil
}

// text takes a piece of text.
func (u *updateinfo) text(b []byte) {
	if n := len(u.open); n > 0 && (u.open[n-1] == partID || u.open[n-1] == partSeverity) && u.why == nil {
		if u.weigh(len(b)); u.why == nil {
			u.content = append(u.content, b...)
		}
	}
}

// end handles the end of an element. It reports whether that was an advisory.
func (u *updateinfo) end() (whole bool) {
	p := u.open[len(u.open)-1]
	u.open = u.open[:len(u.open)-1]
	switch p {
	case partID:
		u.advisory.ID = string(bytes.TrimSpace(u.content))
	case partSeverity:
		u.advisory.Severity = u.strings.intern(bytes.TrimSpace(u.content))
	}
	return p == partUpdate
}

// weigh counts n bytes towards the advisory's share of memory.
func (u *updateinfo) weigh(n int) {
	if u.weight += n; u.weight > maxAdvisory {
		u.refuse(fmt.Errorf("more than %d MiB", maxAdvisory>>20))
	}
}

// refuse marks the advisory, once, if err is not nil.
func (u *updateinfo) refuse(err error) {
	if u.why == nil {
		u.why = err
	}
}

// hand gives the advisory to fn, or counts it as skipped.
func (u *updateinfo) hand(fn func(*Advisory) error) error {
	if u.why == nil && u.advisory.ID == "" {
		u.why = errors.New("no id")
	}
	if u.why == nil {
		u.stats.Packages++
		return fn(&u.advisory)
	}
	u.stats.Skip("advisory", u.advisory.ID, u.why)
	return nil
}
