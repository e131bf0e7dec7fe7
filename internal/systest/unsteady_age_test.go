package systest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// age makes all that the cache knows of times older, as it is when nobody could be
// asked for that long: when a file was validated, and when a generation was replaced.
func (u *unsteady) age(by time.Duration) {
	u.t.Helper()
	const facts = "user.im.facts"
	err := filepath.WalkDir(filepath.Join(u.dir, "cache"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if strings.HasSuffix(name, ".root") {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return replace(name, older(b, "replaced", by))
		}
		attr := make([]byte, 4096)
		n, err := unix.Getxattr(name, facts, attr)
		if err != nil {
			return nil // it has none, or has just gone
		}
		return unix.Setxattr(name, facts, older(attr[:n], "validated", by), 0)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.t.Fatal(err)
	}
}

// older is a JSON document in which each time under that key is so much earlier.
func older(doc []byte, key string, by time.Duration) []byte {
	return regexp.MustCompile(`"`+key+`":"([^"]+)"`).ReplaceAllFunc(doc, func(field []byte) []byte {
		text := strings.TrimSuffix(strings.TrimPrefix(string(field), `"`+key+`":"`), `"`)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return field
		}
		return fmt.Appendf(nil, "%q:%q", key, at.Add(-by).Format(time.RFC3339Nano))
	})
}

// replace gives a file other bytes by a rename.
func replace(name string, b []byte) error {
	tmp := filepath.Join(filepath.Dir(name), ".older")
	return errors.Join(os.WriteFile(tmp, b, 0o644), os.Rename(tmp, name))
}
