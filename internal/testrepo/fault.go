package testrepo

import (
	"cmp"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Fault is one way to misbehave, told to an Upstream by On. The functions below
// make them; they can be combined by With and narrowed by Times, After, Share and
// Only.
// A Fault is a value: it can stand in a table and be used again. The zero Fault
// is no fault, and answers honestly.
//
// Numbers of bytes count the body of the answer, in which a range's first byte
// is the first; for Corrupt and Replace they are offsets in the file. A place
// that an answer does not reach is one where nothing happens.
type Fault struct {
	changes []func(*plan)
	times   int // 0: always
	after   int
	method  string
	share   float64 // of the requests; 0: all
	seed    uint64
}

// plan is how one request is answered.
type plan struct {
	delay      time.Duration
	refuse     bool
	hang       bool
	status     int
	redirect   string
	page       string
	dropRange  bool
	wrongRange bool
	gzip       bool
	framing    framing
	overstate  int64
	endless    bool
	truncate   int64 // -1: not at all
	stops      []stop
	limiter    *rate.Limiter
	edits      []edit
}

// framing is how the end of the body is marked.
type framing int

const (
	withLength     framing = iota // Content-Length
	chunked                       // Transfer-Encoding: chunked
	closeDelimited                // by the connection's end
)

// stop is something that happens when so many bytes of the body have been sent
// and more would follow.
type stop struct {
	at int64
	do func(*response) error
}

// edit is a file as the request gets to see it, in place of what it is. The
// function put replaces the file itself.
type edit func(f io.ReaderAt, put func([]byte) error) io.ReaderAt

func fault(change func(*plan)) Fault { return Fault{changes: []func(*plan){change}} }

func stopAt(n int64, do func(*response) error) Fault {
	return fault(func(p *plan) {
		p.stops = append(p.stops, stop{n, do})
		slices.SortStableFunc(p.stops, func(a, b stop) int { return cmp.Compare(a.at, b.at) })
	})
}

// Refuse closes the connection in place of an answer. See Server.Stop for a
// connection that is not even taken.
func Refuse() Fault { return fault(func(p *plan) { p.refuse = true }) }

// Hang sends nothing, not even a header, until Release or the client leaves.
func Hang() Fault { return fault(func(p *plan) { p.hang = true }) }

// Delay waits before the answer.
func Delay(d time.Duration) Fault { return fault(func(p *plan) { p.delay += d }) }

// Slow limits this answer to so many bytes a second, in place of the overall limit.
func Slow(bytesPerSecond int) Fault {
	return fault(func(p *plan) { p.limiter = newLimiter(bytesPerSecond) })
}

// Status answers with a status and a line of text.
func Status(code int) Fault { return fault(func(p *plan) { p.status = code }) }

// NoHead answers HEAD with 405, and all else honestly.
func NoHead() Fault { return Status(http.StatusMethodNotAllowed).Only(http.MethodHead) }

// Redirect answers 302. Where target ends in a slash, the path of the request
// follows it.
func Redirect(target string) Fault { return fault(func(p *plan) { p.redirect = target }) }

// Portal answers 200 with a page of HTML, as the gate of a guest network does.
func Portal() Fault {
	return fault(func(p *plan) {
		p.page = "<!DOCTYPE html>\n<html><head><title>Guest network</title></head><body>Please log in.</body></html>\n"
	})
}

// Stall stops after n bytes of the body, until Release or the client leaves.
func Stall(n int64) Fault { return stopAt(n, (*response).stall) }

// Trickle goes on with a byte a second after n bytes of the body, until Release or the
// client leaves: it is held up as by Stall, and no watchdog for answers that stand still
// ends it, however long a test takes to do something meanwhile.
func Trickle(n int64) Fault { return stopAt(n, (*response).trickle) }

// Cut closes the connection after n bytes of the body.
func Cut(n int64) Fault { return stopAt(n, func(*response) error { return errBroken }) }

// Reset breaks the connection (RST) after n bytes of the body. Bytes that the
// client has not yet received may be lost.
func Reset(n int64) Fault {
	return stopAt(n, func(r *response) error {
		r.drop(true)
		return errBroken
	})
}

// Truncate sends n bytes of the body with a Content-Length that makes them look whole.
func Truncate(n int64) Fault { return fault(func(p *plan) { p.truncate = n }) }

// Overstate promises n bytes more than there are, and closes the connection
// where they should come.
func Overstate(n int64) Fault { return fault(func(p *plan) { p.overstate = n }) }

// Chunked sends the body without Content-Length.
func Chunked() Fault { return fault(func(p *plan) { p.framing = chunked }) }

// CloseDelimited sends the body without Content-Length or chunks: the end of
// the connection is its end, and a cut cannot be told from it.
func CloseDelimited() Fault { return fault(func(p *plan) { p.framing = closeDelimited }) }

// Endless sends the file, chunked, and blanks behind it, as long as the client
// takes them, and MaxEndless at the most, so that who swallows it fails a test and
// not the machine.
func Endless() Fault { return fault(func(p *plan) { p.framing, p.endless = chunked, true }) }

// MaxEndless is how many bytes Endless sends at the most.
const MaxEndless = 256 << 20

// IgnoreRange answers a Range with 200 and the whole file.
func IgnoreRange() Fault { return fault(func(p *plan) { p.dropRange = true }) }

// WrongRange answers a Range with 206 and a part that was not asked for: the
// whole file from its first byte, with the Content-Range of that.
func WrongRange() Fault { return fault(func(p *plan) { p.dropRange, p.wrongRange = true, true }) }

// Gzipped encodes the body though nobody asked for it.
func Gzipped() Fault { return fault(func(p *plan) { p.gzip = true }) }

// Corrupt flips the bits of the byte at offset n of the file; length and
// validators stay.
func Corrupt(n int64) Fault {
	return fault(func(p *plan) {
		p.edits = append(p.edits, func(f io.ReaderAt, _ func([]byte) error) io.ReaderAt { return flipped{f, n} })
	})
}

// Replace puts other bytes into the file's place while it is being sent: once
// the answer comes to offset n, they are the file, the rest of this answer is
// theirs (under the old length and validators), and the next request gets all
// of them with a new ETag. It happens once, unless Times says otherwise.
func Replace(n int64, body []byte) Fault {
	return fault(func(p *plan) {
		p.edits = append(p.edits, func(f io.ReaderAt, put func([]byte) error) io.ReaderAt {
			return &spliced{old: f, next: body, at: n, put: put}
		})
	}).Times(1)
}

// With is both faults at once, for the requests that f is for:
// Chunked().With(Cut(1000)).
func (f Fault) With(other Fault) Fault {
	f.changes = slices.Concat(f.changes, other.changes)
	return f
}

// Times is the fault for n requests; those behind are not its business.
func (f Fault) Times(n int) Fault {
	f.times = n
	return f
}

// After is the fault for the requests behind the first n.
func (f Fault) After(n int) Fault {
	f.after = n
	return f
}

// Share is the fault for a share of the requests, from 0 to 1, drawn by the seed.
func (f Fault) Share(share float64, seed uint64) Fault {
	f.share, f.seed = share, seed
	return f
}

// Only is the fault for the requests of one method.
func (f Fault) Only(method string) Fault {
	f.method = method
	return f
}

// rule is a fault that was told, with how often it has been looked at.
type rule struct {
	pattern string
	Fault
	seen int        // requests for its paths and method
	draw *rand.Rand // of Share
}

// meets reports whether the request meets the fault, and counts it.
func (r *rule) meets(req *Request) bool {
	if !req.matches(r.method, r.pattern) {
		return false
	}
	if r.times > 0 && r.seen >= r.after+r.times {
		return false
	}
	if r.share > 0 {
		if r.draw == nil {
			r.draw = rand.New(rand.NewPCG(r.seed, 0))
		}
		if r.draw.Float64() >= r.share {
			return false
		}
	}
	r.seen++
	return r.seen > r.after
}
