package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// maxRelease bounds an InRelease, in bytes, and maxIndices the files that it
// lists. Debian's and Ubuntu's largest have 400 KB and 4,000.
const (
	maxRelease = 4 << 20
	maxIndices = 50_000
)

// Release is what a Debian repository's InRelease or Release says: which suite it
// is of, and the digests of all its index files.
type Release struct {
	Origin, Suite, Codename   string
	Components, Architectures []string
	// Date is when it was made, and ValidUntil when clients stop to believe it;
	// zero where it is not said.
	Date, ValidUntil time.Time
	// ByHash says that each index is there under its digest too (Acquire-By-Hash).
	ByHash bool
	Files  []Index // in the order of the file
	// Refused says of each file that is left out of Files why.
	Refused []error
}

// Index is a file that a Release lists, most of them in several compressions, of
// which not all need to be there.
type Index struct {
	Path string // below the directory of the Release; it has passed CheckLocation
	Size int64  // bytes
	// SHA256 and SHA512 are its digests; one of them may be missing. A file with
	// neither is not listed.
	SHA256, SHA512 Checksum
}

// Checksum is the digest by which the file is known here.
func (x Index) Checksum() Checksum {
	if x.SHA256 != (Checksum{}) {
		return x.SHA256
	}
	return x.SHA512
}

// clearsigned is the first line of a document that carries its signature.
const clearsigned = "-----BEGIN PGP SIGNED MESSAGE-----"

// ParseRelease reads an InRelease, of which only what is signed counts, or a
// Release, of at most 4 MiB. Whether the signature is a good one is for
// Keyring.CheckInline to say. It fails where the document is neither, names no
// suite and lists no file, or has anything besides the one signed text and its
// signature. A file whose path leads out of the directory, that has no size, or two
// of either digest, is not in Files but in Refused; digests of MD5 and SHA-1 are
// passed over.
func ParseRelease(b []byte) (*Release, error) {
	if len(b) > maxRelease {
		return nil, fmt.Errorf("release file: more than %d MiB", maxRelease>>20)
	}
	text := b
	if bytes.HasPrefix(b, []byte(clearsigned)) {
		block, err := signedText(b)
		if err != nil {
			return nil, fmt.Errorf("release file: %w", err)
		}
		text = block.Plaintext
	}
	p := release{at: map[string]int{}}
	if err := p.read(newStanzas(bytes.NewReader(text))); err != nil {
		return nil, fmt.Errorf("release file: %w", err)
	}
	return &p.Release, nil
}

// signedText takes a clearsigned document apart. Nothing may stand around the
// signed text and its signature: a program that is less strict would read it as
// signed.
func signedText(b []byte) (*clearsign.Block, error) {
	if !bytes.HasPrefix(b, []byte(clearsigned)) {
		return nil, errors.New("it does not begin with a signed text")
	}
	block, rest := clearsign.Decode(b)
	switch {
	case block == nil:
		return nil, errors.New("it is damaged, or cut short")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("something stands behind the signature")
	}
	return block, nil
}

// release is a Release while it is read.
type release struct {
	Release
	at   map[string]int // the places of paths in Files, -1 where one is refused
	sums bool           // it has a list of digests, of whatever kind
}

// read reads the one stanza that a Release is.
func (p *release) read(s *stanzas) error {
	field := ""
	seen := map[string]bool{}
	for ended := false; ; {
		l, err := s.next()
		if err == io.EOF {
			break
		}
		switch {
		case err != nil:
			return err
		case l.blank:
			ended = ended || field != ""
			continue
		case ended:
			return fmt.Errorf("line %d: a second paragraph", s.line)
		case l.cut:
			return fmt.Errorf("line %d: %w", s.line, errLong)
		case l.name == "" && field == "":
			return fmt.Errorf("line %d: the first line continues another", s.line)
		case l.name != "":
			if field = l.name; seen[field] {
				return fmt.Errorf("line %d: a second %s", s.line, field)
			}
			seen[field] = true
			err = p.set(field, l.value)
		case sumTypes[field] != 0:
			err = p.list(field, l.value)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", s.line, err)
		}
	}
	if !p.sums && p.Suite == "" && p.Codename == "" && p.Date.IsZero() {
		return errors.New("it names no suite, and lists no files")
	}
	files := p.Files[:0]
	for i, x := range p.Files {
		if p.at[x.Path] == i {
			files = append(files, x)
		}
	}
	p.Files = files
	return nil
}

