package sync

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// replaceFile puts what write writes in the place of the file at path, by one rename, for
// its owner alone to read. Until then it has a name that begins with prefix, and before,
// if not nil, sees it under that name.
func replaceFile(path, prefix string, write func(io.Writer) error, before func(next string) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), prefix)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // what the rename has left nothing of
	b := bufio.NewWriterSize(tmp, 256<<10)
	if err := write(b); err != nil {
		tmp.Close()
		return err
	}
	if err := errors.Join(b.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if before != nil {
		if err := before(tmp.Name()); err != nil {
			return err
		}
	}
	return os.Rename(tmp.Name(), path)
}

// sweepLeft removes what programs that were killed have left of replaceFile in dir: the
// files with that prefix which nobody has written to since that time.
func sweepLeft(dir, prefix string, since time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		fi, err := e.Info()
		if err == nil && fi.ModTime().Before(since) {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// copyAtMost copies r to w, which may have most bytes.
func copyAtMost(w io.Writer, r io.Reader, most int64) error {
	n, err := io.Copy(w, io.LimitReader(r, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return err
}
