package popularity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Line is one line of a log, as EachLine hands it out.
type Line struct {
	Text []byte // with its newline; valid until the call returns
	At   time.Time
	// Path is the package that was asked for, a repository's name and the path in
	// it, decoded: "fedora/updates/41/...". It is "" for a line that does not count.
	Path   string
	Client string // who asked, in one spelling; set with Path
	Bytes  int64  // of the answer; set with Path
	Root   string // the root whose repomd.xml was asked for, else ""
}

// EachLine reads the logs that the globs find, in the order of their names, and
// calls each for every line that can be parsed. It judges lines as Ingest does, but
// keeps nothing: it is for who has to know when things were asked for. The same
// request may come several times. A log that cannot be read is in the Report, as
// with Ingest; Requests and NewRoots in it are not counted. The error is each's, the
// context's or that of a malformed glob.
func EachLine(ctx context.Context, o Options, globs []string, each func(*Line) error) (Report, error) {
	report := newReport()
	paths, err := expand(globs, &report)
	if err != nil {
		return report, err
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	r := &lineReader{
		opt: o, report: &report, each: each,
		batch: batch{placer: placer{o.Resolve, o.IsPackage}, most: memoryLimit},
	}
	if len(o.Fields) > 0 {
		r.fields = newJSONNode(o.Fields)
	}
	r.batch.next()
	for _, path := range paths {
		report.Files++
		damage, err := r.file(ctx, path)
		if err != nil {
			return report, fmt.Errorf("read %s: %w", path, err)
		}
		if damage != nil {
			report.Failed = append(report.Failed, Failure{Path: path, Error: damage.Error()})
		}
	}
	return report, nil
}

// Locate is the repository and the path in it that a URL, or a path on the mirror,
// names, decoded and with a slash between them; ok is false where no repository
// claims it, or it cannot be a file.
func Locate(o Options, target string) (path string, ok bool) {
	p := placer{resolve: o.Resolve}
	path, ok, _ = p.locate(target)
	return path, ok
}

// lineReader is one EachLine. Of its batch only what it remembers of targets is
// used.
type lineReader struct {
	opt    Options
	fields *jsonNode
	report *Report
	batch  batch
	each   func(*Line) error
}

// file reads one log. damage is why it was not read to its end.
func (r *lineReader) file(ctx context.Context, path string) (damage, err error) {
	src, damage := r.open(path)
	if damage != nil {
		return damage, nil
	}
	defer src.close()
	lines := newBlockReader(src, 0, nil)
	latest := r.opt.Clock().Add(maxAhead).Unix()
	// What the lines ask for is looked up here: parsers that knew it would not hand
	// out who asked.
	var none atomic.Pointer[memory]
	none.Store(&memory{seeds: r.batch.memory.Load().seeds})
	p := startPipeline(lines, func() *parser {
		return &parser{latest: latest, trusted: r.opt.Trusted, fields: r.fields, memory: &none}
	})
	defer p.close()
	var t tally
	for b := p.next(); b != nil; b = p.next() {
		if err := r.block(b, &t); err != nil {
			return nil, err
		}
		p.release(b)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	r.report.FilesRead++
	r.report.Bytes += lines.off
	r.report.add(&t, path)
	if p.err != io.EOF {
		return fmt.Errorf("at byte %d: %w", lines.off, p.err), nil
	}
	return nil, nil
}

func (r *lineReader) open(path string) (*source, error) {
	if path == Stdin {
		return openStdin(r.opt.Stdin)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return openSource(path)
}

// block hands out the lines of b.
func (r *lineReader) block(b *block, t *tally) error {
	if b.long != nil {
		t.lines++
		t.skip(reasonTooLong, b.long)
	}
	from := b.start
	for i := range b.parsed {
		l := &b.parsed[i]
		text := b.buf[from:l.end]
		from = int(l.end)
		t.lines++
		if l.format == formatNone {
			t.skip(l.why, text[:len(text)-1])
			continue
		}
		t.formats[l.format]++
		line := Line{Text: text, At: time.Unix(l.at, 0).UTC()}
		why := l.why
		if why == reasonNone {
			why = r.judge(&b.strangers[l.stranger-1], &line, t)
			if line.Path != "" {
				line.Bytes = l.bytes
			}
		}
		if why != reasonNone {
			t.skip(why, text[:len(text)-1])
		}
		if err := r.each(&line); err != nil {
			return err
		}
	}
	return nil
}

// judge finds what a line asks for.
func (r *lineReader) judge(s *stranger, line *Line, t *tally) reason {
	if r.batch.remembered >= r.batch.most {
		r.batch.next()
	}
	v := r.batch.verdict(s)
	switch v.kind {
	case kindRepomd:
		t.repomd++
		line.Root = r.batch.roots[v.index].root
	case kindPackage:
		t.counted++
		p := &r.batch.paths[v.index]
		line.Path = r.batch.dirs[p.dir] + "/" + p.base
		line.Client = normalClient(string(s.client))
	}
	return v.reason
}