// set takes the first line of a field.
func (p *release) set(field, value string) (err error) {
	switch field {
	case "origin":
		p.Origin = value
	case "suite":
		p.Suite = value
	case "codename":
		p.Codename = value
	case "components":
		p.Components = strings.Fields(value)
	case "architectures":
		p.Architectures = strings.Fields(value)
	case "acquire-by-hash":
		p.ByHash = strings.EqualFold(value, "yes")
	case "date":
		p.Date = p.date(field, value)
	case "valid-until":
		p.ValidUntil = p.date(field, value)
	case "md5sum", "sha1", "sha256", "sha512":
		p.sums = true
		if sumTypes[field] != 0 && value != "" {
			err = p.list(field, value)
		}
	}
	return err
}

// date is the time that a field gives; one that can't be read is not said, and is
// no reason to lose the rest.
func (p *release) date(field, value string) time.Time {
	t, err := parseDate(value)
	if err != nil {
		p.Refused = append(p.Refused, fmt.Errorf("%s: %w", field, err))
	}
	return t
}

// parseDate reads a time as RFC 5322 and Debian write it, in UTC or with an offset.
func parseDate(value string) (time.Time, error) {
	zoned := value
	for _, utc := range [...]string{" UTC", " GMT", " Z"} {
		if rest, ok := strings.CutSuffix(value, utc); ok {
			zoned = rest + " +0000"
		}
	}
	t, err := time.Parse("Mon, _2 Jan 2006 15:04:05 -0700", zoned)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.50q is no time such as %q", value, "Sat, 09 Nov 2024 10:04:12 UTC")
	}
	return t.UTC(), nil
}

// list takes a line of a list of digests: digest, size, path.
func (p *release) list(typ, line string) error {
	f := strings.Fields(line)
	if len(f) != 3 {
		p.Refused = append(p.Refused, fmt.Errorf("%.100q is no digest, size and path", line))
		return nil
	}
	i, known := p.at[f[2]]
	if known && i < 0 {
		return nil
	}
	x := Index{Path: f[2]}
	if known {
		x = p.Files[i]
	} else if len(p.at) == maxIndices {
		return fmt.Errorf("more than %d files", maxIndices)
	}
	x, err := x.with(typ, f[0], f[1], known)
	switch {
	case err != nil:
		p.at[f[2]] = -1
		p.Refused = append(p.Refused, fmt.Errorf("%.200q: %w", f[2], err))
	case known:
		p.Files[i] = x
	default:
		p.at[x.Path] = len(p.Files)
		p.Files = append(p.Files, x)
	}
	return nil
}

// with is x with one more of its digests; again says that it has one already.
func (x Index) with(typ, sum, size string, again bool) (Index, error) {
	if loc, err := CheckLocation(x.Path); err != nil {
		return x, err
	} else if loc != x.Path {
		return x, ErrLocation // "./x" is the same file as "x", twice in the list
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || again && n != x.Size {
		return x, fmt.Errorf("size %.50q is not a number of bytes, or one of two", size)
	}
	c, err := newSum(typ, sum)
	if err != nil {
		return x, err
	}
	to := &x.SHA256
	if typ == "sha512" {
		to = &x.SHA512
	}
	if *to != (Checksum{}) && *to != c {
		return x, fmt.Errorf("two digests of %s", typ)
	}
	x.Size, *to = n, c
	return x, nil
}
