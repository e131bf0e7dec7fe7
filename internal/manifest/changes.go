package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Copy writes the manifest that r has to w, and is its tag. The error wraps
// ErrDamaged where it is none.
func Copy(w io.Writer, r io.Reader) (tag string, err error) {
	return apply(w, nil, newReader(r))
}

// Apply writes to w what the manifest before has become by the changes, and is its
// tag. The error wraps ErrDamaged where one of them is not what it should be.
func Apply(w io.Writer, before, changes io.Reader) (tag string, err error) {
	return apply(w, newReader(before), newReader(changes))
}

// apply is Apply, without before for a manifest whose lines are all new.
func apply(w io.Writer, before, changes *reader) (string, error) {
	h := sha256.New()
	w = io.MultiWriter(w, h)
	a, b := &cursor{reader: before}, &cursor{reader: changes}
	if err := errors.Join(a.advance(), b.advance()); err != nil {
		return "", err
	}
	for a.ok || b.ok {
		order := a.compare(b)
		raw := a.raw
		if order >= 0 {
			raw = b.raw
			switch {
			case b.at.Deleted && order > 0:
				return "", fmt.Errorf("%q goes, which was not there: %w", b.at.Path, ErrDamaged)
			case b.at.Deleted:
				raw = nil
			}
		}
		if _, err := w.Write(raw); err != nil {
			return "", err
		}
		if order <= 0 {
			if err := a.advance(); err != nil {
				return "", err
			}
		}
		if order >= 0 {
			if err := b.advance(); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// cursor is where a reader of lines is.
type cursor struct {
	*reader // nil has no lines
	at      change
	raw     []byte
	ok      bool // at is one; it is behind the last otherwise
}

func (c *cursor) advance() (err error) {
	if c.ok = false; c.reader == nil {
		return nil
	}
	c.at, c.raw, err = c.next()
	if err == io.EOF {
		return nil
	}
	c.ok = err == nil
	return err
}

// compare orders two cursors by the paths that they are at; one at its end is last.
func (c *cursor) compare(other *cursor) int {
	switch {
	case !c.ok:
		return 1
	case !other.ok:
		return -1
	}
	return Compare(c.at.Path, other.at.Path)
}

// Union writes to w all paths of two manifests, where both have one the line of b.
func Union(w io.Writer, a, b io.Reader) error {
	_, err := apply(w, newReader(a), newReader(b))
	return err
}

// Missing calls visit with each line of a whose path b does not have, until that
// returns an error, which it returns then.
func Missing(a, b io.Reader, visit func(Line) error) error {
	x, y := &cursor{reader: newReader(a)}, &cursor{reader: newReader(b)}
	if err := errors.Join(x.advance(), y.advance()); err != nil {
		return err
	}
	for x.ok {
		switch order := x.compare(y); {
		case order > 0:
			if err := y.advance(); err != nil {
				return err
			}
			continue
		case order < 0:
			if err := visit(x.at.Line); err != nil {
				return err
			}
		}
		if err := x.advance(); err != nil {
			return err
		}
	}
	return nil
}

// Write writes lines, which come in order, to w.
func Write(w io.Writer, l Line) error {
	raw, err := encode(l)
	if err != nil {
		return err
	}
	_, err = w.Write(raw)
	return err
}
