package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Head is what is known of a body before its bytes: how long it is, and by
// which validators the mirror that sends it will know it again.
type Head struct {
	Length       int64  `json:"length"` // bytes, -1 unknown
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Want is what metadata promises of the file that the bytes are meant to
	// become; the Partial sets it.
	Want Want `json:"want,omitzero"`
}

// Partial is a file that is being downloaded, under a lock that no other
// process or fill holds. Bytes are only ever appended: whoever starts over gets
// a new inode, so that readers of the old one never see other bytes under their
// offset. It belongs to one goroutine, but for Poll.
type Partial struct {
	want   Want
	format Format
	dir    *partials
	path   string
	file   *os.File

	head  Head
	begun bool  // head holds for the bytes in file
	size  int64 // bytes in file
	stale bool  // the bytes are wrong: only a new inode may follow

	sha    hash.Hash // of the first hashed bytes
	other  hash.Hash // the same, where the promise is not SHA-256
	hashed int64
	fits   bool // the first bytes are the format's

	committed bool // the file has its name in the tree

	digest Digest // SHA-256 of the whole, once complete
	met    Digest // the promise that was kept

	resumed, fetched int64 // bytes that were there, bytes that came
	grown            func(file *os.File, h Head, visible int64)
}

// newPartial takes over file, which is locked, with what its attribute tells.
func newPartial(d *partials, file *os.File, path string, w Want, format Format) (*Partial, error) {
	p := &Partial{want: w, format: format, dir: d, path: path, file: file}
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	p.size = fi.Size()
	if p.size == 0 {
		return p, nil
	}
	// Bytes that nobody can say the origin of, or that were meant to become
	// another file, can't be continued.
	if err := readAttr(file, partialAttr, &p.head); err != nil ||
		p.head.Want.Known() && w.Known() && p.head.Want != w ||
		w.Known() && p.size > w.Size {
		p.stale = true
	}
	p.begun = !p.stale
	return p, nil
}

// Resume is how many bytes are there to be continued, and where they came from.
// It is 0 where a download has to start over.
func (p *Partial) Resume() (int64, Head) {
	if p.stale || !p.begun {
		return 0, Head{}
	}
	return p.size, p.head
}

// Path is the file's name, for a Source that writes it by itself: between Begin
// or Continue and Vouch.
func (p *Partial) Path() string { return p.path }

// Begin says that a body follows from its first byte on. What was there before
// is dropped. The room that the body needs is reserved: ErrUnstorable says that
// there is none, before a byte has come.
func (p *Partial) Begin(h Head) error {
	if p.size > 0 || p.stale {
		if err := p.restart(); err != nil {
			return err
		}
	}
	if p.want.Known() && h.Length >= 0 && h.Length != p.want.Size {
		return fmt.Errorf("%s: %d bytes announced, %d promised by the metadata: %w", h.URL, h.Length, p.want.Size, ErrWrongContent)
	}
	h.Want = p.want
	p.head = h
	if err := p.dir.reserve(p.file, h.Length); err != nil {
		return err
	}
	if err := writeAttr(p.file, partialAttr, h); err != nil {
		return storeError(err)
	}
	p.begun = true
	p.grow()
	return nil
}

// Continue says that a body follows from byte Resume on. length is the whole
// file's, -1 unknown.
func (p *Partial) Continue(length int64) error {
	if p.head.Length >= 0 && length >= 0 && length != p.head.Length {
		p.stale = true
		return fmt.Errorf("%s: %d bytes now, %d when the download began: %w", p.head.URL, length, p.head.Length, ErrWrongContent)
	}
	p.resumed = max(p.resumed, p.size-p.fetched)
	p.grow()
	return nil
}

// Describe adds what a Source that writes by itself has learned of the body
// after Begin: validators, and where they came from.
func (p *Partial) Describe(h Head) {
	h.Length, h.Want = p.head.Length, p.want
	p.head = h
	// Without it a later run can't tell the file's time; it asks again.
	_ = writeAttr(p.file, partialAttr, h)
}

