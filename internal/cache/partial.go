package cache

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

// roomEvery is how many bytes of a body of unknown length come between two looks
// at the room that is left on the disk.
const roomEvery = 16 << 20

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
	// continued says that the first of them were there before the body that is
	// arriving, perhaps from elsewhere.
	continued bool
	stale     bool // the bytes are wrong: only a new inode may follow

	sha    hash.Hash // of the first hashed bytes
	other  hash.Hash // the same, where the promise is not SHA-256
	hashed int64
	fits   bool // the first bytes are the format's

	counted   int64 // bytes of the disk that are accounted for it
	roomFor   int64 // the size at which to look for room again, where no length is known
	committed bool  // the file has its name in the tree

	digest Digest // SHA-256 of the whole, once complete
	met    Digest // the promise that was kept

	check   *Check // nil for none
	checked string // the ID of the check that was passed
	refused func(*WrongContentError)

	resumed, fetched int64 // bytes that were there, bytes that came
	nearby, bucket   int64 // of those that came, what a sibling sent, what the bucket
	// confirmed is when upstream last confirmed the bytes; nil is just now.
	confirmed *time.Time
	grown     func(file *os.File, h Head, visible int64)
}

// newPartial takes over file, which is locked, with what its attribute tells.
func newPartial(d *partials, file *os.File, path string, w Want, format Format) (*Partial, error) {
	p := &Partial{want: w, format: format, dir: d, path: path, file: file}
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	p.size, p.counted = fi.Size(), sizeOnDisk(fi)
	if p.size == 0 {
		return p, nil
	}
	// Bytes that nobody can say the origin of, or that were meant to become
	// another file, can't be continued.
	if !p.origin(fi) ||
		p.head.Want.Known() && w.Known() && p.head.Want != w ||
		w.Known() && p.size > w.Size {
		p.stale = true
	}
	p.begun = !p.stale
	return p, nil
}

