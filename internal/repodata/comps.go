package repodata

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxComps bounds a comps.xml, unpacked, in bytes. Fedora's have 2 MB, most of
// them translations. A group is held in memory as a whole, some times over.
const maxComps = 16 << 20

// Group is a group of a comps.xml: what someone who installs it gets.
type Group struct {
	ID string // "workstation-product"
	// Packages are the names of the mandatory and the default packages. Those that
	// are optional, or there for the sake of others (conditional), are left out.
	Packages []string
	// Groups are the ids of the groups that it is made of: those of an environment,
	// without the optional ones.
	Groups []string
}

type xmlGroup struct {
	ID       string `xml:"id"`
	Packages []struct {
		Type string `xml:"type,attr"`
		Name string `xml:",chardata"`
	} `xml:"packagelist>packagereq"`
	Groups []string `xml:"grouplist>groupid"`
}

// ScanComps reads a comps.xml, unpacked, of at most 16 MiB, and calls fn for
// each group and environment in its order; one without an id is passed over. The
// document type declaration that real ones begin with is no error where it
// declares nothing itself. An error of fn ends the scan and is returned as it
// is; any other says that the document is not a well-formed comps.xml, or comes
// from r.
func ScanComps(r io.Reader, fn func(*Group) error) error {
	limited := &io.LimitedReader{R: r, N: maxComps + 1}
	d := xml.NewDecoder(limited)
	fail := func(err error) error {
		if limited.N <= 0 {
			err = fmt.Errorf("more than %d MiB", maxComps>>20)
		}
		return fmt.Errorf("comps.xml: %w", err)
	}
	depth := 0
	for seen := false; ; {
		t, err := d.Token()
		if err == io.EOF && seen {
			return nil
		}
		if err != nil {
			return fail(noEOF(err))
		}
		switch t := t.(type) {
		case xml.Directive:
			if seen || !plainDoctype(string(t)) {
				return fail(ErrDTD)
			}
		case xml.StartElement:
			if depth == 0 {
				if seen || t.Name.Local != "comps" {
					return fail(fmt.Errorf("an element <%.50s> where only <comps> may stand", t.Name.Local))
				}
				seen = true
			}
			if depth == 1 && (t.Name.Local == "group" || t.Name.Local == "environment") {
				var x xmlGroup
				if err := d.DecodeElement(&x, &t); err != nil {
					return fail(noEOF(err))
				}
				if g := x.group(); g.ID != "" {
					if err := fn(g); err != nil {
						return err
					}
				}
				continue
			}
			if depth++; depth > maxDepth {
				return fail(errors.New("too many elements inside each other"))
			}
		case xml.EndElement:
			depth--
		}
	}
}

// plainDoctype reports whether a declaration only names a document type.
func plainDoctype(text string) bool {
	return strings.HasPrefix(text, "DOCTYPE ") && !strings.ContainsAny(text, "[<")
}

// group is what of x is used.
func (x *xmlGroup) group() *Group {
	g := &Group{ID: strings.TrimSpace(x.ID)}
	for _, p := range x.Packages {
		switch name := strings.TrimSpace(p.Name); p.Type {
		case "mandatory", "default":
			if name != "" {
				g.Packages = append(g.Packages, name)
			}
		}
	}
	for _, id := range x.Groups {
		if id = strings.TrimSpace(id); id != "" {
			g.Groups = append(g.Groups, id)
		}
	}
	return g
}
