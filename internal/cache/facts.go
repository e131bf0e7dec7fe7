package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Names of the extended attributes that the cache keeps its knowledge in.
const (
	factsAttr   = "user.im.facts"
	partialAttr = "user.im.partial"
	absentAttr  = "user.im.absent" // of a repository's metadata: optional files that upstream has not got
)

// maxAttr bounds an attribute, in bytes: ext4 gives all attributes of a file
// one block of 4 KiB.
const maxAttr = 2048

// Facts is what the cache knows of a stored file. It lives in one extended
// attribute of the file itself, set before the rename that commits the file,
// so that bytes and facts can't disagree. A file without it (adopted, or copied
// without attributes) has none: it is validated before it is trusted.
//
// Attributes are an inode's, and one may have several names (see share.go). What is
// true of one of them alone, when and where it was validated and for whom it was
// checked, is in an attribute of that name then (ownAttr). Names without one go by
// the file's.
type Facts struct {
	// SHA256 is the digest of the bytes as they arrived; "" if nobody computed it.
	SHA256 Digest `json:"sha256,omitempty"`
	// Met is the promise of verified metadata that the bytes were found to keep;
	// "" if nothing was promised.
	Met Digest `json:"met,omitempty"`
	// Size in bytes and ModTime are the stored file's own. Where the file differs
	// from them somebody else has written it, and the facts are void.
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime"`
	// ETag and LastModified are the validators as URL gave them; another
	// mirror's mean nothing to it.
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	URL          string `json:"url,omitempty"`
	// Validated is when upstream last said that these are its bytes.
	Validated time.Time `json:"validated"`
	// Prefetched is when the agent fetched the file before anyone asked; zero
	// for a file that a client asked for.
	Prefetched time.Time `json:"prefetched,omitzero"`
	// Checked is the ID of the Check that the bytes have passed; "" if none.
	Checked string `json:"checked,omitempty"`
}

// Keeps reports whether the file is known to have the digest d.
func (f *Facts) Keeps(d Digest) bool {
	return d != "" && (f.SHA256 == d || f.Met == d)
}

// Tag is the entity tag that clients get: made of the digest or, without one,
// of size and time. It never is a mirror's.
func (f *Facts) Tag() string {
	if sum := f.SHA256.Hex(); sum != "" {
		return `"` + sum[:32] + `"`
	}
	return fmt.Sprintf(`"%x-%x"`, f.Size, f.ModTime.Unix())
}

// describes reports whether g are facts of the same stored file.
func (f *Facts) describes(g Facts) bool {
	return f.Size == g.Size && f.ModTime.Equal(g.ModTime) && f.SHA256 == g.SHA256
}

// ownAttr is the attribute with what is known of a file by one of its names alone,
// which is below the cache directory.
func ownAttr(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s.%x", factsAttr, sum[:8])
}

// readFactsOf is the facts of the open file by one of its names; base is the
// file's where these are the name's own, else nil.
func readFactsOf(file *os.File, fi os.FileInfo, name string) (f, base *Facts) {
	if f = readFacts(file, fi); f == nil {
		return nil, nil
	}
	var own Facts
	if readAttr(file, ownAttr(name), &own) != nil || own.Size != f.Size || !own.ModTime.Equal(f.ModTime) || !own.wellFormed() {
		return f, nil
	}
	if own.SHA256 == "" {
		own.SHA256 = f.SHA256
	}
	if own.Met == "" {
		own.Met = f.Met
	}
	return &own, f
}

// beside is f without what the file's own facts say as well: the attributes of a
// file share a block.
func (f Facts) beside(base Facts) Facts {
	if f.SHA256 == base.SHA256 {
		f.SHA256 = ""
	}
	if f.Met == base.Met {
		f.Met = ""
	}
	return f
}

// readFacts is the facts of the open file, nil where it has none that fit it.
func readFacts(file *os.File, fi os.FileInfo) *Facts {
	var f Facts
	if err := readAttr(file, factsAttr, &f); err != nil {
		return nil
	}
	if f.Size != fi.Size() || !f.ModTime.Equal(fi.ModTime()) || !f.wellFormed() {
		return nil
	}
	return &f
}

// wellFormed reports whether the digests are some: who can write the file could write
// anything in its attribute.
func (f *Facts) wellFormed() bool {
	return (f.SHA256 == "" || f.SHA256.Type() == "sha256" && f.SHA256.Valid()) && (f.Met == "" || f.Met.Valid())
}

// readAttr decodes an attribute of file into v.
func readAttr(file *os.File, name string, v any) error {
	var buf [maxAttr]byte
	var n int
	err := control(file, func(fd int) (err error) {
		n, err = unix.Fgetxattr(fd, name, buf[:])
		return err
	})
	if err != nil {
		return err
	}
	return json.Unmarshal(buf[:n], v)
}

// writeAttr sets an attribute of file to v. A file system that has no
// attributes is no error: what the attribute would have said is then unknown,
// and asked for again.
func writeAttr(file *os.File, name string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // an & in an address is one byte
	if err := enc.Encode(v); err != nil {
		return err
	}
	b := bytes.TrimSpace(buf.Bytes())
	if len(b) > maxAttr {
		return fmt.Errorf("attribute %s of %s: %d bytes are more than %d", name, file.Name(), len(b), maxAttr)
	}
	err := control(file, func(fd int) error { return unix.Fsetxattr(fd, name, b, 0) })
	if err == nil || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return &os.PathError{Op: "setxattr " + name, Path: file.Name(), Err: err}
}

// removeAttr removes an attribute; that it isn't there is no error.
func removeAttr(file *os.File, name string) error {
	err := control(file, func(fd int) error { return unix.Fremovexattr(fd, name) })
	if err == nil || errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return &os.PathError{Op: "removexattr " + name, Path: file.Name(), Err: err}
}

// control calls f with file's descriptor, again where a signal interrupted it,
// without taking the file out of the runtime's poller as File.Fd does.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	err = raw.Control(func(fd uintptr) {
		for {
			if ferr = f(int(fd)); ferr != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return ferr
}