// Write appends b. It implements io.Writer.
func (p *Partial) Write(b []byte) (int, error) {
	if err := p.hash(); err != nil {
		return 0, err
	}
	n, err := p.file.WriteAt(b, p.size)
	p.size += int64(n)
	p.fetched += int64(n)
	p.hashed += int64(n)
	p.sha.Write(b[:n])
	if p.other != nil {
		p.other.Write(b[:n])
	}
	if err != nil {
		return n, storeError(err)
	}
	if most := p.most(); most >= 0 && p.size > most {
		p.stale = true
		return n, fmt.Errorf("%s: more than the %d bytes that were promised: %w", p.head.URL, most, ErrWrongContent)
	}
	if err := p.sniff(p.size >= sniffLen); err != nil {
		return n, err
	}
	p.grow()
	return n, nil
}

// most is how long the file can be at the most, -1 unknown.
func (p *Partial) most() int64 {
	if p.want.Known() {
		return p.want.Size
	}
	return p.head.Length
}

// hash brings the running digests up to the file's end.
func (p *Partial) hash() error {
	if p.sha == nil {
		p.sha = sha256.New()
		if d := p.want.Digest; d != "" && d.Type() != "sha256" {
			p.other = d.New()
		}
	}
	if p.hashed == p.size {
		return nil
	}
	w := io.Writer(p.sha)
	if p.other != nil {
		w = io.MultiWriter(p.sha, p.other)
	}
	n, err := io.Copy(w, io.NewSectionReader(p.file, p.hashed, p.size-p.hashed))
	p.hashed += n
	if err != nil {
		return fmt.Errorf("read back %s: %w", p.path, err)
	}
	return nil
}

// sniff checks the first bytes, once enough are there or enough says that these are all.
func (p *Partial) sniff(enough bool) error {
	if p.fits || !enough {
		return nil
	}
	head := make([]byte, min(p.size, sniffLen))
	if _, err := p.file.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read back %s: %w", p.path, err)
	}
	if !p.format.Fits(head) {
		p.stale = true
		return fmt.Errorf("%s begins with %.16q: %w", p.head.URL, head, ErrWrongContent)
	}
	p.fits = true
	return nil
}

// Complete says that the body has ended as its framing says, and checks that
// the file is what it should be. The error wraps ErrWrongContent where it is
// not, and io.ErrUnexpectedEOF where bytes are missing that can still come.
func (p *Partial) Complete() error {
	if p.head.Length >= 0 && p.size < p.head.Length {
		return fmt.Errorf("%s: %d of %d bytes: %w", p.head.URL, p.size, p.head.Length, io.ErrUnexpectedEOF)
	}
	if err := p.sniff(true); err != nil {
		return err
	}
	if err := p.hash(); err != nil {
		return err
	}
	p.digest = SHA256(p.sha.Sum(nil))
	if !p.want.Known() {
		return nil
	}
	got := p.digest
	if p.other != nil {
		got = sumOf(p.want.Digest.Type(), p.other)
	}
	if got != p.want.Digest || p.size != p.want.Size {
		p.stale = true
		return fmt.Errorf("%s: %s of %d bytes, the metadata promises %s of %d: %w",
			p.head.URL, got, p.size, p.want.Digest, p.want.Size, ErrWrongContent)
	}
	p.met = got
	return nil
}

// Vouch is Complete for a Source that wrote the file itself and has verified it
// against the promise: the bytes are read again only for a SHA-256 that nobody
// knows yet.
func (p *Partial) Vouch() error {
	if err := p.Measure(); err != nil {
		return err
	}
	if p.want.Digest.Type() != "sha256" {
		return p.Complete()
	}
	p.digest, p.met = p.want.Digest, p.want.Digest
	return nil
}

// Measure takes in what a Source has written by itself, whether it came to an
// end or not.
func (p *Partial) Measure() error {
	fi, err := p.file.Stat()
	if err != nil {
		return err
	}
	p.fetched += fi.Size() - p.size
	p.size = fi.Size()
	return nil
}

// Poll tells followers how far a Source that writes the file itself has come.
// It may be called while that Source writes.
func (p *Partial) Poll() {
	if fi, err := p.file.Stat(); err == nil && p.grown != nil {
		p.grown(p.file, p.head, fi.Size())
	}
}

// Reject says that the bytes are wrong and nothing of them is to be continued.
func (p *Partial) Reject() { p.stale = true }

// grow tells followers of the bytes that they may have.
func (p *Partial) grow() {
	if p.grown == nil {
		return
	}
	visible := p.size
	if !p.fits && !p.want.Known() {
		visible = 0
	}
	p.grown(p.file, p.head, visible)
}

