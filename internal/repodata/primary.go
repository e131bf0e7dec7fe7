package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	// maxPackage bounds what one package may take in memory, in bytes. The
	// largest known (kernel modules, TeX collections) take under 2 MB.
	maxPackage = 16 << 20
	// depWeight is what an entry takes besides its text.
	depWeight = 96
	// keptReasons is how many of the reasons in Stats.Refused are kept.
	keptReasons = 5
)

// Stats is what a scan of a primary.xml, a Packages file or an updateinfo.xml found.
type Stats struct {
	Packages int // handed over; of an updateinfo.xml, advisories
	Skipped  int // left out because something was wrong with them
	// Refused says of the first few of those that were skipped why.
	Refused []error
}

// Skip counts what of that kind ("package") and name is left out because of why.
func (s *Stats) Skip(kind, name string, why error) {
	if s.Skipped++; len(s.Refused) < keptReasons {
		s.Refused = append(s.Refused, fmt.Errorf("%s %.100q: %w", kind, name, why))
	}
}

// Add adds to s what another scan left out.
func (s *Stats) Add(other Stats) {
	s.Skipped += other.Skipped
	s.Refused = append(s.Refused, other.Refused[:min(len(other.Refused), keptReasons-len(s.Refused))]...)
}

// Strays is why a Packages file can't be its author's: one of the first packages that
// were skipped has a file name that climbs (`..`) or names a host, which no archive's
// tools write. The error wraps ErrLocation; nil where none does.
func (s Stats) Strays() error {
	for _, err := range s.Refused {
		if errors.Is(err, errStray) {
			return err
		}
	}
	return nil
}

// ScanPrimary reads a primary.xml, unpacked, and calls fn for each package in its
// order. The Package and its slices are reused: they are valid until fn returns,
// and Clone keeps them longer. Their strings stay valid.
//
// A package with a location that leads out of the repository (see CheckLocation,
// xml:base) or is a metadata file's, without a name, version, architecture, checksum or size, with
// numbers or flags that are none, or of more than 16 MiB is skipped and counted.
// An error of fn ends the scan and is returned as it is. Any other error says
// that the document is cut short or not a well-formed primary.xml (ErrDTD for a
// document type declaration), or comes from r; the packages before it have been
// handed over by then, so that a caller that needs all or nothing has to drop
// them. Elements are told by their names whatever their prefix; those that are
// not known are passed over. Memory is bounded whatever the input.
func ScanPrimary(r io.Reader, fn func(*Package) error) (Stats, error) {
	return scanPrimary(r, false, fn)
}

// ScanFiles is ScanPrimary without what a package says of others: its Requires,
// Provides, Obsoletes, Conflicts, Files and SourceRPM stay empty, and it is not
// skipped for what is wrong with them: what stands there is passed over, unchecked.
func ScanFiles(r io.Reader, fn func(*Package) error) (Stats, error) {
	return scanPrimary(r, true, fn)
}

func scanPrimary(r io.Reader, files bool, fn func(*Package) error) (Stats, error) {
	p := primary{scanner: newScanner(r), strings: newInterner(), files: files}
	p.mute = true
	err := scanList(p.scanner, "primary.xml", &p, func() error { return p.hand(fn) })
	return p.stats, err
}

// listing is a document with one kind of element that is handed over when it is
// complete: a package, an advisory.
type listing interface {
	start(*token) (whole bool, err error)
	end() (whole bool)
	text([]byte)
}

// scanList reads a listing called name to its end, and calls hand for each element
// that is complete. An error of hand ends the scan and is returned as it is.
func scanList[L listing](s *scanner, name string, l L, hand func() error) error {
	for {
		t, err := s.next()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		whole := false
		switch t.event {
		case eventStart:
			whole, err = l.start(t)
		case eventEnd:
			whole = l.end()
		case eventText:
			l.text(t.text)
		case eventEOF:
			return nil
		}
		if err == nil && whole {
			err = hand()
		}
		if err != nil {
			return err
		}
	}
}

// primary is the state of a scan.
type primary struct {
	*scanner
	stats   Stats
	strings interner
	files   bool // of packages only what they are as files is wanted

	open    []element // the open elements
	pkg     Package   // the package under way
	why     error     // why it is refused, nil if it is not
	weight  int       // bytes that it takes
	sum     string    // its checksum's type
	content []byte    // text of the open element, if that collects
}

// start handles a start tag. It reports whether a package is complete.
func (p *primary) start(t *token) (whole bool, err error) {
	var el element
	if len(p.open) == 0 {
		if string(t.name) != "metadata" {
			return false, fmt.Errorf("primary.xml: its root element is <%.50s>, not <metadata>", t.name)
		}
		el = elMetadata
	} else {
		el = p.open[len(p.open)-1].child(t.name)
	}
	if el == elFormat && p.files {
		el = elOther
	}
	p.open = append(p.open, el)
	switch {
	case el.collects():
		p.content, p.mute = p.content[:0], false
		if el == elChecksum {
			p.sum = string(p.value("type"))
		}
	case el == elPackage:
		p.reset()
	case el != elOther && p.why == nil:
		p.refuse(p.attributes(el))
	}
	if t.self {
		return p.end(), nil
	}
	p.passing = p.files && el == elOther
	return false, nil
}

