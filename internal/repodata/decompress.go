package repodata

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/xi2/xz"
)

// maxWindow bounds the dictionary that xz and zstd data may ask for, in bytes. It
// is what zstd's own tool accepts; `xz -9` asks for half of it.
const maxWindow = 128 << 20

var (
	// ErrTooLarge is returned by the reader of Decompress behind its limit.
	ErrTooLarge = errors.New("unpacks to more than is allowed")
	// ErrWindow is returned for data that takes more memory to unpack than anybody gives.
	ErrWindow = fmt.Errorf("asks for a window of more than %d MiB", maxWindow>>20)
	// ErrZchunk is returned for a zchunk file. They are stored and served as they
	// are; the same data is there in another form to be read.
	ErrZchunk = errors.New("zchunk data, which is not unpacked here")
)

// Decompress unpacks gzip, xz, zstd or bzip2 data, told by their first bytes, all
// of their streams if several follow each other. What is none of these comes out
// as it is. Data that is cut short or damaged is an error, and so are more than
// limit unpacked bytes (ErrTooLarge; limit itself is allowed) or data that needs
// a window of more than 128 MiB (ErrWindow). Close frees what unpacking takes; it does not
// close r, and neither is r read to its end in all cases. The reader is for one
// goroutine.
func Decompress(r io.Reader, limit int64) (io.ReadCloser, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	err = nil
	u := &unpacker{left: max(limit, 0), limit: limit}
	magic := func(m string) bool { return len(head) >= len(m) && string(head[:len(m)]) == m }
	switch {
	case magic("\x1f\x8b"):
		var z *gzip.Reader
		if z, err = gzip.NewReader(br); err == nil {
			u.format, u.r = "gzip", z
		}
	case magic("\xfd7zXZ\x00"):
		var z *xz.Reader
		if z, err = xz.NewReader(br, maxWindow); err == nil {
			u.format, u.r = "xz", z
		}
	case magic("\x28\xb5\x2f\xfd"), len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18":
		// The second is a skippable frame, with which zstd data may begin.
		var z *zstd.Decoder
		z, err = zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			u.format, u.r, u.close = "zstd", z, z.Close
		}
	case magic("BZh"):
		u.format, u.r = "bzip2", bzip2.NewReader(br)
	case magic("\x00ZCK1"), magic("\x00ZHR1"):
		err = ErrZchunk
	default:
		u.format, u.r = "plain", br
	}
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", better(err))
	}
	return u, nil
}

// unpacker reads unpacked bytes up to a limit.
type unpacker struct {
	r           io.Reader
	format      string
	close       func()
	left, limit int64
	err         error
}

func (u *unpacker) Read(p []byte) (int, error) {
	if u.err != nil || len(p) == 0 {
		return 0, u.err
	}
	// One byte more than is left tells an end from an excess.
	if int64(len(p))-1 > u.left {
		p = p[:u.left+1]
	}
	n, err := u.r.Read(p)
	if int64(n) > u.left {
		n = int(u.left)
		err = fmt.Errorf("%w (%d bytes)", ErrTooLarge, u.limit)
	}
	u.left -= int64(n)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("unpack %s: %w", u.format, better(err))
	}
	u.err = err
	return n, err
}

func (u *unpacker) Close() error {
	u.err = errors.New("unpack: read after close")
	if u.close != nil {
		u.close()
		u.close = nil
	}
	return nil
}

// better is err as callers know it.
func better(err error) error {
	if errors.Is(err, xz.ErrMemlimit) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return ErrWindow
	}
	return noEOF(err)
}

// noEOF makes an end that came too soon one that cannot be taken for the end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
