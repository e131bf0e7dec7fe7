package cache

import (
	"bufio"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Passing is the body of the whole file k on its way past a disk that can't take it,
// held to what it would be stored by: to the length and the digest that metadata
// promises, else to the first bytes of its format. length is how many bytes are announced, -1
// where nobody says. A read that would bring the last byte of wrong bytes fails, so
// that they never look whole. Errors wrap ErrWrongContent; one of Passing itself comes
// before a byte is to be sent, and is an *UnreachableError where upstream broke off.
func (c *Cache) Passing(k Key, body io.Reader, length int64) (io.Reader, error) {
	w := c.Promised(k)
	if w.Known() {
		if length >= 0 && length != w.Size {
			return nil, fmt.Errorf("%s: %d bytes announced, %d promised by the metadata: %w", k, length, w.Size, WrongLength.Wrong())
		}
		return &passing{key: k, want: w, from: body, sum: w.Digest.New()}, nil
	}
	from := bufio.NewReaderSize(body, sniffLen)
	head, err := from.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, &UnreachableError{Err: err} // it broke off before there was anything to look at
	}
	if !c.o.Policy(k).Format.Fits(head) {
		return nil, fmt.Errorf("%s begins with %.16q: %w", k, head, WrongFormat.Wrong())
	}
	return from, nil
}

// Promised is what current metadata promises of k.
func (c *Cache) Promised(k Key) Want {
	w, _ := c.o.Catalog.Lookup(k)
	return w
}

// passing is a body of which the digest is promised.
type passing struct {
	key  Key
	want Want
	from io.Reader
	sum  hash.Hash
	n    int64 // bytes read
}

// Read is io.Reader's. The bytes with which all have come are handed out once they are
// known to be right.
func (p *passing) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.sum.Write(b[:n])
	p.n += int64(n)
	switch {
	case p.n > p.want.Size:
		return 0, fmt.Errorf("%s: more than the %d bytes that it may have: %w", p.key, p.want.Size, WrongLength.Wrong())
	case p.n == p.want.Size && n > 0 && sumOf(p.want.Digest.Type(), p.sum) != p.want.Digest:
		return 0, fmt.Errorf("%s: other bytes than the metadata promises: %w", p.key, WrongDigest.Wrong())
	case err == io.EOF && p.n < p.want.Size:
		return n, fmt.Errorf("%s: %d of %d bytes: %w", p.key, p.n, p.want.Size, io.ErrUnexpectedEOF)
	}
	return n, err
}