// attributes takes over what an element says in its attributes.
func (p *primary) attributes(el element) (err error) {
	switch el {
	case elVersion:
		p.pkg.EVR, err = p.evr()
	case elTime:
		// Of no use but to show it, and so no reason to lose the package.
		p.pkg.BuildTime, _ = strconv.ParseInt(string(p.value("build")), 10, 64)
	case elSize:
		if p.pkg.Size, err = strconv.ParseInt(string(p.value("package")), 10, 64); err != nil || p.pkg.Size < 0 {
			err = fmt.Errorf("size %.50q is not a number of bytes", p.value("package"))
		}
	case elLocation:
		for _, a := range p.attrs {
			if string(localName(a.name)) == "base" && len(a.value) > 0 {
				return fmt.Errorf("xml:base %.200q: %w", a.value, ErrLocation)
			}
		}
		p.pkg.Location, err = checkPackage(string(p.value("href")))
	case elEntry:
		var d Dep
		if d, err = p.dep(); err != nil {
			return err
		}
		to := p.deps(p.open[len(p.open)-2])
		*to = append(*to, d)
		p.weigh(depWeight)
	}
	return err
}

// deps is where the entries of a list belong.
func (p *primary) deps(list element) *[]Dep {
	switch list {
	case elRequires:
		return &p.pkg.Requires
	case elProvides:
		return &p.pkg.Provides
	case elObsoletes:
		return &p.pkg.Obsoletes
	}
	return &p.pkg.Conflicts
}

// dep reads an entry of a list of dependencies.
func (p *primary) dep() (d Dep, err error) {
	d.Name = p.strings.intern(p.value("name"))
	if d.Name == "" {
		return d, errors.New("a dependency without a name")
	}
	p.weigh(len(d.Name))
	switch flags := p.value("flags"); string(flags) {
	case "":
	case "EQ":
		d.Flags = "EQ"
	case "LT":
		d.Flags = "LT"
	case "LE":
		d.Flags = "LE"
	case "GT":
		d.Flags = "GT"
	case "GE":
		d.Flags = "GE"
	default:
		return d, fmt.Errorf("flags %.50q of the dependency %.100q: none of EQ, LT, LE, GT, GE", flags, d.Name)
	}
	d.Pre = string(p.value("pre")) == "1"
	if d.Flags != "" {
		d.EVR, err = p.evr()
	}
	return d, err
}

// evr reads the attributes of a version.
func (p *primary) evr() (e EVR, err error) {
	for _, a := range p.attrs {
		switch string(a.name) {
		case "epoch":
			// rpm's epochs have 32 bits.
			n, perr := strconv.ParseUint(string(a.value), 10, 31)
			if len(a.value) > 0 && perr != nil {
				err = fmt.Errorf("epoch %.50q is not a number", a.value)
			}
			e.Epoch = int(n)
		case "ver":
			e.Version = p.strings.intern(a.value)
		case "rel":
			e.Release = p.strings.intern(a.value)
		}
	}
	p.weigh(len(e.Version) + len(e.Release))
	return e, err
}

// text takes a piece of text.
func (p *primary) text(b []byte) {
	if len(p.open) > 0 && p.open[len(p.open)-1].collects() && p.why == nil {
		if p.weigh(len(b)); p.why == nil {
			p.content = append(p.content, b...)
		}
	}
}

// end handles the end of an element. It reports whether that was a package.
func (p *primary) end() (whole bool) {
	el := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	p.mute = len(p.open) == 0 || !p.open[len(p.open)-1].collects()
	switch el {
	case elName:
		p.pkg.Name = string(bytes.TrimSpace(p.content))
	case elArch:
		p.pkg.Arch = p.strings.intern(bytes.TrimSpace(p.content))
	case elChecksum:
		var err error
		p.pkg.Checksum, err = newChecksum(p.sum, string(p.content))
		p.refuse(err)
	case elSourceRPM:
		p.pkg.SourceRPM = p.strings.intern(bytes.TrimSpace(p.content))
	case elFile:
		if p.why == nil {
			p.pkg.Files = append(p.pkg.Files, string(p.content))
			p.weigh(depWeight)
		}
	}
	return el == elPackage
}

// reset makes ready for the next package.
func (p *primary) reset() {
	p.pkg = Package{
		Size:      -1,
		Requires:  p.pkg.Requires[:0],
		Provides:  p.pkg.Provides[:0],
		Obsoletes: p.pkg.Obsoletes[:0],
		Conflicts: p.pkg.Conflicts[:0],
		Files:     p.pkg.Files[:0],
	}
	p.why, p.weight = nil, 0
}

// weigh counts n bytes towards the package's share of memory.
func (p *primary) weigh(n int) {
	if p.weight += n; p.weight > maxPackage {
		p.refuse(fmt.Errorf("more than %d MiB", maxPackage>>20))
	}
}

// refuse marks the package, once, if err is not nil.
func (p *primary) refuse(err error) {
	if p.why == nil {
		p.why = err
	}
}

// hand gives the package to fn, or counts it as skipped.
func (p *primary) hand(fn func(*Package) error) error {
	if p.why == nil {
		p.why = p.pkg.missing()
	}
	if p.why == nil {
		p.stats.Packages++
		return fn(&p.pkg)
	}
	p.stats.Skip("package", p.pkg.Name, p.why)
	return nil
}

// missing is an error if something is not there that every package has.
func (p *Package) missing() error {
	switch {
	case p.Name == "":
		return errors.New("no name")
	case p.Arch == "":
		return errors.New("no architecture")
	case p.EVR.Version == "":
		return errors.New("no version")
	case p.Checksum == Checksum{}:
		return errors.New("no checksum")
	case p.Size < 0:
		return errors.New("no size")
	case p.Location == "":
		return errors.New("no location")
	}
	return nil
}
