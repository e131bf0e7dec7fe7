package config

// Class is what a path is to us.
type Class int

// The classes; a path that is none of the others is Other, and none of our
// business.
const (
	Other Class = iota
	Package
	Metadata
	Extra
)

// String is the class as logs name it.
func (c Class) String() string {
	switch c {
	case Package:
		return "package"
	case Metadata:
		return "metadata"
	case Extra:
		return "extra"
	}
	return "other"
}

// Classify tells what a path is by its name: path is decoded and has its
// leading slash. Packages win over metadata, and metadata over extra.
func (s *Serve) Classify(path string) Class {
	for _, list := range [...]struct {
		patterns []Pattern
		class    Class
	}{{s.Packages, Package}, {s.Metadata, Metadata}, {s.Extra, Extra}} {
		for _, p := range list.patterns {
			if p.Match(path) {
				return list.class
			}
		}
	}
	return Other
}
