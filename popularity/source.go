package popularity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/gzip"
)

// source is the content of a log, decompressed.
type source struct {
	f   *os.File
	in  *bufio.Reader // compressed; nil: plain
	zip *gzip.Reader
	pos int64 // of the next Read, in decompressed bytes
}

// magics tells compressed files by their first bytes.
var magics = []struct {
	prefix string
	name   string
}{
	{"\x1f\x8b\x08", "gzip"},
	{"\xfd7zXZ\x00", "xz"},
	{"\x28\xb5\x2f\xfd", "zstd"},
	{"BZh91AY&SY", "bzip2"},
}

// openSource opens the log at path. Whether it is compressed is told by its
// content.
func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &source{f: f}
	var start [16]byte
	n, err := f.ReadAt(start[:], 0)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, err
	}
	for _, m := range magics {
		if !bytes.HasPrefix(start[:n], []byte(m.prefix)) {
			continue
		}
		if m.name != "gzip" {
			f.Close()
			return nil, fmt.Errorf("compressed with %s, which is not read: decompress it, or compress it with gzip", m.name)
		}
		s.in = bufio.NewReaderSize(f, bufferSize)
	}
	if err := s.rewind(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *source) close() error { return s.f.Close() }

func (s *source) compressed() bool { return s.in != nil }

// rewind goes back to the beginning.
func (s *source) rewind() (err error) {
	s.pos = 0
	if _, err = s.f.Seek(0, io.SeekStart); err != nil || s.in == nil {
		return err
	}
	s.in.Reset(s.f)
	if s.zip == nil {
		s.zip, err = gzip.NewReader(s.in)
	} else {
		err = s.zip.Reset(s.in)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // a file that is just being compressed
	}
	return err
}

// Read reads on. Damaged or incomplete compressed data is an error other than
// io.EOF, after what could be decompressed.
func (s *source) Read(p []byte) (n int, err error) {
	if s.in == nil {
		n, err = s.f.Read(p)
	} else {
		n, err = s.zip.Read(p)
	}
	s.pos += int64(n)
	return n, err
}

// seek goes to off. It fails with io.EOF or io.ErrUnexpectedEOF if the content
// ends before.
func (s *source) seek(off int64) error {
	if s.in == nil {
		info, err := s.f.Stat()
		if err != nil {
			return err
		}
		if info.Size() < off {
			return io.EOF
		}
		s.pos, err = s.f.Seek(off, io.SeekStart)
		return err
	}
	if off < s.pos {
		if err := s.rewind(); err != nil {
			return err
		}
	}
	_, err := io.CopyN(io.Discard, s, off-s.pos)
	return err
}

// readBefore reads the n bytes that stand before off.
func (s *source) readBefore(off, n int64) ([]byte, error) {
	if err := s.seek(off - n); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(s, b)
	return b, err
}

// head reads the beginning of the content, at most window bytes of it.
func (s *source) head() ([]byte, error) {
	b := make([]byte, window)
	n, err := io.ReadFull(s, b)
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return b[:n], err
}

// stamp is what of a file's inode moves when its content does.
type stamp struct{ device, inode, size, modified, changed int64 }

// stampOf takes a file's stamp; ok is false where the system has none.
func stampOf(info os.FileInfo) (st stamp, ok bool) {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, false
	}
	return stamp{
		device: int64(sys.Dev), inode: int64(sys.Ino), size: sys.Size,
		modified: sys.Mtim.Nano(), changed: sys.Ctim.Nano(),
	}, true
}
