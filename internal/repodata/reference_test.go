package repodata

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The reference implementations that the scanner is held to: the same rules on
// top of encoding/xml, written the slow and obvious way.

// step is one token in a form that both sides can be brought into.
type step struct {
	Event event
	Name  string
	Attrs string
	Text  string
}

// referenceSteps tokenizes with encoding/xml.
func referenceSteps(data []byte) (steps []step, err error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	var open []xml.Name
	done := false
	text := func(s string) {
		if n := len(steps); n > 0 && steps[n-1].Event == eventText {
			steps[n-1].Text += s
		} else if s != "" {
			steps = append(steps, step{Event: eventText, Text: s})
		}
	}
	for {
		t, err := d.RawToken()
		if err == io.EOF {
			if len(open) > 0 || !done {
				return steps, io.ErrUnexpectedEOF
			}
			return steps, nil
		}
		if err != nil {
			return steps, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if !isASCII(rawName(t.Name)) || len(open) == 0 && done || len(open) == maxDepth {
				return steps, errors.New("start")
			}
			s := step{Event: eventStart, Name: t.Name.Local}
			for _, a := range t.Attr {
				if !isASCII(rawName(a.Name)) {
					return steps, errors.New("attribute")
				}
				s.Attrs += fmt.Sprintf("%s=%q ", rawName(a.Name), a.Value)
			}
			steps = append(steps, s)
			open = append(open, t.Name)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != t.Name {
				return steps, errors.New("end")
			}
			open = open[:len(open)-1]
			done = len(open) == 0
			steps = append(steps, step{Event: eventEnd})
		case xml.CharData:
			if len(open) == 0 && strings.Trim(string(t), " \t\r\n") != "" {
				return steps, errors.New("text")
			}
			if len(open) > 0 {
				text(string(t))
			}
		case xml.ProcInst:
			if !isASCII(t.Target) {
				return steps, errors.New("target")
			}
			if t.Target == "xml" {
				if err := checkDeclaration(string(t.Inst)); err != nil {
					return steps, err
				}
			}
		case xml.Directive:
			return steps, ErrDTD
		}
	}
}

