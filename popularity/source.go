package popularity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"

	"intelligentmirror/internal/repodata"
)

// source is the content of a log, decompressed.
type source struct {
	f      *os.File
	in     *bufio.Reader // of f, compressed; nil: plain
	unpack io.ReadCloser // of in
	pos    int64         // of the next Read, in decompressed bytes
}

// packed are the first bytes of compressed files. repodata tells them apart.
var packed = []string{"\x1f\x8b\x08", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18", "BZh91AY&SY"}

// openSource opens the log at path. Whether it is compressed is told by its
// content.
func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := newSource(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// newSource reads the log f from its beginning.
func newSource(f *os.File) (*source, error) {
	s := &source{f: f}
	var start [16]byte
	n, err := f.ReadAt(start[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	for _, magic := range packed {
		if bytes.HasPrefix(start[:n], []byte(magic)) {
			s.in = bufio.NewReaderSize(f, blockSize)
		}
	}
	return s, s.rewind()
}

// Stdin is the name of standard input among the logs.
const Stdin = "-"

// openStdin opens what Options.Stdin holds. What is no file is copied to one
// first, below $TMPDIR: whether a log is known shows only where it can be read
// twice. So is a file that somebody else has opened for this process, which may not.
func openStdin(stdin io.Reader) (*source, error) {
	if stdin == nil {
		return nil, errors.New("no standard input")
	}
	if f, ok := stdin.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			src, err := openSource(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
			if !errors.Is(err, fs.ErrPermission) {
				return src, err
			}
		}
	}
	f, err := os.CreateTemp("", "imsync-stdin-")
	if err != nil {
		return nil, fmt.Errorf("copy standard input: %w", err)
	}
	// Gone with its descriptor, whatever happens.
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, stdin)
	}
	var src *source
	if err == nil {
		src, err = newSource(f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("copy standard input: %w", err)
	}
	return src, nil
}

func (s *source) close() error {
	if s.unpack != nil {
		s.unpack.Close()
	}
	return s.f.Close()
}

func (s *source) compressed() bool { return s.in != nil }

// rewind goes back to the beginning.
func (s *source) rewind() (err error) {
	s.pos = 0
	if _, err = s.f.Seek(0, io.SeekStart); err != nil || s.in == nil {
		return err
	}
	s.in.Reset(s.f)
	if s.unpack != nil {
		s.unpack.Close()
		s.unpack = nil
	}
	s.unpack, err = repodata.Decompress(s.in, math.MaxInt64)
	return err
}

// Read reads on. Damaged or incomplete compressed data is an error other than
// io.EOF, after what could be decompressed.
func (s *source) Read(p []byte) (n int, err error) {
	switch {
	case s.in == nil:
		n, err = s.f.Read(p)
	case s.unpack == nil: // it could not be begun again
		err = io.ErrUnexpectedEOF
	default:
		n, err = s.unpack.Read(p)
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
