package repodata

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a metalink and of a list of mirrors. Real ones have up to 100 KB,
// 400 addresses and a handful of alternates.
const (
	maxList       = 4 << 20 // bytes
	maxURLs       = 10_000
	maxAlternates = 1000
	maxURLLength  = 2048 // bytes
)

// Metalink is what a metalink says of a repomd.xml.
type Metalink struct {
	Current Version // the one that all mirrors are to have
	// Alternates are those before it that mirrors may still have: MirrorManager's
	// mm0:alternates.
	Alternates []Version
	// URLs are where it is, best first, whatever their protocol.
	URLs []string
}

// Version is one version of a file as a metalink describes it.
type Version struct {
	Timestamp int64 // Unix seconds, 0 where it is not said
	Size      int64 // bytes, 0 where it is not said
	// Checksums are in the document's order; an RFC 5854 name such as "sha-256"
	// is spelled as everywhere else, "sha256". None is said to be strong.
	Checksums []Checksum
}

// ParseMetalink reads what a metalink of at most 4 MiB says of its file
// repomd.xml: one of version 3, as MirrorManager makes it, or of version 4
// (RFC 5854). It fails where the document is no well-formed metalink as a whole,
// has no such file or describes it with numbers or digests that are none, and
// with ErrDTD where it has a document type declaration. Of two elements that
// say the same the later counts, of two files of that name the first.
func ParseMetalink(r io.Reader) (*Metalink, error) {
	in := &bounded{r: r, left: maxList}
	p := metalink{scanner: newScanner(in)}
	for {
		t, err := p.next()
		if err == nil {
			switch t.event {
			case eventStart:
				if err = p.start(t); err == nil && t.self {
					err = p.end()
				}
			case eventEnd:
				err = p.end()
			case eventText:
				if n := len(p.open); n > 0 && p.open[n-1].collects() {
					p.content = append(p.content, t.text...)
				}
			case eventEOF:
				if !p.found {
					return nil, errors.New("metalink: it does not describe a repomd.xml")
				}
				return p.result(), nil
			}
		}
		if err != nil {
			return nil, fmt.Errorf("metalink: %w", err)
		}
	}
}

// metalink is the state of a parse.
type metalink struct {
	*scanner
	open    []linkElement
	content []byte // text of the open element, if that collects
	sum     string // the open hash's type
	rank    int    // the open url's, lower is better

	found bool // the file repomd.xml has begun
	out   Metalink
	urls  []rankedURL
}

// rankedURL is an address with its place in the order.
type rankedURL struct {
	rank int
	url  string
}

// linkElement is what an open element of a metalink means.
type linkElement uint8

const (
	linkOther linkElement = iota // and all within it
	linkMetalink
	linkFiles
	linkFile
	linkResources
	linkAlternates
	linkAlternate
	linkVerification
	linkTimestamp
	linkSize
	linkHash
	linkURL
)

// collects reports whether the text of the element is wanted.
func (e linkElement) collects() bool { return e >= linkTimestamp }

// child is what an element of the given name means inside of e.
func (e linkElement) child(name string) linkElement {
	switch {
	case e == linkMetalink && name == "files":
		return linkFiles
	case (e == linkMetalink || e == linkFiles) && name == "file":
		return linkFile
	case e == linkFile && name == "resources":
		return linkResources
	case (e == linkFile || e == linkResources) && name == "url":
		return linkURL
	case e == linkFile && name == "alternates":
		return linkAlternates
	case e == linkAlternates && name == "alternate":
		return linkAlternate
	case e == linkFile || e == linkAlternate:
		switch name {
		case "verification":
			return linkVerification
		case "timestamp":
			return linkTimestamp
		case "size":
			return linkSize
		case "hash":
			return linkHash
		}
	case e == linkVerification && name == "hash":
		return linkHash
	}
	return linkOther
}

// start handles a start tag.
func (p *metalink) start(t *token) error {
	el := linkMetalink
	if len(p.open) > 0 {
		el = p.open[len(p.open)-1].child(string(t.name))
	} else if string(t.name) != "metalink" {
		return fmt.Errorf("its root element is <%.50s>, not <metalink>", t.name)
	}
	if el.collects() {
		p.content = p.content[:0]
	}
	switch el {
	case linkFile:
		if p.found || string(p.attr("name")) != "repomd.xml" {
			el = linkOther
			break
		}
		p.found = true
	case linkAlternate:
		if len(p.out.Alternates) == maxAlternates {
			return fmt.Errorf("more than %d alternates", maxAlternates)
		}
		p.out.Alternates = append(p.out.Alternates, Version{})
	case linkHash:
		p.sum = strings.ReplaceAll(string(p.attr("type")), "-", "")
	case linkURL:
		p.rank = p.place()
	}
	p.open = append(p.open, el)
	return nil
}

// end handles an element's end.
func (p *metalink) end() (err error) {
	el := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	if !el.collects() {
		return nil
	}
	v := &p.out.Current
	if slices.Contains(p.open, linkAlternate) {
		v = &p.out.Alternates[len(p.out.Alternates)-1]
	}
	text := string(p.content)
	switch el {
	case linkTimestamp:
		if v.Timestamp, err = parseCount(text); err != nil {
			err = fmt.Errorf("timestamp: %w", err)
		}
	case linkSize:
		if v.Size, err = parseCount(text); err != nil {
			err = fmt.Errorf("size: %w", err)
		}
	case linkHash:
		var c Checksum
		if c, err = newChecksum(p.sum, text); err == nil {
			v.Checksums = append(v.Checksums, c)
		}
	case linkURL:
		if text = strings.TrimSpace(text); text == "" || len(text) > maxURLLength {
			return nil
		}
		if len(p.urls) == maxURLs {
			return fmt.Errorf("more than %d addresses", maxURLs)
		}
		p.urls = append(p.urls, rankedURL{p.rank, text})
	}
	return err
}

// place is where the open url stands in the order: version 3 prefers the
// highest preference, up to 100, and version 4 the lowest priority. One that
// says nothing, or no number, comes last.
func (p *metalink) place() int {
	if n, err := strconv.Atoi(string(p.attr("preference"))); err == nil && n >= 0 && n <= 100 {
		return 100 - n
	}
	if n, err := strconv.Atoi(string(p.attr("priority"))); err == nil && n > 0 && n < lastPlace {
		return n
	}
	return lastPlace
}

// lastPlace is behind each preference and each priority of RFC 5854.
const lastPlace = 1_000_000

// attr is the value of the open tag's attribute of that name, without regard to
// a prefix; nil if there is none.
func (p *metalink) attr(name string) []byte {
	for _, a := range p.attrs {
		if string(localName(a.name)) == name {
			return a.value
		}
	}
	return nil
}

func (p *metalink) result() *Metalink {
	slices.SortStableFunc(p.urls, func(a, b rankedURL) int { return cmp.Compare(a.rank, b.rank) })
	for _, u := range p.urls {
		p.out.URLs = append(p.out.URLs, u.url)
	}
	return &p.out
}

// bounded fails a reader that has more than left bytes.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("more than %d MiB", maxList>>20)
	}
	return n, err
}