func rawName(n xml.Name) string {
	if n.Space != "" {
		return n.Space + ":" + n.Local
	}
	return n.Local
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

// scannerSteps tokenizes with the scanner.
func scannerSteps(r io.Reader) (steps []step, err error) {
	s := newScanner(r)
	for {
		t, err := s.next()
		if err != nil {
			return steps, err
		}
		switch t.event {
		case eventEOF:
			return steps, nil
		case eventEnd:
			steps = append(steps, step{Event: eventEnd})
		case eventStart:
			st := step{Event: eventStart, Name: string(t.name)}
			for _, a := range s.attrs {
				st.Attrs += fmt.Sprintf("%s=%q ", a.name, a.value)
			}
			steps = append(steps, st)
			if t.self {
				steps = append(steps, step{Event: eventEnd})
			}
		case eventText:
			if len(s.ends) == 0 {
				continue // white space around the root
			}
			if n := len(steps); n > 0 && steps[n-1].Event == eventText {
				steps[n-1].Text += string(t.text)
			} else if len(t.text) > 0 {
				steps = append(steps, step{Event: eventText, Text: string(t.text)})
			}
		}
	}
}

// node is an element as encoding/xml has it, as a tree.
type node struct {
	name     string
	list     []xml.Attr
	attrs    map[string]string // of list, by the name as written; the last one wins
	text     string            // its own, not its children's
	children []*node
}

func newNode(e xml.StartElement) *node {
	n := &node{name: e.Name.Local, list: slices.Clone(e.Attr), attrs: map[string]string{}}
	for _, a := range n.list {
		n.attrs[rawName(a.Name)] = a.Value
	}
	return n
}

// parseTree is a document's root, as the one child of a node without a name. It has to be
// known to be well-formed.
func parseTree(data []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	top := new(node)
	open := []*node{top}
	for {
		t, err := d.RawToken()
		if err == io.EOF {
			return top, nil
		}
		if err != nil {
			return nil, err
		}
		last := open[len(open)-1]
		switch t := t.(type) {
		case xml.StartElement:
			n := newNode(t)
			last.children = append(last.children, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			last.text += string(t)
		}
	}
}

// all are the descendants that a path of names leads to.
func (n *node) all(path ...string) []*node {
	if len(path) == 0 {
		return []*node{n}
	}
	var found []*node
	for _, c := range n.children {
		if c.name == path[0] {
			found = append(found, c.all(path[1:]...)...)
		}
	}
	return found
}

// referenceScan reads a primary.xml with encoding/xml.
func referenceScan(data []byte) (pkgs []*Package, stats Stats, err error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	var open []*node
	var raw []xml.Name
	done := false
	for {
		t, err := d.RawToken()
		if err == io.EOF && len(open) == 0 && done {
			return pkgs, stats, nil
		}
		if err != nil {
			return pkgs, stats, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			n := newNode(t)
			names := rawName(t.Name)
			for _, a := range t.Attr {
				names += rawName(a.Name)
			}
			switch {
			case !isASCII(names), len(open) == maxDepth:
				return pkgs, stats, errors.New("start")
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.children = append(parent.children, n)
			case done, n.name != "metadata":
				return pkgs, stats, errors.New("root")
			}
			open, raw = append(open, n), append(raw, t.Name)
		case xml.EndElement:
			if len(open) == 0 || raw[len(raw)-1] != t.Name {
				return pkgs, stats, errors.New("end")
			}
			n := open[len(open)-1]
			open, raw = open[:len(open)-1], raw[:len(raw)-1]
			done = len(open) == 0
			if len(open) == 1 && n.name == "package" {
				if p, err := n.pkg(); err != nil {
					stats.Skipped++
				} else {
					stats.Packages++
					pkgs = append(pkgs, p)
				}
			}
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text += string(t)
			} else if strings.Trim(string(t), " \t\r\n") != "" {
				return pkgs, stats, errors.New("text")
			}
		case xml.ProcInst:
			if !isASCII(t.Target) {
				return pkgs, stats, errors.New("target")
			}
			if t.Target == "xml" {
				if err := checkDeclaration(string(t.Inst)); err != nil {
					return pkgs, stats, err
				}
			}
		case xml.Directive:
			return pkgs, stats, ErrDTD
		}
	}
}

func (n *node) pkg() (*Package, error) {
	p := &Package{Size: -1}
	for _, c := range n.children {
		var err error
		switch c.name {
		case "name":
			p.Name = strings.TrimSpace(c.text)
		case "arch":
			p.Arch = strings.TrimSpace(c.text)
		case "version":
			p.EVR, err = c.evr()
		case "checksum":
			p.Checksum, err = newChecksum(c.attrs["type"], c.text)
		case "time":
			p.BuildTime, _ = strconv.ParseInt(c.attrs["build"], 10, 64)
		case "size":
			p.Size, err = strconv.ParseInt(c.attrs["package"], 10, 64)
			if err == nil && p.Size < 0 {
				err = errors.New("size")
			}
		case "location":
			// A base in whatever namespace.
			based := func(a xml.Attr) bool { return a.Name.Local == "base" && a.Value != "" }
			if p.Location, err = checkPackage(c.attrs["href"]); slices.ContainsFunc(c.list, based) {
				err = ErrLocation
			}
		case "format":
			err = c.format(p)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, p.missing()
}

func (n *node) format(p *Package) error {
	for _, c := range n.children {
		var to *[]Dep
		switch c.name {
		case "sourcerpm":
			p.SourceRPM = strings.TrimSpace(c.text)
		case "file":
			p.Files = append(p.Files, c.text)
		case "requires":
			to = &p.Requires
		case "provides":
			to = &p.Provides
		case "obsoletes":
			to = &p.Obsoletes
		case "conflicts":
			to = &p.Conflicts
		}
		if to == nil {
			continue
		}
		for _, e := range c.children {
			if e.name != "entry" {
				continue
			}
			d := Dep{Name: e.attrs["name"], Flags: e.attrs["flags"], Pre: e.attrs["pre"] == "1"}
			if d.Name == "" {
				return errors.New("name")
			}
			var err error
			switch d.Flags {
			case "EQ", "LT", "LE", "GT", "GE":
				d.EVR, err = e.evr()
			case "":
			default:
				err = errors.New("flags")
			}
			if err != nil {
				return err
			}
			*to = append(*to, d)
		}
	}
	return nil
}

func (n *node) evr() (EVR, error) {
	e := EVR{Version: n.attrs["ver"], Release: n.attrs["rel"]}
	if s := n.attrs["epoch"]; s != "" {
		epoch, err := strconv.ParseUint(s, 10, 64)
		if err != nil || epoch > math.MaxInt32 {
			return e, errors.New("epoch")
		}
		e.Epoch = int(epoch)
	}
	return e, nil
}

// scanAll is ScanPrimary into a slice.
func scanAll(r io.Reader) (pkgs []*Package, stats Stats, err error) {
	stats, err = ScanPrimary(r, func(p *Package) error {
		pkgs = append(pkgs, p.Clone())
		return nil
	})
	return pkgs, stats, err
}

// agree holds the scanner to the reference for one document.
func agree(t *testing.T, data []byte) {
	t.Helper()
	want, wantErr := referenceSteps(data)
	got, gotErr := scannerSteps(bytes.NewReader(data))
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("tokens: scanner says %v, encoding/xml %v", gotErr, wantErr)
	}
	// Of a bad document only what comes before the fault is the same, and where
	// the fault shows differs by a token.
	for i := 0; gotErr == nil && i < max(len(want), len(got)); i++ {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("token %d: got %+v, want %+v", i, got[min(i, len(got)):], want[min(i, len(want)):])
		}
	}
	wantPkgs, wantStats, wantErr := referenceScan(data)
	gotPkgs, gotStats, gotErr := scanAll(bytes.NewReader(data))
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("packages: scanner says %v, encoding/xml %v", gotErr, wantErr)
	}
	if gotStats.Packages != wantStats.Packages || gotStats.Skipped != wantStats.Skipped {
		t.Fatalf("got %+v, want %+v", gotStats, wantStats)
	}
	for i := range wantPkgs {
		if g, w := fmt.Sprintf("%+v", *gotPkgs[i]), fmt.Sprintf("%+v", *wantPkgs[i]); g != w {
			t.Fatalf("package %d:\n got %s\nwant %s", i, g, w)
		}
	}
	filesAgree(t, data, gotPkgs, gotErr)
}

// filesAgree holds ScanFiles to ScanPrimary: it reads what that reads, and more, since it
// does not look into all, and knows of each package that it knows, in its order.
func filesAgree(t *testing.T, data []byte, pkgs []*Package, err error) {
	t.Helper()
	_, gotErr := ScanFiles(bytes.NewReader(data), func(p *Package) error {
		if len(pkgs) > 0 {
			w := *pkgs[0]
			w.SourceRPM, w.Requires, w.Provides, w.Obsoletes, w.Conflicts, w.Files = "", nil, nil, nil, nil, nil
			if fmt.Sprintf("%+v", *p.Clone()) == fmt.Sprintf("%+v", w) {
				pkgs = pkgs[1:]
			}
		}
		return nil
	})
	if gotErr != nil && err == nil {
		t.Fatalf("ScanFiles says %v, ScanPrimary nothing", gotErr)
	}
	if len(pkgs) > 0 {
		t.Fatalf("ScanFiles has not, of what ScanPrimary has, %+v", *pkgs[0])
	}
}
