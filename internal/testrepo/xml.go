package testrepo

import (
	"strconv"
	"strings"
)

// The documents of repodata, as createrepo_c writes them. encoding/xml writes a
// tag such as "rpm:license" as it stands, which is what these are for: they are
// written, never read.

const rpmNS = "http://linux.duke.edu/metadata/rpm"

type repomdXML struct {
	XMLName  struct{}  `xml:"repomd"`
	NS       string    `xml:"xmlns,attr"`
	RPM      string    `xml:"xmlns:rpm,attr"`
	Revision string    `xml:"revision"`
	Data     []dataXML `xml:"data"`
}

type dataXML struct {
	Type         string      `xml:"type,attr"`
	Checksum     checksumXML `xml:"checksum"`
	OpenChecksum checksumXML `xml:"open-checksum"`
	Location     locationXML `xml:"location"`
	Timestamp    int64       `xml:"timestamp"`
	Size         int         `xml:"size"`
	OpenSize     int         `xml:"open-size"`
}

type checksumXML struct {
	Type  string `xml:"type,attr"`
	PkgID string `xml:"pkgid,attr,omitempty"`
	Hex   string `xml:",chardata"`
}

type locationXML struct {
	Href string `xml:"href,attr"`
}

type versionXML struct {
	Epoch string `xml:"epoch,attr"`
	Ver   string `xml:"ver,attr"`
	Rel   string `xml:"rel,attr"`
}

type primaryXML struct {
	XMLName  struct{}     `xml:"metadata"`
	NS       string       `xml:"xmlns,attr"`
	RPM      string       `xml:"xmlns:rpm,attr"`
	Count    int          `xml:"packages,attr"`
	Packages []packageXML `xml:"package"`
}

type packageXML struct {
	Type        string      `xml:"type,attr"`
	Name        string      `xml:"name"`
	Arch        string      `xml:"arch"`
	Version     versionXML  `xml:"version"`
	Checksum    checksumXML `xml:"checksum"`
	Summary     string      `xml:"summary"`
	Description string      `xml:"description"`
	Packager    string      `xml:"packager"`
	URL         string      `xml:"url"`
	Time        timeXML     `xml:"time"`
	Size        sizeXML     `xml:"size"`
	Location    locationXML `xml:"location"`
	Format      formatXML   `xml:"format"`
}

type timeXML struct {
	File  int64 `xml:"file,attr"`
	Build int64 `xml:"build,attr"`
}

type sizeXML struct {
	Package   int64 `xml:"package,attr"`
	Installed int64 `xml:"installed,attr"`
	Archive   int64 `xml:"archive,attr"`
}

type formatXML struct {
	License     string      `xml:"rpm:license"`
	Vendor      string      `xml:"rpm:vendor"`
	Group       string      `xml:"rpm:group"`
	BuildHost   string      `xml:"rpm:buildhost"`
	SourceRPM   string      `xml:"rpm:sourcerpm"`
	HeaderRange rangeXML    `xml:"rpm:header-range"`
	Provides    *entriesXML `xml:"rpm:provides"`
	Requires    *entriesXML `xml:"rpm:requires"`
	Conflicts   *entriesXML `xml:"rpm:conflicts"`
	Obsoletes   *entriesXML `xml:"rpm:obsoletes"`
	Recommends  *entriesXML `xml:"rpm:recommends"`
	Files       []fileXML   `xml:"file"`
}

type rangeXML struct {
	Start int64 `xml:"start,attr"`
	End   int64 `xml:"end,attr"`
}

type entriesXML struct {
	Entries []entryXML `xml:"rpm:entry"`
}

type entryXML struct {
	Name  string `xml:"name,attr"`
	Flags string `xml:"flags,attr,omitempty"`
	Epoch string `xml:"epoch,attr,omitempty"`
	Ver   string `xml:"ver,attr,omitempty"`
	Rel   string `xml:"rel,attr,omitempty"`
}

type fileXML struct {
	Type string `xml:"type,attr,omitempty"` // "dir", or nothing
	Path string `xml:",chardata"`
}

// listXML is filelists.xml and other.xml.
type listXML struct {
	NS       string         `xml:"xmlns,attr"`
	Count    int            `xml:"packages,attr"`
	Packages []listEntryXML `xml:"package"`
}

type filelistsXML struct {
	XMLName struct{} `xml:"filelists"`
	listXML
}

