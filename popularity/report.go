package popularity

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// reason is why a line was skipped.
type reason uint8

const (
	reasonNone reason = iota
	reasonMalformed
	reasonTooLong
	reasonDate
	reasonMethod
	reasonStatus
	reasonAborted
	reasonOwn
	reasonReplica
	reasonHealth
	reasonFetched
	reasonTarget
	reasonNoRepo
	reasonNoPackage
	reasonFileName
	reasons
)

// String is the reason as the Report has it.
func (r reason) String() string {
	return [reasons]string{
		reasonMalformed: "not a line of a known format",
		reasonTooLong:   "line too long",
		reasonDate:      "absurd date",
		reasonMethod:    "not a GET",
		reasonStatus:    "not answered with 200, 206 or 304",
		reasonAborted:   "aborted",
		reasonOwn:       "asked for by imsync",
		reasonReplica:   "asked for by another imserve",
		reasonHealth:    "a health check",
		reasonFetched:   "what the proxy itself fetched",
		reasonTarget:    "not the URL of a file",
		reasonNoRepo:    "no repo claims the URL",
		reasonNoPackage: "not a package",
		reasonFileName:  "not a package's file name",
	}[r]
}

// Report is what one Ingest did. Each line that was read is in exactly one of
// Counted, Repomd and Skipped, so that these add up to Lines. On an error it
// holds what was committed before it.
type Report struct {
	Files     int                `json:"files"`      // logs that the globs found
	FilesRead int                `json:"files_read"` // those of them with something new
	Unmatched []string           `json:"unmatched"`  // globs that found no file
	Failed    []Failure          `json:"failed"`     // logs that could not be read, or not to their end
	Bytes     int64              `json:"bytes"`      // read, decompressed
	Lines     int64              `json:"lines"`      // complete lines read
	Formats   map[string]int64   `json:"formats"`    // lines of each format, of those that parsed
	Counted   int64              `json:"counted"`    // lines that are a request for a package, repeats included
	Requests  int64              `json:"requests"`   // distinct (client, day, path) among these that were new
	Repomd    int64              `json:"repomd"`     // lines that are a request for a root's repomd.xml
	NewRoots  []string           `json:"new_roots"`  // roots that were not known before, sorted
	Skipped   map[string]Skipped `json:"skipped"`    // by reason
}

func newReport() Report {
	return Report{
		Unmatched: []string{}, Failed: []Failure{}, Formats: map[string]int64{},
		NewRoots: []string{}, Skipped: map[string]Skipped{},
	}
}

// Skipped is how many lines were skipped for one reason.
type Skipped struct {
	Lines   int64  `json:"lines"`
	Example string `json:"example"` // the first such line, printable and cut short
	File    string `json:"file"`    // where it stood
}

// Failure is a log that could not be read, or not to its end. What could be
// read of it was counted; it is tried again by the next Ingest.
type Failure struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

// tally is what is counted of lines that are not committed yet, without a map
// on the way of each line.
type tally struct {
	lines, counted, repomd int64
	formats                [formats]int64
	skipped                [reasons]int64
	example                [reasons]string
}

// skip counts a line that was skipped, and keeps the first of each reason.
func (t *tally) skip(r reason, line []byte) {
	if t.skipped[r]++; t.skipped[r] == 1 {
		t.example[r] = printable(line)
	}
}

// add takes what was counted of file's lines into the report.
func (r *Report) add(t *tally, file string) {
	r.Lines += t.lines
	r.Counted += t.counted
	r.Repomd += t.repomd
	for f, n := range t.formats {
		if n > 0 {
			r.Formats[format(f).String()] += n
		}
	}
	for why, n := range t.skipped {
		if n == 0 {
			continue
		}
		s, seen := r.Skipped[reason(why).String()]
		if !seen {
			s.Example, s.File = t.example[why], file
		}
		s.Lines += n
		r.Skipped[reason(why).String()] = s
	}
}

// maxExample is how much of a skipped line is shown, in bytes.
const maxExample = 200

// printable makes a line safe to show on a terminal and in JSON: what does not
// print is escaped as Go writes it, and a long line is cut, in the middle of a
// character too.
func printable(line []byte) string {
	ellipsis := ""
	if len(line) > maxExample {
		line, ellipsis = line[:maxExample], "..."
	}
	var b strings.Builder
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		if (r == utf8.RuneError && size == 1) || !strconv.IsPrint(r) {
			q := strconv.Quote(string(line[:size]))
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
		line = line[size:]
	}
	return b.String() + ellipsis
}
