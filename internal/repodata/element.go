package repodata

// element is what an open element means, by its name and by where it stands.
type element uint8

const (
	elOther element = iota // and all within it
	elMetadata
	elPackage
	elName
	elArch
	elVersion
	elChecksum
	elTime
	elSize
	elLocation
	elFormat
	elSourceRPM
	elFile
	elRequires
	elProvides
	elObsoletes
	elConflicts
	elEntry
)

// collects reports whether the text of the element is wanted.
func (e element) collects() bool {
	return e == elName || e == elArch || e == elChecksum || e == elSourceRPM || e == elFile
}

// child is what an element of the given name means inside of e.
func (e element) child(name []byte) element {
	switch e {
	case elPackage:
		switch string(name) {
		case "name":
			return elName
		case "arch":
			return elArch
		case "version":
			return elVersion
		case "checksum":
			return elChecksum
		case "time":
			return elTime
		case "size":
			return elSize
		case "location":
			return elLocation
		case "format":
			return elFormat
		}
	case elFormat:
		switch string(name) {
		case "sourcerpm":
			return elSourceRPM
		case "file":
			return elFile
		case "requires":
			return elRequires
		case "provides":
			return elProvides
		case "obsoletes":
			return elObsoletes
		case "conflicts":
			return elConflicts
		}
	case elRequires, elProvides, elObsoletes, elConflicts:
		if string(name) == "entry" {
			return elEntry
		}
	case elMetadata:
		if string(name) == "package" {
			return elPackage
		}
	}
	return elOther
}
