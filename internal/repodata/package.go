package repodata

// Checksum is a digest as metadata gives it: Type in lower case as it was
// spelled (`sha` is SHA-1), Hex in lower case. The zero Checksum is none.
type Checksum struct {
	Type, Hex string
}

// Dep is one entry of a package's requires, provides, obsoletes or conflicts.
type Dep struct {
	// Name is as it was written: a package's name, a capability such as
	// `libc.so.6(GLIBC_2.34)(64bit)`, a file's path, or, where IsRich says so, a
	// boolean dependency for ParseRich.
	Name string
	// Flags relates EVR to the provider's version: EQ, LT, LE, GT or GE; "" is
	// any version, and EVR is then zero.
	Flags string
	EVR   EVR
	// Pre is set where the dependency must be there before the package is.
	Pre bool
}

// Package is what a primary.xml says of one package.
type Package struct {
	Name, Arch string
	EVR        EVR
	Checksum   Checksum // of the package file
	Size       int64    // bytes of the package file
	// Location is the file's path below the repository's root. It has passed
	// CheckLocation.
	Location  string
	SourceRPM string // file name of the source package, "" for a source package
	BuildTime int64  // Unix seconds, 0 where it is not said

	Requires, Provides, Obsoletes, Conflicts []Dep
	// Files are the paths that primary lists (those that others commonly require,
	// not all of the package's); directories and ghosts are among them.
	Files []string
}

// Clone is a copy of p that shares no slice with it.
func (p *Package) Clone() *Package {
	c := *p
	c.Requires = exact(p.Requires)
	c.Provides = exact(p.Provides)
	c.Obsoletes = exact(p.Obsoletes)
	c.Conflicts = exact(p.Conflicts)
	c.Files = exact(p.Files)
	return &c
}

// exact is a copy of s with no room to spare, nil for an empty one: an index keeps
// some 100,000 of them.
func exact[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	c := make([]T, len(s))
	copy(c, s)
	return c
}

// NEVRA is a package's name, version and architecture.
type NEVRA struct {
	Name string
	EVR
	Arch string
}

// String is name-[epoch:]version-release.arch.
func (n NEVRA) String() string {
	s := n.Name
	if evr := n.EVR.String(); evr != "" {
		s += "-" + evr
	}
	if n.Arch != "" {
		s += "." + n.Arch
	}
	return s
}
