package repodata

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxRepomd bounds a repomd.xml, in bytes. Real ones have 1 to 10 KB.
const maxRepomd = 4 << 20

// ErrDTD is returned for a document with a document type declaration. Repository
// metadata has none; an HTML page in its place, and every entity bomb, does.
var ErrDTD = errors.New("a document type declaration (<!...>), which repository metadata never has")

// Repomd is the content of a repomd.xml.
type Repomd struct {
	Revision string // free text, mostly Unix seconds; no clock
	Data     []Data // in the order of the file
	// Refused says of each record that is left out of Data why.
	Refused []error
}

// Data is one metadata file of a repository.
type Data struct {
	Type     string // "primary", "filelists_zck", ...
	Location string // below the repository's root; it has passed CheckLocation

	Checksum, OpenChecksum Checksum // of the file as it is stored, and unpacked
	Size, OpenSize         int64    // bytes; 0 where it is not said, as old tools do
	Timestamp              int64    // Unix seconds, 0 where it is not said
}

// Find is the first record of the type typ.
func (m *Repomd) Find(typ string) (Data, bool) {
	for _, d := range m.Data {
		if d.Type == typ {
			return d, true
		}
	}
	return Data{}, false
}

type xmlRepomd struct {
	XMLName  xml.Name
	Revision string    `xml:"revision"`
	Data     []xmlData `xml:"data"`
}

type xmlData struct {
	Type     string      `xml:"type,attr"`
	Checksum xmlChecksum `xml:"checksum"`
	Open     xmlChecksum `xml:"open-checksum"`
	Location struct {
		Href string `xml:"href,attr"`
		Base string `xml:"base,attr"` // xml:base: the file lies elsewhere
	} `xml:"location"`
	Size      string `xml:"size"`
	OpenSize  string `xml:"open-size"`
	Timestamp string `xml:"timestamp"`
}

type xmlChecksum struct {
	Type string `xml:"type,attr"`
	Hex  string `xml:",chardata"`
}

// ParseRepomd reads a repomd.xml of at most 4 MiB. It fails where the document
// is not a well-formed repomd.xml as a whole, with ErrDTD where it has a document
// type declaration. A record that leads out of the repository (absolute, `..`,
// another host, xml:base) or has no sound checksum or size is not in Data but
// in Refused.
func ParseRepomd(r io.Reader) (*Repomd, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxRepomd+1))
	if err != nil {
		return nil, fmt.Errorf("read repomd.xml: %w", err)
	}
	if len(b) > maxRepomd {
		return nil, fmt.Errorf("repomd.xml: more than %d MiB", maxRepomd>>20)
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	d := xml.NewTokenDecoder(plainTokens{xml.NewDecoder(bytes.NewReader(b))})
	var doc xmlRepomd
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("parse repomd.xml: %w", noEOF(err))
	}
	if doc.XMLName.Local != "repomd" {
		return nil, fmt.Errorf("parse repomd.xml: its root element is <%.50s>, not <repomd>", doc.XMLName.Local)
	}
	if err := onlyMisc(d); err != nil {
		return nil, fmt.Errorf("parse repomd.xml: %w", err)
	}
	m := &Repomd{Revision: strings.TrimSpace(doc.Revision)}
	for i := range doc.Data {
		data, err := doc.Data[i].data()
		if err != nil {
			m.Refused = append(m.Refused, fmt.Errorf("repomd.xml: data type %.50q: %w", doc.Data[i].Type, err))
			continue
		}
		m.Data = append(m.Data, data)
	}
	return m, nil
}

// errBase says that a file lies elsewhere, as its author has it: nothing that a
// mirror would do.
var errBase = errors.New("not below the repository")

// Strays is why the document can't be its author's: one of its records leads out of
// the repository by its href (`..`, an absolute path or URL). The error wraps
// ErrLocation; nil where none does. An xml:base is no such record.
func (m *Repomd) Strays() error {
	for _, err := range m.Refused {
		if errors.Is(err, ErrLocation) && !errors.Is(err, errBase) {
			return err
		}
	}
	return nil
}

// data checks and converts one record.
func (x *xmlData) data() (d Data, err error) {
	if x.Type == "" {
		return d, errors.New("no type")
	}
	d.Type = x.Type
	if x.Location.Base != "" {
		return d, fmt.Errorf("xml:base %.200q: %w: %w", x.Location.Base, errBase, ErrLocation)
	}
	if d.Location, err = CheckLocation(x.Location.Href); err != nil {
		return d, err
	}
	if d.Checksum, err = newChecksum(x.Checksum.Type, x.Checksum.Hex); err != nil {
		return d, err
	}
	// An unpacked form is only known where there is one.
	if x.Open != (xmlChecksum{}) {
		if d.OpenChecksum, err = newChecksum(x.Open.Type, x.Open.Hex); err != nil {
			return d, fmt.Errorf("open-%w", err)
		}
	}
	if d.Size, err = parseCount(x.Size); err != nil {
		return d, fmt.Errorf("size: %w", err)
	}
	if d.OpenSize, err = parseCount(x.OpenSize); err != nil {
		return d, fmt.Errorf("open-size: %w", err)
	}
	// Old createrepo wrote fractions of a second.
	sec, _, _ := strings.Cut(x.Timestamp, ".")
	if d.Timestamp, err = parseCount(sec); err != nil {
		return d, fmt.Errorf("timestamp: %w", err)
	}
	return d, nil
}

// newChecksum normalises a checksum's spelling.
func newChecksum(typ, sum string) (Checksum, error) {
	c := Checksum{Type: strings.ToLower(strings.TrimSpace(typ)), Hex: strings.ToLower(strings.TrimSpace(sum))}
	if c.Type == "" || c.Hex == "" {
		return Checksum{}, errors.New("checksum: none")
	}
	for _, b := range []byte(c.Hex) {
		if ('0' > b || b > '9') && ('a' > b || b > 'f') {
			return Checksum{}, fmt.Errorf("checksum %.150q is not hexadecimal", sum)
		}
	}
	return c, nil
}

// parseCount reads a number that is not negative; "" is 0.
func parseCount(s string) (int64, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.50q is not a number of 0 or more", s)
	}
	return n, nil
}

// plainTokens is a decoder's raw tokens with declarations refused.
type plainTokens struct{ d *xml.Decoder }

func (p plainTokens) Token() (xml.Token, error) {
	t, err := p.d.RawToken()
	if _, ok := t.(xml.Directive); ok {
		return nil, ErrDTD
	}
	return t, err
}

// onlyMisc reads d to its end and fails where more than white space, comments
// and processing instructions follow the root element.
func onlyMisc(d *xml.Decoder) error {
	for {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return fmt.Errorf("a second root element <%.50s>", t.Name.Local)
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errors.New("text behind the root element")
			}
		}
	}
}
