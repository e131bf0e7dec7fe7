package repodata

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// DebPackage is what a Packages file of a Debian repository says of one package.
type DebPackage struct {
	Name, Version, Arch string
	// Filename is the package's path below the top of the archive: the directory
	// above dists/ or, of a flat repository, that of its Release. It has passed
	// CheckLocation.
	Filename string
	Size     int64    // bytes of the package file
	Checksum Checksum // of the package file: SHA-256 or, without one, SHA-512
}

// ScanPackages reads a Packages file, unpacked, and calls fn for each package in
// its order. The DebPackage is reused: it is valid until fn returns; its strings
// stay valid.
//
// A package without a name, version, architecture, file name, size or digest
// (MD5 and SHA-1 are none), with one of these twice, with a file name that leads
// out of the archive or is a metadata file's, or with a line of more than 64 KiB for one of these is
// skipped and counted. An error of fn ends the scan and is returned as it is. Any
// other error says that the document is no Packages file, or comes from r; the
// packages before it have been handed over by then. Memory is bounded whatever
// the input.
func ScanPackages(r io.Reader, fn func(*DebPackage) error) (Stats, error) {
	p := debPackages{strings: newInterner()}
	s := newStanzas(r)
	for {
		l, err := s.next()
		if err != nil && err != io.EOF {
			return p.stats, fmt.Errorf("packages file: %w", err)
		}
		if l.blank || err == io.EOF {
			if err := p.end(fn); err != nil || !l.blank {
				return p.stats, err
			}
			continue
		}
		if l.name == "" && !p.under {
			return p.stats, fmt.Errorf("packages file: line %d continues nothing", s.line)
		}
		p.under = true
		if l.name != "" {
			p.refuse(p.set(l))
		}
	}
}

// debPackages is the state of a scan.
type debPackages struct {
	stats   Stats
	strings interner

	under bool // a stanza is under way
	pkg   DebPackage
	seen  uint8 // which of its fields have been there
	why   error // why it is refused, nil if it is not

	sha256, sha512 Checksum
}

// debFields are the fields that are read, each with its bit in seen.
var debFields = map[string]uint8{
	"package": 1 << 0, "version": 1 << 1, "architecture": 1 << 2, "filename": 1 << 3, "size": 1 << 4, "sha256": 1 << 5, "sha512": 1 << 6,
}

// set takes a field.
func (p *debPackages) set(l line822) (err error) {
	bit := debFields[l.name]
	switch {
	case bit == 0:
		return nil
	case l.cut:
		return fmt.Errorf("%s: %w", l.name, errLong)
	case p.seen&bit != 0:
		return fmt.Errorf("a second %s", l.name)
	}
	p.seen |= bit
	switch l.name {
	case "package":
		p.pkg.Name = l.value
	case "version":
		p.pkg.Version = l.value
	case "architecture":
		p.pkg.Arch = p.strings.intern([]byte(l.value))
	case "filename":
		p.pkg.Filename, err = checkPackage(l.value)
	case "size":
		if p.pkg.Size, err = strconv.ParseInt(l.value, 10, 64); err != nil || p.pkg.Size < 0 {
			err = fmt.Errorf("size %.50q is not a number of bytes", l.value)
		}
	case "sha256":
		p.sha256, err = newSum("sha256", l.value)
	case "sha512":
		p.sha512, err = newSum("sha512", l.value)
	}
	return err
}

// refuse marks the package, once, if err is not nil.
func (p *debPackages) refuse(err error) {
	if p.why == nil {
		p.why = err
	}
}

// end gives the package to fn, or counts it as skipped, and makes ready for the next.
func (p *debPackages) end(fn func(*DebPackage) error) error {
	if !p.under {
		return nil
	}
	if p.pkg.Checksum = p.sha256; p.sha256 == (Checksum{}) {
		p.pkg.Checksum = p.sha512
	}
	p.refuse(p.missing())
	var err error
	if p.why == nil {
		p.stats.Packages++
		err = fn(&p.pkg)
	} else {
		p.stats.Skip("package", p.pkg.Name, p.why)
	}
	*p = debPackages{stats: p.stats, strings: p.strings}
	return err
}

// missing is an error if something is not there that every package has.
func (p *debPackages) missing() error {
	switch {
	case p.pkg.Name == "":
		return errors.New("no name")
	case p.pkg.Version == "":
		return errors.New("no version")
	case p.pkg.Arch == "":
		return errors.New("no architecture")
	case p.pkg.Filename == "":
		return errors.New("no file name")
	case p.seen&debFields["size"] == 0:
		return errors.New("no size")
	case p.pkg.Checksum == Checksum{}:
		return errors.New("no SHA256 or SHA512")
	}
	return nil
}