type otherXML struct {
	XMLName struct{} `xml:"otherdata"`
	listXML
}

type listEntryXML struct {
	PkgID   string     `xml:"pkgid,attr"`
	Name    string     `xml:"name,attr"`
	Arch    string     `xml:"arch,attr"`
	Version versionXML `xml:"version"`
	Files   []fileXML  `xml:"file"`
}

func versionOf(p *pkg) versionXML {
	return versionXML{Epoch: strconv.Itoa(p.Epoch), Ver: p.Version, Rel: p.Release}
}

func entryOf(d dep) entryXML {
	return entryXML{Name: d.name, Flags: opFlags[d.op], Epoch: d.epoch, Ver: d.ver, Rel: d.rel}
}

func entriesOf(deps []dep) *entriesXML {
	if len(deps) == 0 {
		return nil
	}
	e := &entriesXML{}
	for _, d := range deps {
		e.Entries = append(e.Entries, entryOf(d))
	}
	return e
}

func filesOf(p *pkg, keep func(path string) bool) []fileXML {
	var out []fileXML
	for _, f := range p.files {
		if !keep(f.path) {
			continue
		}
		x := fileXML{Path: f.path}
		if f.dir {
			x.Type = "dir"
		}
		out = append(out, x)
	}
	return out
}

// inPrimary reports whether primary.xml lists the file, so that a dependency on
// it can be resolved without filelists.xml.
func inPrimary(path string) bool {
	return strings.HasPrefix(path, "/etc/") || strings.Contains(path, "bin/") || path == "/usr/lib/sendmail"
}

// metadataRequires are the dependencies that the metadata lists: what a package
// fulfils itself, and what rpm itself fulfils, is not among them.
func metadataRequires(p *pkg) []dep {
	own := make(map[dep]bool)
	for _, f := range p.files {
		own[dep{name: f.path}] = true
	}
	for _, d := range p.provides {
		own[d] = true
	}
	var out []dep
	for _, d := range p.requires {
		if !own[d] && !strings.HasPrefix(d.name, "rpmlib(") {
			out = append(out, d)
		}
	}
	return out
}

func primaryOf(pkgs []*pkg) primaryXML {
	x := primaryXML{NS: "http://linux.duke.edu/metadata/common", RPM: rpmNS, Count: len(pkgs)}
	for _, p := range pkgs {
		built := p.buildTime().Unix()
		x.Packages = append(x.Packages, packageXML{
			Type: "rpm", Name: p.Name, Arch: p.arch(), Version: versionOf(p),
			Checksum: checksumXML{Type: "sha256", PkgID: "YES", Hex: p.sum},
			Summary:  p.Summary, Description: p.Summary,
			Time:     timeXML{File: built, Build: built},
			Size:     sizeXML{Package: p.size, Installed: p.installed, Archive: p.installed},
			Location: locationXML{p.Location()},
			Format: formatXML{
				License: license, Vendor: vendor, Group: "Unspecified", BuildHost: buildHost,
				SourceRPM:   p.sourceRPM(),
				HeaderRange: rangeXML{p.headerStart, p.headerEnd},
				Provides:    entriesOf(p.provides), Requires: entriesOf(metadataRequires(p)),
				Conflicts: entriesOf(p.conflicts), Obsoletes: entriesOf(p.obsoletes),
				Recommends: entriesOf(p.recommends), Files: filesOf(p, inPrimary),
			},
		})
	}
	return x
}

func filelistsOf(pkgs []*pkg) filelistsXML {
	x := filelistsXML{listXML: listXML{NS: "http://linux.duke.edu/metadata/filelists", Count: len(pkgs)}}
	for _, p := range pkgs {
		e := listEntryOf(p)
		e.Files = filesOf(p, func(string) bool { return true })
		x.Packages = append(x.Packages, e)
	}
	return x
}

func otherOf(pkgs []*pkg) otherXML {
	x := otherXML{listXML: listXML{NS: "http://linux.duke.edu/metadata/other", Count: len(pkgs)}}
	for _, p := range pkgs {
		x.Packages = append(x.Packages, listEntryOf(p))
	}
	return x
}

func listEntryOf(p *pkg) listEntryXML {
	return listEntryXML{PkgID: p.sum, Name: p.Name, Arch: p.arch(), Version: versionOf(p)}
}