// restart gives the partial a new inode, under the lock at every moment.
func (p *Partial) restart() error {
	fresh, err := p.dir.replace(p.path)
	if err != nil {
		return storeError(err)
	}
	old := p.file
	p.file = fresh
	if p.grown != nil {
		p.grown(fresh, Head{}, 0)
	}
	old.Close()
	p.size, p.hashed, p.resumed = 0, 0, 0
	p.sha, p.other, p.fits, p.stale, p.begun = nil, nil, false, false, false
	p.digest, p.met, p.head = "", "", Head{}
	return nil
}

// release gives up the lock, and the file too unless it is stored or worth
// continuing. The descriptor stays open where it is shared with readers.
func (p *Partial) release(shared bool) {
	if !p.committed && (p.stale || p.size == 0) {
		os.Remove(p.path)
	}
	unlock(p.file)
	if !shared {
		p.file.Close()
	}
}

// facts is what is known of the complete file but for its times.
func (p *Partial) facts() Facts {
	return Facts{
		SHA256: p.digest, Met: p.met, Size: p.size,
		ETag: bounded(p.head.ETag), LastModified: bounded(p.head.LastModified), URL: p.head.URL,
	}
}

// bounded drops a validator that is too long to be kept.
func bounded(s string) string {
	if len(s) > 256 {
		return ""
	}
	return s
}

// sumOf is h's sum as a Digest of that type.
func sumOf(typ string, h hash.Hash) Digest {
	return Digest(fmt.Sprintf("%s:%x", typ, h.Sum(nil)))
}

// storeError wraps an error of the file system that means that nothing can be
// stored, whatever the request.
func storeError(err error) error {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EIO, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrUnstorable, err)
		}
	}
	return err
}

// partials is the directory of the files that are being downloaded.
type partials struct {
	dir     string
	minFree int64 // bytes that stay free on the file system
}

// path is the name of the partial file for k. It is the key's, whatever is
// promised of the file: both programs, one that knows the digest and one that
// does not, must meet at one lock.
func (d *partials) path(k Key) string {
	sum := sha256.Sum256([]byte(k.String()))
	return fmt.Sprintf("%s/%x", d.dir, sum[:16])
}

// lock opens the partial file at path and tries to lock it. Where another holds
// the lock, the file is returned all the same, for following, and held is false.
func (d *partials) lock(path string) (file *os.File, held bool, err error) {
	for {
		file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, false, storeError(err)
		}
		held, err = tryLock(file)
		if err != nil {
			file.Close()
			return nil, false, err
		}
		// Whoever held it may have renamed or removed it between open and lock.
		if !held || sameFile(file, path) {
			return file, held, nil
		}
		file.Close()
	}
}

// replace puts a new, empty, locked file at path, which the caller has locked.
func (d *partials) replace(path string) (*os.File, error) {
	fresh, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	held, err := tryLock(fresh)
	if err == nil && !held {
		err = fmt.Errorf("%s is locked by a stranger", fresh.Name())
	}
	if err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		fresh.Close()
		return nil, err
	}
	return fresh, nil
}

// reserve makes room for n bytes in file, without changing its size.
func (d *partials) reserve(file *os.File, n int64) error {
	var st unix.Statfs_t
	if err := control(file, func(fd int) error { return unix.Fstatfs(fd, &st) }); err == nil {
		if free := int64(st.Bavail) * st.Bsize; free-max(n, 0) < d.minFree {
			return fmt.Errorf("%w: %d bytes would leave less than min_free (%d) of the %d that are free", ErrUnstorable, max(n, 0), d.minFree, free)
		}
	}
	if n <= 0 {
		return nil
	}
	err := control(file, func(fd int) error { return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, n) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: reserve %d bytes: %w", ErrUnstorable, n, err)
	}
	return nil
}

// tryLock takes an exclusive lock that lasts as long as the open file does.
func tryLock(file *os.File) (bool, error) {
	err := control(file, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "flock", Path: file.Name(), Err: err}
	}
	return true, nil
}

// unlock gives up the lock before the file is closed.
func unlock(file *os.File) {
	// It can only fail on a descriptor that is closed, which has no lock.
	_ = control(file, func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) })
}

// sameFile reports whether path still names the open file.
func sameFile(file *os.File, path string) bool {
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// modTime is the time that a Last-Modified field gives; ok is false without one.
func (h Head) modTime() (t int64, ok bool) {
	m, err := http.ParseTime(h.LastModified)
	if err != nil {
		return 0, false
	}
	return m.Unix(), true
}