// origin learns from the file's attributes where its bytes came from.
func (p *Partial) origin(fi os.FileInfo) bool {
	if readAttr(p.file, partialAttr, &p.head) == nil {
		return true
	}
	// Whoever downloaded it died between the two steps of its commit: it is whole.
	f := readFacts(p.file, fi)
	if f != nil {
		p.head = Head{Length: f.Size, URL: f.URL, ETag: f.ETag, LastModified: f.LastModified}
	}
	return f != nil
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
// or Continue and Measure.
func (p *Partial) Path() string { return p.path }

// Begin says that a body follows from its first byte on. What was there before
// is dropped, unless the length says that it is another file: ErrWrongContent.
// The room that the body needs is reserved: ErrUnstorable says that there is
// none, before a byte has come.
func (p *Partial) Begin(h Head) error {
	// First, so that a page that stands in for the file does not cost what is there of it.
	if p.want.Known() && h.Length >= 0 && h.Length != p.want.Size {
		return fmt.Errorf("%s: %d bytes announced, %d promised by the metadata: %w", h.URL, h.Length, p.want.Size, WrongLength.Wrong())
	}
	if most := p.checkMost(); most >= 0 && h.Length > most {
		return fmt.Errorf("%s: %d bytes announced, %d are the most that it may have: %w", h.URL, h.Length, most, WrongLength.Wrong())
	}
	if p.size > 0 || p.stale {
		if err := p.restart(); err != nil {
			return err
		}
	}
	h = h.bounded()
	h.Want = p.want
	p.head = h
	if err := p.reserve(max(h.Length, 0)); err != nil {
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
		return fmt.Errorf("%s: %d bytes now, %d when the download began: %w", p.head.URL, length, p.head.Length, WrongLength.Wrong())
	}
	if p.head.Length < 0 {
		p.head.Length = length
	}
	p.continued = true
	p.resumed = max(p.resumed, p.size-p.fetched)
	p.grow()
	return nil
}

// Describe adds what a Source has learned of the body after Begin or Continue:
// validators, and where they came from. They become the complete file's.
func (p *Partial) Describe(h Head) {
	h = h.bounded()
	h.Length, h.Want, h.Stated = p.head.Length, p.head.Want, p.head.Stated
	p.head = h
	if p.continued {
		// Until a digest has proved that the parts belong together, they describe
		// the second alone. Who goes on with the file has to know the first's.
		return
	}
	// Without it a later run can't tell the file's time; it asks again.
	_ = writeAttr(p.file, partialAttr, h)
}

// Confirmed says, after Begin, that upstream confirmed the body that follows at a
// time, zero if nobody knows when, and not just now: a sibling stored it then, and
// upstream can't be asked.
func (p *Partial) Confirmed(at time.Time) { p.confirmed = &at }

// Write appends b. It implements io.Writer.
func (p *Partial) Write(b []byte) (int, error) {
	if err := p.hash(); err != nil {
		return 0, err
	}
	n, err := p.file.WriteAt(b, p.size)
	p.size += int64(n)
	p.fetched += int64(n)
	switch {
	case p.head.Sibling:
		p.nearby += int64(n)
	case p.head.Bucket:
		p.bucket += int64(n)
	}
	p.digested(b[:n])
	if err != nil {
		return n, storeError(err)
	}
	switch most := p.most(); {
	case most >= 0 && p.size > most:
		p.stale = true
		return n, fmt.Errorf("%s: more than the %d bytes that it may have: %w", p.head.URL, most, WrongLength.Wrong())
	case most < 0 && p.size > p.dir.space.undeclared():
		p.stale = true
		return n, fmt.Errorf("%s: more than the %d bytes that a file may have whose length nobody says: %w",
			p.head.URL, p.dir.space.undeclared(), WrongLength.Wrong())
	case most < 0 && p.size >= p.roomFor:
		// Begin could reserve nothing for a body of unknown length.
		if err := p.reserve(0); err != nil {
			return n, err
		}
		p.roomFor = p.size + roomEvery
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
	if p.head.Length >= 0 {
		return p.head.Length
	}
	return p.checkMost()
}

// checkMost is how long the check lets a file be of which nothing is promised, -1
// where it does not say.
func (p *Partial) checkMost() int64 {
	if p.want.Known() || p.check == nil || p.check.Most == 0 {
		return -1
	}
	return p.check.Most
}

// promise is what the whole file has to keep: what is promised now or, where
// nothing is, what the first part was meant to become, or what the one who sends
// it states; kept says that metadata promised it.
func (p *Partial) promise() (w Want, kept bool) {
	switch {
	case p.want.Known():
		return p.want, true
	case p.continued && p.head.Want.Known():
		return p.head.Want, true
	}
	return p.head.Stated, false
}

// hash brings the running digests up to the file's end.
func (p *Partial) hash() error {
	if p.sha == nil {
		p.sha = sha256.New()
		if w, _ := p.promise(); w.Known() && w.Digest.Type() != "sha256" {
			p.other = w.Digest.New()
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

// digested adds the bytes behind the hashed ones to the running digests.
func (p *Partial) digested(b []byte) {
	p.hashed += int64(len(b))
	p.sha.Write(b)
	if p.other != nil {
		p.other.Write(b)
	}
}

// sniff checks the first bytes, once enough are there or enough says that these
// are all, of a file of which nothing better is known.
func (p *Partial) sniff(enough bool) error {
	if p.want.Known() || p.fits || !enough {
		return nil
	}
	head := make([]byte, min(p.size, sniffLen))
	if _, err := p.file.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read back %s: %w", p.path, err)
	}
	if !p.format.Fits(head) {
		p.stale = true
		return fmt.Errorf("%s begins with %.16q: %w", p.head.URL, head, WrongFormat.Wrong())
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
	w, kept := p.promise()
	if !w.Known() {
		return p.approve()
	}
	got := p.digest
	if p.other != nil {
		got = sumOf(w.Digest.Type(), p.other)
	}
	if got != w.Digest || p.size != w.Size {
		by := "the metadata promises"
		if !kept {
			by = "is noted beside it"
		}
		return p.refuse(fmt.Sprintf("%s of %d bytes, as %s", w.Digest, w.Size, by), fmt.Sprintf("%s of %d bytes", got, p.size), nil)
	}
	if kept {
		p.met = got
	}
	return p.approve()
}

// Beside is where a Source that writes the file by itself writes the same bytes as
// they come, between Begin or Continue and Measure, so that they are not read again
// for their digest. What is there already is read now.
func (p *Partial) Beside() (io.Writer, error) {
	if err := p.hash(); err != nil {
		return nil, err
	}
	return beside{p}, nil
}

// beside hashes what another writes at the end of the Partial's file.
type beside struct{ p *Partial }

// Write implements io.Writer. It never fails.
func (b beside) Write(bytes []byte) (int, error) {
	b.p.digested(bytes)
	return len(bytes), nil
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
	if p.hashed > p.size {
		// Not all that came could be written.
		p.sha, p.other, p.hashed = nil, nil, 0
	}
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
		p.grown(fresh, Head{Length: -1}, 0)
	}
	old.Close()
	p.dir.account(-p.counted)
	p.counted = 0
	p.size, p.hashed, p.resumed, p.roomFor = 0, 0, 0, 0
	p.sha, p.other, p.fits, p.stale, p.begun, p.continued = nil, nil, false, false, false, false
	p.digest, p.met, p.checked, p.head, p.confirmed = "", "", "", Head{}, nil
	return nil
}

// release gives up the lock, and the file too unless it is stored or worth
// continuing. The descriptor stays open where it is shared with readers.
func (p *Partial) release(shared bool) {
	switch {
	case p.committed:
	case p.stale || p.size == 0:
		os.Remove(p.path)
		p.dir.account(-p.counted)
	default:
		p.count()
	}
	unlock(p.file)
	if !shared {
		p.file.Close()
	}
}

// facts is what is known of the complete file but for its times.
func (p *Partial) facts() Facts {
	return Facts{
		SHA256: p.digest, Met: p.met, Checked: p.checked, Size: p.size,
		ETag: p.head.ETag, LastModified: p.head.LastModified, URL: p.head.URL,
	}
}

// sumOf is h's sum as a Digest of that type.
func sumOf(typ string, h hash.Hash) Digest {
	return Digest(fmt.Sprintf("%s:%x", typ, h.Sum(nil)))
}
